//! Each way to ask for a person, said aloud: over G.711 at 8 kHz, through the recogniser, to the rules.

use crate::escalation::corpus::{SIXTEEN, human};
use crate::escalation::words::Words;
use crate::speech::flite::Flite;
use crate::speech::real::telephone::{Telephone, models, voice};

/// Two voices say all sixteen. A word alone is the hardest that a recogniser can get, so a few may be
/// misheard; which ones is printed.
#[tokio::test]
async fn ways_to_ask_for_a_person_are_understood_when_they_are_spoken() {
    let Some(models) = models() else { return };
    let human = human();
    let mut telephone = Telephone::new(&models);
    let mut missed = vec![];
    for name in ["slt", "rms"] {
        let flite = Flite::start(name).expect("linked");
        for phrase in SIXTEEN {
            let heard = telephone.hear(&voice(&flite, phrase).await).await;
            if human.find(&Words::new(&heard)).is_none() {
                missed.push(format!("{name}: {phrase:?} was heard as {heard:?}"));
            }
        }
    }
    eprintln!("missed {} of {}:\n{}", missed.len(), 2 * SIXTEEN.len(), missed.join("\n"));
    assert!(missed.len() <= 3, "{}", missed.join("\n"));
}
