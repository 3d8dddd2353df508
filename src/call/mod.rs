//! A call: one conversation of one caller, from INVITE to the last BYE.
//!
//! [`machine`] is the life of a call and the place to begin reading; [`transfer`] is the act that brings
//! the human in. Both are pure. [`driver`] is the task that does what they say, [`registry`] the one task
//! that knows which call owns which dialog.

pub mod plan;
pub mod pulse;
pub mod transfer;
pub mod event;
pub mod machine;
pub mod invited;
pub mod leg;
pub mod driver;
pub mod registry;

pub use plan::{Lines, Plan, Target, TransferPlan};
