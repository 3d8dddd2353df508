//! The sections of `tandem.toml`, one function each. A key that is not written, or not right, keeps its
//! default; what is not right has been noted.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::{Desk, Llm, LlmEngine, Media, Purpose, Sip, Speech, Webhook};
use crate::files::secret::{self, Written};
use crate::files::{At, Environment, Secret, Table};
use crate::media::codec::Codec;
use crate::sip::Transport;
use crate::speech::activity::ActivityKind;

/// The UDP ports of a call whose caller talks with a human: RTP and RTCP, on two legs.
const PORTS_PER_CALL: usize = 4;

/// The most threads of one kind: more than a machine has cores for.
const THREADS_MAX: u32 = 64;

impl Sip {
    pub(super) fn read(&mut self, mut table: Table<'_>) {
        if let Some(listen) = table.list("listen", listen) {
            // What comes on one socket must be answered from it (RFC 3581 §4), and with its address.
            for (index, At { value: (transport, _), place }) in listen.iter().enumerate() {
                if listen[..index].iter().any(|above| above.value.0 == *transport) {
                    table.error("listen", "has one address for each transport", place);
                }
            }
            self.listen = listen.into_iter().map(|at| at.value).collect();
        }
        set(&mut self.external_ip, table.parsed("external_ip", external_ip));
        put(&mut self.calls_max, table.integer("calls_max", 1..=100_000).map(|max| max as usize));
        put(&mut self.cps_max, table.integer("cps_max", 1..=10_000));
        put(&mut self.drain_time, table.secs("drain_secs", 0..=86_400));
        table.finish();
    }
}

impl Media {
    pub(super) fn read(&mut self, mut table: Table<'_>, calls_max: usize) {
        if let Some(At { value: ports, place }) = table.parsed("ports", ports) {
            let calls = ports.len() / PORTS_PER_CALL;
            if calls < calls_max {
                let why = format!("is enough for {calls} calls, and sip.calls_max is {calls_max}");
                table.warning("ports", why, &place);
            }
            self.ports = ports;
        }
        if let Some(codecs) = table.list("codecs", codec) {
            self.codecs.clear();
            for codec in codecs {
                if !self.codecs.contains(&codec.value) {
                    self.codecs.push(codec.value);
                }
            }
        }
        put(&mut self.threads, table.integer("threads", 1..=THREADS_MAX).map(|n| n as usize));
        table.finish();
    }
}

impl Speech {
    pub(super) fn read(&mut self, mut table: Table<'_>) {
        let engines = &mut self.engines;
        let recognizer = table.parsed("recognizer", |name| one_of(name, &["whisper", "scripted"]));
        set(&mut engines.recognizer, recognizer);
        if let Some(At { value: script, place }) = table.text("script") {
            if engines.recognizer != "scripted" {
                table.warning("script", "is not read: the recognizer is not scripted", &place);
            } else if !PathBuf::from(&script).is_file() {
                table.error("script", format!("there is no `{script}`"), &place);
            } else {
                engines.recognizer = format!("scripted:{script}");
            }
        }
        set(&mut engines.model, table.parsed("model", |file| nonempty(file).map(PathBuf::from)));
        set(&mut engines.language, table.parsed("language", nonempty));
        put(&mut engines.workers, table.integer("workers", 0..=THREADS_MAX).map(|n| n as usize));
        let voices = ["flite:slt", "flite:rms", "scripted"];
        set(&mut engines.synthesizer, table.parsed("synthesizer", |name| one_of(name, &voices)));

        let listening = &mut self.listening;
        let activity = table.parsed("activity", |name| {
            ActivityKind::named(name).ok_or(format!("must be earshot or energy, is `{name}`"))
        });
        set(&mut listening.activity, activity);
        let times = &mut listening.times;
        put(&mut times.end_of_turn, table.millis("end_of_turn_ms", 200..=3000));
        put(&mut times.barge_in, table.millis("barge_in_ms", 40..=2000));
        table.finish();
    }
}

impl Llm {
    pub(super) fn read(&mut self, mut table: Table<'_>, environment: Environment<'_>) {
        let engine = table.parsed("engine", |name| match name {
            "openai" => Ok(LlmEngine::OpenAi),
            "none" => Ok(LlmEngine::None),
            "scripted" => Ok(LlmEngine::Scripted),
            _ => Err(format!("must be openai, none or scripted, is `{name}`")),
        });
        set(&mut self.engine, engine);
        let url = table.parsed("url", http_url);
        let spawn = table.texts_of("spawn");
        // A server at a URL of its own is somebody else's.
        if url.is_some() || spawn.is_some() {
            self.spawn = spawn.unwrap_or_default();
        }
        set(&mut self.url, url);
        set(&mut self.model, table.parsed("model", nonempty));
        self.api_key = optional_secret(&mut table, "api_key", "${env:LLM_API_KEY}", environment);
        put(&mut self.deadline, table.millis("deadline_ms", 100..=60_000));
        table.finish();
    }
}

pub(super) fn store(url: &mut String, mut table: Table<'_>) {
    let read = table.parsed("url", |text| match text.split_once(':') {
        Some(("memory", "")) => Ok(text.to_owned()),
        Some(("sqlite", path)) if !path.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("must be sqlite:FILE or memory:, is `{text}`")),
    });
    set(url, read);
    table.finish();
}

