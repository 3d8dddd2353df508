//! When a business is open: hours of the week in a time zone, and the dates on which it is closed.
//!
//! Times are those of the wall clock there, so an hour that a change to summer time leaves out is an
//! hour that nobody can call in. Hours past midnight belong to the day on which they began.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

/// Opening hours.
#[derive(Clone, Debug)]
pub struct Hours {
    /// Where the clock hangs.
    pub zone: TimeZone,
    /// When it is open; any of them.
    pub open: Vec<Opening>,
    /// When it is closed all the same.
    pub closed: Vec<Closure>,
}

/// Some days of the week, and the hours on each of them: `Mon-Thu 08:00-18:00`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    days: Vec<Weekday>,
    opens: Time,
    /// Earlier than `opens` (or equal): on the day after. `None`: midnight, the end of the day.
    closes: Option<Time>,
    text: String,
}

/// A date, or a range of them with both ends: `2026-12-24..2026-12-26`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    first: Date,
    last: Date,
    text: String,
}

/// Why a text says no hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Neither days and hours nor hours alone.
    #[error("must be such as `Mon-Thu 08:00-18:00` or `Sat,Sun 10:00-14:00`")]
    Shape,
    /// No day of the week.
    #[error("`{0}` is no day: Mon Tue Wed Thu Fri Sat Sun")]
    Day(String),
    /// No time of day.
    #[error("`{0}` is no time from 00:00 to 24:00")]
    Time(String),
    /// It would never be open.
    #[error("opens and closes at the same time; the whole day is 00:00-24:00")]
    Never,
    /// No date.
    #[error("`{0}` is no date such as 2026-12-24")]
    Date(String),
    /// A range that ends before it begins.
    #[error("ends before it begins")]
    Backwards,
    /// No such zone.
    #[error("no time zone is called `{0}`; such as Europe/Berlin")]
    Zone(String),
}

/// Whether it is open at some time, and by which entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Open by these hours.
    Open(&'a Opening),
    /// Closed on this date.
    ClosedOn(&'a Closure),
    /// No hours hold.
    Outside,
}

impl Hours {
    /// Whether it is open.
    pub fn is_open(&self, at: Timestamp) -> bool {
        matches!(self.verdict(at), Verdict::Open(_))
    }

    /// Whether it is open, and why.
    pub fn verdict(&self, at: Timestamp) -> Verdict<'_> {
        let local = at.to_zoned(self.zone.clone());
        let (today, time) = (local.date(), local.time());
        let closed_on = |date| self.closed.iter().find(|closure| closure.holds(date));
        if let Some(closure) = closed_on(today) {
            return Verdict::ClosedOn(closure);
        }
        let yesterday = today.yesterday().ok().filter(|date| closed_on(*date).is_none());
        let holding = self.open.iter().find(|opening| {
            opening.holds(today.weekday(), time)
                || yesterday.is_some_and(|date| opening.holds_after(date.weekday(), time))
        });
        holding.map_or(Verdict::Outside, Verdict::Open)
    }
}

impl Opening {
    /// Reads `Mon-Thu 08:00-18:00`, `Sat,Sun 10:00-14:00`, or `08:00-18:00` for every day.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        let mut words = text.split_whitespace();
        let (days, hours) = match (words.next(), words.next(), words.next()) {
            (Some(hours), None, None) => ("Mon-Sun", hours),
            (Some(days), Some(hours), None) => (days, hours),
            _ => return Err(HoursError::Shape),
        };
        let (opens, closes) = hours.split_once('-').ok_or(HoursError::Shape)?;
        let (opens, closes) = (time_of(opens)?, time_of(closes)?);
        let opens = opens.ok_or_else(|| HoursError::Time("24:00".into()))?;
        if closes == Some(opens) {
            return Err(HoursError::Never);
        }
        Ok(Opening { days: days_of(days)?, opens, closes, text: text.to_owned() })
    }

    /// Whether it is open on such a day at that time, by hours that began on it.
    fn holds(&self, day: Weekday, time: Time) -> bool {
        let before_closing = self.closes.is_none_or(|closes| time < closes || self.is_overnight());
        self.days.contains(&day) && self.opens <= time && before_closing
    }

    /// Whether hours that began on such a day still last at that time of the next.
    fn holds_after(&self, day: Weekday, time: Time) -> bool {
        let before_closing = self.closes.is_some_and(|closes| time < closes);
        self.is_overnight() && self.days.contains(&day) && before_closing
    }

    fn is_overnight(&self) -> bool {
        self.closes.is_some_and(|closes| closes < self.opens)
    }
}

