//! Another system that wants to be told who is coming: a webhook's receiver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::common::LOOPBACK;

/// How long a pop may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long one request may take.
const HTTP_TIME: Duration = Duration::from_secs(5);

/// What the other system shares with us.
const KEY: &str = "the bell of the shop";

/// A receiver, open until the end of the test.
pub struct Shop {
    port: u16,
    pops: Receiver<Pop>,
}

/// One request, and when it was here.
#[derive(Clone, Debug)]
pub struct Pop {
    pub at: Timestamp,
    /// The request line and the header fields.
    head: Vec<String>,
    body: Vec<u8>,
}

impl Shop {
    pub fn open() -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (bell, pops) = channel();
        thread::spawn(move || {
            for visitor in listener.incoming() {
                let pop = receive(visitor.expect("a connection"));
                if bell.send(pop).is_err() {
                    return;
                }
            }
        });
        Shop { port, pops }
    }

    /// `[desk] webhook`.
    pub fn webhook(&self) -> String {
        format!(r#"{{ url = "http://127.0.0.1:{}/api/screen-pop", key = "{KEY}" }}"#, self.port)
    }

    /// The next pop.
    #[track_caller]
    pub fn next(&self) -> Pop {
        self.pops.recv_timeout(PATIENCE).expect("a screen pop")
    }

    /// Whether nothing more has come.
    pub fn is_quiet(&self) -> bool {
        self.pops.recv_timeout(Duration::ZERO).is_err_and(|why| why == RecvTimeoutError::Timeout)
    }
}

impl Pop {
    /// The body, if it is signed with our key.
    #[track_caller]
    pub fn verified(&self) -> serde_json::Value {
        assert_eq!(self.head[0], "POST /api/screen-pop HTTP/1.1");
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("a key");
        mac.update(&self.body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(self.header("X-Tandem-Signature"), Some(&*signature));
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.iter().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

fn receive(stream: TcpStream) -> Pop {
    stream.set_read_timeout(Some(HTTP_TIME)).expect("a timeout");
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut pop = Pop { at: Timestamp::now(), head, body: vec![] };
    let length = pop.header("Content-Length").and_then(|length| length.parse().ok());
    pop.body = vec![0; length.expect("a length")];
    reader.read_exact(&mut pop.body).expect("a body");
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    (&stream).write_all(answer).expect("the answer");
    pop
}
