//! The screen pop: tells another system, by webhook, who is coming and why, while the human's phone
//! still rings.
//!
//! ```text
//!   pop ──> queue ──> POST ── 2xx ──────────────────────> delivered
//!                      ^  │── another 4xx ───────────────> refused
//!              back-off│  │── 5xx, 408, 429, no answer
//!                      └──┴── three times ──────────────> failed
//! ```
//!
//! It never delays a call: asking is a push onto a bounded queue, and what a call would wait for is not
//! here. A pop that failed is a fact in the call's journal.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use metrics::counter;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url, redirect};
use sha2::Sha256;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::context::recorder::Recorded;
use crate::context::{CallFilter, Fact, Recorder};
use crate::desk::wire::ScreenPop;
use crate::ids::CallId;
use crate::net::http;

/// How many pops may wait. A call escalates once or twice, so a full queue means that the other side
/// has been dead or slow for many calls; the newest pop is dropped and counted.
const QUEUE_POPS: usize = 256;
/// How many are on their way at once, so that one slow answer holds up no other.
const DELIVERIES_MAX: usize = 16;
/// How many earlier calls of the same caller are told.
const HISTORY_CALLS: usize = 5;

/// Where pops go, and how hard to try.
#[derive(Clone)]
pub struct ScreenSettings {
    /// What is posted to.
    pub url: String,
    /// The key of the signature; unsigned without.
    pub key: Option<String>,
    /// What stands before the paths of the links: the origin under which the desk is reached.
    pub base: String,
    /// How long one try may take. 5 s.
    pub limit: Duration,
    /// How often it is tried. 3.
    pub tries: u32,
    /// The gap before the second try; it doubles with each. 500 ms.
    pub back_off: Duration,
}

/// A handle to the one task that pops screens.
#[derive(Clone, Debug)]
pub struct Screen {
    queue: mpsc::Sender<CallId>,
}

/// Why screens cannot be popped.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// The URL is none, or is not for HTTP.
    #[error("the webhook `{url}` is no http URL")]
    NoUrl {
        /// The URL.
        url: String,
    },
    /// This build speaks no TLS.
    #[error(
        "the webhook `{url}` needs https, which is not in this build: build with the feature `tls`"
    )]
    NoTls {
        /// The URL.
        url: String,
    },
    /// The HTTP client cannot be made.
    #[error("cannot prepare the webhook")]
    Client(#[source] reqwest::Error),
}

impl ScreenSettings {
    /// Three tries of 5 s each.
    pub fn new(url: impl Into<String>, key: Option<String>, base: impl Into<String>) -> Self {
        ScreenSettings {
            url: url.into(),
            key,
            base: base.into(),
            limit: Duration::from_secs(5),
            tries: 3,
            back_off: Duration::from_millis(500),
        }
    }
}

impl Screen {
    /// Starts the task.
    pub fn start(settings: ScreenSettings, recorder: Recorder) -> Result<Self, ScreenError> {
        let postman = Postman::new(settings, recorder)?;
        let (queue, mut pops) = mpsc::channel(QUEUE_POPS);
        tokio::spawn(async move {
            let pops = poll_fn(|context| pops.poll_recv(context));
            pops.for_each_concurrent(DELIVERIES_MAX, |call_id| postman.handle(call_id)).await;
        });
        Ok(Screen { queue })
    }

    /// Pops the screen for a call that was briefed. Never waits.
    pub fn pop(&self, call_id: &CallId) {
        if self.queue.try_send(call_id.clone()).is_err() {
            count("dropped");
            warn!(%call_id, "a screen pop was dropped: too many wait");
        }
    }

