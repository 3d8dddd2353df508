//! A language model that answers as a test tells it to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};

use crate::agent::{LanguageModel, ModelError, ModelRequest, Role};

/// What a scripted model answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These words, one piece a word.
    Text(String),
    /// "You said: …", with what the caller said last.
    Echo,
    /// These words, and then the connection is cut.
    Cut(String),
    /// An HTTP error.
    Fails(u16),
    /// Nothing, for ever.
    Silence,
}

/// A model that gives its answers in order, and the last one ever after.
#[derive(Debug)]
pub struct Scripted {
    answers: Vec<Answer>,
    /// From the question to the first word.
    first: Duration,
    /// From word to word.
    pace: Duration,
    asked: AtomicUsize,
}

impl Scripted {
    /// A model that answers at once. Without any answer it echoes.
    pub fn new(answers: Vec<Answer>) -> Self {
        Scripted {
            answers,
            first: Duration::ZERO,
            pace: Duration::ZERO,
            asked: AtomicUsize::new(0),
        }
    }

    /// Takes so long to the first word, and from word to word.
    pub fn with_delays(self, first: Duration, pace: Duration) -> Self {
        Scripted { first, pace, ..self }
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl LanguageModel for Scripted {
    fn reply(&self, request: ModelRequest) -> BoxStream<'static, Result<String, ModelError>> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.get(number).or(self.answers.last()).unwrap_or(&Answer::Echo);
        let pieces = match answer {
            Answer::Text(text) => words(text),
            Answer::Echo => words(&format!("You said: {}", last_heard(&request))),
            Answer::Cut(text) => {
                words(text).into_iter().chain([Err(ModelError::Cut(None))]).collect()
            }
            Answer::Fails(status) => vec![Err(ModelError::Status(*status))],
            Answer::Silence => return stream::pending().boxed(),
        };
        let (first, pace) = (self.first, self.pace);
        let paced = stream::iter(pieces).enumerate().then(move |(number, piece)| async move {
            let wait = if number == 0 { first } else { pace };
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            piece
        });
        paced.boxed()
    }
}

fn words(text: &str) -> Vec<Result<String, ModelError>> {
    text.split_inclusive(' ').map(|word| Ok(word.to_owned())).collect()
}

fn last_heard(request: &ModelRequest) -> &str {
    let heard = request.messages.iter().rfind(|message| message.role == Role::User);
    heard.map_or("nothing", |message| message.content.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::ModelMessage;

    async fn reply(model: &Scripted, heard: &str) -> Vec<String> {
        let message = ModelMessage { role: Role::User, content: heard.to_owned() };
        let request = ModelRequest { messages: vec![message], tokens_max: 10, temperature: 0.0 };
        let pieces =
            model.reply(request).map(|piece| piece.unwrap_or_else(|error| error.to_string()));
        pieces.collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn answers_come_in_order_word_by_word_at_their_pace() {
        let second = Duration::from_secs(1);
        let answers = vec![Answer::Text("One two.".into()), Answer::Cut("Th".into()), Answer::Echo];
        let model = Scripted::new(answers).with_delays(3 * second, second);
        let before = tokio::time::Instant::now();
        assert_eq!(reply(&model, "a").await, ["One ", "two."]);
        assert_eq!(before.elapsed(), 4 * second);
        let cut = ["Th", "the language model stopped in the middle of its answer"];
        assert_eq!(reply(&model, "b").await, cut);
        assert_eq!(reply(&model, "c").await.concat(), "You said: c");
        assert_eq!(reply(&model, "d").await.concat(), "You said: d");
        assert_eq!(model.asked(), 4);
    }
}
