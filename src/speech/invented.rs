//! Tells words that were heard from words that a model made up.
//!
//! Speech models write the most likely text, and for noise, music or a cut-off breath that is a
//! phrase of their training (subtitles, mostly) or one word over and over. They also fall into a loop
//! behind words that were really said; those are kept once, for nobody can repeat what we threw away.

use std::time::Duration;

/// Below this voice there is nothing to put into words.
pub const VOICED_MIN: Duration = Duration::from_millis(100);
/// A text whose tokens have a lower mean log probability is a guess.
pub const LOG_PROBABILITY_MIN: f32 = -1.0;
/// A text that the model itself takes for silence needs to be surer than this to count.
const LOG_PROBABILITY_OF_SILENCE_MIN: f32 = -0.5;
/// Above this probability of silence the model takes it for silence.
const SILENCE_ABOVE: f32 = 0.6;
/// Nobody speaks faster: a text with more words for a second of voice was not spoken.
const WORDS_PER_SECOND_MAX: f32 = 8.0;
/// Somebody who speaks says at least so much. What is left of a loop has to account for the voice.
const WORDS_PER_SECOND_MIN: f32 = 1.0;
/// A phrase that comes more often than this in a row is a loop.
const REPEATS_MAX: usize = 4;
/// The same for a phrase of some words: nobody says a whole sentence three times, and nobody says it
/// twice at double speed.
const LONG_REPEATS_MAX: usize = 2;
/// Faster than people speak, though not beyond what they can.
const HURRIED_WORDS_PER_SECOND: f32 = 4.2;
/// From here on a phrase is long, in words.
const LONG_WORDS: usize = 4;
/// The longest phrase that is looked for in a loop, in words.
const PHRASE_WORDS_MAX: usize = 20;

/// What models say of silence and music: the ends of subtitled films. Compared without case and
/// punctuation, and only with a whole text.
const OF_THE_TRAINING: [&str; 13] = [
    "you",
    "thank you for watching",
    "thanks for watching",
    "thank you so much for watching",
    "please subscribe",
    "please subscribe to my channel",
    "like and subscribe",
    "subtitles by the amaraorg community",
    "transcription by castingwords",
    "ill see you next time",
    "see you next time",
    "see you in the next video",
    "well be right back",
];

/// What a model says of its own text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Voice in the sound, by voice activity.
    pub voiced: Duration,
    /// Mean log probability of the tokens.
    pub log_probability: f32,
    /// The model's probability that there was no speech.
    pub silence: f32,
}

/// The part of a text that somebody is likely to have said, if there is any.
pub fn believed(text: &str, evidence: Evidence) -> Option<String> {
    let said = spoken(text);
    let seconds = evidence.voiced.as_secs_f32();
    let hurried = words(&said).len() as f32 > HURRIED_WORDS_PER_SECOND * seconds;
    let once = without_loop(&said, LONG_REPEATS_MAX - usize::from(hurried));
    let words = words(&once);
    let spoken = words.len() as f32;
    let too_few = once.len() < said.len() && spoken < WORDS_PER_SECOND_MIN * seconds;
    let invented = words.is_empty()
        || too_few
        || spoken > 2.0 + WORDS_PER_SECOND_MAX * seconds
        || evidence.voiced < VOICED_MIN
        || evidence.log_probability < LOG_PROBABILITY_MIN
        || (evidence.silence > SILENCE_ABOVE
            && evidence.log_probability < LOG_PROBABILITY_OF_SILENCE_MIN)
        || OF_THE_TRAINING.contains(&words.join(" ").as_str());
    (!invented).then_some(once)
}

/// The text without what is no speech: remarks in brackets, notes, a lone dash.
fn spoken(text: &str) -> String {
    let mut depth = 0_u32;
    let mut kept = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            '♪' | '♫' | '*' => (),
            _ if depth == 0 => kept.push(character),
            _ => (),
        }
    }
    let kept = kept.split_whitespace().collect::<Vec<_>>().join(" ");
    if kept.chars().any(char::is_alphanumeric) { kept } else { String::new() }
}

/// The text up to the end of the first round of a loop, if it falls into one.
fn without_loop(text: &str, long_repeats_max: usize) -> String {
    let written: Vec<&str> = text.split_whitespace().collect();
    let words: Vec<String> = written.iter().copied().map(bare).collect();
    let rounds = (0..words.len()).find_map(|start| {
        let mut lengths = 1..=PHRASE_WORDS_MAX.min(words.len() - start);
        lengths
            .find(|&length| loops(&words[start..], length, long_repeats_max))
            .map(|length| start + length)
    });
    written[..rounds.unwrap_or(written.len())].join(" ")
}

