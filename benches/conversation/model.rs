//! A language model that says the same things at the same pace each time: a server with the
//! OpenAI-compatible interface, which streams.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep_until};

/// From the question to the first token.
const FIRST_TOKEN: Duration = Duration::from_millis(150);
/// From token to token: 25 a second.
const TOKEN: Duration = Duration::from_millis(40);
/// Bytes of a token: English has a little more than four.
const TOKEN_BYTES: usize = 4;

/// Two sentences each, as models write them when they are told to be short: some begin with a word, some
/// with a clause, and some with a whole long sentence.
const ANSWERS: [&str; 8] = [
    "I am sorry to hear that. Could you tell me your order number, so that I can look into it for you?",
    "Yes, we can do that for you. It usually takes about two working days until the bicycle is ready again.",
    "Thank you for telling me, that is good to know. Is there anything else about your bicycle that I can help with?",
    "Our workshop is open from nine in the morning until six in the evening on weekdays. On Saturdays we close at two.",
    "I understand. We have a few city bicycles in stock at the moment, and you are welcome to try one of them.",
    "A standard inspection costs sixty euros, and new brake pads are twenty euros more. Would you like to bring it in?",
    "I do not have that information, I am afraid. You could send us an email, and somebody will look it up for you.",
    "Of course. For a repair, please have the number of the frame ready, which is on the underside of the bicycle.",
];

/// The server; it ends with this.
pub struct StandIn {
    pub url: String,
    _runtime: Runtime,
}

impl StandIn {
    /// Serves on any port of loopback.
    pub fn start() -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let app = Router::new()
            .route("/v1/chat/completions", post(answer))
            .route("/health", get(|| async {}));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Ok(StandIn { url, _runtime: runtime })
    }
}

async fn answer() -> impl IntoResponse {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let asked = Instant::now();
    let text = ANSWERS[ASKED.fetch_add(1, Ordering::Relaxed) % ANSWERS.len()];
    let tokens = text.as_bytes().chunks(TOKEN_BYTES).map(|token| {
        let content = std::str::from_utf8(token).expect("the answers are ASCII");
        json!({ "choices": [{ "delta": { "content": content }, "finish_reason": null }] })
    });
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
    let events: Vec<String> =
        tokens.chain([end]).map(|event| format!("data: {event}\n\n")).collect();
    let paced = stream::iter(events.into_iter().enumerate()).then(move |(n, event)| async move {
        sleep_until(asked + FIRST_TOKEN + TOKEN * n as u32).await;
        Ok::<_, Infallible>(event)
    });
    let done = stream::iter([Ok("data: [DONE]\n\n".to_owned())]);
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(paced.chain(done)))
}
