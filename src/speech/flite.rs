//! A local voice: flite, with the voices `slt` and `rms` of Carnegie Mellon University.
//!
//! flite keeps tables in static variables and fills them when they are first used, so it is spoken with
//! by one thread only, whatever the number of voices. It needs a sixtieth of the time that its speech
//! takes.

use std::ffi::{CString, c_char, c_int, c_short};
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use crate::speech::engines::EngineError;
use crate::speech::workers::{Craft, Work, Workers};
use crate::speech::{Speech, SpeechError, Synthesizer, Urgency};

/// How the thread is called, and how many sentences may wait for it: at 50 ms each, the last of these
/// begins to sound after three seconds.
const CRAFT: Craft = Craft { engine: "flite", seconds: "speech_synthesis_seconds", room: 64 };

/// The longest text that is spoken in one go, in bytes; a sentence has a tenth of it. What is beyond is
/// refused, for the thread would speak for seconds while others wait.
const TEXT_BYTES_MAX: usize = 2000;

/// The rate of the voices.
const HERTZ: u32 = 16_000;

/// Quieter than this (root mean square of 10 ms) is the silence before and after a sentence: −55 dBFS.
const SILENT_BELOW: f64 = 60.0;
/// Windows of silence that are kept before the first sound.
const LEAD_WINDOWS: usize = 2;
/// Windows of silence that are kept after the last sound, so that the next sentence does not run into it.
const TAIL_WINDOWS: usize = 12;

/// A voice on this machine.
#[derive(Clone)]
pub struct Flite {
    voice: VoiceName,
    mouth: Mouth,
}

type Mouth = Workers<(VoiceName, CString), Speech>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VoiceName {
    Slt,
    Rms,
}

impl Flite {
    /// Starts the voice of this name: `slt` (a woman's) or `rms` (a man's).
    pub fn start(name: &str) -> Result<Self, EngineError> {
        let voice = match name {
            "slt" => VoiceName::Slt,
            "rms" => VoiceName::Rms,
            // flite itself would quietly take another voice.
            _ => {
                return Err(EngineError::Unknown {
                    kind: "voice",
                    name: name.to_owned(),
                    known: "slt, rms",
                });
            }
        };
        let mouth =
            mouth().map_err(|cause| EngineError::NoThread { engine: CRAFT.engine, cause })?;
        Ok(Flite { voice, mouth })
    }
}

impl Synthesizer for Flite {
    fn synthesize(&self, text: &str) -> BoxFuture<'static, Result<Speech, SpeechError>> {
        let Some(text) = readable(text) else {
            return future::ready(Err(SpeechError::Failed)).boxed();
        };
        if !text.as_bytes().iter().any(u8::is_ascii_alphanumeric) {
            // flite would breathe.
            let silence = Speech { hertz: HERTZ, samples: Arc::new([]) };
            return future::ready(Ok(silence)).boxed();
        }
        self.mouth.ask((self.voice, text), Urgency::awaited())
    }
}

/// The one thread of this program that calls flite; started with the first voice, and there until the
/// program ends.
fn mouth() -> io::Result<Mouth> {
    static MOUTH: OnceLock<Result<Mouth, io::ErrorKind>> = OnceLock::new();
    let mouth = MOUTH.get_or_init(|| {
        let mut library = None;
        let speak: Work<_, _> = Box::new(move |(voice, text): (VoiceName, CString), _| {
            library.get_or_insert_with(Library::open).speak(voice, &text)
        });
        Workers::start(CRAFT, vec![speak]).map_err(|error| error.kind())
    });
    mouth.clone().map_err(io::Error::from)
}

/// The text in the letters that flite knows. `None` if there is too much of it.
fn readable(text: &str) -> Option<CString> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let readable: String = text.chars().flat_map(|character| ascii(character).chars()).collect();
    CString::new(readable).ok()
}

