//! The control connection of a baresip (its module `ctrl_tcp`): commands in, answers and events out, each a
//! netstring of JSON.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::common::at;

/// The connection, and all that came by it.
pub struct Control {
    stream: TcpStream,
    /// The beginning of a netstring.
    unread: Vec<u8>,
    /// Answers and events, in the order they came.
    told: Vec<Value>,
    commands: usize,
}

impl Control {
    /// Connects; `None` while nobody listens yet.
    pub fn connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(at(port)).ok()?;
        stream.set_nonblocking(true).expect("a socket can be told not to wait");
        Some(Control { stream, unread: vec![], told: vec![], commands: 0 })
    }

    /// Gives a command and returns the name of its answer.
    pub fn order(&mut self, command: &str, params: &str) -> String {
        self.commands += 1;
        let token = self.commands.to_string();
        let text = match params {
            "" => json!({ "command": command, "token": token }),
            _ => json!({ "command": command, "params": params, "token": token }),
        };
        let text = text.to_string();
        let sent = write!(self.stream, "{}:{text},", text.len());
        sent.unwrap_or_else(|why| panic!("`{command}` cannot be sent: {why}"));
        token
    }

    /// The answer of that name, if it is there: whether the command was carried out, and what was said.
    pub fn answer(&mut self, token: &str) -> Option<(bool, String)> {
        self.read();
        let answer = self.told.iter().find(|told| told["token"] == token)?;
        let data = answer["data"].as_str().unwrap_or_default();
        Some((answer["ok"] == true, data.to_owned()))
    }

    /// The events so far.
    pub fn events(&mut self) -> impl Iterator<Item = &Value> {
        self.read();
        self.told.iter().filter(|told| told["event"] == true)
    }

    /// Takes what has come. An end of the connection shows when something is waited for in vain.
    fn read(&mut self) {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => self.unread.extend(&bytes[..count]),
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        while let Some((value, end)) = netstring(&self.unread) {
            self.told.push(value);
            self.unread.drain(..end);
        }
    }
}

/// The first netstring, and where the next one begins; `None` while it is not complete.
fn netstring(bytes: &[u8]) -> Option<(Value, usize)> {
    let colon = bytes.iter().position(|&byte| byte == b':')?;
    let length = std::str::from_utf8(&bytes[..colon]).ok().and_then(|text| text.parse().ok());
    let length: usize = length.expect("the length of a netstring");
    let end = colon + 1 + length;
    let value = bytes.get(colon + 1..end)?;
    // A comma ends it.
    bytes.get(end)?;
    Some((serde_json::from_slice(value).expect("JSON"), end + 1))
}
