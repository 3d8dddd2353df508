//! The desk over a real socket on loopback.

mod screen;

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{StatusCode, header};
use serde_json::{Value, json};

use super::*;
use crate::context::fixtures::{at, call, entry, hung_up, invited, transferred};
use crate::context::store::MemoryStore;
use crate::context::{Entry, Fact};

/// A desk that answers, and ends with the test.
struct Open {
    origin: String,
    recorder: Recorder,
    draining: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn open(token: Option<&str>) -> Open {
    let recorder = Recorder::start(Arc::new(MemoryStore::new()));
    let draining = Arc::new(AtomicBool::new(false));
    let drains = draining.clone();
    let sources = Sources {
        recorder: recorder.clone(),
        metrics: Arc::new(|| "calls_live 3\n".to_owned()),
        not_ready: Arc::new(move || {
            let drains = drains.load(Ordering::Relaxed);
            drains.then(|| "draining".to_owned()).into_iter().collect()
        }),
    };
    let settings = DeskSettings { token: token.map(str::to_owned) };
    let desk = Desk::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    let (origin, stop) = (format!("http://{}", desk.address()), CancellationToken::new());
    tokio::spawn(desk.serve(sources, stop.clone()));
    Open { origin, recorder, draining, stop }
}

impl Open {
    fn record(&self, number: u32, journal: &[Entry]) {
        for entry in journal {
            self.recorder.record(&call(number), entry.fact.clone(), entry.at);
        }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("{}{path}", self.origin)).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    #[track_caller]
    fn problem(&self, path: &str) -> impl Future<Output = (u16, String)> {
        let response = self.get(path);
        async move {
            let response = response.await;
            let kind = response.headers()[header::CONTENT_TYPE].clone();
            assert_eq!(kind, "application/problem+json");
            let status = response.status().as_u16();
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["status"], status);
            assert_eq!(body["type"], "about:blank");
            (status, body["detail"].as_str().unwrap().to_owned())
        }
    }
}

/// The fixture's Call-ID as it stands in a path.
const PATH: &str = "/v1/calls/a84b4c%2F1%25%40pc33%2Eexample%2Ecom";

