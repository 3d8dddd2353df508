//! Two endpoints and the wire between them, on a clock that only moves when it is told to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::ids::DialogId;
use crate::sip::endpoint::*;
use crate::sip::message::{Body, Headers};

/// How long a message travels on a wire without faults.
pub const DELAY: Duration = Duration::from_millis(10);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

/// What the wire does to a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Lost, in percent.
    pub loss: u32,
    /// Delivered twice, in percent.
    pub twice: u32,
    /// Added to the delay, at most, in milliseconds: messages overtake each other.
    pub jitter_ms: u64,
}

/// A message that the wire does not deliver.
type Lose = fn(&str) -> bool;

pub struct World {
    pub start: Instant,
    pub now: Instant,
    pub a: Endpoint,
    pub b: Endpoint,
    /// Every message that was sent: when (ms), by whom, and what it is.
    pub wire: Vec<(u128, Side, String)>,
    /// Every event, in the order it was told.
    pub events: Vec<(Side, Event)>,
    pub faults: Faults,
    lose: Vec<(Lose, u32)>,
    rng: StdRng,
    travelling: BTreeMap<(Instant, u64), (Side, Vec<u8>)>,
    sent: u64,
}

impl World {
    pub fn new() -> Self {
        World::with_seed(1, Transport::Udp)
    }

