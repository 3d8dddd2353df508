//! Screen pops to a real server on loopback: one that takes them, refuses, dawdles, is not there.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use super::*;
use crate::desk::screen::{Screen, ScreenError, ScreenSettings};

/// What the other system got, and what it answers, one status a request; then 200.
#[derive(Clone, Default)]
struct Crm {
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<Vec<u16>>>,
    takes: Duration,
}

async fn take(State(crm): State<Crm>, headers: HeaderMap, body: Bytes) -> StatusCode {
    crm.got.lock().unwrap().push((headers, body));
    tokio::time::sleep(crm.takes).await;
    let mut answers = crm.answers.lock().unwrap();
    let answer = if answers.is_empty() { 200 } else { answers.remove(0) };
    StatusCode::from_u16(answer).unwrap()
}

impl Crm {
    fn answering(answers: &[u16]) -> Self {
        Crm { answers: Arc::new(Mutex::new(answers.to_vec())), ..Crm::default() }
    }

    async fn open(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/screen-pop", listener.local_addr().unwrap());
        let router = Router::new().route("/api/screen-pop", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn requests(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

fn settings(url: String) -> ScreenSettings {
    let mut settings = ScreenSettings::new(url, Some("key".into()), "https://desk.example");
    settings.limit = Duration::from_millis(200);
    settings.back_off = Duration::from_millis(10);
    settings
}

/// A recorder with a call that was briefed, and an earlier one of the same caller.
fn briefed() -> Recorder {
    let recorder = Recorder::start(Arc::new(MemoryStore::new()));
    let day = 24 * 60 * 60 * 1000;
    for entry in [entry(-day, invited()), entry(1000 - day, hung_up())] {
        recorder.record(&call(7), entry.fact, entry.at);
    }
    for entry in &transferred()[..9] {
        recorder.record(&call(1), entry.fact.clone(), entry.at);
    }
    recorder
}

/// Waits until something holds, at most 5 s.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(5), "it never held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the journal says about the screen, once it says something.
async fn failure(recorder: &Recorder) -> String {
    let degraded = async || recorder.read(&call(1)).await.unwrap().unwrap().degraded;
    until(async || !degraded().await.is_empty()).await;
    degraded().await.remove(0).what
}

#[tokio::test]
async fn the_screen_gets_the_promised_shape_signed() {
    let (crm, recorder) = (Crm::default(), briefed());
    let screen = Screen::start(settings(crm.open().await), recorder).unwrap();

    screen.pop(&call(1));
    until(async || crm.requests() == 1).await;

    let (headers, body) = crm.got.lock().unwrap().remove(0);
    let expected = json!({
        "call_id": "a84b4c/1%@pc33.example.com",
        "caller": {"name": "Jan", "phone": "+4930555123", "account": null, "tier": null},
        "conversation": {
            "summary": "The caller said: “Hi; I was charged twice on invoice 4521”. The agent last \
                        answered: “I see invoice 4521 for $89.95”. Unresolved: the caller asks for \
                        a person: “Let me talk to a person”.",
            "escalation_reason": "customer_request",
            "topics": [],
            "actions_taken": [],
            "recommended_actions": [],
            "sentiment": null,
            "duration": 12,
        },
        "history": [{
            "call_id": "a84b4c/7%@pc33.example.com",
            "began": "2026-09-20T14:13:20.000Z",
            "state": "disconnected",
            "reason": null,
        }],
        "links": {
            "self": format!("https://desk.example{PATH}"),
            "briefing": format!("https://desk.example{PATH}/briefing"),
            "transcript": format!("https://desk.example{PATH}/transcript"),
        },
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers.contains_key("x-tandem-timestamp"));
    let mac = |key: &[u8]| {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(&body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    };
    assert_eq!(headers["x-tandem-signature"], mac(b"key"));
    assert_ne!(headers["x-tandem-signature"], mac(b"another key"));
}

#[tokio::test]
async fn a_screen_that_stumbles_is_tried_three_times_with_the_same_body() {
    let (crm, recorder) = (Crm::answering(&[503, 429]), briefed());
    let screen = Screen::start(settings(crm.open().await), recorder.clone()).unwrap();

    screen.pop(&call(1));
    until(async || crm.requests() == 3).await;

    let bodies: Vec<Bytes> = crm.got.lock().unwrap().iter().map(|got| got.1.clone()).collect();
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[1], bodies[2]);
    assert_eq!(recorder.read(&call(1)).await.unwrap().unwrap().degraded, []);
}

#[tokio::test]
async fn a_screen_that_stays_broken_is_given_up_after_three_tries() {
    let (crm, recorder) = (Crm::answering(&[500; 9]), briefed());
    let screen = Screen::start(settings(crm.open().await), recorder.clone()).unwrap();

    screen.pop(&call(1));

    assert_eq!(failure(&recorder).await, "it answered with 500");
    assert_eq!(crm.requests(), 3);
}

#[tokio::test]
async fn a_screen_that_refuses_is_not_asked_again() {
    let (crm, recorder) = (Crm::answering(&[401]), briefed());
    let screen = Screen::start(settings(crm.open().await), recorder.clone()).unwrap();

    screen.pop(&call(1));

    assert_eq!(failure(&recorder).await, "it answered with 401");
    assert_eq!(crm.requests(), 1);
}

#[tokio::test]
async fn a_screen_that_is_slow_is_cut_off_and_holds_up_no_other_call() {
    let crm = Crm { takes: Duration::from_secs(60), ..Crm::default() };
    let recorder = briefed();
    let screen = Screen::start(settings(crm.open().await), recorder.clone()).unwrap();

    let began = Instant::now();
    for _ in 0..8 {
        screen.pop(&call(1));
    }
    assert!(began.elapsed() < Duration::from_millis(50), "asking takes no time");
    until(async || crm.requests() == 8).await;
    assert!(began.elapsed() < Duration::from_millis(200), "all at once, before the first limit");

    assert_eq!(failure(&recorder).await, "no answer in time");
    assert!(began.elapsed() >= Duration::from_millis(3 * 200 + 10 + 20));
}

#[tokio::test]
async fn a_screen_that_is_not_there_is_a_fact_in_the_journal() {
    let recorder = briefed();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let screen = Screen::start(settings(url), recorder.clone()).unwrap();

    screen.pop(&call(1));

    assert_eq!(failure(&recorder).await, "it cannot be reached");
}

#[tokio::test]
async fn a_screen_that_follows_pops_for_each_briefing() {
    let crm = Crm::default();
    let recorder = Recorder::start(Arc::new(MemoryStore::new()));
    let screen = Screen::start(settings(crm.open().await), recorder.clone()).unwrap();
    tokio::spawn(screen.follow(recorder.subscribe()));

    for entry in transferred() {
        recorder.record(&call(2), entry.fact, entry.at);
    }
    until(async || crm.requests() == 1).await;

    let body: Value = serde_json::from_slice(&crm.got.lock().unwrap()[0].1).unwrap();
    assert_eq!(body["call_id"], call(2).as_str());
}

#[tokio::test]
async fn a_webhook_that_cannot_work_is_an_error_at_the_start() {
    let refused = |url: &str| {
        let settings = settings(url.to_owned());
        Screen::start(settings, Recorder::start(Arc::new(MemoryStore::new()))).unwrap_err()
    };
    assert!(matches!(refused("crm.example.com/pop"), ScreenError::NoUrl { .. }));
    assert!(matches!(refused("ftp://crm.example.com/pop"), ScreenError::NoUrl { .. }));
    if !cfg!(feature = "tls") {
        let error = refused("https://crm.example.com/pop").to_string();
        assert!(error.ends_with("build with the feature `tls`"), "{error}");
    }
}