#[tokio::test]
async fn a_call_is_shown_whole_the_moment_after_it_happened() {
    let desk = open(None).await;
    desk.record(1, &transferred());

    let briefing = json!({
        "call_id": "a84b4c/1%@pc33.example.com",
        "reason": "customer_request",
        "details": "talk to a person",
        "trigger_text": "Let me talk to a person.",
        "trigger_turn": 4,
        "headline": "Jan asks for a person: “Hi; I was charged twice on invoice 4521”",
        "summary": "The caller said: “Hi; I was charged twice on invoice 4521”. The agent last \
                    answered: “I see invoice 4521 for $89.95”. Unresolved: the caller asks for a \
                    person: “Let me talk to a person”.",
        "summary_by_model": false,
        "topics": [],
        "actions_taken": [],
        "caller": {"phone": "+4930555123", "name": "Jan"},
        "began": "2026-09-21T14:13:20.000Z",
        "at": "2026-09-21T14:13:32.010Z",
        "call_ms": 12_000,
        "turns": 4,
        "transcript_reference": format!("{PATH}/transcript"),
    });
    let escalation = json!({
        "at": "2026-09-21T14:13:32.010Z",
        "reason": "customer_request",
        "rule": "explicit",
        "details": "talk to a person",
        "turn": 4,
        "also": [],
    });
    let expected = json!({
        "call_id": "a84b4c/1%@pc33.example.com",
        "state": "disconnected",
        "caller": {"phone": "+4930555123", "name": "Jan"},
        "called": "demo",
        "route": "demo",
        "agent": "demo",
        "trunk": null,
        "began": "2026-09-21T14:13:20.000Z",
        "answered": "2026-09-21T14:13:20.100Z",
        "ended": "2026-09-21T14:14:20.000Z",
        "duration_ms": 59_900,
        "on_hold": false,
        "reason": "customer_request",
        "links": {
            "self": PATH,
            "briefing": format!("{PATH}/briefing"),
            "transcript": format!("{PATH}/transcript"),
        },
        "phases": [
            {"state": "pending", "at": "2026-09-21T14:13:20.000Z"},
            {"state": "answered", "at": "2026-09-21T14:13:20.100Z"},
            {"state": "connected", "at": "2026-09-21T14:13:35.000Z"},
            {"state": "disconnected", "at": "2026-09-21T14:14:20.000Z"},
        ],
        "legs": [
            {
                "party": "caller",
                "who": "+4930555123",
                "began": "2026-09-21T14:13:20.000Z",
                "answered": "2026-09-21T14:13:20.100Z",
                "ended": "2026-09-21T14:14:20.000Z",
            },
            {
                "party": "human",
                "who": "sarah",
                "began": "2026-09-21T14:13:32.300Z",
                "answered": "2026-09-21T14:13:35.000Z",
                "ended": "2026-09-21T14:14:20.000Z",
            },
        ],
        "escalation": escalation,
        "escalations": [escalation],
        "transfers": [
            {
                "mode": "cold",
                "method": "refer",
                "target": "sarah",
                "began": "2026-09-21T14:13:32.100Z",
                "steps": [],
                "connected": null,
                "outcome": "refer_rejected",
                "status": 603,
                "reason": "Decline",
                "ended": "2026-09-21T14:13:32.200Z",
                "duration_ms": 100,
            },
            {
                "mode": "cold",
                "method": "bridge",
                "target": "sarah",
                "began": "2026-09-21T14:13:32.300Z",
                "steps": [
                    {"at": "2026-09-21T14:13:32.400Z", "status": 180, "reason": "Ringing"},
                ],
                "connected": "2026-09-21T14:13:35.000Z",
                "outcome": "connected",
                "status": 200,
                "reason": null,
                "ended": "2026-09-21T14:13:35.000Z",
                "duration_ms": 2700,
            },
        ],
        "briefing": briefing,
        "turns": 4,
        "keys": [],
        "degraded": [],
        "ending": {
            "at": "2026-09-21T14:14:20.000Z",
            "by": "caller",
            "reason": null,
            "refused": null,
        },
    });
    assert_eq!(desk.json(PATH).await, expected);
    assert_eq!(desk.json(&format!("{PATH}/briefing")).await, briefing);
}

