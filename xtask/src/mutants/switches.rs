//! Sources with all mutants in them, each behind a switch.
//!
//! A function begins with `if crate::__m(7) { return …; }`. An expression `a < b` becomes
//! `(if crate::__m(7) { a <= b } else { a < b })`, and an arm gets a guard. Text is only inserted, so switches nest.
//!
//! A mutant that does not compile is found by the place of the compiler's error, and left out of the next attempt.
//! The switch is a deprecated function. So each mutant that is compiled has a warning, and the others are code for
//! other systems. The mutants that do not compile are noted, and left out at once as long as their file is the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::bail;
use cargo_metadata::Message;
use cargo_metadata::diagnostic::{Diagnostic, DiagnosticCode, DiagnosticLevel, DiagnosticSpan};
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, Block, Expr, ExprBinary, ExprUnary, PatGuard};

use super::{Copy, Mutant, Place};
use crate::workspace;

/// The function of the switches, at the end of the root of each crate.
const SWITCH: &str = include_str!("switch.txt");

/// The beginning of the root of each crate: what a mutant computes may overflow, which a build for tests would refuse.
const ALLOW: &str = "#![allow(arithmetic_overflow, unconditional_panic)] ";

/// Puts mutants into the copy until it compiles. Returns those that are compiled.
pub(super) fn build(
    copy: &Copy<'_>,
    mut mutants: Vec<Mutant>,
    tests: &BTreeSet<&str>,
) -> anyhow::Result<Vec<Mutant>> {
    let root = |mutant: &Mutant| format!("crates/{}/src/lib.rs", mutant.package);
    let both = mutants
        .iter()
        .flat_map(|mutant| [mutant.file.clone(), root(mutant)]);
    let files: BTreeSet<String> = both.collect();
    let note = copy.root.join("broken");
    let mut broken_before = std::fs::read_to_string(&note).unwrap_or_default();
    let marks = marks(&mutants)?;
    let known: BTreeSet<String> = broken_before.lines().map(str::to_owned).collect();
    mutants.retain(|mutant| !known.contains(&marks[&mutant.id]));
    loop {
        let placed = write(copy, &files, &mutants)?;
        let (has_compiled, messages) = copy.cargo(&["check", "--lib", "--keep-going"], tests)?;
        let messages = messages.into_iter().filter_map(|message| match message {
            Message::CompilerMessage(message) => Some(message.message),
            _ => None,
        });
        let is_error = |message: &Diagnostic| message.level == DiagnosticLevel::Error;
        let (errors, warnings): (Vec<_>, Vec<_>) = messages.partition(is_error);
        let found = |messages: &[Diagnostic]| -> BTreeSet<usize> {
            messages
                .iter()
                .filter_map(|message| culprit(&placed, message))
                .collect()
        };
        let broken: BTreeSet<usize> = match has_compiled {
            false => found(&errors),
            // The others are code for other systems, or of tests, which would not compile there.
            true => {
                let compiled = found(&warnings);
                let all = mutants.iter().map(|mutant| mutant.id);
                all.filter(|id| !compiled.contains(id)).collect()
            }
        };
        println!("{} mutants do not compile", broken.len());
        if broken.is_empty() {
            match has_compiled {
                true => return Ok(mutants),
                false => {
                    bail!("the copy does not compile, and no mutant is the cause: {errors:#?}")
                }
            }
        }
        mutants.retain(|mutant| !broken.contains(&mutant.id));
        for id in &broken {
            broken_before += &marks[id];
            broken_before += "\n";
        }
        std::fs::write(&note, &broken_before)?;
    }
}

/// A line for each mutant, by number: its name, and a hash of its file.
fn marks(mutants: &[Mutant]) -> anyhow::Result<BTreeMap<usize, String>> {
    let mut hashes = BTreeMap::new();
    for Mutant { file, .. } in mutants {
        if !hashes.contains_key(file) {
            let source = std::fs::read_to_string(workspace::root().join(file))?;
            hashes.insert(file, super::hash(0, &source));
        }
    }
    let mark = |mutant: &Mutant| format!("{:x} {}", hashes[&mutant.file], mutant.name);
    Ok(mutants.iter().map(|it| (it.id, mark(it))).collect())
}

/// The place of a mutant in a changed file.
struct Placed<'a> {
    id: usize,
    file: &'a str,
    bytes: Range<usize>,
}

/// Writes files into the copy, with their mutants.
fn write<'a>(
    copy: &Copy<'_>,
    files: &'a BTreeSet<String>,
    mutants: &[Mutant],
) -> anyhow::Result<Vec<Placed<'a>>> {
    let mut placed = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(workspace::root().join(file))?;
        let own = mutants.iter().filter(|mutant| mutant.file == *file);
        let (text, places) = place(&source, own.collect())?;
        let (before, behind) = match file.ends_with("/src/lib.rs") {
            true => (ALLOW, SWITCH),
            false => ("", ""),
        };
        copy.write(file, [before, &text, behind].concat().as_bytes())?;
        let from = before.len();
        placed.extend(places.into_iter().map(|(id, bytes)| Placed {
            id,
            file,
            bytes: from + bytes.start..from + bytes.end,
        }));
    }
    Ok(placed)
}