impl Closure {
    /// Reads `2026-12-24` or `2026-12-24..2026-12-26`.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (date_of(first)?, date_of(last)?);
        if last < first {
            return Err(HoursError::Backwards);
        }
        Ok(Closure { first, last, text: text.to_owned() })
    }

    fn holds(&self, date: Date) -> bool {
        (self.first..=self.last).contains(&date)
    }
}

/// A time zone by its name in the IANA database.
pub fn zone(name: &str) -> Result<TimeZone, HoursError> {
    TimeZone::get(name).map_err(|_| HoursError::Zone(name.to_owned()))
}

/// A day of the week by its first three letters.
pub fn weekday(name: &str) -> Option<Weekday> {
    let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let offset = (0i8..).zip(names).find(|(_, known)| known.eq_ignore_ascii_case(name))?.0;
    Weekday::from_monday_zero_offset(offset).ok()
}

/// `Mon-Thu`, `Sat,Sun`, `Fri-Mon`.
fn days_of(text: &str) -> Result<Vec<Weekday>, HoursError> {
    let day = |name: &str| weekday(name).ok_or_else(|| HoursError::Day(name.to_owned()));
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut next, last) = (day(first)?, day(last)?);
        days.push(next);
        while next != last {
            next = next.next();
            days.push(next);
        }
    }
    Ok(days)
}

/// `08:00`, or `None` for `24:00`.
pub fn time_of(text: &str) -> Result<Option<Time>, HoursError> {
    let bad = || HoursError::Time(text.to_owned());
    let number = |digits: &str| match digits.len() {
        2 if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<i8>().ok(),
        _ => None,
    };
    let (hour, minute) = text.split_once(':').ok_or_else(bad)?;
    match (number(hour).ok_or_else(bad)?, number(minute).ok_or_else(bad)?) {
        (24, 0) => Ok(None),
        (hour, minute) => Time::new(hour, minute, 0, 0).map(Some).map_err(|_| bad()),
    }
}

