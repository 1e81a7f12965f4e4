//! Comments do not begin with "Who" or "What", and no sentence of a page is longer than [`MOST_WORDS`] words.
//!
//! Pages are the README files and `docs/`. Code, tables and headings of a page do not count.

use super::repository::Repository;

/// The highest number of words in a sentence of a page. The style has a limit of 25; this check ignores near misses.
const MOST_WORDS: usize = 40;

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let files = repository.files.iter();
    files
        .flat_map(|(path, text)| complaints(path, text))
        .collect()
}

fn complaints(path: &str, text: &str) -> Vec<String> {
    if path.ends_with(".rs") {
        let lines = text.lines().zip(1..).filter(|(line, _)| asks(line));
        lines
            .map(|(_, number)| {
                format!(
                    "{path}:{number}: the subject of a comment is \"who\" or \"what\", not a noun"
                )
            })
            .collect()
    } else if path.ends_with("README.md") || path.starts_with("docs/") && path.ends_with(".md") {
        let long = sentences(text).filter(|sentence| words(sentence) > MOST_WORDS);
        long.map(|sentence| format!("{path}: {} words: {sentence}", words(&sentence)))
            .collect()
    } else {
        Vec::new()
    }
}

/// Whether `line` is a comment that begins with a pronoun of a question, such as "Who" or "Whatever".
fn asks(line: &str) -> bool {
    let comment = line.trim_start().strip_prefix("//");
    let comment = comment.map(|words| words.trim_start_matches(['/', '!', ' ']));
    let first = comment.and_then(|words| words.split_whitespace().next());
    matches!(first, Some("Who" | "Whoever" | "What" | "Whatever"))
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
        assert!(asks("    /// Who waits here."));
        assert!(asks("//! Whoever asks."));
        assert!(asks("// What waits here."));
        assert!(!asks("// Somewhat later."));
        assert!(!asks("/// The waiter that asks, whoever it is."));
        assert!(!asks("let name = \"Who\"; // Whose name."));
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
