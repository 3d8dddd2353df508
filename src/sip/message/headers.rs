//! Header fields as a list: what came, in the order it came.

use std::borrow::Cow;

/// The canonical name of a header field (`From`, `Call-ID`, `X-Anything` as it came).
pub type HeaderName = Cow<'static, str>;

/// Header fields in the order of the wire.
///
/// A few dozen at most, so that looking through them beats any table. Typed views of them are in
/// [`header`](super::super::header).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(HeaderName, String)>,
}

impl Headers {
    /// An empty list with room for that many fields.
    pub(in super::super) fn with_capacity(fields: usize) -> Self {
        Headers { fields: Vec::with_capacity(fields) }
    }

    /// The first value of a header. `name` is the canonical one; case does not matter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(&field.1)
    }

    /// Every value of a header, in the order of the wire, lists not split.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |field: &&(HeaderName, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|(_, value)| value.as_str())
    }

    /// Whether there is such a field, empty or not.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a field below those that are there.
    pub fn push(&mut self, name: impl Into<HeaderName>, value: impl Into<String>) {
        self.fields.push((name.into(), value.into()));
    }

    /// Puts a field above those that are there (Via, Route).
    pub fn push_front(&mut self, name: impl Into<HeaderName>, value: impl Into<String>) {
        self.fields.insert(0, (name.into(), value.into()));
    }

    /// Removes every field of that name.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
    }

    /// Replaces every field of that name by one.
    pub fn set(&mut self, name: impl Into<HeaderName>, value: impl Into<String>) {
        let name = name.into();
        self.remove(&name);
        self.push(name, value);
    }

    /// Replaces the first item of the first field of that name, where it stands. The items behind its
    /// commas and the fields below it stay.
    pub(in super::super) fn replace_first(&mut self, name: &str, item: String) {
        let field = self.fields.iter_mut().find(|(field, _)| field.eq_ignore_ascii_case(name));
        if let Some((_, value)) = field {
            *value = match super::super::text::find_outside(value, b',') {
                Some(comma) => format!("{item}{}", &value[comma..]),
                None => item,
            };
        }
    }

    /// All fields, in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_are_found_without_case() {
        let mut headers = Headers::default();
        headers.push("Via", "1");
        headers.push("X-A", "a");
        headers.push_front("Via", "0");
        headers.set("x-a", "b");

        assert_eq!(headers.all("VIA").collect::<Vec<_>>(), ["0", "1"]);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("Via", "0"), ("Via", "1"), ("x-a", "b")]);
        headers.remove("via");
        assert!(!headers.contains("Via") && headers.contains("X-A"));
    }
}
