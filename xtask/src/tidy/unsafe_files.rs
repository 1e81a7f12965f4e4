//! The files that may use `unsafe` are those that `docs/architecture.md` lists, and every use of
//! it there has its proof.
//!
//! The list is the first fenced block after the marker; each line is a path and may go on with
//! words. That a file without the permission has no `unsafe` is the compiler's business.

use super::repository::Repository;
use super::rust_file::RustFile;

const PAGE: &str = "docs/architecture.md";
const MARKER: &str = "<!-- unsafe-files -->";

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let allowing = allowing(repository);
    let mut complaints = match listed(repository) {
        Some(listed) => differences(&allowing, &listed),
        None => vec![format!("{PAGE}: has no fenced list after `{MARKER}`")],
    };
    for path in &allowing {
        if let Some(file) = repository.rust_file(path) {
            complaints.extend(unproven(file));
        }
    }
    complaints
}

/// The files with `allow(unsafe_code)`, alone or among other lints, on a line or over several.
pub(crate) fn allowing(repository: &Repository) -> Vec<String> {
    let is_permission = |(at, _): (usize, &str), code: &str| {
        let opened = code[..at].rfind('(').map(|open| &code[..open]);
        opened.is_some_and(|before| before.ends_with("allow") || before.ends_with("expect"))
    };
    let allows = |file: &&RustFile| {
        let mut named = file.code.match_indices("unsafe_code");
        named.any(|name| is_permission(name, &file.code))
    };
    let files = repository.rust_files.iter().filter(allows);
    files.map(|file| file.path.clone()).collect()
}

/// The paths in the list of the page.
fn listed(repository: &Repository) -> Option<Vec<String>> {
    let page = repository.pages.get(PAGE)?;
    let (_, after_marker) = page.split_once(MARKER)?;
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

/// The uses of `unsafe` in `file` without a proof. Clippy looks for these too, but only in what
/// is compiled: not on another system, not under loom.
fn unproven(file: &RustFile) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let code: Vec<&str> = file.code.lines().collect();
    let needs_proof = |line: &str| line.contains("unsafe {") || line.contains("unsafe impl");
    let uses = file.lines_where(needs_proof).into_iter();
    let unproven = uses.filter(|number| !has_proof(&lines, &code, number - 1));
    let complaint = |number| format!("{}:{number}: `unsafe` without `SAFETY:`", file.path);
    unproven.map(complaint).collect()
}

/// Whether the comments of the statement around line `at` hold a proof.
fn has_proof(lines: &[&str], code: &[&str], at: usize) -> bool {
    let is_proof = |line: &str| line.contains("// SAFETY:") || line.contains("/* SAFETY:");
    if is_proof(lines[at]) {
        return true;
    }
    for above in (0..at).rev() {
        if is_proof(lines[above]) {
            return true;
        }
        // The statement begins after the last one, or after the brace it stands in.
        let end_of_another = code[above].trim_end().ends_with([';', '{', '}']);
        if end_of_another || lines[above].trim().is_empty() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_TEXT: &str = "# Map\n<!-- unsafe-files -->\n```text\na.rs  the cell\nb.rs\n```\n";
    const PROVEN: &str = "\
//! Unsafe.
#![allow(unsafe_code)]
fn f() {
    // SAFETY: I1.
    let x =
        unsafe { g() };
    unsafe { h() } // SAFETY: I2.
}
";

    #[test]
    fn files_and_list_agree() {
        let repository = Repository::of(&[("a.rs", PROVEN), ("b.rs", PROVEN), (PAGE, PAGE_TEXT)]);
        assert_eq!(check(&repository), [""; 0]);
        assert_eq!(allowing(&repository), ["a.rs", "b.rs"]);
    }

    #[test]
    fn a_file_too_many_and_one_too_few_are_told() {
        let files = [
            ("b.rs", PROVEN),
            ("c.rs", "#![allow(unsafe_code)]"),
            (PAGE, PAGE_TEXT),
        ];
        assert_eq!(
            check(&Repository::of(&files)),
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
    fn a_page_without_the_list_is_told() {
        let repository = Repository::of(&[(PAGE, "# Map\n")]);
        assert_eq!(
            check(&repository),
            ["docs/architecture.md: has no fenced list after `<!-- unsafe-files -->`"]
        );
    }

    #[test]
    fn a_use_without_proof_is_told() {
        let text =
            "fn f() {\n    // SAFETY: of the first.\n    unsafe { a() };\n    unsafe { b() };\n}\n";
        assert_eq!(
            unproven(&RustFile::new("a.rs", text)),
            ["a.rs:4: `unsafe` without `SAFETY:`"]
        );
        let text = "\n// SAFETY: I1.\nunsafe impl Send for A {}\n\nunsafe impl Sync for A {}\n";
        assert_eq!(
            unproven(&RustFile::new("a.rs", text)),
            ["a.rs:5: `unsafe` without `SAFETY:`"]
        );
    }
}
