//! Joins the ports of a call: one 20 ms frame in from each, one out to each.
//!
//! ```text
//!                  heard by   caller   human   agent
//!   caller's voice              .        x       x
//!   human's voice               x        .       x
//!   agent's mouth               x        x       .      a crosspoint has a gain,
//!   hold music                  x        x       x      and moves it over 5 ms
//! ```
//!
//! [`Wiring`] says which crosspoints are open. A frame out is the sum of the open ones in 32 bits,
//! clamped once. In a tick nothing is allocated.

use std::sync::Arc;

use super::mouth::{ClipId, Mouth, MouthEvent};
use super::{FRAME_SAMPLES_MAX, Frame, Party, Rate, Source, Wiring};

/// How long hold music takes to come up, each time it begins: 250 ms, so that it startles nobody.
const HOLD_FADE_PER_SECOND: usize = 4;

/// One frame from each port. `None` is a port that nobody is at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    /// What the caller said.
    pub caller: Option<&'a Frame>,
    /// What the human said.
    pub human: Option<&'a Frame>,
}

/// One frame for each port.
#[derive(Clone, Copy, Debug)]
pub struct Outputs {
    /// What the caller hears.
    pub caller: Frame,
    /// What the human hears.
    pub human: Frame,
    /// What the agent hears.
    pub agent: HeardFrame,
}

/// What the agent's port hears, 20 ms of it.
#[derive(Clone, Copy, Debug)]
pub struct HeardFrame {
    /// The sum of the voices wired to the agent's port.
    pub frame: Frame,
    /// Whether the agent itself was sounding in this tick: what is heard now may be a barge-in.
    pub agent_sounds: bool,
}

/// Joins the ports of a call.
#[derive(Debug)]
pub struct Bridge {
    rate: Rate,
    /// Whose gains move towards which end: for each party, for each source.
    crosspoints: [[Crosspoint; SOURCES]; PARTIES.len()],
    caller: Port,
    human: Port,
    mouth: Mouth,
    hold: Hold,
}

/// In the order in which a party is an index.
const PARTIES: [Party; 3] = [Party::Caller, Party::Human, Party::Agent];
/// The voices of the parties, and hold music.
const SOURCES: usize = PARTIES.len() + 1;

impl Bridge {
    /// A bridge at `rate`, with hold music at that rate; without any, who is on hold hears silence.
    pub fn new(rate: Rate, wiring: Wiring, hold: Option<Arc<[i16]>>) -> Self {
        let mut bridge = Bridge {
            rate,
            crosspoints: Default::default(),
            caller: Port::default(),
            human: Port::default(),
            mouth: Mouth::new(rate),
            hold: Hold::new(rate, hold),
        };
        bridge.wire(wiring);
        bridge
    }

    /// Other hold music, at the rate of the bridge.
    pub fn hold_with(&mut self, music: Arc<[i16]>) {
        self.hold.change(music);
    }

    /// Rewires, over a ramp of 5 ms.
    pub fn wire(&mut self, wiring: Wiring) {
        for (party, crosspoints) in PARTIES.into_iter().zip(&mut self.crosspoints) {
            for (source, crosspoint) in crosspoints.iter_mut().enumerate() {
                crosspoint.open = wiring.heard_by(party).iter().any(|s| index_of(*s) == source);
            }
        }
    }

    /// Queues a clip for the agent's mouth, behind those that wait. False if the queue is full: the
    /// clip will not be played and has no events.
    pub fn play(&mut self, clip: ClipId, samples: Arc<[i16]>) -> bool {
        self.mouth.play(clip, samples)
    }

    /// Silences the agent's mouth with a ramp of 5 ms; every clip of it ends.
    pub fn stop(&mut self) {
        self.mouth.stop();
    }

    /// 20 ms: one frame in from each port, one out to each.
    pub fn tick(&mut self, inputs: Inputs<'_>) -> Outputs {
        let mut agent = Frame::silence(self.rate);
        let agent_sounds = self.mouth.fill(agent.samples_mut());
        let mut hold = Frame::silence(self.rate);
        if self.crosspoints.iter().any(|heard| heard[index_of(Source::Hold)].is_heard()) {
            self.hold.fill(hold.samples_mut());
        } else {
            self.hold.rewind_fade();
        }
        let caller = self.caller.take(self.rate, inputs.caller);
        let human = self.human.take(self.rate, inputs.human);

        let sources = [&caller, &human, &agent, &hold];
        let [to_caller, to_human, to_agent] = &mut self.crosspoints;
        Outputs {
            caller: mix(self.rate, to_caller, sources),
            human: mix(self.rate, to_human, sources),
            agent: HeardFrame { frame: mix(self.rate, to_agent, sources), agent_sounds },
        }
    }

