//! Every `#[doc(alias = "…")]` has its row in `docs/asyncio-map.md`.
//!
//! An alias is the asyncio name by which rustdoc finds an item of ours. Its row has the name as code in the first
//! column, alone or as the last part of a dotted name: `` | `loop.create_task(coro)` | … ``.

use super::repository::Repository;

const MAP: &str = "docs/asyncio-map.md";

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let Some(map) = repository.text(MAP) else {
        return vec![format!("{MAP}: is missing")];
    };
    let names = names(map);
    let mut complaints = Vec::new();
    for (path, text) in repository.rust_files() {
        if !path.starts_with("crates/") {
            continue;
        }
        for (number, alias) in aliases(text) {
            if !names.contains(&alias) {
                complaints.push(format!("{path}:{number}: `{alias}` has no row in {MAP}"));
            }
        }
    }
    complaints
}

/// The names in the first column of the tables of `map`, whole and by their last part.
fn names(map: &str) -> Vec<&str> {
    let rows = map.lines().filter_map(|line| line.trim().strip_prefix('|'));
    let cells = rows.filter_map(|row| row.split('|').next());
    // Code is every second piece: between the first and the second tick, the third and the fourth.
    let spans = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let names = spans.map(|span| span.split(['(', '[']).next().unwrap_or(span).trim());
    names
        .flat_map(|name| [name, name.rsplit('.').next().unwrap_or(name)])
        .collect()
}

/// The aliases in `text` with the numbers of their lines.
fn aliases(text: &str) -> Vec<(usize, &str)> {
    let mut aliases = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((_, attribute)) = line.trim().split_once("doc(alias") else {
            continue;
        };
        if !line.trim_start().starts_with("#[") && !line.trim_start().starts_with("#![") {
            continue;
        }
        // `alias = "a"`, `alias("a", "b")`, and further ones in the same attribute.
        let quoted = attribute.split('"').skip(1).step_by(2);
        aliases.extend(quoted.map(|alias| (index + 1, alias)));
    }
    aliases
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP_TEXT: &str = "\
| asyncio | here |
|---|---|
| `create_task(coro)`, `loop.call_soon` | [`spawn`] |
";

    #[test]
    fn a_name_in_the_map_is_fine() {
        let text =
            "#[doc(alias = \"create_task\")]\n#[doc(alias(\"call_soon\", \"loop.call_soon\"))]\n";
        let repository = Repository::of(&[("crates/a/src/lib.rs", text), (MAP, MAP_TEXT)]);
        assert_eq!(check(&repository), [""; 0]);
    }

    #[test]
    fn a_name_without_a_row_is_told() {
        // `spawn` stands in the second column only, which is ours.
        let text = "/// Spawns.\n    #[doc(alias = \"spawn\")]\n";
        let repository = Repository::of(&[("crates/a/src/lib.rs", text), (MAP, MAP_TEXT)]);
        assert_eq!(
            check(&repository),
            ["crates/a/src/lib.rs:2: `spawn` has no row in docs/asyncio-map.md"]
        );
    }

    #[test]
    fn a_missing_map_is_told() {
        assert_eq!(
            check(&Repository::default()),
            ["docs/asyncio-map.md: is missing"]
        );
    }
}
