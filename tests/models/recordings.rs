//! Recordings of real people, as `tools/recordings` makes them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::has_file;

/// Somebody who said something.
#[derive(Clone, Debug)]
pub struct Recording {
    pub name: String,
    /// `person`, `ordinary`, `trap`, `read`.
    pub kind: String,
    /// What is said in it.
    pub words: String,
}

/// All recordings of these kinds; `None` if this machine has none, and the test is skipped.
pub fn recordings(kinds: &[&str]) -> Option<Vec<Recording>> {
    let index = folder().join("index.tsv");
    if !has_file(&index) {
        return None;
    }
    let index = fs::read_to_string(index).expect("text");
    let all = index.lines().map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut field = || fields.next().expect("a name, a kind, words");
        Recording { name: field(), kind: field(), words: field() }
    });
    let of_kind: Vec<_> = all.filter(|one| kinds.contains(&&*one.kind)).collect();
    assert!(!of_kind.is_empty(), "no recordings of {kinds:?}");
    Some(of_kind)
}

impl Recording {
    /// Its file, as an argument.
    pub fn file(&self) -> String {
        folder().join(format!("{}.wav", self.name)).display().to_string()
    }

    /// 8 kHz.
    pub fn samples(&self) -> Vec<i16> {
        let mut reader = hound::WavReader::open(self.file()).expect("a recording");
        reader.samples().collect::<Result<_, _>>().expect("16 bit")
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/recordings")
}
