//! The real engines on real speech, through µ-law at 8 kHz as a telephone has it.
//!
//! These tests need what is not in the repository: models (`tools/models`, found in `models/` or
//! `$TANDEM_MODELS`) and, of Debian, `asterisk-core-sounds-en-wav` and `asterisk-moh-opsound-wav`. Without
//! them they say so and pass, except with `CI=true`.

pub(crate) mod telephone;
mod words;

use std::path::Path;

use telephone::{Telephone, asset, models, voice, wav};
use words::{Errors, count_errors};

use crate::speech::flite::Flite;

#[tokio::test]
async fn whisper_understands_what_flite_says_over_the_telephone() {
    let Some(models) = models() else { return };
    let mut telephone = Telephone::new(&models);
    let mut errors = Errors::default();
    for name in ["slt", "rms"] {
        let flite = Flite::start(name).expect("linked");
        for sentence in [
            "I would like to speak to a human, please.",
            "My invoice is wrong, and I have been charged twice.",
            "Can you tell me when my order will arrive?",
            "Let me talk to a manager.",
            "I want to talk to a person.",
            "Can I speak to a real person?",
            "Please get me your supervisor.",
            "I want to talk to a representative.",
            "Give me a live agent.",
            "Connect me with an operator.",
            "Please transfer me to billing.",
            "I would like to speak to someone about my account.",
            "A human, please.",
        ] {
            let heard = telephone.hear(&voice(&flite, sentence).await).await;
            errors.add(name, sentence, &heard);
        }
    }
    eprintln!("flite: {errors}");
    // The voices breathe by chance, so some words are heard in one run and not in the next.
    assert!(errors.rate() <= 0.15, "{errors}");
}

/// The voice of a woman who recorded the prompts of Asterisk, sixty of them.
#[tokio::test]
async fn whisper_understands_people_over_the_telephone() {
    let sounds = "/usr/share/asterisk/sounds/en_US_f_Allison";
    let texts = "/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz";
    let (Some(models), Some(sounds), Some(texts)) = (models(), asset(sounds), asset(texts)) else {
        return;
    };
    let mut telephone = Telephone::new(&models);
    let mut errors = Errors::default();
    for (name, text) in prompts(&texts).into_iter().step_by(3).take(60) {
        let Some(samples) = wav(&sounds.join(format!("{name}.wav"))) else { continue };
        let heard = telephone.hear(&samples).await;
        errors.add(&name, &text, &heard);
    }
    eprintln!("prompts: {errors}; {}", telephone.times());
    assert!(errors.texts >= 40, "{errors}");
    assert!(errors.rate() <= 0.10, "{errors}");
}

#[tokio::test]
async fn nothing_is_heard_in_music() {
    let (Some(models), Some(music)) = (models(), asset("/usr/share/asterisk/moh")) else { return };
    let mut telephone = Telephone::new(&models);
    let mut tracks: Vec<_> = std::fs::read_dir(music).expect("a folder").flatten().collect();
    tracks.sort_by_key(std::fs::DirEntry::path);
    assert!(!tracks.is_empty());
    for track in tracks {
        let Some(mut samples) = wav(&track.path()) else { continue };
        samples.truncate(60 * 8000);
        let heard = telephone.hear(&samples).await;
        assert_eq!(heard, "", "in {}", track.path().display());
    }
}

/// A line is never silent: 60 s of its noise, at −50 dBFS, from a seed.
#[tokio::test]
async fn nothing_is_heard_in_the_noise_of_a_line() {
    let Some(models) = models() else { return };
    let mut seed = 1_u32;
    let noise: Vec<i16> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((seed >> 16) as i16) / 180
    })
    .take(60 * 8000)
    .collect();
    assert_eq!(Telephone::new(&models).hear(&noise).await, "");
}

/// Nothing of one call's speech colours the next call's, although they share a state.
#[tokio::test]
async fn what_was_heard_before_changes_nothing() {
    let Some(models) = models() else { return };
    let flite = Flite::start("slt").expect("linked");
    let first = voice(&flite, "My name is Sarah and my number is five five five.").await;
    let second = voice(&flite, "Where is my order?").await;

    let alone = Telephone::new(&models).hear(&second).await;
    let mut telephone = Telephone::new(&models);
    telephone.hear(&first).await;
    assert_eq!(telephone.hear(&second).await, alone);
}

/// The prompts of four to thirty words, without digits and signs, which can be written in two ways.
fn prompts(texts: &Path) -> Vec<(String, String)> {
    let unpacked = std::process::Command::new("zcat").arg(texts).output().expect("zcat runs");
    let texts = String::from_utf8_lossy(&unpacked.stdout).into_owned();
    texts
        .lines()
        .filter(|line| !line.contains(['[', '(']) && !line.starts_with([';', ' ']))
        .filter_map(|line| line.split_once(": "))
        .filter(|(_, text)| (4..=30).contains(&text.split_whitespace().count()))
        .filter(|(_, text)| {
            !text.contains(|sign: char| sign.is_ascii_digit() || "*#".contains(sign))
        })
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

#[test]
fn errors_are_counted_as_edits_of_words() {
    for (said, heard, errors) in [
        ("one two three", "One, two, three!", 0),
        ("one two three", "one three", 1),
        ("one two", "one too two", 1),
        ("Press zero.", "press 0", 0),
        ("a b c", "", 3),
    ] {
        assert_eq!(count_errors(said, heard), errors, "{said} / {heard}");
    }
}
