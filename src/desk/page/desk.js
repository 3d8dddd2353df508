// The desk's page: asks for the calls every second and shows the one that was chosen. Everything that
// comes from a call was chosen by a stranger and becomes text, never markup.
"use strict";

const POLL_MS = 1000;
const element = (id) => document.getElementById(id);
let chosen = null;

async function ask(path) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { headers });
  if (response.status === 401) {
    element("login").hidden = false;
    throw new Error("A token is needed");
  }
  element("login").hidden = true;
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return response.json();
}

function make(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text ?? "";
  if (className) made.className = className;
  return made;
}

const words = (name) => (name ?? "").replaceAll("_", " ");
const clock = (time) => new Date(time).toLocaleTimeString();
const named = (caller) => (caller.name ? `${caller.name} (${caller.phone})` : caller.phone);

function row(call) {
  const made = make("tr");
  const state = make("td");
  state.append(make("span", call.state, `state ${call.state}`));
  made.append(
    state,
    make("td", named(call.caller)),
    make("td", call.called),
    make("td", clock(call.began)),
    make("td", words(call.reason)),
  );
  made.tabIndex = 0;
  made.setAttribute("aria-selected", call.links.self === chosen);
  const choose = () => { chosen = call.links.self; refresh(); };
  made.addEventListener("click", choose);
  made.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
  return made;
}

function showCalls(list) {
  const focused = [...element("calls").children].indexOf(document.activeElement);
  element("calls").replaceChildren(...list.calls.map(row));
  if (focused >= 0) element("calls").children[focused]?.focus();
  element("empty").hidden = list.calls.length > 0;
  element("status").textContent = list.complete ? "" : "The store cannot be read: live calls only";
}

function showCall(call, transcript) {
  const briefing = call.briefing;
  element("headline").textContent = briefing ? briefing.headline : named(call.caller);
  element("summary").textContent = briefing ? briefing.summary : "No human was needed so far.";
  const facts = [
    ["State", call.on_hold ? `${call.state}, on hold` : call.state],
    ["Call-ID", call.call_id],
    ["Fired", call.escalation ? `${call.escalation.rule}: ${call.escalation.details}` : "-"],
    ["Ended", call.ending ? `by ${call.ending.by} ${call.ending.reason ?? ""}` : "-"],
  ];
  element("facts").replaceChildren(
    ...facts.flatMap(([name, value]) => [make("dt", name), make("dd", value)]),
  );
  element("transfers").replaceChildren(...call.transfers.map((transfer) => {
    const outcome = transfer.outcome ? words(transfer.outcome) : "under way";
    const status = transfer.status ? ` (${transfer.status})` : "";
    const way = `${transfer.mode} to ${transfer.target} by ${transfer.method}`;
    return make("li", `${clock(transfer.began)} ${way}: ${outcome}${status}`);
  }));
  element("transcript").replaceChildren(...transcript.turns.map((turn) => {
    const line = make("li", undefined, turn.number === briefing?.trigger_turn ? "trigger" : "");
    const cut = turn.interrupted ? " [interrupted]" : "";
    line.append(make("span", turn.speaker, "who"), make("span", turn.text + cut));
    return line;
  }));
  element("call").hidden = false;
}

let refreshing = false;
async function refresh() {
  if (refreshing) return;
  refreshing = true;
  try {
    const state = element("state").value;
    showCalls(await ask(state ? `/v1/calls?state=${state}` : "/v1/calls"));
    if (chosen) {
      const [call, transcript] = await Promise.all([ask(chosen), ask(`${chosen}/transcript`)]);
      showCall(call, transcript);
    }
  } catch (error) {
    element("status").textContent = error.message;
  } finally {
    refreshing = false;
  }
}

element("state").addEventListener("change", refresh);
element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", element("token").value);
  element("token").value = "";
  refresh();
});
refresh();
setInterval(refresh, POLL_MS);
