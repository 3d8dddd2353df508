//! When a human is needed: rules outside the model that can be read, tested and tuned.
//!
//! Pure. [`triggers`] looks at what was heard (or pressed) and says which rule fires and why; order is
//! precedence. The model is not asked and cannot veto. [`phrases`] are how people ask for a person, a
//! file of the dialplan; [`topics`] are what policy keeps for people.

pub mod pattern;
pub mod phrases;
pub mod topics;
pub mod triggers;
pub mod words;

#[cfg(test)]
mod corpus;
#[cfg(all(test, feature = "whisper", feature = "flite"))]
mod spoken;

pub use triggers::{Condition, Rule, Signals, Triggered, evaluate};
