//! A folder of text files: on the disk, or brought along by the program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Source;

/// The most bytes of one file that people write. A longer one is a mistake, not a dialplan.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where a dialplan's files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// A folder of the disk.
    Disk(PathBuf),
    /// Files inside the program: name and text.
    BuiltIn(&'static [(&'static str, &'static str)]),
}

impl Folder {
    /// The names of the TOML files in it, sorted; those of its sub-folders do not count.
    pub fn toml_files(&self) -> io::Result<Vec<String>> {
        let is_toml = |name: &str| name.ends_with(".toml") && !name.starts_with('.');
        let mut names = Vec::new();
        match self {
            Folder::Disk(path) => {
                for entry in fs::read_dir(path)? {
                    let entry = entry?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if is_toml(&name) && entry.path().is_file() {
                        names.push(name);
                    }
                }
            }
            Folder::BuiltIn(files) => {
                let inside = files.iter().map(|(name, _)| name.to_string());
                names.extend(inside.filter(|name| is_toml(name) && !name.contains('/')));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads a file of it.
    pub fn read(&self, name: &str) -> io::Result<Source> {
        let text = match self {
            Folder::Disk(path) => read_text(&path.join(name))?,
            Folder::BuiltIn(files) => {
                let found = files.iter().find(|(known, _)| *known == name);
                found.ok_or(io::ErrorKind::NotFound)?.1.to_owned()
            }
        };
        Ok(Source::new(&self.shown(name), &text))
    }

    /// Where a file of it lies on the disk, if it does.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        match self {
            Folder::Disk(path) => Some(path.join(name)),
            Folder::BuiltIn(_) => None,
        }
    }

    /// A file's name for people.
    pub fn shown(&self, name: &str) -> String {
        match self {
            Folder::Disk(path) => path.join(name).display().to_string(),
            Folder::BuiltIn(_) => format!("built-in {name}"),
        }
    }
}

/// Reads a file that people write.
pub fn read_text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path)
}

/// What went wrong with a file, in words: without the number that the system adds.
pub fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "it may not be read".into(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".into(),
        io::ErrorKind::IsADirectory => "it is a folder".into(),
        io::ErrorKind::NotADirectory => "it is not a folder".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_has_its_own_toml_files_and_not_those_below() {
        let built_in = Folder::BuiltIn(&[
            ("b.toml", "x = 1"),
            ("a.toml", ""),
            ("deep/c.toml", ""),
            ("d.md", ""),
        ]);
        let disk = tempfile::tempdir().expect("a folder");
        for (name, text) in [("b.toml", "x = 1"), ("a.toml", ""), ("d.md", ""), (".e.toml", "")] {
            fs::write(disk.path().join(name), text).expect("written");
        }
        fs::create_dir(disk.path().join("deep.toml")).expect("made");

        for folder in [built_in, Folder::Disk(disk.path().to_owned())] {
            assert_eq!(folder.toml_files().expect("readable"), ["a.toml", "b.toml"], "{folder:?}");
            assert_eq!(&*folder.read("b.toml").expect("there").text, "x = 1");
            assert_eq!(in_words(&folder.read("z").expect_err("none")), "there is no such file");
        }
    }
}
