//! The repository as the checks see it: its top level, its Rust files, its pages.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use super::rust_file::RustFile;

/// What lies in the repository, by path from its root with `/` between the parts.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    /// The names at the top.
    pub(crate) top_level: Vec<String>,
    /// Every `.rs` file of ours.
    pub(crate) rust_files: Vec<RustFile>,
    /// The text of every other file in the directories of ours, and of the README.
    pub(crate) pages: BTreeMap<String, String>,
}

/// Where files of ours lie.
const DIRECTORIES: &[&str] = &[".ci", ".cargo", "crates", "docs", "tests", "xtask"];

impl Repository {
    /// Reads what lies under `root`.
    pub(crate) fn load(root: &Path) -> io::Result<Repository> {
        let mut repository = Repository::default();
        for entry in fs::read_dir(root)? {
            let name = entry?.file_name();
            repository
                .top_level
                .push(name.to_string_lossy().into_owned());
        }
        repository.top_level.sort();
        for directory in DIRECTORIES {
            let path = root.join(directory);
            if path.is_dir() {
                repository.read_directory(&path, directory)?;
            }
        }
        if let Ok(readme) = fs::read_to_string(root.join("README.md")) {
            repository.pages.insert("README.md".to_owned(), readme);
        }
        Ok(repository)
    }

    fn read_directory(&mut self, directory: &Path, path: &str) -> io::Result<()> {
        let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{path}/{name}");
            if entry.file_type()?.is_dir() {
                // Tests that compile others leave their own `target` behind.
                if name != "target" {
                    self.read_directory(&entry.path(), &path)?;
                }
                continue;
            }
            // What is no text (a picture, a recorded frame) is no page.
            let Ok(text) = fs::read_to_string(entry.path()) else {
                continue;
            };
            if name.ends_with(".rs") {
                self.rust_files.push(RustFile::new(&path, &text));
            } else {
                self.pages.insert(path, text);
            }
        }
        Ok(())
    }

    /// The Rust file at `path`.
    pub(crate) fn rust_file(&self, path: &str) -> Option<&RustFile> {
        self.rust_files.iter().find(|file| file.path == path)
    }

    /// The directories right under `crates/`, as `crates/asyncio-task`.
    pub(crate) fn crates(&self) -> Vec<String> {
        let manifests = self.pages.keys().filter(|path| path.starts_with("crates/"));
        let crates = manifests.filter_map(|path| path.strip_suffix("/Cargo.toml"));
        crates.map(str::to_owned).collect()
    }
}

#[cfg(test)]
impl Repository {
    /// A repository of these files.
    pub(crate) fn of(files: &[(&str, &str)]) -> Repository {
        let mut repository = Repository::default();
        for (path, text) in files {
            if path.ends_with(".rs") {
                repository.rust_files.push(RustFile::new(path, text));
            } else {
                repository
                    .pages
                    .insert((*path).to_owned(), (*text).to_owned());
            }
        }
        repository
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn this_repository_is_read() {
        let repository = Repository::load(workspace::root()).expect("readable");
        assert!(repository.top_level.contains(&"Cargo.toml".to_owned()));
        assert!(repository.rust_file("xtask/src/main.rs").is_some());
        assert!(
            repository
                .crates()
                .contains(&"crates/asyncio-macros".to_owned())
        );
    }
}
