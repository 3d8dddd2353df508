//! One call's audio, as its worker sees it.

use std::io;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::{Duration, Instant};

use super::figures::Counts;
use super::handle::{AudioEvent, Inner};
use super::house::Waste;
use super::worker::Order;
use super::{HeardFrame, MouthEvent};
use crate::ids::LegId;
use crate::media::Frame;
use crate::media::bridge::{Bridge, Inputs};
use crate::media::session::{Session, SessionEvent, Stats};
use crate::net::MediaSocket;
use crate::net::ring::Writer;

/// Datagrams that a leg may bring in one tick. A peer sends one or two, and after a stall of ours a
/// few dozen; what a flood brings beyond that is left to the kernel, which drops it.
const DATAGRAMS_PER_TICK: usize = 32;

/// The longest datagram that is looked at: an Ethernet frame's worth. Nothing longer is voice.
const DATAGRAM_BYTES: usize = 1500;

/// For how many frames the agent goes on hearing (silence) after it was wired to nobody, so that a
/// turn which was being spoken comes to its end: a second.
const HEARD_TAIL: u32 = 50;

/// For how long a listener hears the silence of a leg from which nothing comes any more: longer than the
/// longest that ends a turn.
const SOUND_TAIL: Duration = Duration::from_secs(4);

/// One call at a worker.
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) handle: Weak<Inner>,
    pub(super) bridge: Bridge,
    /// In boxes: a leg has some ten kilobytes, and most calls have one.
    pub(super) legs: Vec<Box<Leg>>,
    pub(super) agent_hears: bool,
    pub(super) heard_tail: u32,
    pub(super) events: Writer<AudioEvent>,
    pub(super) mouth: Writer<MouthEvent>,
    pub(super) heard: Writer<HeardFrame>,
}

/// One party's stream and its socket.
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) session: Session,
    pub(super) socket: Box<dyn MediaSocket>,
}

/// What a tick needs besides the calls, made once.
pub(super) struct Workbench {
    datagram: [u8; DATAGRAM_BYTES],
    pub(super) counts: Counts,
    pub(super) waste: Writer<Waste>,
}

impl Workbench {
    pub(super) fn new(waste: Writer<Waste>) -> Self {
        Workbench { datagram: [0; DATAGRAM_BYTES], counts: Counts::default(), waste }
    }
}

impl Call {
    /// 20 ms: what has come, through the bridge, to whoever hears it. No allocation, no lock, no log
    /// line, and nobody is woken.
    pub(super) fn tick(&mut self, now: Instant, bench: &mut Workbench) {
        let (mut caller, mut human) = (None, None);
        let mut sounds = false;
        for leg in &mut self.legs {
            leg.receive(now, bench);
            sounds |= leg.session.has_sounded(now, SOUND_TAIL);
            let spoken = leg.session.pull(now);
            match leg.id {
                LegId::Caller => caller = Some(spoken),
                LegId::Human(_) => human = Some(spoken),
            }
            while let Some(event) = leg.session.poll_event() {
                bench.counts.told(self.events.push(told(leg.id, event)));
            }
        }

        let outputs = self.bridge.tick(Inputs { caller: caller.as_ref(), human: human.as_ref() });

        for leg in &mut self.legs {
            let heard = match leg.id {
                LegId::Caller => &outputs.caller,
                LegId::Human(_) => &outputs.human,
            };
            leg.send(now, heard, &mut bench.counts);
        }
        self.tell(outputs.agent, sounds, bench);
    }

    /// Puts what was heard and what became of clips into their rings. While nothing comes from anybody
    /// there is nothing to listen to, and a call on hold costs neither memory nor work.
    fn tell(&mut self, heard: HeardFrame, sounds: bool, bench: &mut Workbench) {
        if sounds && (self.agent_hears || self.heard_tail > 0) {
            self.heard_tail = if self.agent_hears { HEARD_TAIL } else { self.heard_tail - 1 };
            bench.counts.heard(self.heard.push(heard));
        }
        while let Some(event) = self.bridge.poll_event() {
            bench.counts.told(self.mouth.push(event));
        }
        while let Some(samples) = self.bridge.poll_spent() {
            bench.waste.push(Waste::Clip(samples));
        }
    }

