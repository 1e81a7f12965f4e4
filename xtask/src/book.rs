//! `cargo xtask book`: the pages of `docs` as one book, by mdBook, in `target/book/html`.
//!
//! The sources are copied, because the table of contents is made here: the pages for users in reading order, then those
//! about the inside, then each decision. Links out of `docs` are rewritten, as the book is at another depth.

use std::path::Path;

use anyhow::{Context, ensure};
use xshell::{Shell, cmd};

/// The parts of the book: a title, and its pages in order.
const PARTS: &[(&str, &[&str])] = &[
    (
        "For users",
        &[
            "guide",
            "coming-from-python",
            "coming-from-tokio",
            "cancellation",
            "asyncio-map",
            "performance",
            "changelog",
        ],
    ),
    ("The inside", &["architecture", "glossary", "testing"]),
];

const BOOK: &str = r#"[book]
title = "asyncio for Rust"
language = "en"

[build]
build-dir = "html"

[output.html]
default-theme = "light"
"#;

/// Builds the book, and checks each link in it.
pub(crate) fn build(shell: &Shell) -> anyhow::Result<()> {
    let root = crate::workspace::root();
    let (docs, book) = (root.join("docs"), root.join("target/book"));
    let source = book.join("src");
    shell.remove_path(&book)?;
    shell.create_dir(source.join("decisions"))?;
    shell.write_file(book.join("book.toml"), BOOK)?;
    shell.copy_file(docs.join("performance.svg"), source.join("performance.svg"))?;

    let mut contents = String::from("# Contents\n");
    for (part, pages) in PARTS {
        contents += &format!("\n# {part}\n\n");
        for page in *pages {
            let title = copy(shell, &docs, &source, &format!("{page}.md"), "](../")?;
            contents += &format!("- [{title}]({page}.md)\n");
        }
    }
    contents += "\n# Decisions\n\n";
    let mut decisions = Vec::new();
    for page in shell.read_dir(docs.join("decisions"))? {
        let page = page.strip_prefix(&docs)?.display().to_string();
        let title = copy(shell, &docs, &source, &page, "](../../")?;
        decisions.push(format!("- [{title}]({page})\n"));
    }
    decisions.sort();
    contents.extend(decisions);
    shell.write_file(source.join("SUMMARY.md"), contents)?;

    // Each page of `docs` has its place in the table of contents.
    let listed: usize = PARTS.iter().map(|(_, pages)| pages.len()).sum();
    let pages = shell.read_dir(&docs)?.into_iter();
    let is_page = |page: &std::path::PathBuf| page.extension().is_some_and(|end| end == "md");
    ensure!(
        pages.filter(is_page).count() == listed,
        "a page of `docs` is missing in the table of contents of `xtask/src/book.rs`"
    );

    cmd!(shell, "mdbook build {book}").quiet().run()?;
    let html = book.join("html");
    let options = [
        "--offline",
        "--include-fragments",
        "--no-progress",
        "--quiet",
    ];
    // The page for printing repeats the ids of all others.
    let without = ["--exclude-path", "print.html", "--exclude-path", "404.html"];
    Ok(cmd!(shell, "lychee {options...} {without...} {html}").run()?)
}

/// Copies a page. Links that begin with `out` lead out of `docs`. Returns the title of the page.
fn copy(shell: &Shell, docs: &Path, to: &Path, page: &str, out: &str) -> anyhow::Result<String> {
    let text = shell.read_file(docs.join(page))?;
    let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
    let title = title
        .with_context(|| format!("{page} begins with no title"))?
        .to_owned();
    // From `docs` to the root is one step, and from `target/book/html` three.
    let text = text.replace(out, &out.replacen("](", "](../../", 1));
    shell.write_file(to.join(page), text)?;
    Ok(title)
}
