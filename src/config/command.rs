//! `tandem check` and `tandem route`: what they print, and how they end.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::civil::Weekday;
use jiff::{ToSpan, Zoned};

use super::{Config, FILE, Purpose, Webhook};
use crate::dialplan::explain::explain;
use crate::dialplan::hours::{time_of, weekday};
use crate::dialplan::route::Query;
use crate::dialplan::{self, Dialplan, Transfer, Trunk};
use crate::files::{Environment, Mistake, Place, Report};
use crate::net::http;
use crate::sip::Uri;

/// What a command prints, and its exit status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// 0, or 1 if something is wrong.
    pub status: u8,
}

/// A call that might come.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whom it is for.
    pub uri: Uri,
    /// Who calls: a number or a user.
    pub from: String,
    /// Where its INVITE comes from.
    pub source: IpAddr,
    /// Header fields of the INVITE, name and value.
    pub headers: Vec<(String, String)>,
    /// When.
    pub at: Zoned,
}

/// Reads everything and tells every mistake.
pub fn check(path: Option<&Path>, environment: Environment<'_>) -> Outcome {
    match read(path, Purpose::Check, environment) {
        Err(mistakes) => Outcome { err: lines(&mistakes), status: 1, ..Outcome::default() },
        Ok((config, dialplan, warnings)) => {
            let folder = config.dialplan_folder().shown("");
            let out =
                format!("{}: {}\n", folder.trim_end_matches(['/', ' ']), inventory(&dialplan));
            Outcome { out, err: lines(&warnings), status: 0 }
        }
    }
}

/// Says which rule takes a call, why, and what can happen after. The status is 1 if none does.
pub fn route(path: Option<&Path>, question: &Question, environment: Environment<'_>) -> Outcome {
    let dialplan = match read(path, Purpose::Look, environment) {
        Ok((_, dialplan, _)) => dialplan,
        Err(mistakes) => {
            return Outcome { err: lines(&mistakes), status: 1, ..Outcome::default() };
        }
    };
    let Question { uri, from, source, headers, at } = question;
    let trunk = dialplan.trunk_of((*source, 0).into());
    let to = uri.user().map_or_else(|| uri.to_string(), |user| user.into_owned());
    let header = |name: &str| {
        let mut headers = headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    let trunk_name = trunk.map(|trunk| trunk.name.as_str());
    let query = Query { to: &to, from, trunk: trunk_name, headers: &header, at: at.timestamp() };
    let (explained, is_taken) = explain(&dialplan, &query);
    let came = came_by(trunk, *source);
    let when = at.strftime("%a %Y-%m-%d %H:%M %Q");
    let out = format!("{uri} from {from}, {came}, {when}\n{explained}");
    Outcome { out, err: String::new(), status: u8::from(!is_taken) }
}

/// Reads a time: `Fri 17:00` is the next one, today included; also `17:00` today, and
/// `2026-12-24 10:00`. The clock is that of `now`.
pub fn time(text: &str, now: &Zoned) -> Result<Zoned, String> {
    let wrong = || format!("`{text}` is no time such as \"Fri 17:00\" or \"2026-12-24 10:00\"");
    let (day, time) = match text.trim().split_once([' ', 'T']) {
        Some((day, time)) => (Some(day), time.trim()),
        None => (None, text.trim()),
    };
    let time = time_of(time).ok().flatten().ok_or_else(wrong)?;
    let date = match day {
        None => now.date(),
        Some(day) => match weekday(day) {
            Some(weekday) => next(weekday, now),
            None => day.parse().map_err(|_| wrong())?,
        },
    };
    date.to_datetime(time).to_zoned(now.time_zone().clone()).map_err(|_| wrong())
}

/// The configuration, the dialplan that it names and the warnings; or every mistake that was found.
fn read(
    path: Option<&Path>,
    purpose: Purpose,
    environment: Environment<'_>,
) -> Result<(Config, Dialplan, Vec<Mistake>), Vec<Mistake>> {
    let report = Report::default();
    let read = Config::load_mended(path, purpose, environment, &report).and_then(|config| {
        let dialplan = dialplan::load(&config.dialplan_folder(), &report)?;
        warn_of_links(&config, &dialplan, &report, path.unwrap_or(Path::new(FILE)));
        Some((config, dialplan))
    });
    let right = read.filter(|_| !report.has_errors());
    let mistakes = report.into_mistakes();
    match right {
        Some((config, dialplan)) => Ok((config, dialplan, mistakes)),
        None => Err(mistakes),
    }
}

/// Notes that the links that we give to others lead to this machine's own loopback.
fn warn_of_links(config: &Config, dialplan: &Dialplan, report: &Report, file: &Path) {
    let desk = &config.desk;
    if desk.url.is_some() || !desk.listen.ip().is_loopback() || config.sip.is_this_machine() {
        return;
    }
    let warn = |why: String| {
        let why = format!("{why}: `url` says what others reach the desk under");
        report.warning("desk.listen", why, &Place::of(&file.display().to_string()));
    };
    let far = |webhook: &&Webhook| !http::is_loopback(&webhook.url);
    if desk.webhook.as_ref().filter(far).is_some() {
        warn("is for this machine alone, and `webhook` gives links to it to others".to_owned());
    }
    let links = |transfer: &&Arc<Transfer>| transfer.headers.iter().any(|name| name == "Call-Info");
    if let Some(transfer) = dialplan.transfers.values().find(links) {
        let name = &transfer.name;
        warn(format!("is for this machine alone, so transfer `{name}` sends no Call-Info"));
    }
}

/// The next such day, today included.
fn next(weekday: Weekday, now: &Zoned) -> jiff::civil::Date {
    let days = now.date().weekday().until(weekday);
    now.date().saturating_add(i32::from(days).days())
}

fn came_by(trunk: Option<&Trunk>, source: IpAddr) -> String {
    match trunk {
        Some(trunk) => format!("by trunk {} ({source})", trunk.name),
        None => format!("by no trunk ({source})"),
    }
}

fn inventory(dialplan: &Dialplan) -> String {
    let counts = [
        (dialplan.trunks.len(), "trunk"),
        (dialplan.routes.len(), "route"),
        (dialplan.agents.len(), "agent"),
        (dialplan.transfers.len(), "transfer"),
        (dialplan.humans.len(), "human"),
    ];
    let counts = counts.map(|(count, noun)| match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    });
    counts.join(", ")
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_next_one_with_today() {
        let now: Zoned = "2026-11-20T12:00[Europe/Berlin]".parse().expect("a Friday");
        for (text, at) in [
            ("Fri 17:00", Some("2026-11-20T17:00:00+01:00[Europe/Berlin]")),
            ("fri 09:00", Some("2026-11-20T09:00:00+01:00[Europe/Berlin]")),
            ("Mon 08:00", Some("2026-11-23T08:00:00+01:00[Europe/Berlin]")),
            ("17:00", Some("2026-11-20T17:00:00+01:00[Europe/Berlin]")),
            ("2026-07-01 10:00", Some("2026-07-01T10:00:00+02:00[Europe/Berlin]")),
            ("2026-07-01T10:00", Some("2026-07-01T10:00:00+02:00[Europe/Berlin]")),
            ("Friday 17:00", None),
            ("Fri", None),
            ("Fri 24:00", None),
            ("2026-02-30 10:00", None),
        ] {
            assert_eq!(time(text, &now).ok().map(|at| at.to_string()).as_deref(), at, "{text}");
        }
    }
}
