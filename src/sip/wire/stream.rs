//! Cutting a stream into messages (RFC 3261 §18.3, RFC 5626 §4.4.1).
//!
//! ```text
//!            CRLF CRLF: Ping            head without a sound Content-Length,
//!              .------.                 or too large: Lost
//!              V      |                        ,------> over
//!   ----> between messages ----> head ---------'
//!              A                   | Content-Length: n
//!              |   n bytes came    V
//!              `--- Message ---- body
//! ```

use super::super::text;
use super::{MESSAGE_BYTES_MAX, head};

/// What a connection that waits for its next message may keep allocated.
const IDLE_BYTES: usize = 2_048;

/// What [`StreamFramer`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One message, for [`parse_frame`](super::parse_frame).
    Message(Vec<u8>),
    /// A double CRLF between messages: answer with one CRLF.
    Ping,
    /// A message without an end that we could find, or a too large one. Hand the bytes to
    /// [`parse_frame`](super::parse_frame) for its reply, then close the connection: where the next
    /// message begins cannot be known.
    Lost(Vec<u8>),
}

/// Cuts a stream into messages. Holds at most one message and one read's worth of bytes.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// This many bytes of the buffer are known to hold no end of a head.
    searched: usize,
    /// The length of the message at the start of the buffer, once its head is there.
    awaited: Option<usize>,
    over: bool,
}

impl StreamFramer {
    /// A framer at the start of a stream.
    pub fn new() -> Self {
        StreamFramer::default()
    }

    /// Takes what was read from the stream. Drain [`next_frame`](Self::next_frame) after it.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.over {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole frame; after [`Frame::Lost`] there is none.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let length = match self.awaited {
            Some(length) => length,
            None => {
                if self.skip_line_ends() {
                    return Some(Frame::Ping);
                }
                let Some(end) = head::end(&self.buffer, self.searched) else {
                    self.searched = self.buffer.len();
                    return (self.buffer.len() > MESSAGE_BYTES_MAX).then(|| self.lose());
                };
                match content_length(&self.buffer[..end]).and_then(|length| end.checked_add(length))
                {
                    Some(length) if length <= MESSAGE_BYTES_MAX => length,
                    _ => {
                        self.buffer.truncate(end);
                        return Some(self.lose());
                    }
                }
            }
        };
        self.awaited = Some(length);
        (self.buffer.len() >= length).then(|| Frame::Message(self.take(length)))
    }

    /// Drops line ends between messages; true for a double one, which is a ping.
    fn skip_line_ends(&mut self) -> bool {
        while self.buffer.starts_with(b"\r\n") {
            let is_ping = self.buffer.starts_with(b"\r\n\r\n");
            // What has come may be the first half of a ping.
            if !is_ping && b"\r\n\r\n".starts_with(&self.buffer) {
                return false;
            }
            self.take(if is_ping { 4 } else { 2 });
            if is_ping {
                return true;
            }
        }
        false
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(length);
        let taken = std::mem::replace(&mut self.buffer, rest);
        self.buffer.shrink_to(IDLE_BYTES);
        (self.searched, self.awaited) = (0, None);
        taken
    }

    fn lose(&mut self) -> Frame {
        self.over = true;
        Frame::Lost(self.take(self.buffer.len()))
    }
}

/// The one sound Content-Length of a head. Found in the very way in which the parser will find it, so
/// that nobody can make the two disagree about where a message ends.
fn content_length(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let mut values = head::values(&text, "Content-Length");
    match (values.next(), values.next()) {
        (Some(value), None) => text::number(&value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, parse_frame};
    use super::*;

    const ONE: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 3\r\n\r\nabc";
    const TWO: &[u8] = b"OPTIONS sip:b SIP/2.0\r\nl :\r\n 0\r\n\r\n";

    #[test]
    fn messages_are_cut_however_the_stream_is_read() {
        let stream = [b"\r\n", ONE, b"\r\n\r\n", TWO, b"\r\n\r\n\r\n", ONE].concat();
        let expected = [
            Frame::Message(ONE.into()),
            Frame::Ping,
            Frame::Message(TWO.into()),
            Frame::Ping,
            Frame::Message(ONE.into()),
        ];
        for size in 1..stream.len() {
            let mut framer = StreamFramer::new();
            let mut frames = Vec::new();
            for read in stream.chunks(size) {
                framer.push(read);
                frames.extend(std::iter::from_fn(|| framer.next_frame()));
            }
            assert_eq!(frames, expected, "reads of {size}");
        }
    }

    #[test]
    fn a_stream_whose_messages_have_no_end_is_lost() {
        for (head, reason) in [
            ("OPTIONS sip:a SIP/2.0\r\n\r\n", "Missing Content-Length"),
            ("OPTIONS sip:a SIP/2.0\r\nl: -1\r\n\r\n", "Malformed Content-Length"),
            (
                "OPTIONS sip:a SIP/2.0\r\nl: 0\r\nContent-Length: 3\r\n\r\n",
                "Multiple Content-Length",
            ),
            ("OPTIONS sip:a SIP/2.0\r\nl: 65535\r\n\r\n", "Content-Length Beyond End of Message"),
            ("OPTIONS sip:a SIP/2.0\r\nl: 65536\r\n\r\n", "Message Too Large"),
        ] {
            let mut framer = StreamFramer::new();
            framer.push(head.as_bytes());
            framer.push(TWO);
            assert_eq!(framer.next_frame(), Some(Frame::Lost(head.into())));

            framer.push(TWO);
            assert_eq!(framer.next_frame(), None);
            let Parsed::Bad(bad) = parse_frame(head.as_bytes()) else { panic!("{head}") };
            assert_eq!(bad.reason, reason);
        }
    }

    #[test]
    fn a_head_that_never_ends_is_not_waited_for() {
        let mut framer = StreamFramer::new();
        let mut pushed = 0;
        while pushed <= MESSAGE_BYTES_MAX {
            assert_eq!(framer.next_frame(), None);
            framer.push(&[b'a'; 1000]);
            pushed += 1000;
        }
        assert!(matches!(framer.next_frame(), Some(Frame::Lost(bytes)) if bytes.len() == pushed));
        assert!(framer.buffer.is_empty());
    }
}
