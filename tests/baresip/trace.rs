//! The SIP that a baresip has sent and received, as it prints it.

use std::fmt;

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// `UDP 127.0.0.1:5060 -> 127.0.0.1:5070`
    pub way: String,
    /// The start line, header fields and body.
    pub text: String,
}

/// All messages in a log: between control sequences that make them blue on a terminal.
pub fn messages(log: &str) -> Vec<Message> {
    let printed = log.split("\x1b[36;1m#\n").skip(1);
    let printed = printed.map(|text| text.split("\x1b[;m").next().unwrap_or(text));
    let message = |text: &str| {
        let (way, text) = text.split_once('\n').expect("a way and a message");
        Message { way: way.to_owned(), text: text.to_owned() }
    };
    printed.map(message).collect()
}

impl Message {
    /// Whether it is a request of that method.
    pub fn is_request(&self, method: &str) -> bool {
        self.text.split(' ').next() == Some(method)
    }

    /// Whether it is an INVITE that is no re-INVITE: nobody has put a tag into its To yet.
    pub fn opens_dialog(&self) -> bool {
        let mut lines = self.text.lines();
        let is_tagged = lines.any(|line| line.starts_with("To: ") && line.contains(";tag="));
        self.is_request("INVITE") && !is_tagged
    }

    /// Whether the program under test wrote this request.
    pub fn is_ours(&self) -> bool {
        self.text.contains("\r\nUser-Agent: Tandem/")
    }

    /// Whether it has this line, in its head or its body.
    pub fn has(&self, line: &str) -> bool {
        self.text.lines().any(|has| has == line)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.way, self.text)
    }
}
