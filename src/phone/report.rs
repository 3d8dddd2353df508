//! What a phone tells the one who uses it, and how that looks on a terminal.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use crate::media::codec::Codec;
use crate::phone::wire;
use crate::sip::StatusCode;

/// Something that happened, told to the phone's user. It holds what people say: it is for their eyes,
/// and for no log.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Since the call began: since we dialled, or it rang.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What can happen to a phone.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's sentence names its fields")]
pub enum What {
    /// We call somebody.
    Dialling { uri: String, call_id: String },
    /// The other's phone rings, or something like it.
    Ringing { status: StatusCode },
    /// Somebody calls us.
    Invited { from: String },
    /// The call is answered, and will sound in that codec.
    Answered { codec: Codec },
    /// We begin to say a line.
    Said { line: String },
    /// We press keys.
    Pressed { digits: String },
    /// The other has said something; without words when nobody listens for them.
    Heard { words: Option<String>, spoken: Duration },
    /// The other has said something that could not be understood.
    NotUnderstood { why: String },
    /// The other has pressed a key.
    Digit { digit: char },
    /// The other has put us on hold, or takes us back.
    Held { on: bool },
    /// We are asked to call somebody else.
    Referred { to: String },
    /// We will not.
    ReferRefused { status: StatusCode },
    /// The one we were sent to rings.
    TargetRings { status: StatusCode },
    /// The one we were sent to has answered: from now on we talk with that one.
    TargetAnswered { codec: Codec },
    /// The one we were sent to cannot be had; we stay where we are.
    TargetFailed { status: StatusCode, reason: String },
    /// The one who sent us away has hung up.
    ReferrerLeft,
    /// The call is over.
    HungUp { by: Side, reason: Option<String> },
    /// The figures of the call, at its end.
    Summary(Summary),
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This phone.
    Us,
    /// The other one.
    Them,
}

/// A call in figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// From the answer to the end.
    pub talked: Duration,
    /// Who ended it.
    pub ended_by: Side,
    /// Whether a fault ended it: no ACK came, or a part of the phone has stopped.
    pub is_broken: bool,
    /// The other's turns that were heard, with words or without.
    pub turns: usize,
    /// Whom we were transferred to.
    pub transferred_to: Option<String>,
    /// For each answer, the time from our last voice to the other's first, as it sounds here: the
    /// network and the jitter buffer are in it.
    pub answer_times: Vec<Duration>,
}

impl Summary {
    /// The time that half of the answers took at most, and the longest; `None` without answers.
    pub fn answer_time(&self) -> Option<(Duration, Duration)> {
        let mut times = self.answer_times.clone();
        times.sort_unstable();
        let median = times.get(times.len().saturating_sub(1) / 2)?;
        Some((*median, *times.last()?))
    }
}

/// Takes what happens.
pub type Reporter = Box<dyn FnMut(&Told) + Send>;

/// Writes a line for each thing that happens. Of two phones in one window each has a name.
pub fn terminal(mut out: impl Write + Send + 'static, name: Option<&str>) -> Reporter {
    let name = name.map(|name| format!("{name:<8}")).unwrap_or_default();
    Box::new(move |told| {
        let seconds = told.at.as_secs_f64();
        let line = format!("{name}{seconds:6.1} s  {}\n", told.what);
        // A window that is closed reads nothing; the call goes on.
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).ok();
    })
}

/// Writes a JSON object for each thing that happens.
pub fn json(mut out: impl Write + Send + 'static) -> Reporter {
    Box::new(move |told| {
        let line = wire::line(told) + "\n";
        // As above.
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).ok();
    })
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Dialling { uri, call_id } => write!(f, "dialling {uri} (Call-ID {call_id})"),
            What::Ringing { status } => write!(f, "ringing ({status} {})", status.reason()),
            What::Invited { from } => write!(f, "called by {from}"),
            What::Answered { codec } => write!(f, "answered, {}", codec.name()),
            What::Said { line } => write!(f, "said: {line}"),
            What::Pressed { digits } => write!(f, "pressed: {digits}"),
            What::Heard { words: Some(words), .. } => write!(f, "heard: {words}"),
            What::Heard { words: None, spoken } => {
                write!(f, "heard: (speech {:.1} s)", spoken.as_secs_f64())
            }
            What::NotUnderstood { why } => write!(f, "heard something: {why}"),
            What::Digit { digit } => write!(f, "key: {digit}"),
            What::Held { on: true } => write!(f, "on hold"),
            What::Held { on: false } => write!(f, "back from hold"),
            What::Referred { to } => write!(f, "REFER to {to} received"),
            What::ReferRefused { status } => write!(f, "REFER refused ({status})"),
            What::TargetRings { status } => write!(f, "human rings ({status})"),
            What::TargetAnswered { codec } => write!(f, "human answered, {}", codec.name()),
            What::TargetFailed { status, reason } => {
                write!(f, "human not reached ({status} {reason})")
            }
            What::ReferrerLeft => write!(f, "transferred: the first call is over"),
            What::HungUp { by, reason } => {
                let by = match by {
                    Side::Us => "we hung up",
                    Side::Them => "the other hung up",
                };
                match reason {
                    Some(reason) => write!(f, "{by} ({reason})"),
                    None => write!(f, "{by}"),
                }
            }
            What::Summary(summary) => write!(f, "{summary}"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = if self.turns == 1 { "turn" } else { "turns" };
        write!(f, "talked {:.1} s, heard {} {turns}", self.talked.as_secs_f64(), self.turns)?;
        if let Some((median, longest)) = self.answer_time() {
            let (median, longest) = (median.as_secs_f64(), longest.as_secs_f64());
            let count = self.answer_times.len();
            write!(
                f,
                "; answers to us after {median:.2} s (p50), {longest:.2} s (max) of {count}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn line_has_its_time_and_its_phone() {
        let what = What::Heard { words: Some("Hello.".into()), spoken: ms(900) };
        assert_eq!(written(Some("caller"), what), "caller    12.3 s  heard: Hello.\n");
        let what = What::Heard { words: None, spoken: ms(2340) };
        assert_eq!(written(None, what), "  12.3 s  heard: (speech 2.3 s)\n");
    }

    #[test]
    fn summary_tells_how_long_answers_took() {
        let mut summary = Summary {
            talked: ms(34_200),
            ended_by: Side::Us,
            is_broken: false,
            turns: 1,
            transferred_to: None,
            answer_times: vec![],
        };
        assert_eq!(summary.to_string(), "talked 34.2 s, heard 1 turn");
        summary.answer_times = [900, 2100, 1240, 700].map(ms).to_vec();
        assert_eq!(
            summary.to_string(),
            "talked 34.2 s, heard 1 turn; answers to us after 0.90 s (p50), 2.10 s (max) of 4"
        );
    }

    fn written(name: Option<&str>, what: What) -> String {
        let (sender, lines) = mpsc::channel();
        terminal(Pipe(sender), name)(&Told { at: ms(12_340), what });
        String::from_utf8(lines.try_iter().flatten().collect()).expect("text")
    }

    struct Pipe(mpsc::Sender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(std::io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
