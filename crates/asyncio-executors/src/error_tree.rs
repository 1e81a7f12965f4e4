//! The text of an [`ErrorGroup`](crate::ErrorGroup): a tree, a line an error.
//!
//! A group inside of a group does not indent its own text, which would be copied once a level. The outermost group asks
//! it for *marks* instead: a mark where an error begins, and one where it ends. It asks by the flag `-` of its format,
//! which the standard library leaves unused. From these the outermost writes the lines, each once.

use std::fmt::{self, Formatter, Write};

/// An error begins, and others follow.
const BRANCH: char = '\u{fdd0}';
/// The last error of its group begins.
const LAST: char = '\u{fdd1}';
/// An error ends. As the two above, Unicode reserves it for use inside of programs.
const END: char = '\u{fdd2}';

/// Deeper levels are not indented any further, or the text of a deep tree would grow with the square of its depth.
const MOST_LEVELS: usize = 100;

/// Writes a group of so many errors. `error` writes one of them, with the flag `-`.
pub(crate) fn write_group(
    f: &mut Formatter<'_>,
    errors: usize,
    error: impl Fn(usize, &mut dyn Write) -> fmt::Result,
) -> fmt::Result {
    if f.sign_minus() {
        return write_marks(f, errors, error);
    }
    let mut tree = Tree {
        out: f,
        indentation: String::new(),
        levels: Vec::new(),
        newlines: 0,
    };
    write_marks(&mut tree, errors, error)
}

fn write_marks(
    out: &mut dyn Write,
    errors: usize,
    error: impl Fn(usize, &mut dyn Write) -> fmt::Result,
) -> fmt::Result {
    match errors {
        1 => out.write_str("1 task failed")?,
        n => write!(out, "{n} tasks failed")?,
    }
    for n in 0..errors {
        out.write_char(if n + 1 == errors { LAST } else { BRANCH })?;
        error(n, out)?;
        out.write_char(END)?;
    }
    Ok(())
}

/// Turns marks and newlines into the lines of a tree.
struct Tree<'a, 'b> {
    out: &'a mut Formatter<'b>,
    /// The beginning of each line.
    indentation: String,
    /// How long the indentation was at each level around.
    levels: Vec<usize>,
    /// Those that are written if text follows in the same error.
    newlines: usize,
}

impl Tree<'_, '_> {
    fn begin_line(&mut self) -> fmt::Result {
        self.out.write_char('\n')?;
        self.out.write_str(&self.indentation)
    }

    fn begin_error(&mut self, branch: &str, below: &str) -> fmt::Result {
        self.newlines = 0;
        self.begin_line()?;
        self.out.write_str(branch)?;
        self.levels.push(self.indentation.len());
        if self.levels.len() <= MOST_LEVELS {
            self.indentation.push_str(below);
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> fmt::Result {
        if text.is_empty() {
            return Ok(());
        }
        for _ in 0..std::mem::take(&mut self.newlines) {
            self.begin_line()?;
        }
        self.out.write_str(text)
    }
}

impl Write for Tree<'_, '_> {
    fn write_str(&mut self, mut rest: &str) -> fmt::Result {
        while let Some(at) = rest.find(['\n', BRANCH, LAST, END]) {
            self.text(&rest[..at])?;
            let mut chars = rest[at..].chars();
            match chars.next() {
                Some(BRANCH) => self.begin_error("├─ ", "│  ")?,
                Some(LAST) => self.begin_error("└─ ", "   ")?,
                Some(END) => {
                    self.newlines = 0;
                    let before = self.levels.pop().unwrap_or(0);
                    self.indentation.truncate(before);
                }
                _ => self.newlines += 1,
            }
            rest = chars.as_str();
        }
        self.text(rest)
    }
}

#[cfg(test)]
mod tests {
    use crate::{BoxError, ErrorGroup};

    fn group<const N: usize>(errors: [BoxError; N]) -> ErrorGroup {
        ErrorGroup::new(errors.into()).expect("there are some")
    }

    #[test]
    fn errors_of_several_lines_stay_in_their_branch() {
        let inner = group(["two\nlines\n".into(), "".into()]);
        let tree = group([inner.into(), "a\n\nb".into()]).to_string();
        assert_eq!(
            tree,
            "2 tasks failed\n├─ 2 tasks failed\n│  ├─ two\n│  │  lines\n│  └─ \n└─ a\n   \n   b"
        );
    }

    #[test]
    fn a_group_in_an_error_of_another_type_is_a_tree_in_the_tree() {
        #[derive(Debug, thiserror::Error)]
        #[error("copying: {0}")]
        struct Copying(ErrorGroup);
        let tree = group([Copying(group(["full".into()])).into()]).to_string();
        assert_eq!(tree, "1 task failed\n└─ copying: 1 task failed\n   └─ full");
    }

    #[test]
    fn debug_is_the_tree_with_each_error_as_its_own_debug_shows_it() {
        let all = group([group(["full".into()]).into(), "no route".into()]);
        let tree = "2 tasks failed\n├─ 1 task failed\n│  └─ \"full\"\n└─ \"no route\"";
        assert_eq!(format!("{all:?}"), tree);
        assert_eq!(format!("{all:#?}"), tree);
        let numbers = ErrorGroup::new(vec![Some(1), None]).expect("there are some");
        assert_eq!(
            format!("{numbers:?}"),
            "2 tasks failed\n├─ Some(1)\n└─ None"
        );
    }

    #[test]
    fn each_level_costs_a_line() {
        let text = |levels| {
            let mut error = group(["full".into()]);
            for _ in 0..levels {
                error = group([error.into()]);
            }
            error.to_string()
        };
        let (short, long) = (text(500), text(1_000));
        assert!(short.ends_with("└─ full") && long.ends_with("└─ full"));
        assert!(
            long.len() < 3 * short.len(),
            "{} and {}",
            short.len(),
            long.len()
        );
    }
}
