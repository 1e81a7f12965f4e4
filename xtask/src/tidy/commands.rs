//! The commands in the pages exist, and CI runs the two that matter.
//!
//! Commands are the lines of fenced blocks in a shell language that begin with `cargo` or with a
//! path in the repository; a `$` before them and a comment behind them are no part of them.

use super::repository::Repository;
use crate::{COMMANDS, ci};

const README: &str = "README.md";
/// Pages that are there for their commands.
const PAGES: &[&str] = &[README, "docs/testing.md"];
const CI: &str = ".ci/run";

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let mut complaints = Vec::new();
    for path in PAGES {
        if !repository.pages.contains_key(*path) {
            complaints.push(format!("{path}: is missing"));
        }
    }
    let pages = repository.pages.iter();
    for (path, page) in pages.filter(|(path, _)| path.ends_with(".md")) {
        for (number, command) in commands(page) {
            if let Some(problem) = problem(repository, &command) {
                complaints.push(format!("{path}:{number}: `{command}`: {problem}"));
            }
        }
    }
    complaints.extend(missing_from_readme(repository));
    let script = repository.pages.get(CI);
    if !script.is_some_and(|script| script.lines().any(|line| line.contains("cargo xtask ci"))) {
        complaints.push(format!("{CI}: does not run `cargo xtask ci`"));
    }
    complaints
}

/// The README gives the commands that CI runs, word for word.
fn missing_from_readme(repository: &Repository) -> Vec<String> {
    let Some(readme) = repository.pages.get(README) else {
        return Vec::new();
    };
    let given = commands(readme);
    let ran_by_ci = [ci::TEST, ci::TOUR].into_iter();
    let missing = ran_by_ci.filter(|wanted| given.iter().all(|(_, command)| command != wanted));
    missing
        .map(|wanted| format!("{README}: does not give `{wanted}`"))
        .collect()
}

/// What is wrong with a command, if anything.
fn problem(repository: &Repository, command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["cargo", "xtask", name, ..] => {
            let known = COMMANDS.iter().any(|command| command.name == *name);
            (!known).then(|| format!("xtask has no command `{name}`"))
        }
        ["cargo", "run", rest @ ..] => missing_example(repository, rest),
        ["cargo", "test" | "add" | "doc" | "build" | "check", ..] => None,
        ["cargo", ..] => Some("this check does not know it".to_owned()),
        [script, ..] => {
            let missing = !repository.pages.contains_key(*script);
            missing.then(|| "there is no such file".to_owned())
        }
        [] => None,
    }
}

fn missing_example(repository: &Repository, arguments: &[&str]) -> Option<String> {
    let at = arguments.iter().position(|word| *word == "--example")?;
    let Some(name) = arguments.get(at + 1) else {
        return Some("it names no example".to_owned());
    };
    let ends = [
        format!("/examples/{name}.rs"),
        format!("/examples/{name}/main.rs"),
    ];
    let mut files = repository.rust_files.iter();
    let exists = files.any(|file| ends.iter().any(|end| file.path.ends_with(end)));
    (!exists).then(|| format!("there is no example `{name}`"))
}

/// The commands of `page`, each with the number of its line.
fn commands(page: &str) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    let mut in_shell = false;
    let mut in_block = false;
    for (index, line) in page.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            in_block = !in_block;
            in_shell = in_block && matches!(language.trim(), "sh" | "bash" | "shell" | "console");
            continue;
        }
        if in_shell && let Some(command) = command(line) {
            commands.push((index + 1, command));
        }
    }
    commands
}

/// The command of a line of shell, without variables set for it.
fn command(line: &str) -> Option<String> {
    let line = line.split(" #").next().unwrap_or(line);
    let words = line
        .split_whitespace()
        .skip_while(|word| *word == "$" || word.contains('='));
    let words: Vec<&str> = words.collect();
    let first = words.first()?;
    let ours = *first == "cargo" || first.starts_with(".ci/");
    ours.then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const README_TEXT: &str = "\
# asyncio
```sh
cargo run --release --example tour   # look
cargo xtask test
```
```rust
cargo nonsense
```
";

    fn repository(readme: &str, testing: &str) -> Repository {
        Repository::of(&[
            (README, readme),
            ("docs/testing.md", testing),
            (CI, "cd here\ncargo xtask ci\n"),
            ("crates/asyncio/examples/tour/main.rs", "//! The tour."),
        ])
    }

    #[test]
    fn commands_that_exist_are_fine() {
        let testing = "```sh\n$ ASYNCIO_HEAVY=1 cargo xtask test\n.ci/run\ngit clone …\n```\n";
        assert_eq!(check(&repository(README_TEXT, testing)), [""; 0]);
    }

    #[test]
    fn commands_that_do_not_exist_are_told() {
        let testing = "\
```sh
cargo xtask dance
cargo run --example ballet
.ci/walk
cargo fly
```
";
        assert_eq!(
            check(&repository(README_TEXT, testing)),
            [
                "docs/testing.md:2: `cargo xtask dance`: xtask has no command `dance`",
                "docs/testing.md:3: `cargo run --example ballet`: there is no example `ballet`",
                "docs/testing.md:4: `.ci/walk`: there is no such file",
                "docs/testing.md:5: `cargo fly`: this check does not know it",
            ]
        );
    }

    #[test]
    fn the_readme_gives_what_ci_runs() {
        let readme = "```sh\ncargo xtask test --quiet\ncargo run --release --example tour\n```\n";
        assert_eq!(
            check(&repository(readme, "")),
            ["README.md: does not give `cargo xtask test`"]
        );
    }

    #[test]
    fn ci_runs_ci() {
        let mut repository = repository(README_TEXT, "");
        repository
            .pages
            .insert(CI.to_owned(), "cargo test\n".to_owned());
        assert_eq!(
            check(&repository),
            [".ci/run: does not run `cargo xtask ci`"]
        );
    }
}
