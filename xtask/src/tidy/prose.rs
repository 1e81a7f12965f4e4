//! Comments do not begin with "Who", "What" or "Which", and are no wider than [`MOST_COLUMNS`]. No sentence of a page
//! is longer than [`MOST_WORDS`] words.
//!
//! Pages are the README files and `docs/`. Code, tables and headings of a page do not count.

use super::repository::Repository;

/// The highest number of words in a sentence of a page. The style has a limit of 25; this check ignores near misses.
const MOST_WORDS: usize = 40;

/// The highest number of columns of a comment. A row of a table cannot be broken, so it may be wider.
const MOST_COLUMNS: usize = 120;

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let files = repository.files.iter();
    files
        .flat_map(|(path, text)| complaints(path, text))
        .collect()
}

fn complaints(path: &str, text: &str) -> Vec<String> {
    if path.ends_with(".rs") {
        let faults = text.lines().zip(1..).filter_map(|(line, number)| {
            let fault = fault(line)?;
            Some(format!("{path}:{number}: {fault}"))
        });
        faults.collect()
    } else if path.ends_with("README.md") || path.starts_with("docs/") && path.ends_with(".md") {
        let long = sentences(text).filter(|sentence| words(sentence) > MOST_WORDS);
        long.map(|sentence| format!("{path}: {} words: {sentence}", words(&sentence)))
            .collect()
    } else {
        Vec::new()
    }
}

/// The fault of a line of Rust, if it is a comment with one.
fn fault(line: &str) -> Option<&'static str> {
    let comment = line.trim_start().strip_prefix("//")?;
    let comment = comment.trim_start_matches(['/', '!', ' ']);
    let first = comment.split_whitespace().next();
    if let Some("Who" | "Whoever" | "What" | "Whatever" | "Which") = first {
        Some("the subject of a comment is \"who\", \"what\" or \"which\", not a noun")
    } else if !comment.starts_with('|') && line.chars().count() > MOST_COLUMNS {
        Some("a comment is wider than 120 columns")
    } else {
        None
    }
}

/// The sentences of a page: paragraphs and list items, split after full stops, colons and the like.
fn sentences(text: &str) -> impl Iterator<Item = String> {
    let mut paragraphs = vec![String::new()];
    let mut is_code = false;
    for line in text.lines().map(str::trim) {
        is_code ^= line.starts_with("```");
        let is_item = line.starts_with("- ");
        let is_prose = !is_code && !line.starts_with(['#', '|', '<', '`']);
        if is_item || line.is_empty() || !is_prose {
            paragraphs.push(String::new());
        }
        if is_prose && let Some(paragraph) = paragraphs.last_mut() {
            paragraph.extend([line, " "]);
        }
    }
    paragraphs.into_iter().flat_map(|paragraph| {
        let ends = [". ", "? ", "! ", ": ", ".) ", ".** ", " · "];
        let marked = ends
            .iter()
            .fold(paragraph, |text, end| text.replace(end, "\n"));
        marked.lines().map(str::to_owned).collect::<Vec<_>>()
    })
}

fn words(sentence: &str) -> usize {
    sentence.split_whitespace().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_has_a_noun_as_its_subject() {
        assert!(fault("    /// Who waits here.").is_some());
        assert!(fault("//! Whoever asks.").is_some());
        assert!(fault("// What waits here.").is_some());
        assert!(fault("/// Which of them.").is_some());
        assert_eq!(fault("// Somewhat later."), None);
        assert_eq!(fault("/// The waiter that asks, whoever it is."), None);
        assert_eq!(fault("let name = \"Who\"; // Whose name."), None);
    }

    #[test]
    fn a_comment_is_no_wider_than_the_limit() {
        let fits = format!("// {}", "ü".repeat(MOST_COLUMNS - 3));
        assert_eq!(fault(&fits), None);
        assert!(fault(&format!("{fits}.")).is_some());
        assert_eq!(fault(&format!("/// | {fits} |")), None);
        assert_eq!(fault(&format!("let text = \"{fits}\";")), None);
    }

    #[test]
    fn a_long_sentence_is_told_with_its_page() {
        let long = "word ".repeat(MOST_WORDS + 1);
        let page = format!("Short. {long}\n\n```text\n{long}\n```\n| {long} |\n- {long}\n# {long}");
        let told = complaints("docs/page.md", &page);
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("docs/page.md: 41 words: word word"));
        assert_eq!(complaints("notes/page.md", &page), [""; 0]);
    }

    #[test]
    fn a_wrapped_sentence_is_one_and_items_are_apart() {
        let half = "word ".repeat(MOST_WORDS / 2 + 1);
        assert_eq!(complaints("README.md", &format!("{half}\n{half}")).len(), 1);
        assert_eq!(
            complaints("README.md", &format!("- {half}\n- {half}")),
            [""; 0]
        );
        assert_eq!(complaints("README.md", &format!("{half}: {half}")), [""; 0]);
    }
}
