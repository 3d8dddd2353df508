//! A client of servers with an OpenAI-compatible interface: `POST {url}/chat/completions`, streamed as
//! server-sent events.
//!
//! Servers differ, so little is required of them: `role`, `usage` and empty chunks may come or not, the end
//! is told by `[DONE]`, by a `finish_reason`, or both. An answer whose end was not told was cut.

use std::fmt;
use std::time::Duration;

use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::agent::{LanguageModel, ModelError, ModelRequest, Role, summary};
use crate::context::Turn;
use crate::net::http;

/// How long a connection may take. The server is near, or it is not there.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// The most bytes of one answer. A spoken answer needs a hundredth of it, its envelopes included.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A secret, which prints as `«redacted»`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes the key; `None` if it is empty or cannot stand in a header.
    pub fn new(key: &str) -> Option<Self> {
        let fits = !key.is_empty() && HeaderValue::from_str(key).is_ok();
        fits.then(|| ApiKey(key.to_owned()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("«redacted»")
    }
}

/// Which model, and where.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// The base of the interface: `http://127.0.0.1:8000/v1`.
    pub url: String,
    /// The model's name, as the server knows it.
    pub model: String,
    /// What the server wants to see.
    pub api_key: Option<ApiKey>,
    /// Whether we run the server ourselves: then no proxy stands before it.
    pub is_ours: bool,
    /// The longest that one answer may take, to its last word.
    pub answer_max: Duration,
}

