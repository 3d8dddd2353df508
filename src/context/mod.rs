//! What we know of a call: its journal, and the readings of it.
//!
//! The journal is the call: what happened is appended under the caller's Call-ID before it is acted on
//! ([`journal`]). The [`conversation`], the [`briefing`], the one-line [`summary`] and the whole
//! [`CallContext`] are readings of that one list; [`render()`] prints it. The [`recorder`] is the one
//! writer of the list, and [`store`] keeps it.

pub mod text;
pub mod numbers;
pub mod conversation;
pub mod briefing;
pub mod journal;
pub mod summary;
pub mod reading;
pub mod digest;
pub mod render;
pub mod store;
pub mod live;
pub mod recorder;
#[cfg(test)]
pub mod fixtures;

pub use briefing::{Briefing, SummaryRefused};
pub use conversation::{Conversation, Speaker, Turn};
pub use journal::{Entry, Fact, Outcome, Reason};
pub use reading::CallContext;
pub use recorder::{Durability, Health, Recorder};
pub use render::render;
pub use store::{ContextStore, StoreError};
pub use summary::{CallFilter, CallSummary, Phase};
