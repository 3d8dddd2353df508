//! A TOML table, read key by key: wrong types, values out of range and unknown keys are noted with
//! their place, and reading goes on.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::{At, Place, Report, Source};

/// A table that is being read. [`finish`](Self::finish) tells of the keys that nobody asked for.
pub struct Table<'a> {
    path: String,
    /// Where it begins.
    pub place: Place,
    entries: DeTable<'a>,
    known: Vec<&'static str>,
    source: &'a Source,
    report: &'a Report,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl<'a> Table<'a> {
    /// Reads the root table of a file; `None` if that is no TOML. Of the syntax errors of one line the
    /// first is noted: the others mostly follow from it.
    pub fn parse(source: &'a Source, report: &'a Report) -> Option<Self> {
        let (root, errors) = DeTable::parse_recoverable(&source.text);
        let mut line = 0;
        for error in &errors {
            let place = source.place(error.span().map_or(0, |span| span.start));
            if place.line > line {
                line = place.line;
                report.error("syntax", error.message().replace('\n', ", "), &place);
            }
        }
        let table = || Table {
            path: String::new(),
            place: source.place(0),
            entries: root.into_inner(),
            known: Vec::new(),
            source,
            report,
        };
        errors.is_empty().then(table)
    }

    /// Notes those of the keys that are not there.
    pub fn require(&self, keys: &[&str]) {
        for key in keys.iter().filter(|key| !self.entries.contains_key(**key)) {
            self.error(key, "is missing", &self.place);
        }
    }

    /// Notes an error about a key; about the table itself, if the key is empty.
    pub fn error(&self, key: &str, why: impl Into<String>, place: &Place) {
        self.report.error(self.name(key), why, place);
    }

    /// Notes a warning about a key.
    pub fn warning(&self, key: &str, why: impl Into<String>, place: &Place) {
        self.report.warning(self.name(key), why, place);
    }

    /// Whether nothing is left in it to ask for.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a key is written, and was not asked for yet.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<At<String>> {
        self.parsed(key, |text| Ok::<_, String>(text.to_owned()))
    }

    /// A text, made into a value by `parse`, which says why it cannot be.
    pub fn parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<At<T>> {
        let value = self.take(key)?;
        self.parse_one(key, value, &parse)
    }

    /// A list of texts, each made into a value. A list with nothing in it is a mistake.
    pub fn list<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<At<T>>> {
        let value = self.take(key)?;
        let place = self.place_of(&value);
        match value.into_inner() {
            DeValue::Array(items) if items.is_empty() => {
                self.error(key, "is empty", &place);
                None
            }
            DeValue::Array(items) => {
                let items = items.into_iter();
                let read: Vec<_> =
                    items.filter_map(|item| self.parse_one(key, item, &parse)).collect();
                // Nothing right in it: that has been told.
                (!read.is_empty()).then_some(read)
            }
            other => self.wrong_type(key, "a list", &other, &place),
        }
    }

    /// A list of texts, which may be empty.
    pub fn texts_of(&mut self, key: &'static str) -> Option<Vec<String>> {
        if let Some(DeValue::Array(items)) = self.entries.get(key).map(Spanned::get_ref)
            && items.is_empty()
        {
            self.take(key);
            return Some(Vec::new());
        }
        let texts = self.list(key, |text| Ok::<_, String>(text.to_owned()))?;
        Some(texts.into_iter().map(|text| text.value).collect())
    }

    /// A text or a list of texts, each made into a value.
    pub fn one_or_list<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<At<T>>> {
        match self.entries.get(key).map(Spanned::get_ref) {
            Some(DeValue::String(_)) => self.parsed(key, parse).map(|one| vec![one]),
            _ => self.list(key, parse),
        }
    }

    /// A whole number in a range.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.take(key)?;
        let place = self.place_of(&value);
        let DeValue::Integer(number) = value.get_ref() else {
            return self.wrong_type(key, "a whole number", value.get_ref(), &place);
        };
        let digits = number.as_str().replace('_', "");
        let read = i64::from_str_radix(&digits, number.radix()).ok();
        let fits = read.and_then(|read| u32::try_from(read).ok());
        let fits = fits.filter(|number| range.contains(number));
        if fits.is_none() {
            let (min, max) = (range.start(), range.end());
            let why = format!("must be {min} to {max}, is {number}");
            self.error(key, why, &place);
        }
        fits
    }

    /// A number of seconds in a range.
    pub fn secs(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<Duration> {
        self.integer(key, range).map(|secs| Duration::from_secs(secs.into()))
    }

    /// A number of milliseconds in a range.
    pub fn millis(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<Duration> {
        self.integer(key, range).map(|millis| Duration::from_millis(millis.into()))
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str) -> Option<At<bool>> {
        let value = self.take(key)?;
        let place = self.place_of(&value);
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(At { value: *flag, place }),
            other => self.wrong_type(key, "true or false", other, &place),
        }
    }

    /// A table inside.
    pub fn table(&mut self, key: &'static str) -> Option<Table<'a>> {
        let value = self.take(key)?;
        self.inside(self.name(key), value)
    }

    /// A table inside; one that is not written has no keys, and this table's place.
    pub fn section(&mut self, key: &'static str) -> Table<'a> {
        let path = self.name(key);
        let (place, source, report) = (self.place.clone(), self.source, self.report);
        let empty =
            || Table { path, place, entries: DeTable::new(), known: Vec::new(), source, report };
        self.table(key).unwrap_or_else(empty)
    }

    /// Every table of an array of tables.
    pub fn array(&mut self, key: &'static str) -> Vec<Table<'a>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let place = self.place_of(&value);
        match value.into_inner() {
            DeValue::Array(items) => {
                let items = items.into_iter();
                items.filter_map(|item| self.inside(self.name(key), item)).collect()
            }
            other => self.wrong_type(key, "an array of tables", &other, &place).unwrap_or_default(),
        }
    }

    /// All tables inside, whatever their names: `[key.NAME]`.
    pub fn named(&mut self, key: &'static str) -> Vec<(At<String>, Table<'a>)> {
        match self.table(key) {
            Some(mut table) => table.drain(Table::inside),
            None => Vec::new(),
        }
    }

    /// All texts inside, whatever their names.
    pub fn texts(&mut self) -> Vec<(At<String>, At<String>)> {
        self.drain(|table, path, value| {
            let place = table.place_of(&value);
            match value.into_inner() {
                DeValue::String(text) => Some(At { value: text.into_owned(), place }),
                other => {
                    let why = format!("must be a text, is {}", kind(&other));
                    table.report.error(path, why, &place);
                    None
                }
            }
        })
    }

    /// Notes every key that nobody asked for.
    pub fn finish(self) {
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            let why = match nearest(name, &self.known) {
                Some(near) => format!("unknown key, did you mean `{near}`?"),
                None => "unknown key".to_owned(),
            };
            self.error(name, why, &self.source.place(key.span().start));
        }
    }

    /// Takes everything that is left.
    fn drain<T>(
        &mut self,
        read: impl Fn(&Self, String, Value<'a>) -> Option<T>,
    ) -> Vec<(At<String>, T)> {
        let entries = std::mem::take(&mut self.entries).into_iter();
        let read = entries.filter_map(|(key, value)| {
            let place = self.source.place(key.span().start);
            let name = At { value: key.into_inner().into_owned(), place };
            let value = read(self, self.name(&name.value), value)?;
            Some((name, value))
        });
        read.collect()
    }

    fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        self.entries.remove(key)
    }

    fn parse_one<T, E: Display>(
        &self,
        key: &str,
        value: Value<'a>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<At<T>> {
        let place = self.place_of(&value);
        let DeValue::String(text) = value.get_ref() else {
            return self.wrong_type(key, "a text", value.get_ref(), &place);
        };
        match parse(text) {
            Ok(value) => Some(At { value, place }),
            Err(why) => {
                self.error(key, why.to_string(), &place);
                None
            }
        }
    }

    fn inside(&self, path: String, value: Value<'a>) -> Option<Table<'a>> {
        let place = self.place_of(&value);
        let (source, report) = (self.source, self.report);
        match value.into_inner() {
            DeValue::Table(entries) => {
                Some(Table { path, place, entries, known: Vec::new(), source, report })
            }
            other => {
                report.error(path, format!("must be a table, is {}", kind(&other)), &place);
                None
            }
        }
    }

    fn wrong_type<T>(
        &self,
        key: &str,
        wanted: &str,
        found: &DeValue<'_>,
        place: &Place,
    ) -> Option<T> {
        let why = format!("must be {wanted}, is {}", kind(found));
        self.error(key, why, place);
        None
    }

    /// The path of a key; that of the table, if the key is empty.
    pub fn name(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    fn place_of(&self, value: &Value<'_>) -> Place {
        self.source.place(value.span().start)
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` and returns the mistakes that were noted.
    fn mistakes(text: &str, read: impl Fn(&mut Table<'_>)) -> Vec<String> {
        let (source, report) = (Source::new("a.toml", text), Report::default());
        if let Some(mut table) = Table::parse(&source, &report) {
            read(&mut table);
            table.finish();
        }
        report.into_mistakes().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_of_a_file_is_told_with_its_place() {
        let found = mistakes(
            "calls_max = 0\nlisten = \"udp\"\nlistne = []\nsecure = 1\nports = [\"5060\", true]\n",
            |table| {
                assert_eq!(table.integer("calls_max", 1..=9), None);
                assert!(table.list("listen", |text| Ok::<_, String>(text.len())).is_none());
                assert!(table.flag("secure").is_none());
                let ports = table.list("ports", str::parse::<u16>).expect("a list");
                assert_eq!(ports.len(), 1);
                table.require(&["name"]);
            },
        );
        assert_eq!(
            found,
            [
                "error: name: is missing (a.toml:1:1)",
                "error: calls_max: must be 1 to 9, is 0 (a.toml:1:13)",
                "error: listen: must be a list, is a text (a.toml:2:10)",
                "error: listne: unknown key, did you mean `listen`? (a.toml:3:1)",
                "error: secure: must be true or false, is a whole number (a.toml:4:10)",
                "error: ports: must be a text, is true or false (a.toml:5:18)",
            ]
        );
    }

    #[test]
    fn syntax_errors_are_told_one_a_line_and_end_the_reading() {
        let found = mistakes("a = = 1\nb = 2\nc = \"\n", |_| panic!("read"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], "error: syntax: extra `=`, expected nothing (a.toml:1:5)");
        assert!(found[1].ends_with("(a.toml:3:6)"), "{found:?}");
    }

    #[test]
    fn tables_inside_are_read_by_name_and_by_order() {
        let found = mistakes("[human.jan]\nuri = \"x\"\n[[rule]]\nid = 1\n[[rule]]\n", |table| {
            let mut humans = table.named("human");
            let (name, human) = humans.first_mut().expect("one");
            assert_eq!((name.value.as_str(), human.path.as_str()), ("jan", "human.jan"));
            assert_eq!(human.text("uri").expect("there").place.to_string(), "a.toml:2:7");
            let mut rules = table.array("rule");
            assert_eq!(rules.len(), 2);
            assert_eq!(rules[0].integer("id", 0..=9), Some(1));
        });
        assert_eq!(found, [""; 0]);
    }
}
