//! The files that may use `unsafe` are those that `docs/architecture.md` lists.
//!
//! The list is the first fenced block after the marker. Each line is a path, and may go on with words. The compiler
//! rejects `unsafe` in any other file, and clippy rejects a block without its proof.

use syn::visit::{Visit, visit_file};

use super::repository::Repository;

const PAGE: &str = "docs/architecture.md";
const MARKER: &str = "<!-- unsafe-files -->";

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    match listed(repository) {
        Some(listed) => differences(&allowing(repository), &listed),
        None => vec![format!("{PAGE}: has no fenced list after `{MARKER}`")],
    }
}

/// The files with `allow(unsafe_code)` or `expect(unsafe_code)`, alone or among other lints.
pub(crate) fn allowing(repository: &Repository) -> Vec<String> {
    let files = repository.rust_files();
    // A file without the word needs no parsing.
    let named = files.filter(|(_, text)| text.contains("unsafe_code"));
    let allowing = named.filter(|(_, text)| {
        let mut permission = Permission(false);
        if let Ok(file) = syn::parse_file(text) {
            visit_file(&mut permission, &file);
        }
        permission.0
    });
    allowing.map(|(path, _)| path.to_owned()).collect()
}

struct Permission(bool);

impl<'ast> Visit<'ast> for Permission {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let path = attribute.path();
        if let syn::Meta::List(list) = &attribute.meta
            && (path.is_ident("allow") || path.is_ident("expect"))
        {
            let mut words = list.tokens.clone().into_iter();
            self.0 |= words.any(|word| word.to_string() == "unsafe_code");
        }
    }
}

/// The paths in the list of the page.
fn listed(repository: &Repository) -> Option<Vec<String>> {
    let (_, after_marker) = repository.text(PAGE)?.split_once(MARKER)?;
    let (_, block) = after_marker.split_once("```")?;
    let (block, _) = block.split_once("```")?;
    // The first line is the language of the fence.
    let lines = block.lines().skip(1);
    let paths = lines.filter_map(|line| line.split_whitespace().next());
    Some(paths.map(str::to_owned).collect())
}

fn differences(allowing: &[String], listed: &[String]) -> Vec<String> {
    let unlisted = allowing.iter().filter(|path| !listed.contains(path));
    let unlisted = unlisted.map(|path| format!("{path}: allows `unsafe`, {PAGE} does not list it"));
    let gone = listed.iter().filter(|path| !allowing.contains(path));
    let gone = gone.map(|path| format!("{PAGE}: lists {path}, which allows no `unsafe`"));
    unlisted.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_TEXT: &str = "# Map\n<!-- unsafe-files -->\n```text\na.rs  the cell\nb.rs\n```\n";
    const ALLOWS: &str = "#![allow(unsafe_code)]";

    #[test]
    fn files_and_list_agree() {
        let repository = Repository::of(&[("a.rs", ALLOWS), ("b.rs", ALLOWS), (PAGE, PAGE_TEXT)]);
        assert_eq!(check(&repository), [""; 0]);
    }

    #[test]
    fn a_file_too_many_and_one_too_few_are_named() {
        let repository = Repository::of(&[("b.rs", ALLOWS), ("c.rs", ALLOWS), (PAGE, PAGE_TEXT)]);
        assert_eq!(
            check(&repository),
            [
                "c.rs: allows `unsafe`, docs/architecture.md does not list it",
                "docs/architecture.md: lists a.rs, which allows no `unsafe`",
            ]
        );
    }

    #[test]
    fn a_permission_may_stand_on_several_lines_and_beside_others() {
        let files = [
            (
                "a.rs",
                "#![allow(\n    unsafe_code,\n    reason = \"why\"\n)]\n",
            ),
            ("b.rs", "#[expect(dead_code, unsafe_code)]\nfn f() {}\n"),
            ("c.rs", "#![forbid(unsafe_code)]\n// allow(unsafe_code)\n"),
        ];
        assert_eq!(allowing(&Repository::of(&files)), ["a.rs", "b.rs"]);
    }

    #[test]
    fn a_page_without_the_list_is_named() {
        let repository = Repository::of(&[(PAGE, "# Map\n")]);
        let complaint = "docs/architecture.md: has no fenced list after `<!-- unsafe-files -->`";
        assert_eq!(check(&repository), [complaint]);
    }
}
