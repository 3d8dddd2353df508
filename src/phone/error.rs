//! Why there was no call.

use crate::media::offer::OfferError;
use crate::net::ports::PortsError;
use crate::net::signaling::{ListenError, Overloaded};
use crate::phone::conversation::MediaError;
use crate::sip::{StatusCode, Uri};

/// Why there was no call.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// The URI leads nowhere.
    #[error("nowhere to call under {uri}")]
    Unresolvable {
        /// What was to be called.
        uri: Box<Uri>,
    },
    /// The call was refused, or nobody answered (408).
    #[error("{status} {reason} ({uri})")]
    Failed {
        /// Who was called.
        uri: Box<Uri>,
        /// The final status.
        status: StatusCode,
        /// Its reason phrase.
        reason: String,
    },
    /// The two have nothing in common to talk with.
    #[error("no common media ({uri})")]
    NoMedia {
        /// Who was called, or called.
        uri: Box<Uri>,
        /// What is missing.
        #[source]
        cause: OfferError,
    },
    /// We did not want to wait any longer.
    #[error("given up before the answer")]
    GivenUp,
    /// The caller did not want to wait any longer.
    #[error("the caller has given up")]
    CallerGone,
    /// We refused the call, as we were told to.
    #[error("declined with {status}")]
    Declined {
        /// With which status.
        status: StatusCode,
    },
    /// SIP cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// RTP cannot be had.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// A call can have no media.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The signalling has stopped.
    #[error(transparent)]
    Signaling(#[from] Overloaded),
}
