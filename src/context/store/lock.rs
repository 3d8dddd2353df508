//! That one process alone keeps its journals in a file: `FILE.lock` beside it, locked while the store lives.
//!
//! A second server would take the calls of the first for calls that a crash cut off, and number its
//! entries past those that the first has yet to write. The lock goes with the process, however it ends;
//! the file stays. It is a file of its own because closing any handle to the database lets go of the
//! locks that SQLite has on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The lock, held.
#[derive(Debug)]
pub struct StoreLock {
    /// Closing it lets go of the lock.
    _file: File,
}

impl StoreLock {
    /// Locks the file at `path`, which is made if it is not there. `None`: somebody else has the lock.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let database = open_private(path).and_then(|_| path.canonicalize())?;
        let file = open_private(&beside(&database))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(StoreLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(cause),
        }
    }
}

/// The file of the lock: beside the database itself, whatever link leads there.
fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Opens a file, and makes it if it is not there, for our own eyes only: what callers said is in the
/// database. SQLite gives its other files the same rights.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
