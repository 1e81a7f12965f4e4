//! Nothing is left for later in the code: no `todo!`, no ignored test, no `dbg!`.
//!
//! What a comment or a string says is not looked at.

use super::repository::Repository;

const LEFTOVERS: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore"];

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in &repository.rust_files {
        for leftover in LEFTOVERS {
            for line in file.lines_where(|line| has_word(line, leftover)) {
                complaints.push(format!("{}:{line}: a `{leftover}` was left", file.path));
            }
        }
    }
    complaints
}

/// Whether `line` holds `word`, not as the end of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_found_in_code_only() {
        let text = "// todo!()\nlet x = todo!();\nf(\"dbg!\");\nnot_a_todo!();\n#[ignore]\n";
        let repository = Repository::of(&[("a.rs", text)]);
        assert_eq!(
            check(&repository),
            [
                "a.rs:2: a `todo!` was left",
                "a.rs:5: a `#[ignore` was left"
            ]
        );
    }
}
