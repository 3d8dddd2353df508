//! A caller talks with the agent, one call after the other, and waits for its answers.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::call::{Call, Turn};
use crate::line::as_a_phone;
use crate::program::server::Server;
use crate::program::wait_for;
use crate::recordings::Recording;
use crate::shop::AGENT;
use crate::stages::{Reading, STAGES};

/// Turns of one call.
const TURNS: usize = 6;

/// Every so many answers the caller lets the agent finish.
const HEARS_OUT: usize = 3;

/// How long the agent is let speak before the caller speaks over it.
const LISTENS: Duration = Duration::from_millis(800);

/// How long the agent has been silent when it has stopped.
const STOPPED: Duration = Duration::from_millis(500);

/// After so many turns without an answer the model is too slow for this machine as busy as it is now.
const UNANSWERED_MAX: usize = 2;

/// How long a local model may take to load.
const LOADING_MAX: Duration = Duration::from_secs(60);

/// What was measured, in milliseconds and sorted.
#[derive(Debug, Default)]
pub struct Talk {
    pub voice_to_voice: Vec<f64>,
    pub first_audio: Vec<f64>,
    pub barge_in: Vec<f64>,
    pub greeting: Vec<f64>,
    /// What passes before the program hears the end of the caller's voice: the network, the jitter buffer, and
    /// how long its voice activity takes what rings out for a voice.
    pub hearing: Vec<f64>,
    pub stages: [Vec<f64>; STAGES.len()],
    /// Turns that went otherwise.
    pub remarks: Vec<String>,
    unanswered: usize,
}

/// Says so many turns to the agent.
pub fn with(server: &Server, recordings: &[Recording], turns: usize) -> Result<Talk> {
    let ready = wait_for(LOADING_MAX, || {
        server.metrics().sum("llm_ready").is_none_or(|ready| ready == 1.0).then_some(())
    });
    ready.context("the model does not load")?;
    let mut talk = Talk::default();
    let first = recordings.iter().min_by_key(|recording| recording.samples.len());
    let first = first.context("there is nothing to say")?;
    as_a_phone(|| talk.warm_up(server, first))?;
    let said: Vec<&Recording> = recordings.iter().cycle().take(turns).collect();
    for (number, said) in said.chunks(TURNS).enumerate() {
        as_a_phone(|| talk.call(server, 1 + number, said))?;
    }
    talk.sort();
    Ok(talk)
}

impl Talk {
    /// The first turn after the start finds everything cold, and a local model reads its persona for the first
    /// time: no caller but one meets that.
    fn warm_up(&mut self, server: &Server, recording: &Recording) -> Result<()> {
        let mut call = Call::dial(server, AGENT, 0)?;
        call.greeting()?;
        call.hear_out()?;
        let turn = call.say(recording)?;
        self.remarks.push(match turn.answer {
            Some((_, word)) => {
                let waited = millis(word - turn.spoken.ended);
                format!("the first turn after the start, not counted: {waited:.0} ms")
            }
            None => "the first turn after the start, not counted, was not answered".to_owned(),
        });
        call.hang_up().map(drop)
    }

    fn call(&mut self, server: &Server, number: usize, said: &[&Recording]) -> Result<()> {
        let mut call = Call::dial(server, AGENT, number)?;
        self.greeting.push(millis(call.greeting()?));
        call.hear_out()?;

        let mut before = Reading::of(&server.metrics());
        let mut agent_speaks = false;
        for (n, recording) in said.iter().enumerate() {
            if self.unanswered >= UNANSWERED_MAX {
                self.remarks.push("the rest was not said: nobody answers".to_owned());
                break;
            }
            let turn = call.say(recording)?;
            if agent_speaks {
                self.interrupted(&call, &turn, recording);
            }
            let now = Reading::of(&server.metrics());
            self.answered(&turn, recording, now.since(&before));
            before = now;
            agent_speaks = turn.answer.is_some() && (n + 1) % HEARS_OUT != 0;
            match agent_speaks || n + 1 == said.len() {
                true => call.line.wait(LISTENS)?,
                false => call.hear_out()?,
            }
        }
        call.hang_up().map(drop)
    }

    fn interrupted(&mut self, call: &Call<'_>, turn: &Turn, recording: &Recording) {
        let began = turn.spoken.began;
        match call.line.fell_silent(began, STOPPED).filter(|&last| last > began) {
            Some(last) if last < turn.spoken.ended => self.barge_in.push(millis(last - began)),
            _ => self.remarks.push(format!("was not heard over the agent: {}", recording.name)),
        }
    }

    fn answered(
        &mut self,
        turn: &Turn,
        recording: &Recording,
        stages: Option<[f64; STAGES.len()]>,
    ) {
        let Some((sound, word)) = turn.answer else {
            self.unanswered += 1;
            return self.remarks.push(format!("was not answered: {}", recording.name));
        };
        let ended = turn.spoken.ended;
        let waited = millis(word - ended);
        let Some(stages) = stages else {
            // The fallback line, or more turns than one.
            let what = "was not one turn with one answer of the model";
            let remark = format!("{what}, and heard something after {waited:.0} ms");
            return self.remarks.push(format!("{remark}: {}", recording.name));
        };
        self.voice_to_voice.push(waited);
        self.first_audio.push(millis(sound - ended));
        self.hearing.push(waited - stages.iter().sum::<f64>());
        for (times, time) in self.stages.iter_mut().zip(stages) {
            times.push(time);
        }
    }

    fn sort(&mut self) {
        let Talk { voice_to_voice, first_audio, barge_in, greeting, hearing, stages, .. } = self;
        let all = [voice_to_voice, first_audio, barge_in, greeting, hearing];
        all.into_iter().chain(stages).for_each(|times| times.sort_by(f64::total_cmp));
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
