//! The page for people: live calls, and for each its briefing, transcript and outcome. Three static
//! files, which say nothing about any call; the script asks the desk like any other program.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// The page and its parts.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text).into_response() })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page/index.html")))
        .route("/desk.js", file("text/javascript; charset=utf-8", include_str!("page/desk.js")))
        .route("/desk.css", file("text/css; charset=utf-8", include_str!("page/desk.css")))
}