    /// Does what the call task wants. Between ticks: this may allocate.
    pub(super) fn obey(&mut self, now: Instant, order: Order, bench: &mut Workbench) {
        match order {
            Order::AddLeg(leg) => {
                self.legs.push(leg);
                bench.counts.legs += 1;
            }
            Order::RemoveLeg(id) => {
                while let Some(index) = self.legs.iter().position(|leg| leg.id == id) {
                    let leg = self.legs.remove(index);
                    self.removed(id, leg.session.stats(), bench);
                    bench.waste.push(Waste::Leg(leg));
                }
            }
            Order::Renegotiate(id, agreed) => {
                for leg in self.legs.iter_mut().filter(|leg| leg.id == id) {
                    leg.session.renegotiate(now, agreed);
                }
            }
            Order::Hold(music) => self.bridge.hold_with(music),
            Order::Wire(wiring) => {
                self.bridge.wire(wiring);
                self.agent_hears = !wiring.agent.is_empty();
            }
            Order::Play(clip, samples) => {
                if !self.bridge.play(clip, samples) {
                    let refused = MouthEvent::Ended { clip, played: 0, whole: false };
                    bench.counts.told(self.mouth.push(refused));
                }
            }
            Order::Stop => self.bridge.stop(),
            Order::SendDigits(id, digits) => {
                for leg in self.legs.iter_mut().filter(|leg| leg.id == id) {
                    bench.counts.digits(leg.session.send_digits(&digits));
                }
            }
            Order::Measure => {
                for leg in &self.legs {
                    let (leg, stats) = (leg.id, leg.session.stats());
                    bench.counts.told(self.events.push(AudioEvent::Measured { leg, stats }));
                }
            }
        }
    }

    /// Whether every handle to it has been dropped.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.strong_count() == 0
    }

    /// Tells the last figures and sends itself away; being dropped, it ends its rings.
    pub(super) fn close(mut self, bench: &mut Workbench) {
        for index in 0..self.legs.len() {
            let (leg, stats) = (self.legs[index].id, self.legs[index].session.stats());
            self.removed(leg, stats, bench);
        }
        bench.waste.push(Waste::Call(Box::new(self)));
    }

    /// Wakes those to whom the last tick and the last orders had something to tell.
    pub(super) fn wake(&mut self) {
        self.heard.wake();
        self.mouth.wake();
        self.events.wake();
    }

    fn removed(&mut self, leg: LegId, stats: Stats, bench: &mut Workbench) {
        bench.counts.told(self.events.push(AudioEvent::Removed { leg, stats }));
        bench.counts.legs -= 1;
    }
}

impl Leg {
    fn receive(&mut self, now: Instant, bench: &mut Workbench) {
        for _ in 0..DATAGRAMS_PER_TICK {
            match self.socket.try_recv(&mut bench.datagram) {
                // Filled to the brim it was cut off: not voice.
                Ok((DATAGRAM_BYTES.., _)) => bench.counts.received += 1,
                Ok((length, source)) => {
                    bench.counts.received += 1;
                    self.session.handle_datagram(now, source, &bench.datagram[..length]);
                }
                // Nothing is there; or an error of the network, of which the next tick knows more.
                Err(_) => return,
            }
        }
    }

    fn send(&mut self, now: Instant, heard: &Frame, counts: &mut Counts) {
        self.session.push(now, heard);
        while let Some((to, packet)) = self.session.poll_transmit() {
            counts.sent(transmit(&*self.socket, packet, to));
        }
    }
}

/// Whether the packet left. One that did not is lost, as on any network.
fn transmit(socket: &dyn MediaSocket, packet: &[u8], to: SocketAddr) -> bool {
    match socket.try_send(packet, to) {
        // A signal, not the network: once more.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            socket.try_send(packet, to).is_ok()
        }
        sent => sent.is_ok(),
    }
}

fn told(leg: LegId, event: SessionEvent) -> AudioEvent {
    match event {
        SessionEvent::Digit(digit) => AudioEvent::Digit { leg, digit },
        SessionEvent::Flowing => AudioEvent::Flowing { leg },
        SessionEvent::Silent(since) => AudioEvent::Silent { leg, since },
    }
}
