//! The program as a person with a laptop has it: Whisper, flite, SQLite, the dialplan that is built in.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::program::free_port;
use crate::program::place::{Machine, Place};
use crate::program::server::Server;

/// Whom the built-in dialplan has answer.
pub const AGENT: &str = "demo";

/// The recogniser's weights.
pub const WEIGHTS: &str = "models/ggml-tiny.en-q8_0.bin";

/// A model that runs on this machine: small enough for two cores.
const LOCAL_MODEL: &str = "models/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";

/// How long a local model may take before the fallback line is said. Its time is to be measured, and not the
/// patience of callers.
const LOCAL_DEADLINE_MS: u32 = 10_000;

/// More than there will be at once, and few enough for the ports.
const CALLS_MAX: u32 = 20;

/// What is in this package.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Checks that there is something to measure with.
pub fn check() -> Result<()> {
    for path in [WEIGHTS, "models/ggml-silero-v6.2.0.bin"] {
        ensure!(here(path).is_file(), "{path} is missing: `make test-setup` fetches it");
    }
    Ok(())
}

/// The program with a model that somebody else serves.
pub fn start(url: &str) -> Result<Server> {
    start_with(&format!("url = \"{url}\""))
}

/// The program with a model of its own, which it starts. `None`: it is not here.
pub fn start_local() -> Result<Option<Server>> {
    let (model, server) = (here(LOCAL_MODEL), here("tools/llama-server"));
    if !model.is_file() || !here("models/venv").exists() {
        return Ok(None);
    }
    let port = free_port().to_string();
    let command = [path(&server), "--port", &port, "--model", path(&model)];
    let name = Path::new(LOCAL_MODEL).file_stem().and_then(|name| name.to_str());
    let llm = format!(
        "url = \"http://127.0.0.1:{port}/v1\"\nmodel = {name:?}\nspawn = {command:?}\n\
         deadline_ms = {LOCAL_DEADLINE_MS}",
        name = name.unwrap_or_default(),
    );
    start_with(&llm).map(Some)
}

fn start_with(llm: &str) -> Result<Server> {
    let machine = Machine { calls_max: CALLS_MAX, log: "info", ..Machine::small() };
    let place = Place::on(machine);
    let speech = format!("model = {:?}", here(WEIGHTS));
    let configuration = place.configuration(&speech, llm, "sqlite:tandem.db");
    place.write("tandem.toml", &configuration);
    Ok(Server::start_in(place))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path of a repository is text")
}
