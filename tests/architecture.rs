//! Keeps the shape of the source tree that ARCHITECTURE.md describes.
//!
//! `src/lib.rs` declares the modules from the ground up. That order is the one list of layers: a
//! module may use only what is declared above it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What only a driver may do.
const IMPURE: [&str; 12] = [
    "async ",
    ".await\n",
    ".await;",
    ".await?",
    ".await.",
    ".await)",
    "tokio::",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "rand::rng(",
    "HashMap",
];

/// The drivers: files and folders of `src/` that may wait, read a clock and hold a socket. Everything
/// else is pure. A new name here is a decision; ARCHITECTURE.md gives the reasons.
const DRIVERS: [&str; 20] = [
    "agent/driver.rs",
    "agent/lines.rs",
    "agent/llm.rs",
    "agent/scripted.rs",
    "agent/server.rs",
    "app/",
    "call/driver/",
    "call/registry.rs",
    "context/recorder/",
    "context/store/",
    "desk/",
    "main.rs",
    "net/",
    "phone/",
    "speech/driver.rs",
    "speech/flite.rs",
    "speech/scripted.rs",
    "speech/whisper.rs",
    "speech/workers.rs",
    "telemetry.rs",
];

/// What is compiled for tests only, in files whose names do not say so.
const TEST_SUPPORT: [&str; 4] =
    ["context/fixtures.rs", "escalation/corpus.rs", "escalation/spoken.rs", "speech/real/"];

/// Where a serialised shape may live: a type with `Serialize` is a promise to someone outside.
const EDGES: [&str; 8] = [
    "agent/llm.rs",
    "config.rs",
    "context/briefing.rs",
    "context/conversation.rs",
    "context/journal.rs",
    "desk/wire/",
    "dialplan/file.rs",
    "phone/wire.rs",
];

#[test]
fn modules_use_only_what_is_declared_above_them() {
    let layers = layers();
    for (module, &layer) in &layers {
        for file in sources(module) {
            let code = production_code(&file);
            assert!(!code.contains("crate::{"), "{}: one `use` a module", file.display());
            for used in names_after("crate::", &code) {
                let Some(&below) = layers.get(&used) else { continue };
                assert!(below <= layer, "{}: `{module}` may not use `{used}`", file.display());
            }
        }
    }
}

#[test]
fn code_is_pure_unless_it_is_named_as_a_driver() {
    for file in all_sources() {
        if is_listed(&file, &DRIVERS) || is_listed(&file, &TEST_SUPPORT) {
            continue;
        }
        let code = production_code(&file);
        for word in IMPURE {
            assert!(!code.contains(word), "{}: `{word}` outside the drivers", file.display());
        }
    }
}

#[test]
fn serialised_shapes_live_at_the_edges() {
    for file in all_sources() {
        if !is_listed(&file, &EDGES) {
            let code = production_code(&file);
            assert!(!code.contains("Serialize"), "{}: a serialised shape inside", file.display());
        }
    }
}

/// A listed file that no longer exists would hide its successor.
#[test]
fn every_listed_file_exists() {
    for name in DRIVERS.iter().chain(&EDGES).chain(&TEST_SUPPORT) {
        assert!(Path::new("src").join(name).exists(), "src/{name} is listed and does not exist");
    }
}

/// Whether `file` is one of `list`, or in a folder of it. `x.rs` stands for the folder `x/` too.
fn is_listed(file: &Path, list: &[&str]) -> bool {
    let name = file.strip_prefix("src").expect("a source").to_string_lossy().replace('\\', "/");
    list.iter().any(|entry| {
        let folder = format!("{}/", entry.trim_end_matches('/').trim_end_matches(".rs"));
        name == *entry || name.starts_with(&folder)
    })
}

/// Each module of the crate with its place in `src/lib.rs`, counted from the ground.
fn layers() -> BTreeMap<String, usize> {
    let lib = fs::read_to_string("src/lib.rs").expect("the crate has a root");
    names_after("\npub mod ", &lib).into_iter().enumerate().map(|(n, name)| (name, n)).collect()
}

/// The source files of a module: `src/module.rs` and everything in `src/module/`.
fn sources(module: &str) -> Vec<PathBuf> {
    let file = PathBuf::from(format!("src/{module}.rs"));
    let mut files = files_below(&PathBuf::from(format!("src/{module}")));
    files.extend(file.exists().then_some(file));
    files
}

fn all_sources() -> Vec<PathBuf> {
    files_below(Path::new("src"))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The code of a file without its tests and its comments. A file that holds only tests has none.
fn production_code(file: &Path) -> String {
    let mut parts = file.components().map(|part| part.as_os_str().to_string_lossy());
    if parts.any(|part| part == "tests" || part == "tests.rs") {
        return String::new();
    }
    let text = fs::read_to_string(file).expect("a readable source");
    let code = text.split("\n#[cfg(test)]\nmod ").next().expect("a first part");
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The identifiers that follow `prefix` in `text`, in order, each once.
fn names_after(prefix: &str, text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in text.split(prefix).skip(1) {
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
