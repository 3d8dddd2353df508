//! Who really hears whom: a tone at each port, and what correlates with it at each other.

use std::f64::consts::TAU;

use super::*;

const CALLER_HERTZ: f64 = 500.0;
const HUMAN_HERTZ: f64 = 700.0;
const AGENT_HERTZ: f64 = 1100.0;
const HOLD_HERTZ: f64 = 1300.0;
const LOUD: f64 = 8000.0;

/// `count` samples of a tone from the n-th sample on.
fn tone(hertz: f64, n: usize, count: usize) -> Vec<i16> {
    (n..n + count).map(|i| (LOUD * (TAU * hertz * i as f64 / 8000.0).sin()) as i16).collect()
}

/// How loud a tone is in the samples, in decibels below [`LOUD`].
fn level(hertz: f64, samples: &[i16]) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, &sample) in samples.iter().enumerate() {
        let phase = TAU * hertz * i as f64 / 8000.0;
        re += f64::from(sample) * phase.cos();
        im += f64::from(sample) * phase.sin();
    }
    let amplitude = 2.0 * re.hypot(im) / samples.len() as f64;
    20.0 * (amplitude / LOUD).max(1e-9).log10()
}

/// A bridge with its tones, and what each party has heard since the last look.
struct World {
    bridge: Bridge,
    frames: usize,
    heard: [Vec<i16>; 3],
}

impl World {
    fn new(wiring: Wiring) -> Self {
        let hold: Arc<[i16]> = tone(HOLD_HERTZ, 0, 8000).into();
        let mut bridge = Bridge::new(Rate::Narrow, wiring, Some(hold));
        assert!(bridge.play(ClipId(1), tone(AGENT_HERTZ, 0, 80_000).into()));
        World { bridge, frames: 0, heard: Default::default() }
    }

    fn run(&mut self, frames: usize) {
        for _ in 0..frames {
            let n = self.frames * 160;
            let caller = Frame::from_samples(Rate::Narrow, &tone(CALLER_HERTZ, n, 160));
            let human = Frame::from_samples(Rate::Narrow, &tone(HUMAN_HERTZ, n, 160));
            let out = self.bridge.tick(Inputs { caller: Some(&caller), human: Some(&human) });
            self.heard[0].extend(out.caller.samples());
            self.heard[1].extend(out.human.samples());
            self.heard[2].extend(out.agent.frame.samples());
            assert!(out.agent.agent_sounds);
            self.frames += 1;
        }
    }
}

const WIRINGS: [Wiring; 6] = [
    Wiring::CONVERSING,
    Wiring::HOLDING,
    Wiring::BRIEFING,
    Wiring::INTRODUCING,
    Wiring::SUPERVISED,
    Wiring::BRIDGED,
];

const TONES: [(Source, f64); 4] = [
    (Source::Voice(Party::Caller), CALLER_HERTZ),
    (Source::Voice(Party::Human), HUMAN_HERTZ),
    (Source::Voice(Party::Agent), AGENT_HERTZ),
    (Source::Hold, HOLD_HERTZ),
];

/// From every wiring to every other: what is wired is as loud as it came in, and nothing else is
/// louder than -60 dB.
#[test]
fn everybody_hears_what_is_wired_and_nothing_else() {
    for (before, after) in WIRINGS.iter().flat_map(|b| WIRINGS.iter().map(move |a| (b, a))) {
        let mut world = World::new(*before);
        world.run(3);
        world.bridge.wire(*after);
        // The ramp, and the 250 ms in which hold music comes up.
        world.run(14);
        world.heard = Default::default();
        // A fifth of a second: whole periods of each tone, so that none leaks into the measure of
        // another.
        world.run(10);

        for (party, heard) in PARTIES.into_iter().zip(&world.heard) {
            for (source, hertz) in TONES {
                let level = level(hertz, heard);
                let wired = after.heard_by(party).contains(&source);
                let right = if wired { level.abs() < 0.1 } else { level < -60.0 };
                assert!(
                    right,
                    "{before:?} to {after:?}: {party:?} has {source:?} at {level:.1} dB"
                );
            }
        }
    }
}

