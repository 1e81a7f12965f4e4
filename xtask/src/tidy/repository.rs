//! The repository as the checks see it: the text of its files.

use std::collections::BTreeMap;

use xshell::{Shell, cmd};

/// The text of each file, by its path from the root, without binary files.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) files: BTreeMap<String, String>,
}

impl Repository {
    /// Reads the files that git tracks, and new files that it does not ignore.
    pub(crate) fn load(shell: &Shell) -> anyhow::Result<Self> {
        let options = ["--cached", "--others", "--exclude-standard"];
        let paths = cmd!(shell, "git ls-files {options...}").quiet().read()?;
        let files = paths.lines().filter_map(|path| {
            let text = shell.read_file(path).ok()?;
            Some((path.to_owned(), text))
        });
        Ok(Self {
            files: files.collect(),
        })
    }

    /// The Rust files, each with its path.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().filter(|(path, _)| path.ends_with(".rs"));
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The directories right under `crates/`, as `crates/asyncio-task`.
    pub(crate) fn crates(&self) -> impl Iterator<Item = &str> {
        let manifests = self.files.keys().filter(|path| path.starts_with("crates/"));
        manifests.filter_map(|path| path.strip_suffix("/Cargo.toml"))
    }
}

#[cfg(test)]
impl Repository {
    /// A repository of these files.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|&(path, text)| (path.to_owned(), text.to_owned()));
        Self {
            files: files.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_read() {
        let repository = Repository::load(&crate::workspace::shell().unwrap()).unwrap();
        assert!(repository.text("xtask/src/main.rs").is_some());
        assert!(
            repository
                .crates()
                .any(|name| name == "crates/asyncio-macros")
        );
    }
}
