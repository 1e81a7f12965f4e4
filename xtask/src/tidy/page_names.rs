//! Every name of the code in `docs/architecture.md` and `docs/glossary.md` is in the sources.
//!
//! A name is a code span with `::`, such as `State::wake`, or a word with `_`, such as `park_timeout`. Its last part
//! must be a word in a Rust file of `crates/`, tests excluded. In the glossary, only the first three columns count,
//! because the last one names other systems.

use std::collections::BTreeSet;

use super::repository::Repository;

const PAGES: &[&str] = &["docs/architecture.md", "docs/glossary.md"];

/// Names of the operating system and of tools.
const FOREIGN: &[&str] = &["epoll_wait", "unsafe_code"];

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let sources = repository.rust_files();
    let sources = sources.filter(|(path, _)| path.starts_with("crates/") && path.contains("/src/"));
    let known: BTreeSet<&str> = sources.flat_map(|(_, text)| words(text)).collect();
    let mut complaints = Vec::new();
    for page in PAGES {
        let text = repository.text(page).unwrap_or_default();
        for (line, number) in text.lines().zip(1..) {
            for name in names(line).filter(|name| !FOREIGN.contains(name)) {
                let last = words(name).last().unwrap_or_default();
                if !known.contains(last) {
                    complaints.push(format!("{page}:{number}: `{name}` is not in the sources"));
                }
            }
        }
    }
    complaints
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| !word.is_empty())
}

/// The names of our code in a line of a page.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let ours = match line.match_indices('|').nth(3) {
        Some((end, _)) if line.starts_with('|') => &line[..end],
        _ => line,
    };
    // Code is every second piece: between the first and the second tick, the third and the fourth.
    let spans = ours.split('`').skip(1).step_by(2);
    spans.filter(|span| {
        let is_name = |c: char| c.is_alphanumeric() || "_:".contains(c);
        span.chars().all(is_name) && (span.contains("::") || span.contains('_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_gone_is_told_with_its_line() {
        let page =
            "# Wake\n| 1 | `State::wake` → `Tasks::enqueue` | [`a_b.rs`](a_b.rs) |\n`epoll_wait`\n";
        let repository = Repository::of(&[
            ("crates/a/src/state.rs", "impl State { fn wake() {} }"),
            ("crates/a/tests/state.rs", "fn enqueue() {}"),
            ("docs/architecture.md", page),
        ]);
        let told = ["docs/architecture.md:2: `Tasks::enqueue` is not in the sources"];
        assert_eq!(check(&repository), told);
    }

    #[test]
    fn names_have_a_path_or_an_underscore() {
        let line = "`a_b`, `A::b`, `plain`, `x = \"a_b\"`, a_c";
        assert_eq!(names(line).collect::<Vec<_>>(), ["a_b", "A::b"]);
        let row = "| `a_b` | `c_d` | `e_f` | `other::name` |";
        assert_eq!(names(row).collect::<Vec<_>>(), ["a_b", "c_d", "e_f"]);
    }
}
