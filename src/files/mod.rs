//! Files that people write: where they lie, what they say, and where in them a mistake is; and recordings.
//!
//! [`folder`] reads a folder of the disk or the files that the program brings along; [`table`] reads
//! TOML key by key; a [`Report`] collects every [`Mistake`] with its place, so that one look at the
//! output mends them all. [`secret`] keeps keys and passwords out of files and logs. [`wav`] reads and
//! writes sound.

pub mod folder;
pub mod mistake;
pub mod nearest;
pub mod secret;
pub mod table;
pub mod wav;

pub use folder::Folder;
pub use mistake::{At, Mistake, Place, Report, Severity, Source};
pub use secret::{Environment, Secret};
pub use table::Table;