    /// Pops the screen for each call that is briefed from now on, until the recorder ends.
    pub async fn follow(self, mut entries: broadcast::Receiver<std::sync::Arc<Recorded>>) {
        loop {
            match entries.recv().await {
                Ok(recorded) => {
                    if let Fact::Briefed { .. } = recorded.entry.fact {
                        self.pop(&recorded.call);
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    warn!(missed, "entries passed unseen; a screen may not have popped");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// Carries pops to where they go.
struct Postman {
    settings: ScreenSettings,
    url: Url,
    client: Client,
    recorder: Recorder,
}

/// Why a try did not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Timeout,
    Unreachable,
    Status(StatusCode),
}

impl Postman {
    fn new(settings: ScreenSettings, recorder: Recorder) -> Result<Self, ScreenError> {
        let no_url = || ScreenError::NoUrl { url: settings.url.clone() };
        let url = Url::parse(&settings.url).map_err(|_| no_url())?;
        match url.scheme() {
            "http" => (),
            "https" if cfg!(feature = "tls") => (),
            "https" => return Err(ScreenError::NoTls { url: settings.url }),
            _ => return Err(no_url()),
        }
        // A signed body goes where it was meant to go and nowhere else.
        let client = http::client(&settings.url, false)
            .timeout(settings.limit)
            .redirect(redirect::Policy::none());
        let client = client.build().map_err(ScreenError::Client)?;
        Ok(Postman { settings, url, client, recorder })
    }

    async fn handle(&self, call_id: CallId) {
        let Some(body) = self.body(&call_id).await else {
            count("no_briefing");
            return;
        };
        match self.deliver(&body).await {
            Ok(()) => {
                count("delivered");
                debug!(%call_id, "screen popped");
            }
            Err(failure) => {
                count(failure.name());
                warn!(%call_id, %failure, "a screen could not be popped");
                let (part, what) = ("screen".to_owned(), failure.to_string());
                self.recorder.record(&call_id, Fact::Degraded { part, what }, Timestamp::now());
            }
        }
    }

    /// The body, once for all tries, so that they are the same bytes.
    async fn body(&self, call_id: &CallId) -> Option<Vec<u8>> {
        let context = self.recorder.read(call_id).await.ok()??;
        let briefing = context.briefing?;
        let mut earlier = Vec::new();
        if !briefing.caller.is_empty() {
            let caller = Some(context.summary.caller.clone());
            // One more than is told, since this call is among them.
            let filter = CallFilter { caller, ..CallFilter::newest(HISTORY_CALLS + 1) };
            earlier = self.recorder.list(&filter).await.ok()?.calls;
            earlier.retain(|call| call.call_id != *call_id && call.began <= context.summary.began);
            earlier.truncate(HISTORY_CALLS);
        }
        let pop = ScreenPop::new(call_id, &briefing, &earlier, &self.settings.base);
        serde_json::to_vec(&pop).ok()
    }

    async fn deliver(&self, body: &[u8]) -> Result<(), Failure> {
        let mut gap = self.settings.back_off;
        let mut tries_left = self.settings.tries.max(1);
        loop {
            tries_left -= 1;
            match self.post(body).await {
                Ok(()) => return Ok(()),
                Err(failure) if tries_left == 0 || !failure.try_again() => return Err(failure),
                Err(_) => sleep(gap).await,
            }
            gap *= 2;
        }
    }

    async fn post(&self, body: &[u8]) -> Result<(), Failure> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("X-Tandem-Timestamp", Timestamp::now().as_second())
            .body(body.to_vec());
        if let Some(key) = &self.settings.key {
            request = request.header("X-Tandem-Signature", signature(key, body));
        }
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(Failure::Status(response.status())),
            Err(error) if error.is_timeout() => Err(Failure::Timeout),
            Err(_) => Err(Failure::Unreachable),
        }
    }
}

/// What the receiver computes too: `sha256=` and the HMAC-SHA256 (RFC 2104) of the body, in hex.
fn signature(key: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key may have any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn count(outcome: &'static str) {
    counter!("screen_pops_total", "outcome" => outcome).increment(1);
}

impl Failure {
    /// Whether the same request may do better later.
    fn try_again(self) -> bool {
        match self {
            Failure::Timeout | Failure::Unreachable => true,
            Failure::Status(status) => {
                let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_server_error() || passing.contains(&status)
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Failure::Timeout => "timeout",
            Failure::Unreachable => "unreachable",
            Failure::Status(_) => "refused",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Timeout => f.write_str("no answer in time"),
            Failure::Unreachable => f.write_str("it cannot be reached"),
            Failure::Status(status) => write!(f, "it answered with {}", status.as_u16()),
        }
    }
}

impl fmt::Debug for ScreenSettings {
    /// Without the key itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScreenSettings")
            .field("url", &self.url)
            .field("key", &self.key.is_some())
            .field("limit", &self.limit)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}
