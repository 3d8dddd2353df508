//! A call that has been answered, until one of the two hangs up; and all the calls that it is
//! transferred to.

mod follow;

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use self::follow::{Following, Leaving, Parting};
use super::conversation::{Conversation, Heard};
use super::dial::no_media;
use super::report::{Side, Summary, What};
use super::script::{Script, Sound, time_to_press};
use super::talk::{Effect, Input, Talk, Why};
use super::tape::Tape;
use super::{Diary, Phone, now, sleep_until};
use crate::ids::DialogId;
use crate::net::Signaling;
use crate::net::audio::{AudioEvent, ClipId, MouthEvent};
use crate::net::signaling::Overloaded;
use crate::sip::{Body, Event, Headers, Peer, StatusCode};
use crate::speech::listener::{SpeechEvent, Utterance};

/// A call that is over: its figures, and both its voices at 8 kHz.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The figures.
    pub summary: Summary,
    /// What we said.
    pub said: Vec<i16>,
    /// What we heard, beside it.
    pub heard: Vec<i16>,
}

/// A phone in a call.
pub(super) struct Session<'a> {
    phone: &'a mut Phone,
    script: &'a Script,
    diary: Diary<'a>,
    talk: Talk,
    tape: Tape,
    /// The call that we talk in.
    active: Conversation,
    /// The call that we are asked to make instead.
    following: Option<Following>,
    /// The call that we have left, until the one who sent us away ends it.
    leaving: Option<Leaving>,
    /// What was said there last, until it is understood.
    parting: Option<Parting>,
    /// When the keys of a line have been pressed.
    pressed_at: Option<Instant>,
    answered_at: Instant,
    turns: usize,
    transferred_to: Option<String>,
    ended: Option<Ended>,
}

struct Ended {
    by: Side,
    reason: Option<String>,
    is_broken: bool,
}

