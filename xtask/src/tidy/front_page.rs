//! Every crate has a README of its own and a front page, each with an example that runs.

use super::repository::Repository;

/// The line that makes a README a doc test.
const README_IS_TESTED: &str = "#[doc = include_str!(\"../README.md\")]";

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let crates = repository.crates();
    crates
        .flat_map(|directory| check_crate(repository, directory))
        .collect()
}

fn check_crate(repository: &Repository, directory: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let name = directory.rsplit('/').next().unwrap_or(directory);
    let readme = format!("{directory}/README.md");
    match repository.text(&readme) {
        None => complaints.push(format!("{readme}: is missing")),
        Some(text) if !text.starts_with(&format!("# {name}\n")) => {
            complaints.push(format!("{readme}: its title is not `# {name}`"));
        }
        Some(text) if !has_example(text) => {
            complaints.push(format!("{readme}: has no example"));
        }
        Some(_) => {}
    }
    let lib = format!("{directory}/src/lib.rs");
    let text = repository.text(&lib).unwrap_or("");
    if !text.contains(README_IS_TESTED) {
        complaints.push(format!("{lib}: the examples of its README are not run"));
    }
    if !has_example(&front_page(text)) {
        complaints.push(format!("{lib}: its front page has no example that runs"));
    }
    complaints
}

/// The text of the `//!` lines.
fn front_page(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.strip_prefix("//!"));
    lines
        .flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"])
        .collect()
}

/// Whether `page` has a fenced block that runs as a doc test.
fn has_example(page: &str) -> bool {
    let fences = page.lines().filter_map(|line| line.strip_prefix("```"));
    // Every second fence closes a block.
    fences.step_by(2).any(|language| {
        let mut words = language.split(',').map(str::trim);
        words.all(|word| word.is_empty() || word == "rust" || word == "should_panic")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_with_both_is_fine() {
        let lib = "//! Tasks.\n//!\n//! ```\n//! assert!(true);\n//! ```\n\nmod a;\n";
        let lib = format!("{lib}{README_IS_TESTED}\nstruct Readme;\n");
        let readme = "# asyncio-task\n```rust\nf();\n```\n";
        let repository = Repository::of(&[
            ("crates/asyncio-task/Cargo.toml", ""),
            ("crates/asyncio-task/README.md", readme),
            ("crates/asyncio-task/src/lib.rs", &lib),
        ]);
        assert_eq!(check(&repository), [""; 0]);
    }

    #[test]
    fn a_crate_with_neither_is_told_both() {
        let repository = Repository::of(&[
            ("crates/asyncio-task/Cargo.toml", ""),
            ("crates/asyncio-task/src/lib.rs", "//! Tasks.\n"),
        ]);
        assert_eq!(
            check(&repository),
            [
                "crates/asyncio-task/README.md: is missing",
                "crates/asyncio-task/src/lib.rs: the examples of its README are not run",
                "crates/asyncio-task/src/lib.rs: its front page has no example that runs",
            ]
        );
    }

    #[test]
    fn a_readme_of_words_is_told() {
        let repository = Repository::of(&[
            ("crates/asyncio-task/Cargo.toml", ""),
            ("crates/asyncio-task/README.md", "# asyncio-task\nWords.\n"),
        ]);
        let told = "crates/asyncio-task/README.md: has no example".to_owned();
        assert!(check(&repository).contains(&told));
    }

    #[test]
    fn an_example_is_one_that_runs() {
        assert!(has_example("```\nf();\n```"));
        assert!(has_example("```text\na\n```\n\n```rust\nf();\n```"));
        assert!(!has_example("```text\na\n```"));
        assert!(!has_example("```no_run\nf();\n```"));
        assert!(!has_example("```ignore\nf();\n```"));
        assert!(!has_example("words"));
    }
}
