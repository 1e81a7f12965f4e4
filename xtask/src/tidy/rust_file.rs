//! A Rust file, with its code apart from its comments and strings.
//!
//! This is no parser: it knows where comments, strings and characters begin and end, which is
//! enough to search code without finding what a comment or a message says.

/// A Rust file.
#[derive(Debug)]
pub(crate) struct RustFile {
    /// From the root of the repository.
    pub(crate) path: String,
    /// As it stands.
    pub(crate) text: String,
    /// The text with blanks in place of comments and of what is in strings; the same lines.
    pub(crate) code: String,
}

impl RustFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        RustFile {
            path: path.to_owned(),
            text: text.to_owned(),
            code: code_of(text),
        }
    }

    /// The numbers, from 1, of the lines whose code satisfies `wanted`.
    pub(crate) fn lines_where(&self, wanted: impl Fn(&str) -> bool) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        let lines = lines.filter(|(_, line)| wanted(line));
        lines.map(|(index, _)| index + 1).collect()
    }
}

fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let hidden = hidden_length(rest, code.chars().next_back());
        if hidden == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            let kept = rest[..hidden].chars();
            code.extend(kept.map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[hidden..];
        }
    }
    code
}

/// How much of `rest` is a comment, a string or a character; `before` stands in front of it.
fn hidden_length(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_length(rest);
    }
    if let Some(string) = rest.strip_prefix('"') {
        return 1 + quoted_length(string, '"');
    }
    if let Some(character) = rest.strip_prefix('\'') {
        return character_length(character);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if in_word { 0 } else { raw_string_length(rest) }
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of what follows an opening quote, with the closing one.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// The length of a character with its quotes, told what follows the opening one. A lifetime
/// begins the same and is 0 long.
fn character_length(rest: &str) -> usize {
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => 1 + quoted_length(rest, '\''),
        _ => 0,
    }
}

/// `r"…"`, `r#"…"#`, `br"…"`: a string in which nothing is escaped.
fn raw_string_length(rest: &str) -> usize {
    let after_r = ["r", "br", "cr"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix));
    let Some(after_r) = after_r else {
        return 0;
    };
    let inside = after_r.trim_start_matches('#');
    let hashes = after_r.len() - inside.len();
    if !inside.starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - inside.len() + 1;
    let length = rest[start..].find(&end);
    length.map_or(rest.len(), |length| start + length + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_code(text: &str, code: &str) {
        assert_eq!(code_of(text), code);
    }

    #[test]
    fn comments_are_blank() {
        assert_code("a // b\nc", "a     \nc");
        assert_code("a /* b /* c */\n d */ e", "a             \n      e");
        assert_code("/// doc\nfn f() {}", "       \nfn f() {}");
    }

    #[test]
    fn strings_are_blank() {
        assert_code(r#"f("a // b", c)"#, "f(        , c)");
        assert_code(r#"f("a \" b", c)"#, "f(        , c)");
        assert_code(r##"f(r#"a " b"#, c)"##, "f(          , c)");
        assert_code(r#"f(br"a\", c)"#, "f(      , c)");
        assert_code("f(\"a\nb\")", "f(  \n  )");
    }

    #[test]
    fn characters_are_blank_and_lifetimes_are_not() {
        assert_code("f('\"', c)", "f(   , c)");
        assert_code(r"f('\'', c)", "f(    , c)");
        assert_code("f::<'a>(x: &'a str)", "f::<'a>(x: &'a str)");
    }

    #[test]
    fn words_that_end_in_r_are_words() {
        assert_code("for r#type in iter", "for r#type in iter");
        assert_code("parser\"x\"", "parser   ");
    }

    #[test]
    fn lines_are_found_by_their_code() {
        let file = RustFile::new("a.rs", "// here\nhere();\n\"here\"\nhere\n");
        assert_eq!(file.lines_where(|line| line.contains("here")), [2, 4]);
    }
}