/// The mutant that a message of the compiler is about: the innermost one around the first span that lies in a mutant.
/// A span beside all of them is often code that follows a mutant of another type. A `match` that lacks an arm lacks it
/// behind a mutant, where the compiler would put one.
fn culprit(placed: &[Placed<'_>], message: &Diagnostic) -> Option<usize> {
    let mut spans: Vec<&DiagnosticSpan> = message.spans.iter().collect();
    spans.sort_by_key(|span| !span.is_primary);
    let in_file = |span: &DiagnosticSpan| {
        let file = span.file_name.clone();
        placed.iter().filter(move |one| one.file == file)
    };
    let around = spans.iter().find_map(|span| {
        let (start, end) = (span.byte_start as usize, span.byte_end as usize);
        let around = in_file(span).filter(|one| one.bytes.start <= start && end <= one.bytes.end);
        around.min_by_key(|one| one.bytes.len())
    });
    let before = |span: &DiagnosticSpan| {
        let end = span.byte_start as usize;
        let before = in_file(span).filter(|one| one.bytes.end <= end);
        before.max_by_key(|one| one.bytes.end)
    };
    let lacks_an_arm = |code: &DiagnosticCode| code.code == "E0004";
    if message.code.as_ref().is_some_and(lacks_an_arm) {
        let help = |message: &&Diagnostic| message.level == DiagnosticLevel::Help;
        let helps = message.children.iter().filter(help);
        let arm = helps.flat_map(|help| &help.spans).find_map(before);
        return Some(arm?.id);
    }
    Some(around.or_else(|| before(spans.first()?))?.id)
}

/// The places of mutants in a text, by number.
type Places = BTreeMap<usize, Range<usize>>;

/// Puts the mutants of a file into its source. Returns the text, and the place of each mutant in it.
fn place(source: &str, mutants: Vec<&Mutant>) -> anyhow::Result<(String, Places)> {
    let mut walk = Walk {
        source,
        mutants,
        insertions: Vec::new(),
    };
    walk.visit_file(&syn::parse_file(source)?);
    walk.insertions.sort();
    let (mut text, mut from) = (String::new(), 0);
    let mut places = Places::new();
    for insertion in walk.insertions {
        text += &source[from..insertion.at];
        from = insertion.at;
        let start = text.len();
        text += &insertion.text;
        places.entry(insertion.id).or_insert(start..start).end = text.len();
    }
    text += &source[from..];
    Ok((text, places))
}

/// A text that is put into a source. Their order is that of the fields.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Insertion {
    at: usize,
    kind: Kind,
    id: usize,
    text: String,
}

/// The order of insertions at one place. The innermost one ends first, and begins last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Ends what begins there. The second number puts the mutants of one expression in order.
    End(Reverse<usize>, Reverse<usize>),
    Whole,
    /// Begins what ends there.
    Begin(Reverse<usize>),
}

/// A walk through a file that finds the code of mutants.
struct Walk<'a> {
    source: &'a str,
    mutants: Vec<&'a Mutant>,
    insertions: Vec<Insertion>,
}

impl<'a> Walk<'a> {
    /// The mutants of a kind that begin where some code begins.
    fn of(&self, genre: &str, code: Span) -> Vec<&'a Mutant> {
        let (line, column) = (code.start().line, code.start().column + 1);
        let start = Place { line, column };
        let is_here = |mutant: &&&Mutant| mutant.genre == genre && mutant.span.start == start;
        self.mutants.iter().filter(is_here).copied().collect()
    }

    fn insert(&mut self, at: usize, kind: Kind, id: usize, text: String) {
        self.insertions.push(Insertion { at, kind, id, text });
    }

    /// Chooses between an expression and the same with a part replaced, for each mutant of this part.
    fn choose(&mut self, genre: &str, whole: Span, part: Span) {
        for &Mutant {
            id,
            ref replacement,
            ..
        } in self.of(genre, part)
        {
            let (whole, part) = (whole.byte_range(), part.byte_range());
            let before = &self.source[whole.start..part.start];
            let behind = &self.source[part.end..whole.end];
            let begin =
                format!("(if crate::__m({id}) {{ {before}{replacement} {behind} }} else {{ ");
            self.insert(whole.start, Kind::Begin(Reverse(whole.end)), id, begin);
            let end = Kind::End(Reverse(whole.start), Reverse(id));
            self.insert(whole.end, end, id, " })".to_owned());
        }
    }
}

