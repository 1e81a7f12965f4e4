//! From a rule to its test: each of the twelve rules and each invariant is named by a test.
//!
//! The rules are the numbered list under "The twelve rules" in `docs/cancellation.md`. An invariant is defined at the
//! head of a file, `//! - **H1** …`, with an id that is unique in its crate. A test names what it tries in a comment:
//! `// Proves rule 5, H1.` An invariant of another crate is named with that: `// Proves asyncio-task H1.`

use std::collections::BTreeMap;

use super::Repository;

const RULES: &str = "docs/cancellation.md";
const PROVES: &str = "// Proves ";

pub(super) fn check(repository: &Repository) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut unproven: BTreeMap<(String, String), String> = BTreeMap::new();
    for number in rules(repository) {
        unproven.insert((String::new(), format!("rule {number}")), RULES.to_owned());
    }
    for (path, text) in repository.rust_files() {
        let of_a_crate = !home(path).is_empty();
        for id in text.lines().filter_map(defined).filter(|_| of_a_crate) {
            let key = (home(path).to_owned(), id.to_owned());
            if let Some(other) = unproven.insert(key, path.to_owned()) {
                complaints.push(format!("{path}: {id} is an invariant of {other} too"));
            }
        }
    }
    let known = unproven.clone();
    for (path, text) in repository.rust_files() {
        for id in text.lines().filter_map(proven).flatten() {
            let key = meant(id, home(path));
            unproven.remove(&key);
            if !known.contains_key(&key) {
                complaints.push(format!("{path}: proves {id}, which is not defined"));
            }
        }
    }
    let without = unproven.iter().map(|((_, id), path)| {
        format!("{path}: no test says that it proves {id} (`{PROVES}{id}.`)")
    });
    complaints.extend(without);
    complaints
}

/// The numbers of the rules.
fn rules(repository: &Repository) -> Vec<usize> {
    let text = repository.text(RULES).unwrap_or_default();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with("The twelve rules"));
    let lines = section.unwrap_or_default().lines();
    lines
        .filter_map(|line| line.split_once(". **")?.0.parse().ok())
        .collect()
}

/// The directory of a file's crate; empty for what lies in none.
fn home(path: &str) -> &str {
    match path.match_indices('/').nth(1) {
        Some((end, _)) if path.starts_with("crates/") => &path[..end],
        _ => "",
    }
}

/// The crate and the id that a test in the crate `home` means.
fn meant(id: &str, home: &str) -> (String, String) {
    match id.split_once(' ') {
        Some(("rule", _)) => (String::new(), id.to_owned()),
        Some((other, id)) => (format!("crates/{other}"), id.to_owned()),
        None => (home.to_owned(), id.to_owned()),
    }
}

/// The invariant that a line defines.
fn defined(line: &str) -> Option<&str> {
    let (id, _) = line.strip_prefix("//! - **")?.split_once("**")?;
    let (letter, number) = id.split_at_checked(1)?;
    let is_id =
        letter.chars().all(|letter| letter.is_ascii_uppercase()) && number.parse::<u8>().is_ok();
    is_id.then_some(id)
}

/// The ids that a line names as proven by its test.
fn proven(line: &str) -> Option<Vec<&str>> {
    let list = line.trim_start().strip_prefix(PROVES)?;
    Some(list.trim_end_matches('.').split(", ").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: (&str, &str) = (
        RULES,
        "# x\n\n## The twelve rules\n\n1. **A** b\n\n## Next\n2. **C**\n",
    );
    const DEFINES: (&str, &str) = (
        "crates/a/src/x.rs",
        "//! - **H1** always\n//! - **Note** no id\n",
    );

    fn complaints(tests: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = [PAGE, DEFINES].iter().chain(tests).copied().collect();
        check(&Repository::of(&files))
    }

    #[test]
    fn each_rule_and_invariant_wants_a_test() {
        let found = complaints(&[]);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("rule 1") && found[1].contains("H1"));
    }

    #[test]
    fn tests_of_the_crate_or_of_another_prove() {
        let of_crate = ("crates/a/tests/x.rs", "    // Proves H1.");
        let of_another = ("tests/it/x.rs", "// Proves rule 1, a H1.");
        assert!(complaints(&[of_another]).is_empty());
        assert_eq!(complaints(&[of_crate]).len(), 1);
    }

    #[test]
    fn an_id_of_another_crate_without_its_name_is_unknown() {
        let found = complaints(&[("crates/b/tests/x.rs", "// Proves rule 1, H1.")]);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("not defined"));
    }

    #[test]
    fn an_id_is_defined_once_in_a_crate() {
        let twice = ("crates/a/src/y.rs", "//! - **H1** again");
        let proof = ("tests/it/x.rs", "// Proves rule 1, a H1.");
        assert_eq!(complaints(&[twice, proof]).len(), 1);
    }
}
