//! The JSON of `tandem call --json`: one object a line, `{"at_ms": …, "event": "heard", …}`.

use std::time::Duration;

use serde::Serialize;

use crate::phone::report::{Side, Told, What};

#[derive(Serialize)]
struct Line<'a> {
    at_ms: u64,
    #[serde(flatten)]
    event: Event<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Dialling { uri: &'a str, call_id: &'a str },
    Ringing { status: u16 },
    Invited { from: &'a str },
    Answered { codec: &'a str },
    Said { line: &'a str },
    Pressed { digits: &'a str },
    Heard { words: Option<&'a str>, spoken_ms: u64 },
    NotUnderstood { why: &'a str },
    Digit { digit: char },
    Held { on: bool },
    Referred { to: &'a str },
    ReferRefused { status: u16 },
    TargetRings { status: u16 },
    TargetAnswered { codec: &'a str },
    TargetFailed { status: u16, reason: &'a str },
    ReferrerLeft,
    HungUp { by: By, reason: Option<&'a str> },
    Summary(Summary<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Us,
    Them,
}

#[derive(Serialize)]
struct Summary<'a> {
    talked_ms: u64,
    ended_by: By,
    broken: bool,
    turns: usize,
    transferred_to: Option<&'a str>,
    answer_times_ms: Vec<u64>,
    answer_time_ms_p50: Option<u64>,
    answer_time_ms_max: Option<u64>,
}

/// One line, without its end.
pub(super) fn line(told: &Told) -> String {
    let line = Line { at_ms: ms(told.at), event: event(&told.what) };
    serde_json::to_string(&line).expect("keys are text and nothing fails to be written")
}

fn event(what: &What) -> Event<'_> {
    match what {
        What::Dialling { uri, call_id } => Event::Dialling { uri, call_id },
        What::Ringing { status } => Event::Ringing { status: status.code() },
        What::Invited { from } => Event::Invited { from },
        What::Answered { codec } => Event::Answered { codec: codec.name() },
        What::Said { line } => Event::Said { line },
        What::Pressed { digits } => Event::Pressed { digits },
        What::Heard { words, spoken } => {
            Event::Heard { words: words.as_deref(), spoken_ms: ms(*spoken) }
        }
        What::NotUnderstood { why } => Event::NotUnderstood { why },
        What::Digit { digit } => Event::Digit { digit: *digit },
        What::Held { on } => Event::Held { on: *on },
        What::Referred { to } => Event::Referred { to },
        What::ReferRefused { status } => Event::ReferRefused { status: status.code() },
        What::TargetRings { status } => Event::TargetRings { status: status.code() },
        What::TargetAnswered { codec } => Event::TargetAnswered { codec: codec.name() },
        What::TargetFailed { status, reason } => {
            Event::TargetFailed { status: status.code(), reason }
        }
        What::ReferrerLeft => Event::ReferrerLeft,
        What::HungUp { by, reason } => Event::HungUp { by: side(*by), reason: reason.as_deref() },
        What::Summary(summary) => {
            let answer_time = summary.answer_time();
            Event::Summary(Summary {
                talked_ms: ms(summary.talked),
                ended_by: side(summary.ended_by),
                broken: summary.is_broken,
                turns: summary.turns,
                transferred_to: summary.transferred_to.as_deref(),
                answer_times_ms: summary.answer_times.iter().map(|time| ms(*time)).collect(),
                answer_time_ms_p50: answer_time.map(|(median, _)| ms(median)),
                answer_time_ms_max: answer_time.map(|(_, longest)| ms(longest)),
            })
        }
    }
}

fn side(side: Side) -> By {
    match side {
        Side::Us => By::Us,
        Side::Them => By::Them,
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::report;
    use crate::sip::StatusCode;

    #[test]
    fn every_line_is_an_object_with_its_time_and_event() {
        let heard =
            What::Heard { words: Some("\"Hello\"".into()), spoken: Duration::from_millis(900) };
        check(heard, r#"{"at_ms":1500,"event":"heard","words":"\"Hello\"","spoken_ms":900}"#);
        check(What::ReferrerLeft, r#"{"at_ms":1500,"event":"referrer_left"}"#);
        let refused = What::ReferRefused { status: StatusCode::of(603) };
        check(refused, r#"{"at_ms":1500,"event":"refer_refused","status":603}"#);
        let summary = report::Summary {
            talked: Duration::from_secs(3),
            ended_by: Side::Them,
            is_broken: false,
            turns: 2,
            transferred_to: None,
            answer_times: vec![Duration::from_millis(640)],
        };
        check(
            What::Summary(summary),
            r#"{"at_ms":1500,"event":"summary","talked_ms":3000,"ended_by":"them","broken":false,"turns":2,"transferred_to":null,"answer_times_ms":[640],"answer_time_ms_p50":640,"answer_time_ms_max":640}"#,
        );
    }

    #[track_caller]
    fn check(what: What, expected: &str) {
        assert_eq!(line(&Told { at: Duration::from_millis(1500), what }), expected);
    }
}
