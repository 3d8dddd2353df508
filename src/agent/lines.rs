//! The sound of lines that stand in the dialplan (greeting, transition, fallback), kept from call to call,
//! so that they begin at once. One task; its handle is shared by all agents.
//!
//! Answers of a model are never kept: they are said once, and may name the caller.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, debug, info_span};

use crate::media::Rate;
use crate::media::resample;
use crate::speech::{SpeechError, Synthesizer};

/// Sound at the rate of a call, or why there is none.
pub type Sound = Result<Arc<[i16]>, SpeechError>;

/// Room for requests while the task is busy, which it is for microseconds. A full inbox means that far
/// more calls begin at once than the voice can greet, and the line is refused as [`SpeechError::Busy`].
const INBOX_REQUESTS: usize = 256;

/// How many lines are made at the same time. The voice has a queue of its own; this bounds what waits.
const MAKING_MAX: usize = 32;

/// The most bytes of sound that are kept: some five minutes of narrowband speech.
const KEPT_BYTES_MAX: usize = 5 * 1024 * 1024;

/// A handle to the kept lines.
#[derive(Clone, Debug)]
pub struct Lines {
    inbox: mpsc::Sender<Request>,
}

type Key = (Rate, Arc<str>);

#[derive(Debug)]
struct Request {
    key: Key,
    /// Nobody waits for a line that is only prepared.
    answer: Option<oneshot::Sender<Sound>>,
}

impl Lines {
    /// Starts the task. It ends when the last handle is dropped.
    pub fn spawn(voice: Arc<dyn Synthesizer>) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX_REQUESTS);
        let task = Task {
            inbox,
            voice,
            kept: Kept::default(),
            waiting: HashMap::new(),
            making: FuturesUnordered::new(),
        };
        tokio::spawn(task.run().instrument(info_span!("lines")));
        Lines { inbox: sender }
    }

    /// The sound of a line, kept or made now.
    pub fn sound(&self, text: &str, rate: Rate) -> BoxFuture<'static, Sound> {
        let (answer, sound) = oneshot::channel();
        let request = Request { key: (rate, text.into()), answer: Some(answer) };
        let sent = self.inbox.try_send(request);
        Box::pin(async move {
            sent.map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SpeechError::Busy,
                mpsc::error::TrySendError::Closed(_) => SpeechError::Gone,
            })?;
            sound.await.unwrap_or(Err(SpeechError::Gone))
        })
    }

    /// Makes a line before anybody needs it.
    pub fn prepare(&self, text: &str, rate: Rate) {
        let request = Request { key: (rate, text.into()), answer: None };
        if self.inbox.try_send(request).is_err() {
            debug!("no time to prepare a line");
        }
    }
}

/// Makes the sound of a text at the rate of a call.
pub async fn make(voice: &dyn Synthesizer, text: &str, rate: Rate) -> Sound {
    let speech = voice.synthesize(text).await?;
    if speech.hertz == rate.hertz() {
        return Ok(speech.samples);
    }
    let convert = move || resample::convert(&speech.samples, speech.hertz, rate);
    // Some milliseconds of arithmetic: not on a thread that serves calls.
    match tokio::task::spawn_blocking(convert).await {
        Ok(Ok(samples)) => Ok(samples.into()),
        Ok(Err(_)) | Err(_) => Err(SpeechError::Failed),
    }
}

struct Task {
    inbox: mpsc::Receiver<Request>,
    voice: Arc<dyn Synthesizer>,
    kept: Kept,
    /// Who waits for which line that is being made.
    waiting: HashMap<Key, Vec<oneshot::Sender<Sound>>>,
    making: FuturesUnordered<BoxFuture<'static, (Key, Sound)>>,
}

impl Task {
    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                request = self.inbox.recv() => match request {
                    Some(request) => self.take(request),
                    None => return,
                },
                Some((key, sound)) = self.making.next(), if !self.making.is_empty() => {
                    self.made(key, sound);
                }
            }
        }
    }

    fn take(&mut self, Request { key, answer }: Request) {
        if let Some(samples) = self.kept.get(&key) {
            reply(answer, Ok(samples));
        } else if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.extend(answer);
        } else if self.making.len() < MAKING_MAX {
            self.waiting.insert(key.clone(), answer.into_iter().collect());
            let voice = self.voice.clone();
            self.making.push(Box::pin(async move {
                let sound = make(voice.as_ref(), &key.1, key.0).await;
                (key, sound)
            }));
        } else {
            reply(answer, Err(SpeechError::Busy));
        }
    }

    fn made(&mut self, key: Key, sound: Sound) {
        for waiting in self.waiting.remove(&key).unwrap_or_default() {
            reply(Some(waiting), sound.clone());
        }
        match sound {
            Ok(samples) => self.kept.insert(key, samples),
            Err(error) => debug!(%error, "a line was not made"),
        }
    }
}

