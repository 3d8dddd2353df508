//! The SIP of a simulated phone, in the fewest words that are still right: everything is sent again
//! until it is answered, every answer is kept for when the question comes again. Here is what its user
//! and its clock want; `hear` is what comes, `speak` what it says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem::media::sdp::Direction;
use tandem::net::{Datagrams, Network};
use tandem::sip::Method;

use super::line::{Line, Sending, State, contact};
use super::sound::Sound;
use super::speak::sdp;
use super::{Called, Manners, Referred, now};
use crate::tones::{HERTZ, Voice};

pub(super) const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// 64·T1.
pub(super) const GIVE_UP: Duration = Duration::from_secs(32);

pub struct Inner {
    pub(super) name: &'static str,
    pub(super) ip: IpAddr,
    pub(super) host: Arc<dyn Network>,
    pub(super) epoch: Instant,
    pub socket: Arc<dyn Datagrams>,
    pub manners: Manners,
    pub lines: Vec<Line>,
    pub gone: bool,
    pub(super) sendings: Vec<Sending>,
    /// Our responses, by branch and method of their requests.
    pub(super) answers: BTreeMap<(String, String), Vec<u8>>,
    /// ACKs of failures, by branch.
    pub(super) acks: BTreeMap<String, Vec<u8>>,
    pub(super) agenda: BTreeMap<(Instant, u64), Act>,
    pub(super) counter: u64,
}

/// What is to be done later.
pub(super) enum Act {
    Ring(usize),
    Answer(usize),
    Decline(usize, u16),
    Notify(usize, u16),
}

impl Inner {
    pub fn new(name: &'static str, ip: IpAddr, host: Arc<dyn Network>, epoch: Instant) -> Self {
        let socket = host.bind(SocketAddr::new(ip, 5060)).expect("the host is new");
        Inner {
            name,
            ip,
            host,
            epoch,
            socket,
            manners: Manners {
                called: Called::Rings,
                referred: Referred::Refuses(405),
                options: Some(200),
            },
            lines: Vec::new(),
            gone: false,
            sendings: Vec::new(),
            answers: BTreeMap::new(),
            acks: BTreeMap::new(),
            agenda: BTreeMap::new(),
            counter: 0,
        }
    }

    pub fn last(&mut self) -> &mut Line {
        self.lines.last_mut().expect("the phone has a line")
    }

    pub fn samples_since_epoch(&self, at: Instant) -> usize {
        self.samples_in(at.duration_since(self.epoch))
    }

    pub fn samples_in(&self, time: Duration) -> usize {
        time.as_millis() as usize * HERTZ as usize / 1000
    }

    // ── what the story wants ──

    pub fn dial(&mut self, uri: &str, call_id: String, headers: &[(String, String)]) -> usize {
        let (target, peer) = contact(uri);
        let tag = self.count();
        let local = format!("<sip:{}@{}>;tag={}-{tag}", self.name, self.ip, self.name);
        let remote = format!("<{target}>");
        let number = self.open(call_id, local, remote, (target, peer));
        let line = &mut self.lines[number];
        let offer = line.sound.describe(line.descriptions, Direction::SendRecv);
        let branch = self.request(number, Method::Invite, headers, Some(sdp(offer)));
        self.lines[number].branch = branch;
        number
    }

    pub fn hang_up(&mut self) {
        let number = self.lines.len() - 1;
        let line = &mut self.lines[number];
        match (line.state, line.invited.take()) {
            (State::Over, _) => (),
            (State::Up, _) => {
                line.leaving = true;
                self.request(number, Method::Bye, &[], None);
            }
            (State::Early, Some(invite)) => {
                let response = self.respond(number, &invite, 480, None);
                self.send_final(number, &invite, response);
                self.over(number);
            }
            (State::Early, None) => {
                line.leaving = true;
                self.cancel(number);
            }
        }
    }

