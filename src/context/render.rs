//! A call as text for a terminal: briefing, transcript, outcome.

use std::fmt;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use crate::context::digest::outcome_words;
use crate::context::reading::{CallContext, Transfer};
use crate::context::text::one_line;

/// Renders a call. What a stranger chose is kept to one line and without control characters, so that
/// it cannot move a terminal's cursor.
pub fn render(context: &CallContext) -> String {
    let mut text = String::new();
    write_call(&mut text, context).expect("a String takes everything");
    text
}

fn write_call(out: &mut String, context: &CallContext) -> fmt::Result {
    let summary = &context.summary;
    writeln!(out, "Call {}", one_line(summary.call_id.as_str()))?;
    let caller = match &summary.caller_name {
        Some(name) => format!("{} ({})", one_line(name), one_line(&summary.caller)),
        None => one_line(&summary.caller),
    };
    writeln!(out, "  from {caller} to {}, route {}", one_line(&summary.called), summary.route)?;
    writeln!(out, "  began {:.3}, {}", summary.began, summary.phase.name())?;
    write_briefing(out, context)?;
    write_transcript(out, context)?;
    write_outcome(out, context)
}

fn write_briefing(out: &mut String, context: &CallContext) -> fmt::Result {
    let Some(briefing) = &context.briefing else { return writeln!(out, "\nNo briefing") };
    writeln!(out, "\nBriefing")?;
    writeln!(out, "  {}", one_line(&briefing.headline))?;
    writeln!(out, "  {}", one_line(&briefing.summary))?;
    if let Some(escalation) = context.escalations.last() {
        let (rule, details) = (&escalation.rule, one_line(&escalation.details));
        writeln!(out, "  fired: {rule} ({details}) at {}", offset(context, escalation.at))?;
    }
    if let Some(words) = &briefing.trigger_text {
        writeln!(out, "  on: {}", one_line(words))?;
    }
    for action in &briefing.actions_taken {
        writeln!(out, "  done: {}", one_line(action))?;
    }
    Ok(())
}

fn write_transcript(out: &mut String, context: &CallContext) -> fmt::Result {
    if context.conversation.turns.is_empty() {
        return writeln!(out, "\nNobody spoke");
    }
    writeln!(out, "\nTranscript")?;
    for turn in &context.conversation.turns {
        let cut = if turn.interrupted { " [interrupted]" } else { "" };
        let at = offset(context, turn.began);
        writeln!(out, "  {at} {:<7}{}{cut}", turn.speaker, one_line(&turn.text))?;
    }
    Ok(())
}

fn write_outcome(out: &mut String, context: &CallContext) -> fmt::Result {
    writeln!(out, "\nOutcome")?;
    for transfer in &context.transfers {
        let at = offset(context, transfer.began);
        let Transfer { mode, method, target, .. } = transfer;
        let outcome = transfer.outcome.map_or("under way", outcome_words);
        let status = transfer.status.map(|status| format!(" ({status})")).unwrap_or_default();
        writeln!(out, "  {at} {mode} transfer to {target} by {method}: {outcome}{status}")?;
    }
    for degraded in &context.degraded {
        let at = offset(context, degraded.at);
        writeln!(out, "  {at} {} failed: {}", degraded.part, one_line(&degraded.what))?;
    }
    let Some(ending) = &context.ending else { return writeln!(out, "  still going on") };
    let at = offset(context, ending.at);
    match ending.refused {
        Some(status) => writeln!(out, "  {at} refused with {status}"),
        None => {
            let reason = ending.reason.as_deref().map(one_line);
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            writeln!(out, "  {at} ended by {}{reason}", ending.by)
        }
    }
}

/// The time since the call began: `01:02.345`.
fn offset(context: &CallContext, at: Timestamp) -> String {
    let since = at.duration_since(context.summary.began).max(SignedDuration::ZERO);
    let (secs, millis) = (since.as_secs(), since.subsec_millis());
    format!("{:02}:{:02}.{millis:03}", secs / 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::fixtures::{call, transferred};

    #[test]
    fn a_call_reads_as_its_story() {
        let context = CallContext::read(&call(1), &transferred()).unwrap();

        let expected = "\
Call a84b4c/1%@pc33.example.com
  from Jan (+4930555123) to demo, route demo
  began 2026-09-21T14:13:20.000Z, disconnected

Briefing
  Jan asks for a person: “Hi; I was charged twice on invoice 4521”
  The caller said: “Hi; I was charged twice on invoice 4521”. The agent last answered: “I see invoice 4521 for $89.95”. Unresolved: the caller asks for a person: “Let me talk to a person”.
  fired: explicit (talk to a person) at 00:12.010
  on: Let me talk to a person.

Transcript
  00:01.500 Agent  Hello. How can I help?
  00:05.500 Caller Hi. I was charged twice on invoice 4521.
  00:08.500 Agent  I see invoice 4521 for $89.95.
  00:11.500 Caller Let me talk to a person.

Outcome
  00:12.100 cold transfer to sarah by refer: the transfer was rejected (603)
  00:12.300 cold transfer to sarah by bridge: connected (200)
  01:00.000 ended by caller
";
        assert_eq!(render(&context), expected);
    }

    #[test]
    fn a_strangers_text_cannot_move_the_cursor() {
        let mut context = CallContext::read(&call(1), &transferred()).unwrap();
        context.summary.caller_name = Some("\u{1b}[2J\r\nJan".to_owned());

        assert!(!render(&context).contains(['\u{1b}', '\r']));
    }
}
