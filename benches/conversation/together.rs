//! What takes its time and needs no quiet machine, in calls at the same time: turns with a pause inside, and
//! sounds that nobody should take for words.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::call::Call;
use crate::line::as_a_phone;
use crate::program::server::Server;
use crate::recordings::{self, HERTZ, Recording};
use crate::shop::AGENT;

/// What people pause for inside a turn. Above are pauses that nobody can tell from the end of one.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(300),
    Duration::from_millis(350),
    Duration::from_millis(400),
    Duration::from_millis(450),
    Duration::from_millis(500),
];

/// How many callers pause.
const CALLERS: usize = 3;

/// How long each call hears something that is no voice.
const NOISE: Duration = Duration::from_secs(60);

/// Hold music, of the Debian package asterisk-moh-opsound-wav.
const MUSIC: &str = "/usr/share/asterisk/moh";

/// The noise of a line, from none over -50 dB to -40 dB: its highest sample.
const LEVELS: [i16; 3] = [0, 180, 560];

/// The calls of this part have numbers from here on.
const FIRST_NUMBER: usize = 1000;

/// What was counted.
#[derive(Debug, Default)]
pub struct Together {
    /// Turns with a pause, and how many of them were taken for two.
    pub paused: usize,
    pub cut: usize,
    /// Words that were heard in so much noise.
    pub invented: usize,
    pub noise: Duration,
    pub remarks: Vec<String>,
}

impl Together {
    pub fn invented_per_hour(&self) -> f64 {
        self.invented as f64 / (self.noise.as_secs_f64() / 3600.0)
    }

    fn add(&mut self, other: Together) {
        self.paused += other.paused;
        self.cut += other.cut;
        self.invented += other.invented;
        self.noise += other.noise;
        self.remarks.extend(other.remarks);
    }
}

/// All of it.
pub fn run(server: &Server, ordinary: &[Recording]) -> Result<Together> {
    let paused = with_pauses(ordinary)?;
    let noises = noises()?;
    let mut all = Together::default();
    let parts: Vec<Result<Together>> = thread::scope(|scope| {
        let halves = paused.chunks(paused.len().div_ceil(CALLERS)).enumerate();
        let pausing =
            halves.map(|(n, turns)| scope.spawn(move || as_a_phone(|| pause(server, n, turns))));
        let noisy = noises.iter().enumerate();
        let noisy = noisy.map(|(n, noise)| {
            scope.spawn(move || as_a_phone(|| make_noise(server, n + CALLERS, noise)))
        });
        let calls: Vec<_> = pausing.chain(noisy).collect();
        calls.into_iter().map(|call| call.join().expect("a call does not panic")).collect()
    });
    for part in parts {
        all.add(part?);
    }
    Ok(all)
}

/// Two recordings in one breath, of the same person: prompts are read by one, and the book by another.
fn with_pauses(ordinary: &[Recording]) -> Result<Vec<Recording>> {
    let (read, prompts): (Vec<_>, Vec<_>) =
        ordinary.iter().partition(|recording| recording.kind == "read");
    let mut pairs = Vec::new();
    for mut of_one in [prompts, read] {
        of_one.sort_by_key(|recording| recording.samples.len());
        pairs.extend(of_one.windows(2).map(|pair| (pair[0], pair[1])).take(PAUSES.len()));
    }
    let pairs = pairs.into_iter().zip(PAUSES.iter().cycle());
    pairs.map(|((one, other), pause)| one.then(other, *pause)).collect()
}

/// A caller with pauses.
fn pause(server: &Server, number: usize, said: &[Recording]) -> Result<Together> {
    let mut call = Call::dial(server, AGENT, FIRST_NUMBER + number)?;
    call.greeting()?;
    call.hear_out()?;
    for recording in said {
        call.say(recording)?;
        call.hear_out()?;
    }
    let turns = call.hang_up()?.turns;
    let cut = said.iter().zip(&turns).filter(|(_, turns)| **turns > 1).map(|(said, _)| said);
    let missed = said.iter().zip(&turns).filter(|(_, turns)| **turns == 0).map(|(said, _)| said);
    let remarks = cut.clone().map(|said| format!("cut in two: {}", said.name));
    let remarks = remarks.chain(missed.map(|said| format!("not understood: {}", said.name)));
    Ok(Together {
        paused: said.len(),
        cut: cut.clone().count(),
        remarks: remarks.collect(),
        ..Together::default()
    })
}

/// Sounds of a minute each: hold music, and lines on which nobody speaks.
fn noises() -> Result<Vec<Vec<i16>>> {
    let mut tracks: Vec<_> = std::fs::read_dir(MUSIC)
        .with_context(|| format!("no {MUSIC}: `make test-setup` installs it"))?
        .flatten()
        .map(|track| track.path())
        .filter(|track| track.extension().is_some_and(|extension| extension == "wav"))
        .collect();
    tracks.sort();
    let music = tracks.chunks(tracks.len().div_ceil(2)).map(medley);
    let part = NOISE / LEVELS.len() as u32;
    let line = LEVELS.iter().flat_map(|&level| recordings::noise(level, part)).collect();
    music.chain([Ok(line)]).collect()
}

/// A minute of these, the same time of each.
fn medley(tracks: &[PathBuf]) -> Result<Vec<i16>> {
    let part = NOISE.as_secs() as usize * HERTZ / tracks.len();
    let mut medley = Vec::with_capacity(part * tracks.len());
    for track in tracks {
        medley.extend(recordings::wav(track)?.iter().take(part));
    }
    Ok(medley)
}

/// A caller who says nothing.
fn make_noise(server: &Server, number: usize, noise: &[i16]) -> Result<Together> {
    let mut call = Call::dial(server, AGENT, FIRST_NUMBER + number)?;
    call.greeting()?;
    call.hear_out()?;
    call.line.play(noise)?;
    // Whatever it takes for the end of a turn would come now.
    call.hear_out()?;
    let words = call.hang_up()?.words;
    Ok(Together {
        invented: words.split_whitespace().count(),
        noise: Duration::from_secs_f64(noise.len() as f64 / HERTZ as f64),
        remarks: (!words.is_empty())
            .then(|| format!("heard in noise: {words}"))
            .into_iter()
            .collect(),
        ..Together::default()
    })
}
