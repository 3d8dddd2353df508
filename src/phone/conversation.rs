//! One call of a phone: its dialog, its media, and what is heard in it.
//!
//! The far party sits at the caller's port of the bridge, and our own voice is the agent's: what speaks
//! and listens for callers of the program speaks and listens here for us.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tracing::warn;

use crate::call::leg::{Answering, Leg};
use crate::ids::{CallId, DialogId, LegId};
use crate::media::codec::Codec;
use crate::media::offer::{Agreed, OfferError};
use crate::media::session::{Config, Session, StreamStart};
use crate::media::{Rate, Wiring};
use crate::net::audio::{self, AudioEvent, CallAudio, ClipId, HeardFrame, MouthEvent};
use crate::net::ports::PortsError;
use crate::net::ring::Reader;
use crate::net::{Audio, MediaPorts, MediaSocket};
use crate::sip::Body;
use crate::speech::Recognizer;
use crate::speech::driver::{self as listening, ListenerHandle};
use crate::speech::listener::{ListenerSettings, SpeechEvent};

/// Two seconds of frames for the recording. A full channel means that the phone's task is stuck, and the
/// recording has a hole.
const FRAMES: usize = 100;

/// A phone does nothing about silence; this only has to be some time.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// What every call of a phone needs.
#[derive(Clone)]
pub(super) struct Means {
    pub audio: Audio,
    pub ports: MediaPorts,
    pub codecs: Vec<Codec>,
    pub recognizer: Arc<dyn Recognizer>,
    pub listening: ListenerSettings,
}

/// One call.
pub(super) struct Conversation {
    pub dialog: DialogId,
    pub leg: Leg,
    /// Until the media worker has it.
    socket: Option<Box<dyn MediaSocket>>,
    start: StreamStart,
    audio: CallAudio,
    events: Reader<AudioEvent>,
    mouth: Reader<MouthEvent>,
    frames: mpsc::Receiver<HeardFrame>,
    speech: mpsc::Receiver<SpeechEvent>,
    _listener: ListenerHandle,
}

/// What came from a call's media.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives for one step, fifty times a second")]
pub(super) enum Heard {
    Frame(HeardFrame),
    Mouth(MouthEvent),
    Audio(AudioEvent),
    Speech(SpeechEvent),
    /// The media worker has stopped.
    Gone,
}

/// Why a call cannot have media.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// No port.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// The worker takes nothing more.
    #[error(transparent)]
    Overloaded(#[from] audio::Overloaded),
}

impl Conversation {
    /// A call without an agreement on media yet.
    pub fn open(
        means: &Means,
        dialog: DialogId,
        call_id: &CallId,
        random: &mut StdRng,
    ) -> Result<Self, MediaError> {
        let socket = means.ports.open()?;
        let (address, port) = (means.ports.advertised_ip(), socket.local_addr().port());
        // 62 bits fit every parser (RFC 8866 §5.2).
        let session_id = random.random::<u64>() >> 2;
        let leg = Leg::new(dialog, address, port, means.codecs.clone(), session_id);
        let (audio, ears) = means.audio.open_call(Rate::Narrow, Wiring::HOLDING, None)?;
        let (recorder, frames) = mpsc::channel(FRAMES);
        let tapped = ears.heard.inspect(move |frame| {
            if let Err(mpsc::error::TrySendError::Full(_)) = recorder.try_send(*frame) {
                warn!("the recording has a hole");
            }
        });
        let (listener, speech) =
            listening::spawn(call_id.clone(), means.listening, means.recognizer.clone(), tapped);
        let start = StreamStart {
            ssrc: random.random(),
            sequence: random.random(),
            timestamp: random.random(),
        };
        Ok(Conversation {
            dialog,
            leg,
            socket: Some(socket),
            start,
            audio,
            events: ears.events,
            mouth: ears.mouth,
            frames,
            speech,
            _listener: listener,
        })
    }

    /// The session is as `agreed` from now on. Returns whether we are on hold, if that is news.
    pub fn agree(&mut self, agreed: Agreed) -> Option<bool> {
        let leg = LegId::Caller;
        let taken = match self.socket.take() {
            None => self.audio.renegotiate(leg, agreed),
            Some(socket) => {
                let start = self.start;
                let config =
                    Config { agreed, rate: Rate::Narrow, start, silent_after: SILENT_AFTER };
                let session = Session::new(super::now(), config);
                // Nothing is heard before the answer, so nothing is recorded.
                self.audio.add_leg(leg, session, socket) && self.audio.wire(Wiring::CONVERSING)
            }
        };
        said(taken);
        self.leg.hold_changed(&agreed)
    }

    /// A description came, or none: what to answer with, and whether we are on hold, if that is news.
    pub fn answer(&mut self, body: Option<&Body>) -> Result<(Body, Option<bool>), OfferError> {
        match self.leg.answer(body)? {
            Answering::With(body, agreed) => Ok((body, self.agree(agreed))),
            Answering::Offering(body) => Ok((body, None)),
        }
    }

    /// The codec in force, once there is one.
    pub fn codec(&self) -> Option<Codec> {
        self.leg.codec()
    }

    /// Plays a clip.
    pub fn play(&self, clip: ClipId, samples: Arc<[i16]>) {
        said(self.audio.play(clip, samples));
    }

    /// Presses keys.
    pub fn press(&self, digits: &str) {
        said(self.audio.send_digits(LegId::Caller, digits));
    }

    /// The next thing that is heard.
    pub async fn next(&mut self) -> Heard {
        tokio::select! {
            frame = self.frames.recv() => frame.map_or(Heard::Gone, Heard::Frame),
            event = self.mouth.next() => event.map_or(Heard::Gone, Heard::Mouth),
            event = self.events.next() => event.map_or(Heard::Gone, Heard::Audio),
            event = self.speech.recv() => event.map_or(Heard::Gone, Heard::Speech),
        }
    }
}

/// Whether the worker has taken a command. One that takes none has stopped, and `next` will say so.
fn said(taken: bool) {
    if !taken {
        warn!("the media worker takes no more commands");
    }
}