/// An OpenAI-compatible server.
#[derive(Clone, Debug)]
pub struct OpenAi {
    client: reqwest::Client,
    endpoint: reqwest::Url,
    settings: OpenAiSettings,
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum OpenAiError {
    /// The address is none.
    #[error("`{url}` is no http or https address")]
    Url {
        /// What was given.
        url: String,
    },
    /// The HTTP library does not start.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

impl OpenAi {
    /// Makes the client. Opens no connection.
    pub fn new(settings: OpenAiSettings) -> Result<Self, OpenAiError> {
        let endpoint = format!("{}/chat/completions", settings.url.trim_end_matches('/'));
        let endpoint = reqwest::Url::parse(&endpoint).ok();
        let endpoint =
            endpoint.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let endpoint = endpoint.ok_or_else(|| OpenAiError::Url { url: settings.url.clone() })?;
        let client = http::client(&settings.url, settings.is_ours)
            .connect_timeout(CONNECT_MAX)
            .timeout(settings.answer_max)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(OpenAiError::Client)?;
        Ok(OpenAi { client, endpoint, settings })
    }

    fn post(&self, request: &ModelRequest) -> reqwest::RequestBuilder {
        let body = Body {
            model: &self.settings.model,
            messages: request
                .messages
                .iter()
                .map(|message| Message { role: word(message.role), content: &message.content })
                .collect(),
            max_tokens: request.tokens_max,
            temperature: request.temperature,
            stream: true,
        };
        let post = self.client.post(self.endpoint.clone()).json(&body);
        match &self.settings.api_key {
            Some(ApiKey(key)) => {
                let mut value =
                    HeaderValue::from_str(&format!("Bearer {key}")).expect("checked when made");
                value.set_sensitive(true);
                post.header(AUTHORIZATION, value)
            }
            None => post,
        }
    }
}

impl LanguageModel for OpenAi {
    fn reply(&self, request: ModelRequest) -> BoxStream<'static, Result<String, ModelError>> {
        let post = self.post(&request);
        let opened = async move {
            let response = post.send().await.map_err(|error| {
                match error.is_timeout() && !error.is_connect() {
                    true => ModelError::Late,
                    false => ModelError::Unreachable(Some(error.into())),
                }
            })?;
            if !response.status().is_success() {
                return Err(ModelError::Status(response.status().as_u16()));
            }
            Ok(pieces(bounded(response.bytes_stream())))
        };
        stream::once(opened).try_flatten().boxed()
    }
}

/// The whole answer of a model, for those who do not speak it. `deadline` counts from now.
pub async fn complete(
    model: &dyn LanguageModel,
    request: ModelRequest,
    deadline: Duration,
) -> Result<String, ModelError> {
    let answer: BoxFuture<'_, _> = Box::pin(model.reply(request).try_collect::<String>());
    tokio::time::timeout(deadline, answer).await.unwrap_or(Err(ModelError::Late))
}

/// The model's summary of a conversation for the briefing, within its bounds.
pub async fn summarize(
    model: &dyn LanguageModel,
    turns: &[Turn],
    deadline: Duration,
) -> Result<String, ModelError> {
    let answer = complete(model, summary::request(turns), deadline).await?;
    summary::fit(&answer).ok_or(ModelError::Malformed)
}

/// The text of an event stream, piece by piece, up to the end that the server tells.
fn pieces<B>(
    bytes: impl Stream<Item = Result<B, ReadError>> + Send + 'static,
) -> impl Stream<Item = Result<String, ModelError>> + Send
where
    B: AsRef<[u8]> + Send + 'static,
{
    let events = Box::pin(bytes.eventsource());
    stream::try_unfold((events, Progress::Writing), |(mut events, mut progress)| async move {
        loop {
            let event = match events.next().await {
                Some(Ok(event)) => event,
                // Whatever happens after the end that was told does not matter.
                Some(Err(_)) | None if progress == Progress::Finished => return Ok(None),
                Some(Err(error)) => return Err(error.into()),
                None => return Err(ModelError::Cut(None)),
            };
            match chunk(&event.data)? {
                Chunk::Done => return Ok(None),
                Chunk::Last(text) => {
                    progress = Progress::Finished;
                    if !text.is_empty() {
                        return Ok(Some((text, (events, progress))));
                    }
                }
                Chunk::Text(text) if text.is_empty() => (),
                Chunk::Text(text) => return Ok(Some((text, (events, progress)))),
            }
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Writing,
    /// The server has told the end; usage and `[DONE]` may follow.
    Finished,
}

/// What one event of the stream says.
#[derive(Debug, PartialEq, Eq)]
enum Chunk {
    Text(String),
    Last(String),
    Done,
}

fn chunk(data: &str) -> Result<Chunk, ModelError> {
    if data.trim() == "[DONE]" {
        return Ok(Chunk::Done);
    }
    let event: Event = serde_json::from_str(data).map_err(|_| ModelError::Malformed)?;
    // The server found out half-way that it cannot answer.
    if event.error.is_some() {
        return Err(ModelError::Cut(None));
    }
    let Some(choice) = event.choices.into_iter().next() else {
        return Ok(Chunk::Text(String::new()));
    };
    let text = choice.delta.and_then(|delta| delta.content).unwrap_or_default();
    Ok(match choice.finish_reason {
        Some(_) => Chunk::Last(text),
        None => Chunk::Text(text),
    })
}

/// Why the bytes of an answer ended.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("reading failed")]
    Http(#[source] reqwest::Error),
    #[error("more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

fn bounded<B: AsRef<[u8]>>(
    bytes: impl Stream<Item = Result<B, reqwest::Error>>,
) -> impl Stream<Item = Result<B, ReadError>> {
    let mut room = ANSWER_BYTES_MAX;
    bytes.map(move |bytes| {
        let bytes = bytes.map_err(ReadError::Http)?;
        room = room.checked_sub(bytes.as_ref().len()).ok_or(ReadError::TooLong)?;
        Ok(bytes)
    })
}

impl From<EventStreamError<ReadError>> for ModelError {
    fn from(error: EventStreamError<ReadError>) -> Self {
        match error {
            EventStreamError::Transport(ReadError::Http(error)) if error.is_timeout() => {
                ModelError::Late
            }
            EventStreamError::Transport(ReadError::TooLong) => ModelError::Malformed,
            EventStreamError::Transport(error) => ModelError::Cut(Some(error.into())),
            EventStreamError::Utf8(_) | EventStreamError::Parser(_) => ModelError::Malformed,
        }
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    max_tokens: u32,
    temperature: f32,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[cfg(test)]
mod tests;