/// With every source at a constant 4000, the only steps that anybody can hear are those of the
/// gains: 100 a sample and source, a little more where hold music comes up.
#[test]
fn rewiring_never_clicks() {
    let constant: Arc<[i16]> = vec![4000; 16_000].into();
    let voice = Frame::from_samples(Rate::Narrow, &constant);
    let inputs = Inputs { caller: Some(&voice), human: Some(&voice) };

    for (before, after) in WIRINGS.iter().flat_map(|b| WIRINGS.iter().map(move |a| (b, a))) {
        let mut bridge = Bridge::new(Rate::Narrow, *before, Some(Arc::clone(&constant)));
        assert!(bridge.play(ClipId(1), Arc::clone(&constant)));
        let mut heard: [Vec<i16>; 3] = Default::default();
        for frame in 0..40 {
            if frame == 20 {
                bridge.wire(*after);
            }
            let out = bridge.tick(inputs);
            heard[0].extend(out.caller.samples());
            heard[1].extend(out.human.samples());
            heard[2].extend(out.agent.frame.samples());
        }
        for heard in heard {
            let step = heard.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max();
            assert!(step.expect("samples") <= 2 * 100 + 5, "{before:?} to {after:?}: {step:?}");
        }
    }
}

/// A rewiring changes a constant voice over exactly 40 samples, evenly.
#[test]
fn gain_moves_over_five_milliseconds() {
    let human = Frame::from_samples(Rate::Narrow, &[4000; 160]);
    let inputs = Inputs { caller: None, human: Some(&human) };
    let mut bridge = Bridge::new(Rate::Narrow, Wiring::HOLDING, None);
    bridge.tick(inputs);

    bridge.wire(Wiring::BRIDGED);
    let heard = bridge.tick(inputs).caller;
    let expected: Vec<i16> = (1..=160).map(|n| 100 * n.min(40)).collect();
    assert_eq!(heard.samples(), expected);
}

#[test]
fn two_loud_voices_are_clamped_and_do_not_wrap() {
    let loud = Frame::from_samples(Rate::Narrow, &[30_000; 160]);
    let mut bridge = Bridge::new(Rate::Narrow, Wiring::SUPERVISED, None);
    let inputs = Inputs { caller: Some(&loud), human: Some(&loud) };
    bridge.tick(inputs);
    assert_eq!(bridge.tick(inputs).agent.frame.samples(), [i16::MAX; 160]);
}

#[test]
fn party_that_leaves_in_the_middle_of_a_word_fades() {
    let human = Frame::from_samples(Rate::Narrow, &[4000; 160]);
    let mut bridge = Bridge::new(Rate::Narrow, Wiring::BRIDGED, None);
    bridge.tick(Inputs { caller: None, human: Some(&human) });

    let heard = bridge.tick(Inputs::default()).caller;
    assert_eq!(heard.samples()[0], 3900);
    assert_eq!(heard.samples()[39..], [0; 121]);
    assert_eq!(bridge.tick(Inputs::default()).caller, Frame::silence(Rate::Narrow));
}

#[test]
fn hold_music_comes_up_softly_each_time_and_goes_on_where_it_was() {
    let music: Arc<[i16]> = (0..16_000).map(|n| if n < 8000 { 8000 } else { 4000 }).collect();
    let mut bridge = Bridge::new(Rate::Narrow, Wiring::HOLDING, Some(music));
    assert!(bridge.tick(Inputs::default()).caller.samples().iter().all(|&s| s <= 8000 / 12));
    for _ in 0..49 {
        bridge.tick(Inputs::default());
    }
    bridge.wire(Wiring::CONVERSING);
    for _ in 0..10 {
        bridge.tick(Inputs::default());
    }
    bridge.wire(Wiring::HOLDING);
    assert!(bridge.tick(Inputs::default()).caller.samples().iter().all(|&s| s <= 4000 / 12));
    for _ in 0..20 {
        bridge.tick(Inputs::default());
    }
    assert_eq!(bridge.tick(Inputs::default()).caller.samples(), [4000; 160]);
}

/// One frame after the command the agent is silent, and the account says how much was heard.
#[test]
fn barge_in_silences_the_agent_within_a_frame() {
    let mut world = World::new(Wiring::CONVERSING);
    world.run(5);
    world.bridge.stop();
    world.run(1);
    let out = world.bridge.tick(Inputs::default());

    assert!(!out.agent.agent_sounds);
    assert_eq!(out.caller, Frame::silence(Rate::Narrow));
    let events: Vec<_> = std::iter::from_fn(|| world.bridge.poll_event()).collect();
    let ended = MouthEvent::Ended { clip: ClipId(1), played: 5 * 160 + 40, whole: false };
    assert_eq!(events, [MouthEvent::Started { clip: ClipId(1) }, ended]);
    assert_eq!(world.bridge.poll_spent().map(|samples| samples.len()), Some(80_000));
}
