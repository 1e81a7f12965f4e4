//! Circles of files: files of one crate that use each other, directly or through others.
//!
//! A reader of such a file needs all of them. The check follows the paths that begin with `crate` or `super`. Code
//! for tests does not count. The numbers in [`LARGEST`] may become smaller, never larger.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{Visit, visit_file, visit_item_mod, visit_path};
use syn::{Attribute, Item, UseTree};

use crate::tidy::Repository;

/// The number of files in the largest circle of each crate that has one.
const LARGEST: &[(&str, usize)] = &[("asyncio-task", 2)];

pub(crate) fn check(repository: &Repository) -> Vec<String> {
    let crates = repository.crates();
    let complaints = crates.filter_map(|directory| {
        let largest = largest_circle(&uses(repository, directory));
        let name = directory.strip_prefix("crates/").unwrap_or(directory);
        let row = LARGEST.iter().find(|(listed, _)| *listed == name);
        let allowed = row.map_or(1, |(_, size)| *size);
        let (found, files) = (largest.len(), largest.join(", "));
        if found > allowed {
            Some(format!(
                "circles: {name} has one of {found} files, not {allowed}: {files}"
            ))
        } else if found < allowed {
            Some(format!(
                "circles: {name} has none larger than {found}: say so in xtask/src/circles.rs"
            ))
        } else {
            None
        }
    });
    complaints.collect()
}

/// A module as its path from the root of its crate: `["queue", "state"]`; empty for `lib.rs`.
type Module = Vec<String>;

/// The modules that each module of a crate uses, as far as they are files.
fn uses(repository: &Repository, directory: &str) -> BTreeMap<Module, BTreeSet<Module>> {
    let sources = format!("{directory}/src/");
    let files: BTreeMap<Module, &str> = repository
        .rust_files()
        .filter_map(|(path, text)| Some((module(path.strip_prefix(&sources)?)?, text)))
        .collect();
    let used_by = |module: &Module, text: &str| {
        let mut found = Paths {
            module: module.clone(),
            paths: Vec::new(),
        };
        if let Ok(file) = syn::parse_file(text) {
            visit_file(&mut found, &file);
        }
        let targets = found.paths.into_iter().filter_map(|mut path| {
            // The names of items follow the file, so the longest prefix that is a file counts.
            while !files.contains_key(&path) {
                path.pop()?;
            }
            // The root does not count: it lists all modules, and re-exports their items.
            (!path.is_empty() && path != *module).then_some(path)
        });
        targets.collect()
    };
    let modules = files.iter().filter(|(module, _)| !module.is_empty());
    modules
        .map(|(module, text)| (module.clone(), used_by(module, text)))
        .collect()
}

fn module(path: &str) -> Option<Module> {
    let path = path.strip_suffix(".rs")?;
    if path.ends_with("tests") {
        return None;
    }
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let parts = path.split('/').filter(|part| *part != "lib");
    Some(parts.map(str::to_owned).collect())
}

/// The paths in a file that begin with `crate` or `super`, as paths from the root.
struct Paths {
    module: Module,
    paths: Vec<Module>,
}

impl Paths {
    fn add(&mut self, words: &[String]) {
        let mut path = self.module.clone();
        let mut words = words.iter().map(String::as_str).peekable();
        match words.next() {
            Some("crate") => path.clear(),
            Some("super") => drop(path.pop()),
            _ => return,
        }
        while words.next_if_eq(&"super").is_some() {
            path.pop();
        }
        path.extend(words.map(str::to_owned));
        self.paths.push(path);
    }

    fn add_tree(&mut self, tree: &UseTree, mut words: Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                words.push(path.ident.to_string());
                self.add_tree(&path.tree, words);
            }
            UseTree::Group(group) => {
                group
                    .items
                    .iter()
                    .for_each(|tree| self.add_tree(tree, words.clone()));
            }
            UseTree::Name(name) => {
                words.push(name.ident.to_string());
                self.add(&words);
            }
            UseTree::Rename(name) => {
                words.push(name.ident.to_string());
                self.add(&words);
            }
            UseTree::Glob(_) => self.add(&words),
        }
    }

    /// Adds the paths among the tokens of a macro call.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut words: Vec<String> = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Ident(word) => words.push(word.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                other => {
                    self.add_last_path(&words);
                    words.clear();
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add_last_path(&words);
    }

    fn add_last_path(&mut self, words: &[String]) {
        if let Some(start) = words
            .iter()
            .position(|word| word == "crate" || word == "super")
        {
            self.add(&words[start..]);
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tokens = attribute
            .meta
            .require_list()
            .map(|list| list.tokens.to_string());
        attribute.path().is_ident("cfg") && tokens.is_ok_and(|tokens| tokens.contains("test"))
    })
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit_item_mod(self, module);
        }
    }

    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path
            .segments
            .iter()
            .map(|word| word.ident.to_string())
            .collect();
        self.add(&words);
        visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.add_tokens(call.tokens.clone());
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(crate)` and `pub(super)` use nothing.
    }
}

/// The files of the largest set in which each reaches each other. One name, perhaps empty, if there is no circle.
fn largest_circle(uses: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = uses
        .keys()
        .map(|module| (module, reachable(uses, module)))
        .collect();
    let circles = uses.keys().map(|module| {
        let back = |other: &&&Module| reached.get(**other).is_some_and(|set| set.contains(module));
        let circle = reached[module].iter().filter(back);
        circle.map(|module| module.join("/")).collect::<Vec<_>>()
    });
    let largest = circles.max_by_key(Vec::len).unwrap_or_default();
    // A file alone is no circle.
    if largest.is_empty() {
        vec![String::new()]
    } else {
        largest
    }
}

fn reachable<'a>(
    uses: &'a BTreeMap<Module, BTreeSet<Module>>,
    from: &'a Module,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut to_do = vec![from];
    while let Some(module) = to_do.pop() {
        let next = uses.get(module).into_iter().flatten();
        to_do.extend(next.filter(|next| reached.insert(*next)));
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circle(files: &[(&str, &str)]) -> Vec<String> {
        let paths: Vec<String> = files
            .iter()
            .map(|(path, _)| format!("crates/x/src/{path}"))
            .collect();
        let files: Vec<(&str, &str)> = paths
            .iter()
            .zip(files)
            .map(|(path, (_, text))| (path.as_str(), *text))
            .collect();
        largest_circle(&uses(&Repository::of(&files), "crates/x"))
    }

    #[test]
    fn one_direction_is_no_circle() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "struct B;"),
        ];
        assert_eq!(circle(&files), [""]);
    }

    #[test]
    fn files_that_use_each_other_through_a_third_are_a_circle() {
        let files = [
            ("a.rs", "use crate::{b::B, d};"),
            ("b.rs", "fn f() { crate::c::g() }"),
            ("c.rs", "pin_project! { struct C { a: crate::a::A } }"),
            ("d.rs", ""),
        ];
        assert_eq!(circle(&files), ["a", "b", "c"]);
    }

    #[test]
    fn a_module_and_its_part_are_a_circle_if_each_names_the_other() {
        let files = [
            ("a.rs", "use crate::a::part::P;"),
            ("a/part.rs", "use super::A;"),
        ];
        assert_eq!(circle(&files), ["a", "a/part"]);
    }

    #[test]
    fn tests_and_visibilities_do_not_count() {
        let files = [
            ("a.rs", "use crate::b::B; pub(crate) struct A;"),
            (
                "b.rs",
                "#[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] use crate::a::A;",
            ),
        ];
        assert_eq!(circle(&files), [""]);
    }
}