/// A character as ASCII has it; flite stumbles over bytes beyond. What ASCII has nothing for is a gap.
fn ascii(character: char) -> Ascii {
    let text = match character {
        '\u{20}'..='\u{7e}' => return Ascii::Itself(character as u8),
        '‘' | '’' | '‚' | '‛' => "'",
        '“' | '”' | '„' | '«' | '»' => "\"",
        '–' | '—' => ", ",
        '…' => "...",
        'ä' | 'à' | 'á' | 'â' | 'ã' | 'å' => "a",
        'Ä' | 'À' | 'Á' | 'Â' | 'Ã' | 'Å' => "A",
        'é' | 'è' | 'ê' | 'ë' => "e",
        'É' | 'È' | 'Ê' | 'Ë' => "E",
        'í' | 'ì' | 'î' | 'ï' => "i",
        'ö' | 'ó' | 'ò' | 'ô' | 'õ' | 'ø' => "o",
        'Ö' | 'Ó' | 'Ò' | 'Ô' | 'Õ' | 'Ø' => "O",
        'ü' | 'ú' | 'ù' | 'û' => "u",
        'Ü' | 'Ú' | 'Ù' | 'Û' => "U",
        'ç' => "c",
        'ñ' => "n",
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        '€' => " euros ",
        '£' => " pounds ",
        '°' => " degrees ",
        _ => " ",
    };
    Ascii::Text(text)
}

enum Ascii {
    Itself(u8),
    Text(&'static str),
}

impl Ascii {
    fn chars(self) -> impl Iterator<Item = char> {
        let (one, text) = match self {
            Ascii::Itself(byte) => (Some(byte as char), ""),
            Ascii::Text(text) => (None, text),
        };
        one.into_iter().chain(text.chars())
    }
}

/// Cuts most of the silence around a sentence, 0.2 s of it before: a caller waits for its first sound.
fn trimmed(samples: &[i16], hertz: u32) -> &[i16] {
    let window = (hertz as usize / 100).max(1);
    let sounds = |window: &[i16]| {
        let power: f64 = window.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        (power / window.len() as f64).sqrt() >= SILENT_BELOW
    };
    let Some(first) = samples.chunks(window).position(sounds) else { return &[] };
    let last = samples.chunks(window).rposition(sounds).unwrap_or(first);
    let begin = first.saturating_sub(LEAD_WINDOWS) * window;
    let end = ((last + 1 + TAIL_WINDOWS) * window).min(samples.len());
    &samples[begin..end]
}

/// flite with its voices, on the one thread that calls it: the pointers keep it from being sent.
struct Library {
    slt: Option<NonNull<Voice>>,
    rms: Option<NonNull<Voice>>,
}

// SAFETY: the two voices are static data of the library, which no thread owns. A `Library` is made
// and used inside the closure of the one thread that `mouth` starts.
unsafe impl Send for Library {}

impl Library {
    fn open() -> Self {
        // SAFETY: this thread is the only one that calls flite, and `flite_init` comes first. A
        // register function takes a folder for voices that have files, or null; it returns a pointer
        // to static data, or null.
        unsafe {
            flite_init();
            Library {
                slt: NonNull::new(register_cmu_us_slt(std::ptr::null())),
                rms: NonNull::new(register_cmu_us_rms(std::ptr::null())),
            }
        }
    }

