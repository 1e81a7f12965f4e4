//! That no row of CPython's tests is claimed without its test, and none is left out without a word.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One of ours: what became of it, the file, the test there.
struct Row<'a> {
    fate: &'a str,
    file: &'a str,
    name: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let lines = include_str!("rows.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(
            |line| match line.split_whitespace().collect::<Vec<_>>()[..] {
                [fate, file, name] => Row { fate, file, name },
                _ => panic!("a row is a fate, a file and a name, not {line:?}"),
            },
        )
        .collect()
}

impl Row<'_> {
    fn class(&self) -> Option<&str> {
        self.name.split_once('.').map(|(class, _)| class)
    }

    /// The name without its class.
    fn test(&self) -> &str {
        self.name
            .rsplit('.')
            .next()
            .expect("a split has a last part")
    }

    /// Our function of this name, with a `_` at the end where something else is called so.
    fn is_tested_in(&self, source: &str) -> bool {
        let ours = self.test().strip_prefix("test_").expect("a test's name");
        let heads = ["", "_"].map(|end| format!("fn {ours}{end}()"));
        source.split("#[test]").skip(1).any(|test| {
            let head = test.lines().find(|line| line.contains("fn "));
            head.is_some_and(|head| heads.iter().any(|ours| head.contains(ours)))
        })
    }
}

/// The source of the file where a row's test is. The tests of locks and queues are with these, where each
/// class has a file of its own.
fn source_for(row: &Row<'_>) -> String {
    let of_part = repository().join("crates/asyncio-sync/tests/cpython");
    match row.class() {
        Some(class) if of_part.join(row.file).is_dir() => {
            source_of(&of_part.join(row.file).join(in_snake_case(class)))
        }
        _ => source_of(&repository().join("tests/it/cpython").join(row.file)),
    }
}

/// As a class is called where it is a module: `LockTests` is `lock_tests`.
fn in_snake_case(class: &str) -> String {
    let mut name = String::new();
    for letter in class.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The source of a module, and of what is in its directory.
fn source_of(path: &Path) -> String {
    let mut source = fs::read_to_string(path.with_extension("rs")).unwrap_or_default();
    for entry in fs::read_dir(path).into_iter().flatten() {
        source += &source_of(&entry.expect("it can be read").path().with_extension(""));
    }
    source
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn page(name: &str) -> String {
    fs::read_to_string(repository().join("docs").join(name)).expect("the page is there")
}

#[test]
fn every_row_has_its_test_or_its_reason() {
    let map = page("asyncio-map.md");
    let (_, map) = map
        .split_once("## Rows of CPython's tests that change")
        .expect("the map has its table");
    for row in rows() {
        let source = source_for(&row);
        let (tested, explained) = match row.fate {
            "kept" => (true, false),
            "changed" => (true, true),
            "refused" | "left" => (false, true),
            other => panic!("{}: no row is {other}", row.name),
        };
        assert_eq!(
            row.is_tested_in(&source),
            tested,
            "{}.rs, and its test {}",
            row.file,
            row.name
        );
        // Where it is one of several of a class, the others go without the class.
        let name = if explained { row.test() } else { row.name };
        let named = ["`", "."].map(|before| format!("{before}{name}`"));
        let named = named.iter().any(|name| map.contains(name));
        assert_eq!(named, explained, "{} is in the map's table", row.name);
    }
}

#[test]
fn the_page_on_testing_counts_them() {
    let mut counts: BTreeMap<&str, [u32; 5]> = BTreeMap::new();
    for row in rows() {
        for file in [row.file, "all"] {
            let count = counts.entry(file).or_default();
            count[0] += 1;
            let fates = ["kept", "changed", "refused", "left"];
            let fate = fates.iter().position(|fate| *fate == row.fate);
            count[fate.expect("one of these") + 1] += 1;
        }
    }
    let testing = page("testing.md");
    for (file, [rows, kept, changed, refused, left]) in counts {
        let name = match file {
            "all" => "all of these".to_owned(),
            file => format!("`test_{file}`"),
        };
        let line = format!("| {name} | {rows} | {kept} | {changed} | {refused} | {left} |");
        assert!(testing.contains(&line), "docs/testing.md lacks {line}");
    }
}