fn date_of(text: &str) -> Result<Date, HoursError> {
    text.trim().parse().map_err(|_| HoursError::Date(text.trim().to_owned()))
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(open: &[&str], closed: &[&str]) -> Hours {
        Hours {
            zone: zone("Europe/Berlin").expect("known"),
            open: open.iter().map(|text| Opening::parse(text).expect(text)).collect(),
            closed: closed.iter().map(|text| Closure::parse(text).expect(text)).collect(),
        }
    }

    /// Asks at times of the wall clock in Berlin.
    #[track_caller]
    fn check(hours: &Hours, times: &[(&str, bool)]) {
        for (time, open) in times {
            let zoned = format!("{time}[Europe/Berlin]").parse::<jiff::Zoned>().expect(time);
            assert_eq!(hours.is_open(zoned.timestamp()), *open, "{time}");
        }
    }

    #[test]
    fn week_is_open_from_the_first_minute_to_before_the_last() {
        let office = hours(&["Mon-Thu 08:00-18:00", "Fri 08:00-16:00"], &[]);
        check(
            &office,
            &[
                ("2026-11-19T07:59:59", false),
                ("2026-11-19T08:00", true),
                ("2026-11-19T17:59:59", true),
                ("2026-11-19T18:00", false),
                ("2026-11-20T15:59", true),
                ("2026-11-20T16:00", false),
                ("2026-11-21T12:00", false),
            ],
        );
    }

    #[test]
    fn night_hours_belong_to_the_day_they_began_on() {
        let night = hours(&["Fri-Sat 22:00-02:00"], &["2026-12-25"]);
        check(
            &night,
            &[
                ("2026-11-20T21:59", false),
                ("2026-11-20T22:00", true),
                ("2026-11-21T01:59", true),
                ("2026-11-21T02:00", false),
                ("2026-11-22T01:00", true),
                ("2026-11-22T22:00", false),
                ("2026-11-20T01:00", false),
                // The night of a closed Friday does not begin, so it cannot last into Saturday.
                ("2026-12-25T23:00", false),
                ("2026-12-26T01:00", false),
                ("2026-12-26T23:00", true),
            ],
        );
    }

    #[test]
    fn closed_dates_have_both_their_ends() {
        let office = hours(&["00:00-24:00"], &["2026-12-24..2026-12-26", "2027-01-01"]);
        check(
            &office,
            &[
                ("2026-12-23T23:59", true),
                ("2026-12-24T00:00", false),
                ("2026-12-26T23:59", false),
                ("2026-12-27T00:00", true),
                ("2027-01-01T12:00", false),
            ],
        );
    }

    #[test]
    fn hours_are_those_of_the_wall_clock_there() {
        let office = hours(&["Mon-Fri 08:00-18:00"], &[]);
        for (utc, open) in [
            ("2026-01-15T07:00:00Z", true),
            ("2026-01-15T06:59:00Z", false),
            ("2026-07-15T06:00:00Z", true),
            ("2026-07-15T16:00:00Z", false),
        ] {
            assert_eq!(office.is_open(utc.parse().expect(utc)), open, "{utc}");
        }
        assert_eq!(office.verdict("2026-01-17T12:00:00Z".parse().expect("Sat")), Verdict::Outside);
    }

    #[test]
    fn ranges_of_days_run_over_the_end_of_the_week() {
        for (text, days) in [
            ("Sat,Sun 10:00-14:00", "Saturday Sunday"),
            ("sat-mon 10:00-14:00", "Saturday Sunday Monday"),
            ("Fri 10:00-14:00", "Friday"),
        ] {
            let opening = Opening::parse(text).expect(text);
            let names: Vec<_> = opening.days.iter().map(|day| format!("{day:?}")).collect();
            assert_eq!(names.join(" "), days, "{text}");
        }
    }

    #[test]
    fn what_says_no_hours_says_why() {
        for (text, why) in [
            ("", "must be such as `Mon-Thu 08:00-18:00` or `Sat,Sun 10:00-14:00`"),
            ("Mon 8-18", "`8` is no time from 00:00 to 24:00"),
            ("Mon 08:00-25:00", "`25:00` is no time from 00:00 to 24:00"),
            ("Mon +8:00-12:00", "`+8:00` is no time from 00:00 to 24:00"),
            ("Mon 24:00-08:00", "`24:00` is no time from 00:00 to 24:00"),
            ("Mon 08:00-08:00", "opens and closes at the same time; the whole day is 00:00-24:00"),
            ("Mo 08:00-18:00", "`Mo` is no day: Mon Tue Wed Thu Fri Sat Sun"),
        ] {
            assert_eq!(Opening::parse(text).expect_err(text).to_string(), why, "{text}");
        }
        for (text, why) in [
            ("24.12.2026", "`24.12.2026` is no date such as 2026-12-24"),
            ("2026-02-30", "`2026-02-30` is no date such as 2026-12-24"),
            ("2026-12-26..2026-12-24", "ends before it begins"),
        ] {
            assert_eq!(Closure::parse(text).expect_err(text).to_string(), why, "{text}");
        }
        assert!(zone("Europe/Berlim").is_err());
    }
}
