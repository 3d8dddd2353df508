//! `[transfer.NAME]`.

use std::sync::Arc;
use std::time::Duration;

use crate::context::Reason;
use crate::dialplan::lines::TransferLines;
use crate::dialplan::{Method, Target};
use crate::files::nearest::nearest;
use crate::files::wav::{self, Recording, WavError};
use crate::files::{At, Folder, Place, Table, folder};
use crate::media::{Rate, resample};

use super::reachable_uri;

/// The header fields of ours that the human's side may get.
const HEADERS: [&str; 3] = ["X-Tandem-Call-ID", "User-to-User", "Call-Info"];

/// Why a human may be needed.
const REASONS: [Reason; 12] = [
    Reason::CustomerRequest,
    Reason::PolicyRequired,
    Reason::SensitiveTopic,
    Reason::ComplianceRequired,
    Reason::SentimentNegative,
    Reason::HighFrustration,
    Reason::LowConfidence,
    Reason::CapabilityLimit,
    Reason::RepeatedFailure,
    Reason::ComplexIssue,
    Reason::MaxTurnsExceeded,
    Reason::HighValueAccount,
];

/// A transfer as written: what is `None` is inherited.
#[derive(Clone, Debug)]
pub struct TransferDraft {
    /// The transfer that has what is missing here.
    pub inherits: Option<At<String>>,
    /// Whom, in the order they are tried.
    pub targets: Option<Vec<At<Target>>>,
    /// How, in the order it is tried.
    pub methods: Option<Vec<At<Method>>>,
    /// How long a phone rings.
    pub ring_time: Option<Duration>,
    /// Header fields of ours.
    pub headers: Option<Vec<String>>,
    /// Transition lines; each is inherited by itself.
    pub lines: TransferLines,
    /// Hold music.
    pub music: Option<Arc<[i16]>>,
    /// Where the table begins.
    pub place: Place,
}

/// Reads a transfer.
pub fn read(mut table: Table<'_>, folder: &Folder) -> TransferDraft {
    let inherits = table.text("inherits");
    if inherits.is_none() {
        table.require(&["mode"]);
    }
    // The only one that there is; `inherits` gives it too.
    table.parsed("mode", |text| match text {
        "cold" => Ok(()),
        _ => Err(format!("must be cold, is `{text}`")),
    });
    let targets = table.one_or_list("target", target);
    let methods = table.list("method", method);
    let ring_time = table.secs("ring_secs", 5..=120);
    let headers = table.list("headers", header);
    let lines = table.table("say").map(TransferLines::read).unwrap_or_default();
    let music = table.table("hold").and_then(|mut hold| {
        let file = hold.text("music");
        let music = file.and_then(|file| music(&hold, &file, folder));
        hold.finish();
        music
    });
    let place = table.place.clone();
    table.finish();
    let headers = headers.map(|headers| headers.into_iter().map(|header| header.value).collect());
    TransferDraft { inherits, targets, methods, ring_time, headers, lines, music, place }
}

/// A reason by its name, or by the other name that it has (T2 of the requirements).
pub fn reason(text: &str) -> Result<Reason, String> {
    let name = if text == "customer_requested" { "customer_request" } else { text };
    let known = REASONS.into_iter().find(|reason| reason.name() == name);
    known.ok_or_else(|| match nearest(text, &REASONS.map(Reason::name)) {
        Some(near) => format!("no reason is called `{text}`, did you mean `{near}`?"),
        None => {
            format!("no reason is called `{text}`: {}", REASONS.map(Reason::name).join(" "))
        }
    })
}

fn target(text: &str) -> Result<Target, String> {
    match text.split_once(':') {
        Some(("human", name)) if !name.is_empty() => Ok(Target::Human(name.to_owned())),
        Some(("sip" | "sips" | "tel", _)) => reachable_uri(text).map(Target::Uri),
        _ => Err(format!("`{text}` must be human:NAME, a sip: or a tel: URI")),
    }
}

fn method(text: &str) -> Result<Method, String> {
    match text {
        "refer" => Ok(Method::Refer),
        "bridge" => Ok(Method::Bridge),
        _ => Err(format!("must be refer or bridge, is `{text}`")),
    }
}

fn header(text: &str) -> Result<String, String> {
    let known = HEADERS.into_iter().find(|header| header.eq_ignore_ascii_case(text));
    let why = || format!("`{text}` must be one of {}", HEADERS.join(", "));
    known.map(str::to_owned).ok_or_else(why)
}

/// A WAV file beside the dialplan, as one voice at the rate of calls.
fn music(table: &Table<'_>, file: &At<String>, folder: &Folder) -> Option<Arc<[i16]>> {
    let read = || {
        let path = folder.path(&file.value).ok_or("there is no such file")?;
        let Recording { hertz, samples } = wav::read(&path).map_err(|why| in_words(&why))?;
        resample::convert(&samples, hertz, Rate::Narrow).map_err(|why| why.to_string())
    };
    let mistake = |why: String| {
        let why = format!("`{}`: {why}", folder.shown(&file.value));
        table.error("music", why, &file.place);
    };
    read().map_err(mistake).ok().map(Into::into)
}

/// What is wrong with a recording, without its name.
fn in_words(why: &WavError) -> String {
    match why {
        WavError::Unreadable { cause: hound::Error::IoError(error), .. } => folder::in_words(error),
        WavError::Unreadable { .. } => "is no WAV file of a known kind".into(),
        WavError::Unsuitable { what, .. } => (*what).into(),
        WavError::Unwritable { cause, .. } => folder::in_words(cause),
    }
}