    fn speak(&self, name: VoiceName, text: &CString) -> Result<Speech, SpeechError> {
        let voice = match name {
            VoiceName::Slt => self.slt,
            VoiceName::Rms => self.rms,
        };
        let voice = voice.ok_or(SpeechError::Failed)?;
        // SAFETY: the text ends with a zero and outlives the call, which does not keep it; the voice is
        // one that flite registered.
        let wave = unsafe { flite_text_to_wave(text.as_ptr(), voice.as_ptr()) };
        let wave = OwnedWave(NonNull::new(wave).ok_or(SpeechError::Failed)?);
        let (samples, hertz) = wave.samples().ok_or(SpeechError::Failed)?;
        Ok(Speech { hertz, samples: Arc::from(trimmed(samples, hertz)) })
    }
}

/// A wave that is given back to flite.
struct OwnedWave(NonNull<Wave>);

impl OwnedWave {
    /// The samples and their rate, if the wave is mono as every voice of ours is.
    fn samples(&self) -> Option<(&[i16], u32)> {
        // SAFETY: flite made the wave for us and nobody else has it.
        let wave = unsafe { self.0.as_ref() };
        let length = usize::try_from(wave.num_samples).ok()?;
        let hertz = u32::try_from(wave.sample_rate).ok().filter(|&hertz| hertz > 0)?;
        if length == 0 {
            return Some((&[], hertz));
        }
        if wave.num_channels != 1 || wave.samples.is_null() {
            return None;
        }
        // SAFETY: flite allocates `num_samples` times the number of channels, which is one.
        Some((unsafe { std::slice::from_raw_parts(wave.samples, length) }, hertz))
    }
}

impl Drop for OwnedWave {
    fn drop(&mut self) {
        // SAFETY: the wave is ours, and nothing borrows from it any more.
        unsafe { delete_wave(self.0.as_ptr()) };
    }
}

/// `cst_voice`: never looked into.
#[repr(C)]
struct Voice {
    _private: [u8; 0],
}

/// `cst_wave` (flite/cst_wave.h).
#[repr(C)]
struct Wave {
    kind: *const c_char,
    sample_rate: c_int,
    num_samples: c_int,
    num_channels: c_int,
    samples: *mut c_short,
}

unsafe extern "C" {
    fn flite_init() -> c_int;
    fn register_cmu_us_slt(folder: *const c_char) -> *mut Voice;
    fn register_cmu_us_rms(folder: *const c_char) -> *mut Voice;
    fn flite_text_to_wave(text: *const c_char, voice: *mut Voice) -> *mut Wave;
    fn delete_wave(wave: *mut Wave);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn voices_speak_and_differ() {
        let mut spoken = Vec::new();
        for name in ["slt", "rms", "slt"] {
            let flite = Flite::start(name).expect("linked");
            spoken.push(flite.synthesize("Hello, how can I help you?").await.expect("spoken"));
        }
        // The voices breathe by chance, so no two sentences are the same sample by sample.
        let millis: Vec<u128> = spoken.iter().map(|speech| speech.duration().as_millis()).collect();
        assert!((1000..3000).contains(&millis[0]), "{millis:?}");
        assert!(millis[0].abs_diff(millis[2]) < 50, "the same voice takes as long: {millis:?}");
        let [slt, rms, again] = [0, 1, 2].map(|n| loudness(&spoken[n]));
        assert!((slt / again - 1.0).abs() < 0.1, "the same voice is as loud: {slt}, {again}");
        assert!(slt / rms > 1.5, "another one is not: {slt}, {rms}");
        assert!(spoken.iter().all(|speech| speech.hertz == HERTZ));
    }

    /// Two handles in two tasks share the one thread.
    #[tokio::test]
    async fn many_sentences_at_once_are_all_spoken() {
        let (slt, rms) =
            (Flite::start("slt").expect("linked"), Flite::start("rms").expect("linked"));
        let sentences = (0..12).map(|n| {
            let voice = if n % 2 == 0 { &slt } else { &rms };
            voice.synthesize(&format!("This is sentence number {n}."))
        });
        for speech in future::join_all(sentences).await {
            assert!(!speech.expect("spoken").samples.is_empty());
        }
    }

    #[tokio::test]
    async fn text_without_a_sound_is_silent_and_too_much_is_refused() {
        let flite = Flite::start("slt").expect("linked");
        for text in ["", "   ", "\0", "😀"] {
            assert_eq!(flite.synthesize(text).await.map(|speech| speech.samples.len()), Ok(0));
        }
        let endless = "word ".repeat(1000);
        assert_eq!(flite.synthesize(&endless).await, Err(SpeechError::Failed));
    }

    #[test]
    fn text_is_brought_to_letters_that_flite_knows() {
        let readable = |text| readable(text).map(|text| text.into_string().expect("ASCII"));
        assert_eq!(
            readable("“It’s 5 °C” – naïve…"),
            Some("\"It's 5  degrees C\" ,  naive...".into())
        );
        assert_eq!(readable("a\0b\nc"), Some("a b c".into()));
    }

    fn loudness(speech: &Speech) -> f64 {
        let power: f64 = speech.samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        (power / speech.samples.len() as f64).sqrt()
    }

    #[test]
    fn silence_around_a_sentence_is_cut() {
        let mut samples = vec![3; 8000];
        samples[1600..4000].fill(500);
        // Windows of 80 samples: two before, twelve after.
        assert_eq!(trimmed(&samples, 8000), &samples[1440..4960]);
        assert_eq!(trimmed(&[3; 100], 8000), [0_i16; 0]);
        assert_eq!(trimmed(&[500; 100], 8000), [500; 100]);
    }
}