    /// What became of the clips. Drain to `None` after `tick`.
    pub fn poll_event(&mut self) -> Option<MouthEvent> {
        self.mouth.poll_event()
    }

    /// The samples of a clip that is over, for whoever may free memory: dropping them in a media
    /// worker would call the allocator from the tick. Drain to `None` after `tick` and send them
    /// away.
    pub fn poll_spent(&mut self) -> Option<Arc<[i16]>> {
        self.mouth.poll_spent()
    }
}

const fn index_of(source: Source) -> usize {
    match source {
        Source::Voice(Party::Caller) => 0,
        Source::Voice(Party::Human) => 1,
        Source::Voice(Party::Agent) => 2,
        Source::Hold => 3,
    }
}

/// How loud one source is for one party: from 0 to [`Rate::ramp_samples`], on its way to one end.
#[derive(Clone, Copy, Debug, Default)]
struct Crosspoint {
    gain: i32,
    open: bool,
}

impl Crosspoint {
    fn is_heard(self) -> bool {
        self.open || self.gain > 0
    }

    /// Adds the samples of the source at the gain, which moves by one step a sample.
    fn add(&mut self, ramp: i32, samples: &[i16], sum: &mut [i32]) {
        let end = if self.open { ramp } else { 0 };
        if self.gain == end {
            if self.open {
                for (sum, sample) in sum.iter_mut().zip(samples) {
                    *sum += i32::from(*sample);
                }
            }
            return;
        }
        let step = (end - self.gain).signum();
        for (sum, sample) in sum.iter_mut().zip(samples) {
            if self.gain != end {
                self.gain += step;
            }
            *sum += i32::from(*sample) * self.gain / ramp;
        }
    }
}

fn mix(rate: Rate, crosspoints: &mut [Crosspoint; SOURCES], sources: [&Frame; SOURCES]) -> Frame {
    let mut sum = [0; FRAME_SAMPLES_MAX];
    for (crosspoint, source) in crosspoints.iter_mut().zip(sources) {
        crosspoint.add(rate.ramp_samples() as i32, source.samples(), &mut sum);
    }
    let mut frame = Frame::silence(rate);
    for (sample, sum) in frame.samples_mut().iter_mut().zip(sum) {
        *sample = sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    }
    frame
}

/// Where a leg's frames come in.
#[derive(Debug, Default)]
struct Port {
    /// The last sample of a party that was there: one that leaves in the middle of a word must not
    /// click.
    last: i16,
}

impl Port {
    fn take(&mut self, rate: Rate, input: Option<&Frame>) -> Frame {
        debug_assert!(input.is_none_or(|frame| frame.rate() == rate), "sessions resample");
        if let Some(frame) = input.filter(|frame| frame.rate() == rate) {
            self.last = frame.samples().last().copied().unwrap_or(0);
            return *frame;
        }
        let mut frame = Frame::silence(rate);
        let ramp = rate.ramp_samples() as i32;
        let last = i32::from(std::mem::take(&mut self.last));
        for (sample, left) in frame.samples_mut().iter_mut().zip((0..ramp).rev()) {
            *sample = (last * left / ramp) as i16;
        }
        frame
    }
}

/// Hold music, looped. Each call has a position of its own, and goes on there when it is held
/// again.
#[derive(Debug)]
struct Hold {
    samples: Arc<[i16]>,
    position: usize,
    /// How far the music has come up: from 0 to `fade_samples`.
    faded: i32,
    fade_samples: i32,
}

impl Hold {
    fn new(rate: Rate, samples: Option<Arc<[i16]>>) -> Self {
        let fade_samples = (rate.hertz() as usize / HOLD_FADE_PER_SECOND) as i32;
        Hold { samples: samples.unwrap_or_default(), position: 0, faded: 0, fade_samples }
    }

    /// Another tune, from its beginning; the same one goes on.
    fn change(&mut self, samples: Arc<[i16]>) {
        if !Arc::ptr_eq(&self.samples, &samples) {
            *self = Hold { samples, position: 0, faded: 0, ..*self };
        }
    }

    fn fill(&mut self, frame: &mut [i16]) {
        for out in frame {
            let Some(sample) = self.samples.get(self.position) else { return };
            self.position = (self.position + 1) % self.samples.len();
            self.faded = (self.faded + 1).min(self.fade_samples);
            *out = (i32::from(*sample) * self.faded / self.fade_samples) as i16;
        }
    }

    /// Nobody hears it: the next time it begins softly again.
    fn rewind_fade(&mut self) {
        self.faded = 0;
    }
}

#[cfg(test)]
mod tests;
