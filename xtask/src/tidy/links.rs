//! Links from page to page lead somewhere: the file is there, and so is the heading.

use super::repository::Repository;

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, page) in &repository.pages {
        if !path.ends_with(".md") {
            continue;
        }
        for target in links(page) {
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = match file {
                "" => path.clone(),
                file => resolved(path, file),
            };
            if !exists(repository, &file) {
                complaints.push(format!("{path}: `{target}`: there is no `{file}`"));
            } else if !heading.is_empty() && !has_heading(repository, &file, heading) {
                complaints.push(format!("{path}: `{target}`: there is no such heading"));
            }
        }
    }
    complaints
}

/// Where the links of `page` lead, but for those that lead out of the repository.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let ends = prose.split("](").skip(1);
    let targets = ends.filter_map(|end| end.split([')', ' ', '\n']).next());
    let inside = targets.filter(|target| !target.contains("://"));
    inside.map(str::to_owned).collect()
}

/// `page` without its fenced blocks.
fn prose(page: &str) -> String {
    let mut is_prose = true;
    let lines = page.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        is_prose ^= is_fence;
        is_prose && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `target` as seen from the page at `from`, as a path from the root.
fn resolved(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether there is such a file or directory.
fn exists(repository: &Repository, path: &str) -> bool {
    let inside = format!("{path}/");
    let is_it = |file: &str| file == path || file.starts_with(&inside);
    repository.pages.keys().any(|file| is_it(file))
        || repository.rust_files.iter().any(|file| is_it(&file.path))
        || repository.top_level.iter().any(|file| is_it(file))
}

fn has_heading(repository: &Repository, path: &str, heading: &str) -> bool {
    let Some(page) = repository.pages.get(path) else {
        return false;
    };
    let prose = prose(page);
    let mut lines = prose.lines().filter(|line| line.starts_with('#'));
    lines.any(|line| anchor(line.trim_start_matches('#').trim()) == heading)
}

/// What a heading is called in links.
fn anchor(heading: &str) -> String {
    let heading = heading.to_lowercase();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let page = "[a](other.md), [b](../crates/a/src/lib.rs), [c](#what-it-is), [d](../README.md#up),\n\
            [e](https://example.org/nothing), [f](../crates)\n\n## What it *is*\n";
        let repository = Repository::of(&[
            ("docs/page.md", page),
            ("docs/other.md", "```text\n[not a link](nowhere.md)\n```\n"),
            ("crates/a/src/lib.rs", "//! A.\n"),
            ("crates/a/Cargo.toml", ""),
            ("README.md", "# Up\n"),
        ]);
        assert_eq!(check(&repository), [""; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_are_told() {
        let page = "[a](gone.md) and [b](#gone)\n\n[c](../README.md#gone \"titled\")\n";
        let repository = Repository::of(&[("docs/page.md", page), ("README.md", "# Up\n")]);
        assert_eq!(
            check(&repository),
            [
                "docs/page.md: `gone.md`: there is no `docs/gone.md`",
                "docs/page.md: `#gone`: there is no such heading",
                "docs/page.md: `../README.md#gone`: there is no such heading",
            ]
        );
    }
}
