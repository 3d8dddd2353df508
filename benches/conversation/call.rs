//! One call to the program, as a phone makes it.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use crate::line::{Line, Spoken};
use crate::program::peer::{Message, Peer, Request};
use crate::program::server::Server;
use crate::program::{LOOPBACK, at};
use crate::recordings::Recording;

/// How long an agent may take to its first word. One that takes longer has not answered.
const ANSWER_MAX: Duration = Duration::from_secs(12);

/// After this silence the agent has said what it had to say: longer than the gap between two sentences.
const ANSWER_ENDS: Duration = Duration::from_millis(800);

/// The longest that an agent speaks.
const SPEAKING_MAX: Duration = Duration::from_secs(25);

/// A call that is up.
pub struct Call<'a> {
    server: &'a Server,
    peer: Peer,
    invite: Request,
    answer: Message,
    /// When it was up.
    answered: Instant,
    pub line: Line,
    /// When what was said in it began.
    said: Vec<Timestamp>,
}

/// What came of something that was said.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub spoken: Spoken,
    /// The first sound of the agent afterwards, and its first word; `None`: it did not answer.
    pub answer: Option<(Instant, Instant)>,
}

/// What the program understood of a caller, by its own record of the call.
pub struct Understood {
    /// How many turns it took each thing to be that was said.
    pub turns: Vec<usize>,
    /// All words.
    pub words: String,
}

impl<'a> Call<'a> {
    /// Calls somebody. `number` tells the calls of a run apart.
    pub fn dial(server: &'a Server, user: &str, number: usize) -> Result<Self> {
        let socket = UdpSocket::bind((LOOPBACK, 0))?;
        let peer = Peer::new(LOOPBACK, server.sip);
        let invite = Request::new("INVITE", user, &format!("conversation-{number}"));
        let invite = invite.offering(socket.local_addr()?.port());
        peer.request(&invite);
        let answer = peer.answer(&invite);
        ensure!(answer.status() == Some(200), "{user} answers with {:?}", answer.status());
        peer.request(&invite.inside("ACK", &answer, 1));
        let answered = Instant::now();
        let line = Line::new(socket, at(port(answer.body()).context("an answer without audio")?))?;
        Ok(Call { server, peer, invite, answer, answered, line, said: Vec::new() })
    }

    /// Waits for the agent's first word, and returns how long that took from the beginning of the call.
    pub fn greeting(&mut self) -> Result<Duration> {
        let answered = self.answered;
        let word = self.line.wait_for(ANSWER_MAX, |line| line.first_word(answered))?;
        word.map(|word| word - answered).context("nobody greets")
    }

    /// Says something and waits for the agent's first word.
    pub fn say(&mut self, recording: &Recording) -> Result<Turn> {
        self.said.push(Timestamp::now());
        let spoken = self.line.say(recording)?;
        let word = self.line.wait_for(ANSWER_MAX, |line| line.first_word(spoken.ended))?;
        let sound = self.line.first_sound(spoken.ended);
        Ok(Turn { spoken, answer: sound.zip(word) })
    }

    /// Waits until what the agent says now is over.
    pub fn hear_out(&mut self) -> Result<()> {
        let now = Instant::now();
        let over = self.line.wait_for(SPEAKING_MAX, |line| line.fell_silent(now, ANSWER_ENDS))?;
        over.map(drop).context("the agent does not stop talking")
    }

    /// Hangs up, and returns what the program understood.
    pub fn hang_up(self) -> Result<Understood> {
        let bye = self.invite.inside("BYE", &self.answer, 2);
        self.peer.request(&bye);
        ensure!(self.peer.answer(&bye).status() == Some(200), "the BYE was refused");
        let path = format!("/v1/calls/{}/transcript", self.invite.call_id);
        understood(&self.server.json(&path)?, &self.said)
    }
}

/// To what was said the caller's turns in a transcript belong, by their times.
fn understood(transcript: &Value, said: &[Timestamp]) -> Result<Understood> {
    let turns = transcript["turns"].as_array().context("a transcript without turns")?;
    let of_caller = turns.iter().filter(|turn| turn["speaker"] == "caller");
    let (mut counts, mut words) = (vec![0; said.len()], Vec::new());
    for turn in of_caller {
        let time: Timestamp = turn["began"].as_str().context("a turn without a time")?.parse()?;
        words.push(turn["text"].as_str().context("a turn without words")?);
        if let Some(n) = said.iter().rposition(|began| *began <= time) {
            counts[n] += 1;
        }
    }
    Ok(Understood { turns: counts, words: words.join(" ") })
}

/// The port of the audio in a session description.
fn port(description: &str) -> Option<u16> {
    let line = description.lines().find_map(|line| line.strip_prefix("m=audio "))?;
    line.split(' ').next()?.parse().ok()
}