impl Desk {
    pub(super) fn read(
        &mut self,
        mut table: Table<'_>,
        purpose: Purpose,
        environment: Environment<'_>,
    ) {
        let listen = table.parsed("listen", |text| {
            let wrong = || format!("must be such as 127.0.0.1:8080, is `{text}`");
            text.parse::<SocketAddr>().map_err(|_| wrong())
        });
        self.token = optional_secret(&mut table, "token", "${env:TANDEM_DESK_TOKEN}", environment);
        if purpose != Purpose::Look
            && let Some(At { value: address, place }) = &listen
            && !address.ip().is_loopback()
            && self.token.is_none()
        {
            table.error("listen", "is open to others, so `token` must be set", place);
        }
        set(&mut self.listen, listen);
        let url = table.parsed("url", http_url);
        self.url = url.map(|url| url.value.trim_end_matches('/').to_owned());
        let webhook = |table| webhook(table, purpose, environment);
        self.webhook = table.table("webhook").and_then(webhook);
        table.finish();
    }
}

fn webhook(
    mut table: Table<'_>,
    purpose: Purpose,
    environment: Environment<'_>,
) -> Option<Webhook> {
    table.require(&["url"]);
    let url = table.parsed("url", http_url);
    let key = table.text("key").and_then(|key| match secret::read(&key.value, environment) {
        Written::Set(secret) => Some(secret),
        Written::InTheClear(secret) => Some(in_the_clear(&table, "key", &key, secret)),
        // Without its key a webhook would go out unsigned, and nobody would notice here.
        Written::Unset { variable } => {
            let why = format!("the environment has no {variable}");
            match purpose {
                Purpose::Serve => table.error("key", why, &key.place),
                Purpose::Check => table.warning("key", why, &key.place),
                Purpose::Look => (),
            }
            None
        }
    });
    table.finish();
    Some(Webhook { url: url?.value, key })
}

pub(super) fn dialplans(folder: &mut Option<PathBuf>, mut table: Table<'_>) {
    if let Some(written) = table.parsed("folder", nonempty) {
        *folder = Some(PathBuf::from(written.value));
    }
    table.finish();
}

/// A secret that may be unset.
fn optional_secret(
    table: &mut Table<'_>,
    key: &'static str,
    default: &str,
    environment: Environment<'_>,
) -> Option<Secret> {
    let written = table.text(key);
    let text = written.as_ref().map_or(default, |written| written.value.as_str());
    match (secret::read(text, environment), &written) {
        (Written::Set(secret), _) => Some(secret),
        (Written::InTheClear(secret), Some(at)) => Some(in_the_clear(table, key, at, secret)),
        (Written::InTheClear(_) | Written::Unset { .. }, _) => None,
    }
}

fn in_the_clear(table: &Table<'_>, key: &str, written: &At<String>, secret: Secret) -> Secret {
    let why = "is written in the clear: ${env:NAME} takes it from the environment";
    table.warning(key, why, &written.place);
    secret
}

fn set<T>(value: &mut T, said: Option<At<T>>) {
    put(value, said.map(|said| said.value));
}

fn put<T>(value: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *value = said;
    }
}

/// Reads `udp:0.0.0.0:5060`.
fn listen(text: &str) -> Result<(Transport, SocketAddr), String> {
    let wrong = || format!("must be such as udp:0.0.0.0:5060 or tcp:[::]:5060, is `{text}`");
    let (transport, address) = text.split_once(':').ok_or_else(wrong)?;
    let transport = match transport {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        _ => return Err(wrong()),
    };
    Ok((transport, address.parse().map_err(|_| wrong())?))
}

/// Reads an address, or `auto`.
fn external_ip(text: &str) -> Result<Option<IpAddr>, String> {
    match text.parse::<IpAddr>() {
        _ if text == "auto" => Ok(None),
        Ok(ip) if !ip.is_unspecified() => Ok(Some(ip)),
        _ => Err(format!("must be auto or an address that peers can reach, is `{text}`")),
    }
}

fn codec(name: &str) -> Result<Codec, String> {
    let known = || Codec::ALL.map(Codec::name).join(", ");
    Codec::named(name).ok_or_else(|| format!("`{name}` is no codec of this build: {}", known()))
}

/// Reads `16384-32766`.
fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let range = text.split_once('-').and_then(|(first, last)| {
        let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
        Some(range).filter(|range| *range.start() >= 1024 && range.len() >= PORTS_PER_CALL)
    });
    range.ok_or(format!("must be such as 16384-32766, from 1024 on, is `{text}`"))
}

fn one_of(name: &str, known: &[&str]) -> Result<String, String> {
    match known.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("must be one of {}, is `{name}`", known.join(", "))),
    }
}

fn nonempty(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("is empty") } else { Ok(text.to_owned()) }
}

fn http_url(text: &str) -> Result<String, String> {
    let wrong = || format!("must be an http:// or https:// URL, is `{text}`");
    let url: reqwest::Url = text.parse().map_err(|_| wrong())?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(text.to_owned()),
        _ => Err(wrong()),
    }
}
