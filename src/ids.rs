//! The names by which the parts of a call are known, and the wrapper that keeps persons out of logs.

use std::fmt;
use std::sync::Arc;

/// The longest Call-ID that we accept, in bytes. It is chosen by a stranger and becomes a key of the
/// store, a span field and a part of a URL.
pub const CALL_ID_BYTES_MAX: usize = 256;

/// The Call-ID of the caller's leg, which names the whole call everywhere: journal, logs, screen.
///
/// Cloning is a reference count. The text is kept as it came; it is never trusted as a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Arc<str>);

impl CallId {
    /// Takes the value of a Call-ID header; `None` if it is empty, longer than
    /// [`CALL_ID_BYTES_MAX`] or has a control character.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= CALL_ID_BYTES_MAX;
        (fits && !text.chars().any(char::is_control)).then(|| CallId(text.into()))
    }

    /// The Call-ID as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One party of a call: its dialog and its media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LegId {
    /// The one who called us.
    Caller,
    /// The n-th person we dialled in this call, counted from 0.
    Human(u16),
}

/// A dialog of ours, for as long as the program runs. Never used twice.
///
/// On the wire a dialog is a Call-ID and two tags (RFC 3261 §12); this is the short name under which
/// `sip::Endpoint` keeps those. Whoever opens a dialog names it: numbers of dialogs that we opened are
/// even, those that a peer opened are odd, so neither has to ask the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialogId(u64);

impl DialogId {
    /// The n-th dialog that we open.
    pub fn outgoing(n: u64) -> Self {
        DialogId(n * 2)
    }

    /// The n-th dialog that a peer opens with us (or forks from an INVITE of ours).
    pub fn incoming(n: u64) -> Self {
        DialogId(n * 2 + 1)
    }
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Something that belongs to a person: a number, a name, words. It prints as `«redacted»`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pii<T>(pub T);

impl<T> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("«redacted»")
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("«redacted»")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_id_refuses_what_could_not_be_a_key() {
        assert!(CallId::new("a84b4c76e66710@pc33.example.com").is_some());
        assert!(CallId::new("").is_none());
        assert!(CallId::new("two\r\nlines").is_none());
        assert!(CallId::new(&"x".repeat(CALL_ID_BYTES_MAX)).is_some());
        assert!(CallId::new(&"x".repeat(CALL_ID_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn what_belongs_to_a_person_prints_as_redacted() {
        assert_eq!(format!("{} {:?}", Pii("+4930555"), Pii("Sarah")), "«redacted» «redacted»");
    }
}
