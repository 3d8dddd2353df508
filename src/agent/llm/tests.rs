//! Against a real HTTP server on loopback that answers as each test tells it to.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::agent::ModelMessage;
use crate::agent::scripted::{Answer, Scripted};

/// Serves `/v1/chat/completions` with what `answer` makes of a request, and returns the base URL.
async fn serve<F, R>(answer: F) -> String
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let router = Router::new().route("/v1/chat/completions", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1/")
}

/// Serves one body, whole.
async fn serve_text(body: &'static str) -> String {
    serve(move |_| async move { body.into_response() }).await
}

fn client(url: &str) -> OpenAi {
    let settings = OpenAiSettings {
        url: url.to_owned(),
        model: "small".to_owned(),
        api_key: ApiKey::new("sesame"),
        is_ours: false,
        answer_max: Duration::from_millis(500),
    };
    OpenAi::new(settings).expect("the settings are right")
}

fn question() -> ModelRequest {
    let message = ModelMessage { role: Role::User, content: "Hello?".to_owned() };
    ModelRequest { messages: vec![message], tokens_max: 7, temperature: 0.0 }
}

/// The pieces of an answer, and how it ended.
async fn reply(url: &str) -> (Vec<String>, Option<ModelError>) {
    let mut pieces = Vec::new();
    let mut stream = client(url).reply(question());
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(text) => pieces.push(text),
            Err(error) => return (pieces, Some(error)),
        }
    }
    (pieces, None)
}

#[tokio::test]
async fn the_request_has_the_model_the_messages_and_the_key() {
    let (sender, mut seen) = mpsc::channel(1);
    let url = serve(move |request: Request| {
        let sender = sender.clone();
        async move {
            let key = request.headers()["authorization"].to_str().map(str::to_owned);
            let body =
                axum::body::to_bytes(request.into_body(), 10_000).await.expect("a small body");
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            sender.send((key.expect("text"), body)).await.expect("the test waits");
            "data: [DONE]\n\n".into_response()
        }
    })
    .await;
    assert!(matches!(reply(&url).await, (pieces, None) if pieces.is_empty()));
    let (key, body) = seen.recv().await.expect("one request");
    assert_eq!(key, "Bearer sesame");
    assert_eq!(
        body,
        serde_json::json!({
            "model": "small",
            "messages": [{"role": "user", "content": "Hello?"}],
            "max_tokens": 7,
            "temperature": 0.0,
            "stream": true,
        })
    );
}

#[tokio::test]
async fn pieces_come_out_whatever_dialect_the_server_speaks() {
    let url = serve_text(
        ": a comment\n\n\
         data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n\
         data: {\"choices\":[{\"delta\":{\"content\":\"We \"},\"finish_reason\":null}]}\r\n\r\n\
         data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"open.\"}}]}\n\n\
         data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
         data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n\
         data: [DONE]\n\n",
    )
    .await;
    assert!(matches!(reply(&url).await, (pieces, None) if pieces == ["We ", "open."]));
}

#[tokio::test]
async fn a_finish_reason_is_an_end_without_done() {
    let url = serve_text(
        "data: {\"choices\":[{\"delta\":{\"content\":\"Yes.\"},\"finish_reason\":\"length\"}]}\n\n",
    )
    .await;
    assert!(matches!(reply(&url).await, (pieces, None) if pieces == ["Yes."]));
}

#[tokio::test]
async fn an_answer_without_a_told_end_was_cut() {
    let url = serve_text("data: {\"choices\":[{\"delta\":{\"content\":\"Yes \"}}]}\n\n").await;
    assert!(
        matches!(reply(&url).await, (pieces, Some(ModelError::Cut(None))) if pieces == ["Yes "])
    );
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_cut_answer() {
    let url = serve(|_| async {
        let first = "data: {\"choices\":[{\"delta\":{\"content\":\"Yes \"}}]}\n\n";
        // The server's connection flushes what it has before it waits.
        let broken = stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(std::io::Error::other("broken"))
        });
        Response::new(HttpBody::from_stream(stream::iter([Ok(first)]).chain(broken)))
    })
    .await;
    let (_, error) = reply(&url).await;
    assert!(matches!(error, Some(ModelError::Cut(Some(_)))), "{error:?}");
}