    pub fn reinvite(&mut self, direction: Direction) {
        let (number, at) = (self.lines.len() - 1, self.since());
        let line = self.last();
        line.wanted = direction;
        line.descriptions += 1;
        match direction {
            Direction::SendRecv => {
                let hold = line.holds.last_mut().expect("it was on hold");
                hold.1 = Some(at);
            }
            _ => line.holds.push((at, None)),
        }
        let offer = line.sound.describe(line.descriptions, direction);
        self.request(number, Method::Invite, &[], Some(sdp(offer)));
    }

    // ── time ──

    pub fn tick(&mut self, now: Instant) {
        if self.gone {
            return;
        }
        while let Some(due) = self.agenda.first_entry().filter(|due| due.key().0 <= now) {
            let act = due.remove();
            self.act(act);
        }
        self.send_again(now);
        for line in self.lines.iter_mut().filter(|line| line.state == State::Up) {
            line.sound.tick(now);
        }
    }

    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Ring(number) => {
                let Some(invite) = self.lines[number].invited.clone() else { return };
                let ringing = self.respond(number, &invite, 180, None);
                let to = self.lines[number].peer;
                // The simulated network takes everything.
                let _ = self.socket.try_send(&ringing, to);
            }
            Act::Answer(number) => {
                let Some(invite) = self.lines[number].invited.take() else { return };
                self.answer(number, &invite);
                self.lines[number].up_at = Some(self.since());
            }
            Act::Decline(number, status) => {
                let Some(invite) = self.lines[number].invited.take() else { return };
                let response = self.respond(number, &invite, status, None);
                self.send_final(number, &invite, response);
                self.over(number);
            }
            Act::Notify(number, status) => self.notify(number, status),
        }
    }

    pub(super) fn send_again(&mut self, now: Instant) {
        let mut given_up = Vec::new();
        for sending in &mut self.sendings {
            if sending.until <= now {
                given_up.push(sending.line);
            } else if sending.again_at.is_some_and(|at| at <= now) {
                // The simulated network takes everything.
                let _ = self.socket.try_send(&sending.bytes, sending.to);
                let is_invite = sending.method == "INVITE" && !sending.is_final;
                sending.gap = if is_invite { sending.gap * 2 } else { (sending.gap * 2).min(T2) };
                sending.again_at = Some(now + sending.gap);
            }
        }
        self.sendings.retain(|sending| sending.until > now);
        for number in given_up {
            self.over(number);
        }
    }

    pub(super) fn open(
        &mut self,
        call_id: String,
        local: String,
        remote: String,
        (target, peer): (String, SocketAddr),
    ) -> usize {
        let port = 40_000 + 2 * self.lines.len() as u16;
        let socket = self.host.bind_media(SocketAddr::new(self.ip, port)).expect("a free port");
        self.lines.push(Line {
            call_id,
            local,
            remote,
            target,
            peer,
            sequence: 0,
            state: State::Early,
            invited: None,
            branch: String::new(),
            ack: None,
            invite: None,
            wanted: Direction::SendRecv,
            descriptions: 0,
            sound: Sound::new(socket, Voice::of(self.name), self.epoch),
            follows: None,
            status: 0,
            up_at: None,
            over_at: None,
            holds: Vec::new(),
            leaving: false,
        });
        self.lines.len() - 1
    }

    pub(super) fn over(&mut self, number: usize) {
        let since = self.since();
        let line = &mut self.lines[number];
        if line.state != State::Over {
            line.state = State::Over;
            line.over_at = Some(since);
            line.invited = None;
        }
    }

    pub(super) fn later(&mut self, after: Duration, act: Act) {
        let number = self.count();
        self.agenda.insert((now() + after, number), act);
    }

    pub(super) fn since(&self) -> Duration {
        now().duration_since(self.epoch)
    }

    pub(super) fn branch(&mut self) -> String {
        let number = self.count();
        format!("z9hG4bK-{}-{number}", self.name)
    }

    pub(super) fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}
