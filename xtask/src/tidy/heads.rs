//! Every Rust file opens with `//!` and its purpose. Attributes of the file may come first.

use super::repository::Repository;

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let headless = repository.rust_files().filter(|(_, text)| !has_head(text));
    headless
        .map(|(path, _)| format!("{path}:1: opens without `//!`"))
        .collect()
}

fn has_head(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.find(|line| !line.starts_with("#!["));
    // An empty `//!` does not count.
    first.is_some_and(|line| {
        line.strip_prefix("//! ")
            .is_some_and(|words| !words.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_words_before_any_code() {
        assert!(has_head("//! What it is for.\nfn f() {}"));
        assert!(has_head("#![allow(missing_docs)]\n\n//! What it is for."));
        assert!(!has_head("fn f() {}\n//! Too late."));
        assert!(!has_head("// Not a doc comment."));
        assert!(!has_head("//!\nfn f() {}"));
        assert!(!has_head(""));
    }

    #[test]
    fn the_file_is_named() {
        let repository = Repository::of(&[("a.rs", "//! Fine."), ("b.rs", "fn f() {}")]);
        assert_eq!(check(&repository), ["b.rs:1: opens without `//!`"]);
    }
}
