//! The agent: the AI in a call. It listens, thinks and speaks; it never decides about the call.
//!
//! [`machine`] is the pure part (what is being said, what was heard of it, when to think), with its own
//! parts [`utterance`] and [`spoken`]; [`stages`] says where an answer's time goes; [`prompt`] turns persona
//! and conversation into a request, [`summary`] into one for the briefing. [`driver`] is the task of one
//! agent, [`lines`] the task that keeps the sound of fixed lines, [`llm`] speaks to a model over HTTP,
//! [`server`] runs one beside us.

pub mod driver;
pub mod lines;
pub mod llm;
pub mod machine;
pub mod persona;
pub mod prompt;
pub mod scripted;
pub mod server;
pub mod spoken;
pub mod stages;
pub mod summary;
pub mod utterance;

use futures_util::stream::BoxStream;

/// What a language model is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    /// System prompt first, then the turns.
    pub messages: Vec<ModelMessage>,
    /// The most tokens it may answer with.
    pub tokens_max: u32,
    /// 0 is always the same answer.
    pub temperature: f32,
}

/// One message of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelMessage {
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: String,
}

/// Who says a message, in the words of the OpenAI-compatible interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The caller.
    User,
    /// The agent.
    Assistant,
}

/// Why a model gave no answer, or stopped in the middle of one.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// There is none, or it cannot be reached (yet).
    #[error("the language model cannot be reached")]
    Unreachable(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// It answered with an HTTP error.
    #[error("the language model answered with status {0}")]
    Status(u16),
    /// It sent something we do not understand.
    #[error("the language model sent something that is no answer")]
    Malformed,
    /// The connection ended before the answer did.
    #[error("the language model stopped in the middle of its answer")]
    Cut(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// It took longer than it may.
    #[error("the language model took too long")]
    Late,
}

impl ModelError {
    /// A label for metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            ModelError::Unreachable(_) => "unreachable",
            ModelError::Status(_) => "status",
            ModelError::Malformed => "malformed",
            ModelError::Cut(_) => "cut",
            ModelError::Late => "late",
        }
    }
}

/// A language model: streams the text of its answer as it comes. Dropping the stream ends the request.
pub trait LanguageModel: Send + Sync {
    /// Asks.
    fn reply(&self, request: ModelRequest) -> BoxStream<'static, Result<String, ModelError>>;
}
