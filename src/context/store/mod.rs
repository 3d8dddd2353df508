//! Where journals are kept: one interface, and what a URL names.
//!
//! A store is slow and may fail; the [`recorder`](crate::context::recorder) is its one writer and
//! stands between it and the calls.

#[cfg(feature = "sqlite")]
mod lock;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(test)]
mod contract;

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::context::journal::Entry;
use crate::context::summary::{CallFilter, CallSummary};
use crate::ids::CallId;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

/// One entry in its place: the key is the Call-ID and the number of the entry under it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The caller's Call-ID.
    pub call: CallId,
    /// Counted from 0 under this Call-ID.
    pub seq: u64,
    /// What happened.
    pub entry: Arc<Entry>,
}

/// A keeper of journals.
pub trait ContextStore: Debug + Send + Sync + 'static {
    /// Adds lines, all or none, and returns when they are as durable as this store can make them. A
    /// line that is there already changes nothing, so that a write whose answer was lost can be
    /// repeated; another one in its place, which only another writer can have put there, is an error.
    fn append<'a>(&'a self, lines: &'a [Line]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// For each Call-ID the number that its next line has.
    fn next_seqs<'a>(&'a self, calls: &'a [CallId]) -> BoxFuture<'a, Result<Vec<u64>, StoreError>>;

    /// The journal of a call, in order; of a Call-ID that was used again, the latest call. Empty if
    /// there is none.
    fn read<'a>(&'a self, call: &'a CallId) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>>;

    /// The calls that the filter admits, newest first.
    fn list<'a>(
        &'a self,
        filter: &'a CallFilter,
    ) -> BoxFuture<'a, Result<Vec<CallSummary>, StoreError>>;

    /// Ends the work with it.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the context store cannot {act}")]
pub struct StoreError {
    /// What it was asked: `read`, `write`.
    pub act: &'static str,
    /// What the database said.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// The error and what is behind it, on one line.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(next) = cause {
            line = format!("{line}: {next}");
            cause = next.source();
        }
        line
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no store that there is.
    #[error("`{url}` names no store: sqlite:PATH or memory:")]
    Unknown {
        /// The URL.
        url: String,
    },
    /// It names one that this build does not have.
    #[error("`{url}` is a store that is not in this build: {remedy}")]
    NotInThisBuild {
        /// The URL.
        url: String,
        /// What would help.
        remedy: &'static str,
    },
    /// A store in memory ends with the program that has it.
    #[error("a store in memory cannot be read from outside: ask the desk")]
    OnlyInside,
    /// Another process keeps its journals in the file.
    #[error("the store `{path}` is taken: another process serves with it")]
    Taken {
        /// The file.
        path: String,
    },
    /// The file cannot be used.
    #[error("cannot open the store `{path}`")]
    Unusable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// A later version of the program has written it.
    #[error("the store `{path}` has schema {found}, this build knows up to {known}")]
    TooNew {
        /// The file.
        path: String,
        /// Its schema.
        found: i64,
        /// The latest that we know.
        known: i64,
    },
}

/// What is wanted of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To keep journals; a file that is not there is made.
    Write,
    /// To look things up beside a running server; a file that is not there is an error.
    Read,
}

/// Opens the store that a URL names: `sqlite:PATH` or `memory:`.
pub async fn open(url: &str, access: Access) -> Result<Arc<dyn ContextStore>, OpenError> {
    let not_here = |remedy| Err(OpenError::NotInThisBuild { url: url.to_owned(), remedy });
    match url.split_once(':') {
        Some(("memory", "")) if access == Access::Read => Err(OpenError::OnlyInside),
        Some(("memory", "")) => Ok(Arc::new(MemoryStore::new())),
        Some(("postgres" | "postgresql", _)) => not_here("use sqlite:PATH"),
        Some(("sqlite", path)) if !path.is_empty() => open_sqlite(url, path, access).await,
        _ => Err(OpenError::Unknown { url: url.to_owned() }),
    }
}

#[cfg(feature = "sqlite")]
async fn open_sqlite(
    _: &str,
    path: &str,
    access: Access,
) -> Result<Arc<dyn ContextStore>, OpenError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    Ok(Arc::new(SqliteStore::open(path.as_ref(), access).await?))
}

#[cfg(not(feature = "sqlite"))]
async fn open_sqlite(url: &str, _: &str, _: Access) -> Result<Arc<dyn ContextStore>, OpenError> {
    let remedy = "build with the feature `sqlite`";
    Err(OpenError::NotInThisBuild { url: url.to_owned(), remedy })
}
