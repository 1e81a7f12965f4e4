//! The top of the repository holds what is listed here, and nothing else.

use super::repository::Repository;

const ENTRIES: &[&str] = &[
    "Cargo.toml",
    "crates",
    "xtask",
    "tests",
    "docs",
    "rust-toolchain.toml",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    ".cargo",
    ".ci",
    ".gitignore",
    "Cargo.lock",
];

/// Not ours, but there.
const LEFT_BY_TOOLS: &[&str] = &[".git", "target"];

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let names = || repository.top_level.iter().map(String::as_str);
    let known = |name: &str| ENTRIES.contains(&name) || LEFT_BY_TOOLS.contains(&name);
    let surplus = names()
        .filter(|name| !known(name))
        .map(|name| format!("top level: `{name}` does not belong there"));
    let missing = ENTRIES
        .iter()
        .filter(|entry| names().all(|name| name != **entry))
        .map(|entry| format!("top level: `{entry}` is missing"));
    surplus.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_and_what_is_missing_is_told() {
        let mut repository = Repository::default();
        repository
            .top_level
            .extend(ENTRIES.iter().map(|entry| entry.to_string()));
        repository.top_level.push(".git".to_owned());
        assert_eq!(check(&repository), [""; 0]);

        repository.top_level.retain(|entry| entry != "README.md");
        repository.top_level.push("notes.txt".to_owned());
        assert_eq!(
            check(&repository),
            [
                "top level: `notes.txt` does not belong there",
                "top level: `README.md` is missing",
            ]
        );
    }
}