/// Whether the first so many words are followed by themselves more often than anyone says it. Digits are
/// said in a row ("zero zero zero zero"), so they have to be many more.
fn loops(words: &[String], length: usize, long_repeats_max: usize) -> bool {
    let phrase = &words[..length];
    let repeats = words.chunks_exact(length).take_while(|next| *next == phrase).count();
    let most = match length {
        _ if phrase.iter().all(|word| is_digit(word)) => 3 * REPEATS_MAX,
        LONG_WORDS.. => long_repeats_max,
        _ => REPEATS_MAX,
    };
    // The last round is often cut off by the limit of tokens.
    let rest = &words[repeats * length..];
    let cut_off = length >= LONG_WORDS && !rest.is_empty() && phrase.starts_with(rest);
    repeats + usize::from(cut_off) > most
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect()
}

fn bare(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_digit(word: &str) -> bool {
    const DIGITS: [&str; 11] =
        ["zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    DIGITS.contains(&word) || word.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURE: Evidence =
        Evidence { voiced: Duration::from_secs(3), log_probability: -0.2, silence: 0.1 };

    #[test]
    fn what_callers_say_is_believed() {
        for text in [
            "I want to speak to a human.",
            "No.",
            "no no no no",
            "Thank you.",
            "zero zero zero zero zero one",
            "My number is 4 9 3 0 5 5 5.",
            "Yes, yes, I know, I know.",
            "Let me talk to a person. Let me talk to a person.",
        ] {
            assert_eq!(believed(text, SURE).as_deref(), Some(text));
        }
    }

    #[test]
    fn loops_and_the_ends_of_films_are_not() {
        for text in [
            "",
            "...",
            "Thanks for watching!",
            "you",
            "Subtitles by the Amara.org community",
            "no no no no no",
            "I'm sorry. I'm sorry. I'm sorry. I'm sorry. I'm sorry.",
        ] {
            assert_eq!(believed(text, SURE), None, "{text}");
        }
    }

    /// Both of these were written by a model that had heard the sentence once.
    #[test]
    fn words_before_a_loop_are_kept_once() {
        for (text, once) in [
            (
                "Please hold while we try to connect you. Please hold while we try to connect you. \
                 Please hold while we try to connect",
                "Please hold while we try to connect you.",
            ),
            (
                "Let me speak to a person, a person, a person, a person, a person, a",
                "Let me speak to a person,",
            ),
        ] {
            assert_eq!(believed(text, SURE).as_deref(), Some(once));
        }
    }

    #[test]
    fn sentence_said_twice_is_believed_at_the_speed_of_speech_alone() {
        let twice = "When will my order arrive? When will my order arrive?";
        assert_eq!(believed(twice, SURE).as_deref(), Some(twice));
        let hurried = Evidence { voiced: Duration::from_millis(1500), ..SURE };
        assert_eq!(believed(twice, hurried).as_deref(), Some("When will my order arrive?"));
    }

    #[test]
    fn evidence_against_a_text_is_enough() {
        let text = "Please help me.";
        let is_believed = |evidence| believed(text, evidence).is_some();
        assert!(is_believed(SURE));
        assert!(!is_believed(Evidence { voiced: Duration::from_millis(80), ..SURE }));
        assert!(!is_believed(Evidence { log_probability: -1.2, ..SURE }));
        assert!(is_believed(Evidence { silence: 0.9, ..SURE }), "sure words in a noise");
        assert!(!is_believed(Evidence { silence: 0.9, log_probability: -0.7, ..SURE }));
        let burst = Evidence { voiced: Duration::from_millis(200), ..SURE };
        assert_eq!(believed("I am going to tell you all about it", burst), None);
    }

    #[test]
    fn remarks_are_no_speech() {
        assert_eq!(spoken(" [BLANK_AUDIO]"), "");
        assert_eq!(spoken("(music playing) ♪ ♪"), "");
        assert_eq!(spoken(" - "), "");
        assert_eq!(spoken(" Hello [coughs] there."), "Hello there.");
        assert_eq!(spoken(" an unclosed [remark"), "an unclosed");
        assert_eq!(spoken("5) is a number"), "5 is a number");
    }
}