fn reply(answer: Option<oneshot::Sender<Sound>>, sound: Sound) {
    if let Some(answer) = answer {
        // Whoever asked may have been interrupted meanwhile.
        let _ = answer.send(sound);
    }
}

/// Kept sounds; the one that was not used for longest goes first. Each use has its own number, so the order of
/// the map decides nothing.
#[derive(Debug, Default)]
struct Kept {
    sounds: HashMap<Key, (u64, Arc<[i16]>)>,
    bytes: usize,
    uses: u64,
}

impl Kept {
    fn get(&mut self, key: &Key) -> Option<Arc<[i16]>> {
        self.uses += 1;
        let (used, samples) = self.sounds.get_mut(key)?;
        *used = self.uses;
        Some(samples.clone())
    }

    fn insert(&mut self, key: Key, samples: Arc<[i16]>) {
        self.uses += 1;
        self.bytes += size_of_val(&*samples);
        if let Some((_, old)) = self.sounds.insert(key, (self.uses, samples)) {
            self.bytes -= size_of_val(&*old);
        }
        while self.bytes > KEPT_BYTES_MAX {
            let oldest = self.sounds.iter().min_by_key(|(_, (used, _))| *used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some((_, old)) = self.sounds.remove(&key) {
                self.bytes -= size_of_val(&*old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::speech::Speech;

    /// Takes a second for each text; "" fails.
    #[derive(Default)]
    struct SlowVoice {
        asked: AtomicUsize,
    }

    impl Synthesizer for SlowVoice {
        fn synthesize(&self, text: &str) -> BoxFuture<'static, Result<Speech, SpeechError>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let length = text.len() * 100;
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                match length {
                    0 => Err(SpeechError::Failed),
                    length => Ok(Speech { hertz: 8000, samples: vec![1; length].into() }),
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_prepared_line_is_made_once_and_is_there_at_once() {
        let voice = Arc::new(SlowVoice::default());
        let lines = Lines::spawn(voice.clone());
        lines.prepare("Hello.", Rate::Narrow);
        let both =
            tokio::join!(lines.sound("Hello.", Rate::Narrow), lines.sound("Hello.", Rate::Narrow));
        assert_eq!(both.0.map(|samples| samples.len()), Ok(600));
        assert!(both.1.is_ok());

        let before = tokio::time::Instant::now();
        assert!(lines.sound("Hello.", Rate::Narrow).await.is_ok());
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(voice.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_and_not_kept() {
        let voice = Arc::new(SlowVoice::default());
        let lines = Lines::spawn(voice.clone());
        assert_eq!(lines.sound("", Rate::Narrow).await, Err(SpeechError::Failed));
        assert_eq!(lines.sound("", Rate::Narrow).await, Err(SpeechError::Failed));
        assert_eq!(voice.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn speech_is_brought_to_the_rate_of_the_call() {
        tokio::time::pause();
        let sound = make(&SlowVoice::default(), "Hello.", Rate::Wide).await;
        assert_eq!(sound.map(|samples| samples.len()), Ok(1200));
    }

    #[test]
    fn the_line_unused_for_longest_makes_room() {
        let mut kept = Kept::default();
        let key = |n: usize| (Rate::Narrow, Arc::from(n.to_string()));
        let fifth: Arc<[i16]> = vec![0; KEPT_BYTES_MAX / 10].into();
        (0..5).for_each(|n| kept.insert(key(n), fifth.clone()));
        assert!(kept.get(&key(0)).is_some());
        kept.insert(key(5), fifth.clone());
        assert!(kept.get(&key(0)).is_some() && kept.get(&key(1)).is_none());
        kept.insert(key(5), fifth);
        assert_eq!((kept.sounds.len(), kept.bytes), (5, KEPT_BYTES_MAX / 10 * 2 * 5));
    }
}
