//! What the desk answers.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use jiff::Timestamp;
use serde::Deserialize;
use tracing::warn;

use crate::context::recorder::{ReadError, RecorderGone};
use crate::context::{CallContext, CallFilter, Health, Phase};
use crate::desk::guard::{Credentials, Guard, Refusal};
use crate::desk::wire::{BriefingBody, Call, CallLine, CallList, Problem, Transcript, TurnBody};
use crate::desk::{Sources, page};
use crate::ids::CallId;

/// How many calls are listed unless another number is asked for.
const LIMIT_DEFAULT: usize = 100;
/// The most that may be asked for.
const LIMIT_MAX: usize = 1000;

type Shared = State<Arc<Sources>>;
type Answer<T> = Result<Json<T>, Problem>;

/// Everything that the desk answers. Probes and the page's own files say nothing about calls and are
/// for everybody; the rest is behind the guard.
pub fn router(guard: Guard, sources: Sources) -> Router {
    let kept = Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/calls", get(calls))
        .route("/v1/calls/{call_id}", get(call))
        .route("/v1/calls/{call_id}/briefing", get(briefing))
        .route("/v1/calls/{call_id}/transcript", get(transcript))
        .layer(middleware::from_fn_with_state(guard, admit));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(page::router())
        .merge(kept)
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is no such page") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this can only be read, with GET")
        })
        .layer(middleware::map_response(harden))
        .with_state(Arc::new(sources))
}

async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let admitted = guard.admit(credentials(request.headers()));
    match admitted {
        Ok(()) => next.run(request).await,
        Err(Refusal::Unauthorized) => {
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "a bearer token is needed");
            ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response()
        }
        Err(Refusal::Foreign) => {
            let detail = "without a token only pages of this desk, by its own address, may ask";
            Problem::new(StatusCode::FORBIDDEN, detail).into_response()
        }
    }
}

fn credentials(headers: &HeaderMap) -> Credentials<'_> {
    let header = |name: HeaderName| headers.get(name)?.to_str().ok();
    Credentials {
        host: header(header::HOST),
        origin: header(header::ORIGIN),
        authorization: header(header::AUTHORIZATION),
    }
}

/// Answers are for whoever asked, now: not for caches, frames or guesses at what they are.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    );
    response
}

async fn ready(State(sources): Shared) -> Result<&'static str, Problem> {
    let mut reasons = (sources.not_ready)();
    let health = sources.recorder.health();
    if health != Health::Good {
        reasons.push(health.to_string());
    }
    if reasons.is_empty() {
        return Ok("ready\n");
    }
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "new calls should go elsewhere");
    Err(Problem { reasons, ..problem })
}

async fn metrics(State(sources): Shared) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, (sources.metrics)())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallsQuery {
    state: Option<String>,
    from: Option<Timestamp>,
    limit: Option<usize>,
}

async fn calls(
    State(sources): Shared,
    query: Result<Query<CallsQuery>, QueryRejection>,
) -> Answer<CallList> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad(format!("limit is from 1 to {LIMIT_MAX}")));
    }
    let phases = query.state.as_deref().map_or(Ok(Phase::ALL.to_vec()), phases)?;
    let filter = CallFilter { phases, from: query.from, caller: None, limit };
    let listing = sources.recorder.list(&filter).await?;
    let calls = listing.calls.iter().map(CallLine::from).collect();
    Ok(Json(CallList { calls, complete: listing.complete }))
}

/// One state, or `live` for all that are not over.
fn phases(state: &str) -> Result<Vec<Phase>, Problem> {
    match (state, Phase::named(state)) {
        (_, Some(phase)) => Ok(vec![phase]),
        ("live", None) => Ok(vec![Phase::Pending, Phase::Answered, Phase::Connected]),
        (_, None) => {
            Err(Problem::bad("state is live, pending, answered, connected or disconnected"))
        }
    }
}

type CallPath = Result<Path<String>, PathRejection>;

async fn call(State(sources): Shared, path: CallPath) -> Answer<Call> {
    Ok(Json(Call::from(&find(&sources, path).await?)))
}

async fn briefing(State(sources): Shared, path: CallPath) -> Answer<BriefingBody> {
    let context = find(&sources, path).await?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, "this call has no briefing");
    Ok(Json(BriefingBody::from(context.briefing.as_ref().ok_or_else(missing)?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TranscriptQuery {
    from: Option<u32>,
    to: Option<u32>,
}

async fn transcript(
    State(sources): Shared,
    path: CallPath,
    query: Result<Query<TranscriptQuery>, QueryRejection>,
) -> Answer<Transcript> {
    let Query(query) = query?;
    let context = find(&sources, path).await?;
    let conversation = &context.conversation;
    Ok(Json(Transcript {
        call_id: context.summary.call_id.as_str().to_owned(),
        turns: conversation.range(query.from, query.to).map(TurnBody::from).collect(),
        turns_total: conversation.turns.len(),
    }))
}

async fn find(sources: &Sources, path: CallPath) -> Result<CallContext, Problem> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "there is no call with this Call-ID");
    let Path(text) = path.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    let call_id = CallId::new(&text).ok_or_else(missing)?;
    sources.recorder.read(&call_id).await?.ok_or_else(missing)
}

impl Problem {
    /// A problem that its status names.
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: Some(detail.into()),
            reasons: Vec::new(),
        }
    }

    /// A request that cannot be understood.
    fn bad(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::bad(rejection.body_text())
    }
}

impl From<RecorderGone> for Problem {
    fn from(_: RecorderGone) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the program is ending")
    }
}

impl From<ReadError> for Problem {
    fn from(cause: ReadError) -> Self {
        match cause {
            ReadError::Gone(gone) => Problem::from(gone),
            ReadError::Store(cause) => {
                warn!(error = %cause.chain(), "a call could not be read");
                let detail = "the context store cannot be read";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, kind, Json(self)).into_response()
    }
}
