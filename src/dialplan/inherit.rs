//! Transfers that inherit: what one does not say, the other says for it.

use super::file::{Named, TransferDraft};

/// Why a transfer cannot be made whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A name in the chain is nobody's, or its transfer has mistakes.
    Unknown,
    /// The chain comes back to where it was.
    Circle,
}

/// A transfer with all that it inherits.
pub fn resolve(
    transfer: &TransferDraft,
    all: &Named<TransferDraft>,
) -> Result<TransferDraft, Broken> {
    let mut whole = transfer.clone();
    let mut steps = 0;
    while let Some(parent) = whole.inherits.take() {
        // A chain that is longer than all transfers goes round.
        steps += 1;
        if steps > all.len() {
            return Err(Broken::Circle);
        }
        let found = all.get(&parent.value).and_then(|found| found.value.as_ref());
        whole = under(whole, found.ok_or(Broken::Unknown)?);
    }
    Ok(whole)
}

/// What `own` says, and for the rest what `parent` says.
fn under(own: TransferDraft, parent: &TransferDraft) -> TransferDraft {
    TransferDraft {
        inherits: parent.inherits.clone(),
        targets: own.targets.or_else(|| parent.targets.clone()),
        methods: own.methods.or_else(|| parent.methods.clone()),
        ring_time: own.ring_time.or(parent.ring_time),
        headers: own.headers.or_else(|| parent.headers.clone()),
        lines: own.lines.or(&parent.lines),
        music: own.music.or_else(|| parent.music.clone()),
        place: own.place,
    }
}
