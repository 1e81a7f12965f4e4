//! The path of a cancel request is short, and true: a table in `docs/architecture.md` has its functions.
//!
//! A function in the table is a code span such as `ScopeTree::request`, with its type or its module. It must be in one
//! of the files that its row links to. A reader learns at most [`MOST`] of them. Those of the path of a wake-up, which
//! the reader knows by then, are told by the numbers of their steps.

use std::collections::BTreeSet;

use super::repository::Repository;

const PAGE: &str = "docs/architecture.md";
const HEADING: &str = "## The path of a cancel request";

/// The most functions on the path.
const MOST: usize = 20;

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let text = repository.text(PAGE).unwrap_or_default();
    let lines = text.lines().zip(1..);
    let section = lines.skip_while(|&(line, _)| line != HEADING).skip(1);
    let section = section.take_while(|(line, _)| !line.starts_with("## "));
    let mut complaints = Vec::new();
    let mut all = BTreeSet::new();
    for (row, number) in section.filter(|(line, _)| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [_, told, place] = cells[..] else {
            continue;
        };
        for name in functions(told) {
            all.insert(name);
            let mut sources = links(place).filter_map(|link| repository.text(link));
            if !sources.any(|source| has_function(source, name)) {
                complaints.push(format!(
                    "{PAGE}:{number}: `{name}` is in no file of its row"
                ));
            }
        }
    }
    if all.is_empty() {
        complaints.push(format!("{PAGE}: {HEADING:?} has no table of functions"));
    }
    if all.len() > MOST {
        let count = all.len();
        complaints.push(format!(
            "{PAGE}: a cancel request takes {count} functions, and a reader is to follow it in {MOST}"
        ));
    }
    complaints
}

/// The functions in a cell of the table. The last part of a type or a variant has a capital letter.
fn functions(cell: &str) -> impl Iterator<Item = &str> {
    let spans = cell.split('`').skip(1).step_by(2);
    spans.filter(|span| {
        let last = span.rsplit_once("::").map(|(_, last)| last);
        last.is_some_and(|last| last.starts_with(char::is_lowercase))
    })
}

/// The files that a cell links to, from the root of the repository.
fn links(cell: &str) -> impl Iterator<Item = &str> {
    let links = cell.split("](../").skip(1);
    links.filter_map(|link| link.split_once(')').map(|(link, _)| link))
}

/// Whether a file has a function. `name` begins with the type that the function is in, or with its module.
fn has_function(source: &str, name: &str) -> bool {
    let Some((owner, function)) = name.rsplit_once("::") else {
        return false;
    };
    let begins = |end: char| source.contains(&format!("fn {function}{end}"));
    let is_of = |line: &str| line.starts_with("impl") && line.contains(owner);
    let is_free = owner.starts_with(char::is_lowercase);
    (begins('(') || begins('<')) && (is_free || source.lines().any(is_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: &str) -> Repository {
        let text = format!("# A\n{HEADING}\n\n| step | what | where |\n|---|---|---|\n{rows}\n");
        Repository::of(&[
            ("crates/a/src/state.rs", "impl State {\n    fn wake() {}\n}"),
            (PAGE, &text),
        ])
    }

    #[test]
    fn a_function_that_is_not_where_its_row_says_is_told() {
        let place = "[`state.rs`](../crates/a/src/state.rs) |";
        let good = page(&format!("| 1 | `State::wake`, `Outcome::Done` | {place}"));
        assert_eq!(check(&good), [""; 0]);
        let bad = page(&format!("| 1 | `State::sleep` → `Cell::wake` | {place}"));
        assert_eq!(
            check(&bad),
            [
                "docs/architecture.md:6: `State::sleep` is in no file of its row",
                "docs/architecture.md:6: `Cell::wake` is in no file of its row"
            ]
        );
    }

    #[test]
    fn a_long_path_is_told_and_so_is_none() {
        let names: Vec<_> = (0..=MOST).map(|n| format!("`State::f{n}`")).collect();
        let complaints = check(&page(&format!("| 1 | {} | |", names.join(", "))));
        assert!(complaints.last().expect("one").contains("21 functions"));
        assert!(check(&page(""))[0].contains("no table"));
    }
}