impl<'a> Visit<'a> for Walk<'_> {
    fn visit_block(&mut self, block: &'a Block) {
        // Only the body of a function begins where such a mutant does.
        let first = block
            .stmts
            .first()
            .map_or_else(Span::call_site, Spanned::span);
        for &Mutant {
            id,
            ref replacement,
            ..
        } in self.of("FnValue", first)
        {
            let text = format!("if crate::__m({id}) {{ return {replacement}; }} ");
            self.insert(first.byte_range().start, Kind::Whole, id, text);
        }
        visit::visit_block(self, block);
    }

    fn visit_expr_binary(&mut self, binary: &'a ExprBinary) {
        // A part of a chain with `let` is no expression.
        if !has_let(&binary.left) && !has_let(&binary.right) {
            self.choose("BinaryOperator", binary.span(), binary.op.span());
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'a ExprUnary) {
        self.choose("UnaryOperator", unary.span(), unary.op.span());
        visit::visit_expr_unary(self, unary);
    }

    fn visit_pat_guard(&mut self, pattern: &'a PatGuard) {
        if !has_let(&pattern.guard) {
            self.choose("MatchArmGuard", pattern.guard.span(), pattern.guard.span());
        }
        visit::visit_pat_guard(self, pattern);
    }

    fn visit_arm(&mut self, arm: &'a Arm) {
        for Mutant { id, .. } in self.of("MatchArm", arm.span()) {
            let end = arm.pat.span().byte_range().end;
            self.insert(end, Kind::Whole, *id, format!(" if !crate::__m({id})"));
        }
        visit::visit_arm(self, arm);
    }
}

fn has_let(part: &Expr) -> bool {
    match part {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Extent;
    use super::*;

    /// The text with these mutants: genre, line, column, replacement.
    fn placed(source: &str, mutants: &[(&str, usize, usize, &str)]) -> String {
        let mutants = mutants.iter().enumerate();
        let mutants = mutants.map(|(id, &(genre, line, column, replacement))| Mutant {
            id,
            span: Extent {
                start: Place { line, column },
            },
            genre: genre.to_owned(),
            replacement: replacement.to_owned(),
            ..Mutant::default()
        });
        let mutants: Vec<Mutant> = mutants.collect();
        let (text, placed) = place(source, mutants.iter().collect()).unwrap();
        for (id, bytes) in placed {
            assert!(text[bytes].contains(&format!("crate::__m({id})")));
        }
        text
    }

    #[test]
    fn switches_nest() {
        let mutants = [
            ("FnValue", 2, 1, "true"),
            ("UnaryOperator", 2, 1, ""),
            ("BinaryOperator", 2, 5, "<="),
            ("BinaryOperator", 2, 5, "=="),
        ];
        let expected = "fn f() -> bool {
if crate::__m(0) { return true; } (if crate::__m(1) {  (a < b) } else { !((if crate::__m(2) { a <=  b } else { \
(if crate::__m(3) { a ==  b } else { a < b }) })) })
}";
        assert_eq!(placed("fn f() -> bool {\n!(a < b)\n}", &mutants), expected);
    }

    #[test]
    fn arms_get_a_guard_and_chains_with_let_stay() {
        let source =
            "fn f() {\nmatch a {\n1 => (),\n_ if b => (),\n_ => (),\n}\nif let c = d && e {}\n}";
        let mutants = [
            ("MatchArm", 3, 1, ""),
            ("MatchArmGuard", 4, 6, "false"),
            ("BinaryOperator", 7, 14, "||"),
        ];
        let expected = "fn f() {\nmatch a {\n1 if !crate::__m(0) => (),
_ if (if crate::__m(1) { false  } else { b }) => (),\n_ => (),\n}\nif let c = d && e {}\n}";
        assert_eq!(placed(source, &mutants), expected);
    }

    #[test]
    fn a_match_without_an_arm_lacks_the_one_where_the_compiler_would_put_it() {
        let span = |at: usize| {
            serde_json::json!({
                "file_name": "a.rs", "byte_start": at, "byte_end": at + 4, "is_primary": true, "text": [],
                "line_start": 1, "line_end": 1, "column_start": 1, "column_end": 1,
            })
        };
        let message = |level: &str, code: &str, at, children| -> Diagnostic {
            let message = serde_json::json!({
                "message": "", "level": level, "code": { "code": code }, "spans": [span(at)],
                "children": children,
            });
            serde_json::from_value(message).expect("a message of the compiler")
        };
        let placed = [(1, 5..10), (2, 40..60)].map(|(id, bytes)| Placed {
            id,
            file: "a.rs",
            bytes,
        });
        let help = message("help", "", 70, Vec::new());
        let lacks = message("error", "E0004", 20, vec![help]);
        assert_eq!(culprit(&placed, &lacks), Some(2));
        let other = message("error", "E0308", 20, Vec::new());
        assert_eq!(culprit(&placed, &other), Some(1));
        let within = message("error", "E0308", 50, Vec::new());
        assert_eq!(culprit(&placed, &within), Some(2));
    }
}