#[tokio::test]
async fn broken_json_is_malformed() {
    let url = serve_text("data: {\"choices\":[{\"del\n\n").await;
    assert!(matches!(reply(&url).await.1, Some(ModelError::Malformed)));
    let url = serve_text("data: {\"error\":{\"message\":\"out of memory\"}}\n\n").await;
    assert!(matches!(reply(&url).await.1, Some(ModelError::Cut(None))));
}

#[tokio::test]
async fn an_http_error_is_told_by_its_status() {
    let url = serve(|_| async { StatusCode::INTERNAL_SERVER_ERROR.into_response() }).await;
    assert!(matches!(reply(&url).await.1, Some(ModelError::Status(500))));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let (_, error) = reply(&format!("http://{address}/v1")).await;
    assert!(matches!(error, Some(ModelError::Unreachable(Some(_)))), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_late() {
    let url = serve(|_| std::future::pending::<Response>()).await;
    assert!(matches!(reply(&url).await.1, Some(ModelError::Late)));
    let url = serve(|_| async {
        let first = stream::iter([Ok::<_, Infallible>(
            "data: {\"choices\":[{\"delta\":{\"content\":\"Yes \"}}]}\n\n",
        )]);
        Response::new(HttpBody::from_stream(first.chain(stream::pending())))
    })
    .await;
    let (pieces, error) = reply(&url).await;
    assert_eq!(pieces, ["Yes "]);
    assert!(matches!(error, Some(ModelError::Late)), "{error:?}");
}

#[tokio::test]
async fn an_answer_without_end_is_refused() {
    let url = serve(|_| async {
        let noise =
            stream::repeat_with(|| Ok::<_, Infallible>("data: ".to_owned() + &"x".repeat(65_536)));
        Response::new(HttpBody::from_stream(noise))
    })
    .await;
    assert!(matches!(reply(&url).await.1, Some(ModelError::Malformed)));
}

/// The server sees that the caller has interrupted: its connection closes.
#[tokio::test]
async fn dropping_the_stream_ends_the_request() {
    struct Told(Arc<AtomicBool>, mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
            // The test may have failed already.
            let _ = self.1.try_send(());
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let (sender, mut ended) = mpsc::channel(1);
    let (flag, first) =
        (dropped.clone(), "data: {\"choices\":[{\"delta\":{\"content\":\"Yes \"}}]}\n\n");
    let url = serve(move |_| {
        let told = Told(flag.clone(), sender.clone());
        async move {
            let pieces = stream::iter([first]).chain(stream::pending()).map(move |piece| {
                let _held = &told;
                Ok::<_, Infallible>(piece)
            });
            Response::new(HttpBody::from_stream(pieces))
        }
    })
    .await;

    let mut stream = client(&url).reply(question());
    assert!(matches!(stream.next().await, Some(Ok(text)) if text == "Yes "));
    assert!(!dropped.load(Ordering::SeqCst));
    drop(stream);
    let ended = tokio::time::timeout(Duration::from_secs(5), ended.recv()).await;
    assert_eq!(ended, Ok(Some(())));
}

#[test]
fn settings_that_cannot_work_are_refused_and_the_key_never_prints() {
    let settings = OpenAiSettings {
        url: "127.0.0.1:8000".to_owned(),
        model: String::new(),
        api_key: ApiKey::new("sesame"),
        is_ours: false,
        answer_max: Duration::from_secs(1),
    };
    assert!(!format!("{settings:?}").contains("sesame"));
    let error = OpenAi::new(settings).expect_err("no scheme");
    assert_eq!(error.to_string(), "`127.0.0.1:8000` is no http or https address");
    assert_eq!((ApiKey::new(""), ApiKey::new("two\nlines")), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_summary_is_bounded_and_has_a_deadline() {
    let second = Duration::from_secs(1);
    let model = Scripted::new(vec![
        Answer::Text("A refund. Order late. Wants money. More.".to_owned()),
        Answer::Fails(503),
        Answer::Text("```json {}```".to_owned()),
        Answer::Silence,
    ]);
    let summary = summarize(&model, &[], second).await;
    assert_eq!(summary.expect("an answer"), "A refund. Order late. Wants money.");
    assert!(matches!(summarize(&model, &[], second).await, Err(ModelError::Status(503))));
    assert!(matches!(summarize(&model, &[], second).await, Err(ModelError::Malformed)));
    assert!(matches!(summarize(&model, &[], second).await, Err(ModelError::Late)));
}
