//! How long a caller waits for the agent, and how well it listens: measured on the RTP of calls to the built
//! program, with real recognition and a real voice.
//!
//! ```text
//! cargo bench --bench conversation -- --turns 20 --json target/bench/conversation.json
//! ```
//!
//! A caller of our own plays recordings of real people in real time and notes every packet that comes. *Voice
//! to voice* is from when the packet leaves that has the last sample of the caller's voice, to when the first
//! packet comes of the first word of the answer; *first audio* is the same to the first sound of any kind, so
//! a word that fills a gap would count. The model is a stand-in that begins after 150 ms and writes 25 tokens a
//! second; the local model is a real one, on the same cores as everything else.
//!
//! In every third turn the caller lets the agent finish; in the others it speaks over the answer. *Barge-in* is
//! from the first packet of that voice to the last one of the agent's.
//!
//! A *false cut-off* is a turn with a pause inside that the program took for two. *Invented words* are those
//! that it wrote down of music, noise and silence.

#![allow(missing_docs, clippy::print_stdout)]

#[path = "conversation/call.rs"]
mod call;
#[path = "common/report.rs"]
mod report;
#[path = "conversation/hearing.rs"]
mod hearing;
#[path = "conversation/line.rs"]
mod line;
#[path = "conversation/model.rs"]
mod model;
#[path = "../tests/common/mod.rs"]
mod program;
#[path = "conversation/recordings.rs"]
mod recordings;
#[path = "conversation/shop.rs"]
mod shop;
#[path = "conversation/stages.rs"]
mod stages;
#[path = "conversation/talk.rs"]
mod talk;
#[path = "conversation/together.rs"]
mod together;
#[path = "../src/speech/real/words.rs"]
mod words;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use model::StandIn;
use program::server::Server;
use recordings::Recording;
use report::quantile;
use stages::STAGES;
use talk::Talk;
use together::Together;
use words::Errors;

#[derive(Parser)]
struct Args {
    /// Turns that are said to the agent with the stand-in model.
    #[arg(long, default_value_t = 20)]
    turns: usize,
    /// Turns that are said to the agent with the local model.
    #[arg(long, default_value_t = 6)]
    local_turns: usize,
    /// Where to write the figures.
    #[arg(long, default_value = "target/bench/conversation.json")]
    json: PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.turns >= 2, "nothing to measure: at least 2 turns");
    shop::check()?;
    let recordings = Recording::all(&shop::here("target/recordings"))?;
    // Those that ask for a person would be transferred in the middle.
    let ordinary: Vec<Recording> =
        recordings.iter().filter(|recording| recording.kind != "person").cloned().collect();

    let model = StandIn::start()?;
    let server = shop::start(&model.url)?;
    let talk = logged(&server, || talk::with(&server, &ordinary, args.turns))?;
    show_talk("stand-in model", &talk);
    let together = logged(&server, || together::run(&server, &ordinary))?;
    drop(server);
    show_together(&together);

    let local = match shop::start_local()? {
        Some(server) => logged(&server, || talk::with(&server, &ordinary, args.local_turns))?,
        None => {
            println!(
                "local model: not measured, since it is not here (`tools/models llm-small llama-server`)"
            );
            Talk::default()
        }
    };
    show_talk("local model", &local);

    let (clean, ulaw) = hear(&recordings)?;
    println!("words, clean: {clean}");
    println!("words, µ-law: {ulaw}");
    println!("talkers_at_1500ms: not measured, since callers here talk one at a time");

    let p = |times: &[f64], part| quantile(times, part);
    report::write(
        &args.json,
        &[
            ("voice_to_voice_ms_p50", p(&talk.voice_to_voice, 0.50)),
            ("voice_to_voice_ms_p95", p(&talk.voice_to_voice, 0.95)),
            ("local_voice_to_voice_ms_p50", p(&local.voice_to_voice, 0.50)),
            ("local_voice_to_voice_ms_p95", p(&local.voice_to_voice, 0.95)),
            ("first_audio_ms_p50", p(&talk.first_audio, 0.50)),
            ("barge_in_ms_p95", p(&talk.barge_in, 0.95)),
            ("false_cutoff_rate", together.cut as f64 / together.paused as f64),
            ("invented_words_per_hour", together.invented_per_hour()),
            ("wer_clean", clean.rate()),
            ("wer_ulaw", ulaw.rate()),
        ],
    )
}

/// Does something with the program, and shows its log if that fails.
fn logged<T>(server: &Server, measure: impl FnOnce() -> Result<T>) -> Result<T> {
    measure().inspect_err(|_| eprintln!("── the program's log ──\n{}", server.log()))
}

/// Words that are wrong, of recordings as they are and through µ-law.
fn hear(recordings: &[Recording]) -> Result<(Errors, Errors)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ears = hearing::Ears::open()?;
    runtime.block_on(async {
        let clean = ears.errors(recordings, hearing::clean).await?;
        let ulaw = ears.errors(recordings, hearing::ulaw).await?;
        Ok((clean, ulaw))
    })
}

fn show_talk(title: &str, talk: &Talk) {
    println!("\n{title:>36} {:>6} {:>9} {:>9}", "turns", "p50", "p95");
    let row = |name: &str, times: &[f64]| {
        let [p50, p95] = [0.50, 0.95].map(|part| report::shown(quantile(times, part).round()));
        println!("{name:>36} {:>6} {p50:>9} {p95:>9}", times.len());
    };
    row("voice to voice, ms", &talk.voice_to_voice);
    row("of it: line and voice activity", &talk.hearing);
    for ((_, name), times) in STAGES.iter().zip(&talk.stages) {
        row(name, times);
    }
    row("first audio, ms", &talk.first_audio);
    row("barge-in, ms", &talk.barge_in);
    row("from the 200 to the greeting, ms", &talk.greeting);
    for remark in &talk.remarks {
        println!("    {remark}");
    }
}

fn show_together(together: &Together) {
    println!();
    println!("turns with a pause: {}, cut in two: {}", together.paused, together.cut);
    for remark in &together.remarks {
        println!("    {remark}");
    }
    let Together { noise, invented, .. } = together;
    println!("words heard in {} s of music, noise and silence: {invented}", noise.as_secs());
}