/// What the task woke up for.
#[expect(clippy::large_enum_variant, reason = "lives for one step, fifty times a second")]
enum Woken {
    Signal(Option<Event>),
    Heard(Heard),
    Resolved(Option<Peer>),
    Parted(Option<SpeechEvent>),
    Stopped,
    Due,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        phone: &'a mut Phone,
        script: &'a Script,
        diary: Diary<'a>,
        active: Conversation,
    ) -> Self {
        Session {
            phone,
            script,
            diary,
            talk: Talk::new(script.manners, script.lines.len()),
            tape: Tape::default(),
            active,
            following: None,
            leaving: None,
            parting: None,
            pressed_at: None,
            answered_at: now(),
            turns: 0,
            transferred_to: None,
            ended: None,
        }
    }

    pub(super) async fn run(mut self, stop: &CancellationToken) -> Recorded {
        self.talk_on(Input::Answered);
        loop {
            if let Some(ended) = self.ended.take() {
                return self.finish(ended);
            }
            let deadline = self.poll_timeout();
            let woken = tokio::select! {
                event = self.phone.events.recv() => Woken::Signal(event),
                heard = self.active.next() => Woken::Heard(heard),
                said = follow::said_at_parting(&mut self.parting) => Woken::Parted(said),
                peer = follow::resolved(&mut self.following) => Woken::Resolved(peer),
                () = stop.cancelled() => Woken::Stopped,
                () = sleep_until(deadline) => Woken::Due,
            };
            match woken {
                Woken::Signal(Some(event)) => self.handle_signal(event),
                Woken::Signal(None) => self.fail("the signalling has stopped"),
                Woken::Heard(heard) => self.handle_heard(heard),
                Woken::Parted(said) => self.handle_parting(said),
                Woken::Resolved(peer) => self.dial_target(peer),
                Woken::Stopped => self.end(Side::Us, Some("stopped".into())),
                Woken::Due => self.handle_timeout(),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let leave_at = self.leaving.as_ref().map(|leaving| leaving.until);
        let silent_until = self.following.as_ref().and_then(Following::silent_until);
        let times = [self.talk.poll_timeout(), self.pressed_at, leave_at, silent_until];
        times.into_iter().flatten().min()
    }

    fn handle_timeout(&mut self) {
        let now = now();
        if self.pressed_at.take_if(|at| *at <= now).is_some() {
            self.talk_on(Input::Said);
        }
        if let Some(leaving) = self.leaving.take_if(|leaving| leaving.until <= now) {
            self.signal(|signaling| signaling.hang_up(leaving.dialog, None));
        }
        let silent_until = self.following.as_ref().and_then(Following::silent_until);
        if silent_until.is_some_and(|until| until <= now) {
            self.give_up_silent_target();
        }
        self.talk_on(Input::Tick);
    }

    /// Takes a turn, if it is ours.
    fn talk_on(&mut self, input: Input) {
        match self.talk.on(now(), input) {
            None => (),
            Some(Effect::Say(line)) => self.say(line),
            Some(Effect::HangUp(Why::Done)) => self.end(Side::Us, Some("all is said".into())),
            Some(Effect::HangUp(Why::TimeUp)) => self.end(Side::Us, Some("time is up".into())),
        }
    }

    fn say(&mut self, line: usize) {
        let prepared = &self.script.lines[line];
        match &prepared.sound {
            Sound::Clip(samples) => {
                self.diary.tell(What::Said { line: prepared.shown.clone() });
                self.tape.queue(samples.clone());
                self.active.play(ClipId(line as u64), samples.clone());
            }
            Sound::Digits(digits) => {
                self.diary.tell(What::Pressed { digits: digits.clone() });
                self.active.press(digits);
                self.pressed_at = Some(now() + time_to_press(digits));
            }
        }
    }

    fn handle_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Frame(frame) => self.tape.hear(&frame),
            Heard::Mouth(MouthEvent::Ended { .. }) => self.talk_on(Input::Said),
            Heard::Mouth(MouthEvent::Started { .. }) => (),
            Heard::Audio(AudioEvent::Digit { digit, .. }) => self.diary.tell(What::Digit { digit }),
            // How the packets flow is for whoever looks at the network.
            Heard::Audio(_) => (),
            Heard::Speech(event) => self.handle_speech(event),
            Heard::Gone => self.fail("the media worker has stopped"),
        }
    }

    fn handle_speech(&mut self, event: SpeechEvent) {
        match event {
            SpeechEvent::Started | SpeechEvent::BargedIn => self.talk_on(Input::TheyBegan),
            SpeechEvent::Nothing => self.talk_on(Input::TheyEnded),
            SpeechEvent::Heard(utterance) => {
                self.tell_heard(utterance);
                self.talk_on(Input::TheyEnded);
            }
            SpeechEvent::Deaf(why) => {
                self.turns += 1;
                self.diary.tell(What::NotUnderstood { why: why.to_string() });
                self.talk_on(Input::TheyEnded);
            }
        }
    }

    fn tell_heard(&mut self, utterance: Utterance) {
        self.turns += 1;
        let turn = utterance.turn.turn;
        let words = self.phone.hears_words.then_some(utterance.text.0);
        self.diary.tell(What::Heard { words, spoken: turn.ended - turn.began });
    }

    fn handle_signal(&mut self, event: Event) {
        let dialog = event.dialog();
        if dialog == self.active.dialog {
            self.handle_active(event);
        } else if self.following.as_ref().is_some_and(|following| following.is(dialog)) {
            self.handle_target(event);
        } else if self.leaving.as_ref().is_some_and(|leaving| leaving.dialog == dialog) {
            if let Event::Ended { .. } = event {
                self.leaving = None;
                self.diary.tell(What::ReferrerLeft);
            }
        } else if self.phone.turn_away(&event).is_err() {
            self.fail("the signalling has stopped");
        }
    }

    /// An event of the call that we talk in.
    fn handle_active(&mut self, event: Event) {
        match event {
            Event::Ended { reason, .. } => match &mut self.following {
                // The one who sends us away may leave before we are there (RFC 5057 §4.1).
                Some(following) => following.is_left = true,
                None => self.end(Side::Them, reason),
            },
            Event::Unacknowledged { .. } => self.fail("our answer got no ACK"),
            Event::Acknowledged { body, .. } => self.acknowledged(body.as_ref()),
            Event::Reinvited { dialog, body } => self.reinvited(dialog, body.as_ref()),
            Event::Referred { request, .. } => self.referred(&request),
            // Keys by INFO are for those who answer calls; the others cannot happen in an answered
            // call of one who neither sends re-INVITEs nor probes.
            _ => (),
        }
    }

    /// The ACK of our 200: with the answer, if the 200 had the offer.
    fn acknowledged(&mut self, body: Option<&Body>) {
        match self.active.leg.accept(body) {
            None => (),
            Some(Ok(agreed)) => {
                self.active.agree(agreed);
                self.diary.tell(What::Answered { codec: agreed.codec });
            }
            Some(Err(_)) => self.fail("no usable session description"),
        }
    }

    fn reinvited(&mut self, dialog: DialogId, body: Option<&Body>) {
        match self.active.answer(body) {
            Ok((body, held)) => {
                self.signal(|signaling| signaling.answer(dialog, body, Headers::default()));
                if let Some(on) = held {
                    self.diary.tell(What::Held { on });
                }
            }
            Err(why) => {
                let status = StatusCode::new(why.status()).unwrap_or(StatusCode::of(488));
                self.signal(|signaling| signaling.reject(dialog, status, Headers::default()));
            }
        }
    }

    fn end(&mut self, by: Side, reason: Option<String>) {
        self.ended = Some(Ended { by, reason, is_broken: false });
    }

    fn fail(&mut self, reason: &str) {
        self.ended = Some(Ended { by: Side::Us, reason: Some(reason.into()), is_broken: true });
    }

    /// Gives the stack an order. One that takes none has stopped, and this call with it.
    fn signal(&mut self, order: impl FnOnce(&Signaling) -> Result<(), Overloaded>) {
        if order(&self.phone.signaling).is_err() {
            self.fail("the signalling has stopped");
        }
    }

    /// Hangs up whatever is still there, and sums up.
    fn finish(mut self, ended: Ended) -> Recorded {
        let target = self.following.take().and_then(|following| following.dialog());
        let left = self.leaving.take().map(|leaving| leaving.dialog);
        let active = (ended.by == Side::Us).then_some(self.active.dialog);
        for dialog in [target, left, active].into_iter().flatten() {
            self.signal(|signaling| signaling.hang_up(dialog, None));
        }
        let talked = now() - self.answered_at;
        self.diary.tell(What::HungUp { by: ended.by, reason: ended.reason });
        let summary = Summary {
            talked,
            ended_by: ended.by,
            is_broken: ended.is_broken,
            turns: self.turns,
            transferred_to: self.transferred_to.take(),
            answer_times: self.tape.answer_times(),
        };
        self.diary.tell(What::Summary(summary.clone()));
        let (said, heard) = self.tape.into_voices();
        Recorded { summary, said, heard }
    }
}