    pub fn with_seed(seed: u64, transport: Transport) -> Self {
        let start = Instant::now();
        World {
            start,
            now: start,
            a: endpoint(Side::A, transport, seed * 2),
            b: endpoint(Side::B, transport, seed * 2 + 1),
            wire: Vec::new(),
            events: Vec::new(),
            faults: Faults::default(),
            lose: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
            travelling: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Loses the next `count` messages of that kind.
    pub fn lose(&mut self, count: u32, lose: Lose) {
        self.lose.push((lose, count));
    }

    pub fn side(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    /// Lets time pass, and everything happen that happens in it.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.step(end) {
            self.now = next;
        }
        self.now = end;
    }

    /// Lets everything come to its end. Panics if it does not within ten minutes.
    pub fn run_until_quiet(&mut self) {
        let end = self.now + Duration::from_secs(600);
        while let Some(next) = self.step(end) {
            self.now = next;
        }
        assert_eq!(self.next(), None, "it goes on and on");
    }

    /// Runs until somebody is told something that has not been looked at, and returns it.
    pub fn next_event(&mut self, seen: &mut usize) -> Option<(Side, Event)> {
        let end = self.now + Duration::from_secs(600);
        loop {
            self.drain();
            if let Some(event) = self.events.get(*seen) {
                *seen += 1;
                return Some(event.clone());
            }
            self.now = self.step(end)?;
        }
    }

    /// Does what is due now, and returns when the next thing is, if that is before `end`.
    fn step(&mut self, end: Instant) -> Option<Instant> {
        self.drain();
        while let Some(entry) = self.travelling.first_entry()
            && entry.key().0 <= self.now
        {
            let (to, bytes) = entry.remove();
            let (now, from) = (self.now, peer(to.other(), self.transport()));
            self.side(to).handle_datagram(now, from, &bytes);
            self.drain();
        }
        for side in [Side::A, Side::B] {
            let now = self.now;
            self.side(side).handle_timeout(now);
            self.drain();
        }
        self.next().filter(|next| *next <= end).map(|next| next.max(self.now))
    }

    fn next(&self) -> Option<Instant> {
        let arrival = self.travelling.first_key_value().map(|((at, _), _)| *at);
        [arrival, self.a.poll_timeout(), self.b.poll_timeout()].into_iter().flatten().min()
    }

    fn transport(&self) -> Transport {
        self.a.settings.sent_by[0].0
    }

    fn drain(&mut self) {
        for side in [Side::A, Side::B] {
            while let Some(transmit) = self.side(side).poll_transmit() {
                let to = side.other();
                assert_eq!(transmit.to, peer(to, self.transport()), "sent into the void");
                let text = String::from_utf8_lossy(&transmit.bytes).into_owned();
                self.wire.push(((self.now - self.start).as_millis(), side, label(&text)));
                self.travel(to, &text, &transmit.bytes);
            }
            while let Some(event) = self.side(side).poll_event() {
                self.events.push((side, event));
            }
        }
    }

    fn travel(&mut self, to: Side, text: &str, bytes: &[u8]) {
        if let Some((_, left)) = self.lose.iter_mut().find(|(lose, left)| *left > 0 && lose(text)) {
            *left -= 1;
            return;
        }
        let copies = match self.rng.random_range(0..100) {
            n if n < self.faults.loss => 0,
            n if n < self.faults.loss + self.faults.twice => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let jitter = self.rng.random_range(0..=self.faults.jitter_ms);
            let at = self.now + DELAY + Duration::from_millis(jitter);
            self.sent += 1;
            self.travelling.insert((at, self.sent), (to, bytes.to_vec()));
        }
    }

    /// A calls B.
    pub fn dial(&mut self) -> DialogId {
        let dialog = DialogId::outgoing(1);
        let now = self.now;
        let invite = invite(self.transport());
        self.a.invite(now, dialog, invite).unwrap();
        dialog
    }

    /// A calls B, who answers; the ACK has arrived.
    pub fn connect(&mut self) -> (DialogId, DialogId) {
        let a = self.dial();
        self.run(ms(50));
        let b = self.dialog_of_b();
        let now = self.now;
        self.b.answer(now, b, sdp("answer"), &Headers::default()).unwrap();
        self.run(ms(50));
        (a, b)
    }

    /// The dialog of the last INVITE that came to B.
    pub fn dialog_of_b(&self) -> DialogId {
        let invited = self.events.iter().rev().find_map(|(_, event)| match event {
            Event::Invited { dialog, .. } => Some(*dialog),
            _ => None,
        });
        invited.expect("B was called")
    }

    /// What one side was told, in short.
    pub fn told(&self, side: Side) -> Vec<String> {
        let mut own = self.all_told(side);
        own.retain(|event| event != "Trying");
        own
    }

    /// The same, with what nearly every INVITE is told.
    pub fn all_told(&self, side: Side) -> Vec<String> {
        let own = self.events.iter().filter(|(told, _)| *told == side);
        own.map(|(_, event)| short(event)).collect()
    }

    /// Every message that was sent, in short: `A INVITE`, `B 200 INVITE`.
    pub fn ladder(&self) -> Vec<String> {
        self.wire.iter().map(|(_, side, label)| format!("{side:?} {label}")).collect()
    }

    /// When a message was sent, in milliseconds after its first time.
    pub fn times(&self, label: &str) -> Vec<u128> {
        let sent = self.wire.iter().filter(|(_, _, sent)| sent == label);
        let times: Vec<_> = sent.map(|(at, ..)| *at).collect();
        times.iter().map(|at| at - times[0]).collect()
    }

    /// Nothing is left of anything.
    #[track_caller]
    pub fn assert_empty(&self) {
        assert_eq!(self.a.counts(), Counts::default());
        assert_eq!(self.b.counts(), Counts::default());
    }

    /// Nobody had to say anything twice.
    #[track_caller]
    pub fn assert_no_repetition(&self) {
        for endpoint in [&self.a, &self.b] {
            let counters = endpoint.counters();
            assert_eq!((counters.retransmissions_sent, counters.retransmissions_received), (0, 0));
            assert_eq!(counters.dropped, 0);
        }
    }
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

fn endpoint(side: Side, transport: Transport, seed: u64) -> Endpoint {
    Endpoint::new(Settings {
        sent_by: vec![(transport, peer(side, transport).address)],
        user_agent: "tandem".to_owned(),
        calls_max: 10,
        trusted: vec![],
        takes_refer: false,
        seed,
    })
}

pub fn peer(side: Side, transport: Transport) -> Peer {
    let address = match side {
        Side::A => "192.0.2.1:5060",
        Side::B => "192.0.2.2:5060",
    };
    Peer { transport, address: address.parse().unwrap() }
}

pub fn invite(transport: Transport) -> Invite {
    Invite {
        uri: "sip:b@192.0.2.2".parse().unwrap(),
        to_peer: peer(Side::B, transport),
        from: "<sip:a@192.0.2.1>".parse().unwrap(),
        to: "<sip:b@192.0.2.2>".parse().unwrap(),
        call_id: None,
        headers: Headers::default(),
        body: Some(sdp("offer")),
    }
}

pub fn sdp(text: &str) -> Body {
    Body { content_type: "application/sdp".to_owned(), bytes: text.as_bytes().into() }
}

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// `INVITE`, or `200 INVITE`.
fn label(text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or_default();
    if first != "SIP/2.0" {
        return first.to_owned();
    }
    let status = text.split_whitespace().nth(1).unwrap_or_default();
    let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap_or_default();
    format!("{status} {}", cseq.split(' ').nth(1).unwrap_or_default())
}

/// An event without what is different each time.
fn short(event: &Event) -> String {
    let text = |body: &Option<Body>| match body {
        Some(body) => String::from_utf8_lossy(&body.bytes).into_owned(),
        None => "-".to_owned(),
    };
    match event {
        Event::Invited { .. } => "Invited".to_owned(),
        Event::Cancelled { .. } => "Cancelled".to_owned(),
        Event::Acknowledged { body, .. } => format!("Acknowledged {}", text(body)),
        Event::Unacknowledged { .. } => "Unacknowledged".to_owned(),
        Event::Reinvited { body, .. } => format!("Reinvited {}", text(body)),
        Event::ReinviteAnswered { body, .. } => format!("ReinviteAnswered {}", text(body)),
        Event::ReinviteRefused { status, .. } => format!("ReinviteRefused {status}"),
        Event::Ringing { status, .. } => format!("Ringing {status}"),
        Event::Answered { response, .. } => format!("Answered {}", response.status),
        Event::Failed { status, .. } => format!("Failed {status}"),
        Event::Ended { reason, .. } => format!("Ended {}", reason.as_deref().unwrap_or("-")),
        Event::ReferAnswered { status, .. } => format!("ReferAnswered {status}"),
        Event::ReferProgress { status, terminated: true, .. } => format!("ReferDone {status}"),
        Event::ReferProgress { status, .. } => format!("ReferProgress {status}"),
        Event::Info { .. } => "Info".to_owned(),
        Event::Referred { .. } => "Referred".to_owned(),
        Event::Probed { found, .. } => format!("Probed {found:?}"),
        Event::Trying { .. } => "Trying".into(),
    }
}