#[tokio::test]
async fn a_transcript_is_read_by_range() {
    let desk = open(None).await;
    desk.record(1, &transferred());

    let expected = json!({
        "call_id": "a84b4c/1%@pc33.example.com",
        "turns": [{
            "number": 3,
            "speaker": "agent",
            "text": "I see invoice 4521 for $89.95.",
            "began": "2026-09-21T14:13:28.500Z",
            "ended": "2026-09-21T14:13:29.000Z",
            "confidence": null,
            "interrupted": false,
        }],
        "turns_total": 4,
    });
    assert_eq!(desk.json(&format!("{PATH}/transcript?from=3&to=3")).await, expected);

    let all = desk.json(&format!("{PATH}/transcript")).await;
    assert_eq!(all["turns"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn calls_are_listed_newest_first_by_state_and_time() {
    let desk = open(None).await;
    desk.record(1, &[entry(1000, invited()), entry(1500, Fact::Answered)]);
    desk.record(2, &[entry(2000, invited()), entry(2500, hung_up())]);
    desk.record(3, &[entry(3000, invited())]);
    let numbers = async |query: &str| -> Vec<String> {
        let list = desk.json(&format!("/v1/calls{query}")).await;
        assert_eq!(list["complete"], true);
        let numbers = list["calls"].as_array().unwrap().iter();
        numbers.map(|call| call["call_id"].as_str().unwrap()[7..8].to_owned()).collect()
    };

    assert_eq!(numbers("").await, ["3", "2", "1"]);
    assert_eq!(numbers("?limit=1").await, ["3"]);
    assert_eq!(numbers("?state=live").await, ["3", "1"]);
    assert_eq!(numbers("?state=disconnected").await, ["2"]);
    assert_eq!(numbers(&format!("?from={}", at(2000))).await, ["3", "2"]);
    assert_eq!(
        desk.json("/v1/calls?state=answered").await["calls"],
        json!([{
            "call_id": "a84b4c/1%@pc33.example.com",
            "state": "answered",
            "caller": {"phone": "+4930555123", "name": "Jan"},
            "called": "demo",
            "route": "demo",
            "agent": "demo",
            "began": "2026-09-21T14:13:21.000Z",
            "ended": null,
            "reason": null,
            "links": {
                "self": PATH,
                "briefing": format!("{PATH}/briefing"),
                "transcript": format!("{PATH}/transcript"),
            },
        }])
    );
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem() {
    let desk = open(None).await;
    desk.record(1, &[entry(0, invited())]);
    for (path, status, detail) in [
        ("/v1/calls/nobody@example.com", 404, "there is no call with this Call-ID"),
        ("/v1/calls/two%0D%0Alines", 404, "there is no call with this Call-ID"),
        (&*format!("{PATH}/briefing"), 404, "this call has no briefing"),
        ("/v1/nothing", 404, "there is no such page"),
        ("/v1/calls?limit=0", 400, "limit is from 1 to 1000"),
        ("/v1/calls?limit=1001", 400, "limit is from 1 to 1000"),
        (
            "/v1/calls?state=over",
            400,
            "state is live, pending, answered, connected or disconnected",
        ),
    ] {
        assert_eq!(desk.problem(path).await, (status, detail.to_owned()), "{path}");
    }
    for path in ["/v1/calls?from=yesterday", "/v1/calls?stat=live", "/v1/calls/%FF"] {
        assert_eq!(desk.problem(path).await.0, 400, "{path}");
    }
    let posted = reqwest::Client::new().post(format!("{}/v1/calls", desk.origin)).send().await;
    assert_eq!(posted.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn probes_say_whether_calls_may_come() {
    let desk = open(Some("secret")).await;
    assert_eq!(desk.get("/healthz").await.status(), StatusCode::OK);
    assert_eq!(desk.get("/readyz").await.status(), StatusCode::OK);

    desk.draining.store(true, Ordering::Relaxed);

    let response = desk.get("/readyz").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.json::<Value>().await.unwrap()["reasons"], json!(["draining"]));
    assert_eq!(desk.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn with_a_token_nothing_about_calls_is_shown_without_it() {
    let desk = open(Some("secret")).await;
    for path in ["/v1/calls", PATH, "/metrics", "/v1/calls/x/transcript"] {
        let response = desk.get(path).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");

        let asked = reqwest::Client::new().get(format!("{}{path}", desk.origin));
        let status = asked.bearer_auth("secret").send().await.unwrap().status();
        assert_ne!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_a_page_of_another_name_is_turned_away() {
    let desk = open(None).await;
    for (name, value) in [("Host", "desk.evil.example"), ("Origin", "http://evil.example")] {
        let asked = reqwest::Client::new().get(format!("{}/v1/calls", desk.origin));
        let status = asked.header(name, value).send().await.unwrap().status();
        assert_eq!(status, StatusCode::FORBIDDEN, "{name}");
    }
}

#[tokio::test]
async fn beyond_loopback_the_desk_needs_a_token() {
    for token in [None, Some(String::new()), Some(" ".to_owned())] {
        let settings = DeskSettings { token };
        let bound = Desk::bind("0.0.0.0:0".parse().unwrap(), settings).await;
        let error = bound.err().unwrap().to_string();
        let expected = "the desk on 0.0.0.0:0 needs a token: only on loopback it may go without";
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn the_page_and_the_metrics_come_with_the_headers_that_keep_them_harmless() {
    let desk = open(None).await;

    let page = desk.get("/").await;
    assert!(page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("'none'"));
    assert_eq!(page.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let html = page.text().await.unwrap();
    for file in ["/desk.js", "/desk.css"] {
        assert!(html.contains(&format!("\"{file}\"")));
        assert_eq!(desk.get(file).await.status(), StatusCode::OK);
    }
    assert_eq!(desk.get("/metrics").await.text().await.unwrap(), "calls_live 3\n");
}
