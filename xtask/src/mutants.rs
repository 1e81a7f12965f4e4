//! `cargo xtask mutants [--sample N] [PACKAGE | FILE | NAME …]`: whether the tests notice when the code does something
//! else.
//!
//! cargo-mutants lists the mutants: a function returns a default, a comparison turns round, a match arm is gone. All
//! of them are [compiled into a copy](switches) of the repository, each behind a switch. Each test [runs](trial) once
//! and records the mutants that it reaches. Then each mutant is switched on for the tests that reach it. It is caught
//! if a test fails, aborts or hangs. A mutant that survives is a missing test, or code that need not be there.
//!
//! `xtask/equivalent` lists the mutants that no test can notice, with the reasons. They do not count. The command
//! fails if such a mutant is caught, or is no longer in the code.
//!
//! Not tried are `Debug` and `Display`, mutants that do not compile, functions in constants, and code that this system
//! leaves out. Doc tests and the programs of `tests/compile_fail` are not run. `--sample` takes N mutants of each
//! package, the same ones in each run. Another N takes others.
//!
//! A NAME is a part of the names of mutants. Whatever is chosen, the copy has all mutants of the packages. So the next
//! run builds little.

mod switches;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cargo_metadata::Message;
use serde::Deserialize;
use xshell::{Shell, cmd};

use crate::{tools, workspace};
use trial::Outcome;

const VERSION: &str = "27.1.0";

/// The packages whose mutants are tried, each with the packages whose tests may catch them.
const TESTED_BY: &[(&str, &[&str])] = &[
    ("asyncio-timer", &["asyncio-timer"]),
    ("asyncio-sync", &["asyncio-sync", FACADE]),
    ("asyncio-task", &["asyncio-task", EXECUTORS, FACADE]),
    ("asyncio-reactor", &["asyncio-reactor", "asyncio-net"]),
    ("asyncio-loop", &["asyncio-loop", EXECUTORS, FACADE]),
    ("asyncio-executors", &[EXECUTORS, FACADE]),
    ("asyncio-pool", &["asyncio-pool", FACADE]),
    ("asyncio-net", &["asyncio-net", FACADE]),
    ("asyncio-os", &["asyncio-os", FACADE]),
    ("asyncio-http", &["asyncio-http"]),
    ("asyncio-tokio", &["asyncio-tokio", FACADE]),
    ("asyncio-console", &["asyncio-console", FACADE]),
];

const EXECUTORS: &str = "asyncio-executors";
const FACADE: &str = "asyncio-tests";

/// The mutants of formatting, which no promise is about.
const FORMATTING: &str = "impl ((std::)?fmt::)?(Debug|Display)";

/// The share of mutants that must be caught, in percent.
const AIM: usize = 95;

pub(crate) fn run(shell: &Shell, words: &[&str]) -> anyhow::Result<()> {
    let (sample, chosen) = match words {
        ["--sample", number, chosen @ ..] => (number.parse()?, chosen),
        chosen => (usize::MAX, chosen),
    };
    // The path of a file contains the name of its package, and the name of a mutant begins with the path.
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|it| it.contains(name));
    let rows = TESTED_BY.iter().filter(|(name, _)| is_chosen(name));
    let (packages, tests): (Vec<&str>, Vec<_>) = rows.copied().unzip();
    let tests: BTreeSet<&str> = tests.into_iter().flatten().copied().collect();

    let mutants = list(shell, &packages)?;
    let listed = mutants.len();
    let copy = Copy::make(shell)?;
    let mut mutants = switches::build(&copy, mutants, &tests)?;
    println!("{} of {listed} mutants compile", mutants.len());
    mutants
        .retain(|mutant| chosen.is_empty() || chosen.iter().any(|word| mutant.name.contains(word)));
    if mutants.is_empty() {
        bail!("no mutants: see `TESTED_BY` in xtask/src/mutants.rs for the packages");
    }
    let mutants = sampled(mutants, sample);
    println!("{} of them are tried", mutants.len());
    let outcomes = trial::run(&copy, &mutants, &tests)?;
    report(&packages, &outcomes)
}

/// A change of one place, as cargo-mutants lists it.
#[derive(Debug, Default, Deserialize)]
struct Mutant {
    /// The number of its switch.
    #[serde(skip)]
    id: usize,
    /// The file and the change: `crates/asyncio-timer/src/wheel.rs: replace < with <= in Wheel::expire`. If there are
    /// several of a name, the second ends with ` (2)`.
    name: String,
    package: String,
    file: String,
    span: Extent,
    /// The kind of change.
    genre: String,
    replacement: String,
    /// No test can notice it.
    #[serde(skip)]
    is_equivalent: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Extent {
    start: Place,
}

/// A line and a column, both from 1.
#[derive(Debug, Default, Deserialize, PartialEq)]
struct Place {
    line: usize,
    column: usize,
}

/// The mutants of some packages.
fn list(shell: &Shell, packages: &[&str]) -> anyhow::Result<Vec<Mutant>> {
    let tool = install(shell)?;
    let options = ["--list", "--json", "--exclude-re", FORMATTING];
    let chosen = packages.iter().flat_map(|package| ["--package", package]);
    let list = cmd!(shell, "{tool} mutants {options...} {chosen...}").quiet();
    let mut mutants: Vec<Mutant> = serde_json::from_str(&list.read()?)?;
    let mut equivalent = equivalent(packages);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (id, mutant) in mutants.iter_mut().enumerate() {
        mutant.id = id;
        let place = format!("{}:{}:", mutant.span.start.line, mutant.span.start.column);
        mutant.name = mutant.name.replacen(&place, "", 1);
        let count = seen.entry(mutant.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            mutant.name += &format!(" ({count})");
        }
        mutant.is_equivalent = equivalent.remove(&mutant.name);
    }
    if !equivalent.is_empty() {
        bail!("xtask/equivalent lists mutants that do not exist: {equivalent:#?}");
    }
    Ok(mutants)
}

/// The names of the mutants of packages that no test can notice: the lines without spaces in front.
fn equivalent(packages: &[&str]) -> BTreeSet<String> {
    let lists = packages.iter().map(|package| {
        let list = workspace::root().join(format!("xtask/equivalent/{package}.txt"));
        std::fs::read_to_string(list).unwrap_or_default()
    });
    let lists: String = lists.collect();
    let names = lists.lines().filter(|line| line.starts_with("crates/"));
    names.map(str::to_owned).collect()
}

/// A hash of a text, by FNV-1a, which no version of Rust changes.
fn hash(seed: usize, text: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let seed = (seed as u64).to_le_bytes();
    let bytes = seed.into_iter().chain(text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Some mutants of each package, the same ones each time. Another number gives others.
fn sampled(mut mutants: Vec<Mutant>, number: usize) -> Vec<Mutant> {
    mutants.sort_by_key(|mutant| hash(number, &mutant.name));
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    mutants.retain(|mutant| {
        let taken = taken.entry(mutant.package.clone()).or_default();
        *taken += 1;
        *taken <= number
    });
    mutants
}

/// Prints the share of each package. Fails if one is below the aim, or if an equivalent mutant is caught.
fn report(packages: &[&str], outcomes: &[(&Mutant, Outcome)]) -> anyhow::Result<()> {
    let mut complaints = Vec::new();
    for package in packages {
        let own = outcomes.iter().filter(|one| one.0.package == *package);
        let (equivalent, other): (Vec<_>, Vec<&(&Mutant, Outcome)>) =
            own.partition(|one| one.0.is_equivalent);
        let count = |outcome| other.iter().filter(|one| one.1 == outcome).count();
        let (caught, all, equivalents) = (count(Outcome::Caught), other.len(), equivalent.len());
        let (survive, unreached) = (count(Outcome::Survives), count(Outcome::NotReached));
        println!(
            "{package}: {caught} of {all} mutants are caught; {survive} survive, {unreached} are not reached, and \
             {equivalents} more are equivalent"
        );
        if caught * 100 < all * AIM {
            complaints.push(format!("less than {AIM} in 100 of {package} are caught"));
        }
        let caught = equivalent.iter().filter(|one| one.1 == Outcome::Caught);
        complaints.extend(caught.map(|one| format!("is not equivalent: {}", one.0.name)));
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

/// The copy of the repository that is changed and built, in `target/mutants`.
struct Copy<'a> {
    shell: &'a Shell,
    root: PathBuf,
}

impl<'a> Copy<'a> {
    /// Copies the files that git knows.
    fn make(shell: &'a Shell) -> anyhow::Result<Self> {
        let root = tools::directory().with_file_name("mutants");
        let copy = Self { shell, root };
        let files = cmd!(shell, "git ls-files").quiet().read()?;
        let mut known = BTreeSet::new();
        for file in files.lines() {
            copy.write(file, &shell.read_binary_file(file)?)?;
            known.insert(copy.root.join(file));
        }
        // A file that was moved would be there twice.
        for directory in ["crates", "tests"] {
            remove_others(&copy.root.join(directory), &known)?;
        }
        Ok(copy)
    }

    /// Writes a file, unless it has this text. An unchanged file keeps its time, so that cargo builds less.
    fn write(&self, file: &str, text: &[u8]) -> anyhow::Result<()> {
        let path = self.root.join(file);
        let old = std::fs::read(&path);
        if old.is_ok_and(|old| old == text) {
            return Ok(());
        }
        Ok(self.shell.write_file(path, text)?)
    }

    /// Runs a command of cargo for packages, with the builds of other crates that the repository has. Returns whether
    /// it succeeds, and its messages.
    fn cargo(
        &self,
        words: &[&str],
        packages: &BTreeSet<&str>,
    ) -> anyhow::Result<(bool, Vec<Message>)> {
        let (manifest, target) = (self.root.join("Cargo.toml"), self.root.join(".."));
        let packages = packages.iter().flat_map(|package| ["--package", package]);
        let options = ["--quiet", "--all-features", "--message-format=json"];
        let cargo = cmd!(self.shell, "cargo {words...} {options...} {packages...}");
        let cargo = cargo
            .arg("--manifest-path")
            .arg(manifest)
            .arg("--target-dir")
            .arg(target);
        let output = cargo.quiet().ignore_status().ignore_stderr().output()?;
        let messages = Message::parse_stream(&*output.stdout).collect::<Result<_, _>>();
        Ok((
            output.status.success(),
            messages.context("cargo's messages")?,
        ))
    }
}

/// Removes the files of a directory that are not known.
fn remove_others(directory: &Path, known: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, known)?;
        } else if !known.contains(&path) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Compiles cargo-mutants, unless this version is there. No package index has its binary.
fn install(shell: &Shell) -> anyhow::Result<PathBuf> {
    let root = tools::directory().with_file_name("mutants-tool");
    let tool = root.join("bin/cargo-mutants");
    let version = cmd!(shell, "{tool} mutants --version").ignore_stderr();
    let version = version.quiet().read().unwrap_or_default();
    if !version.ends_with(VERSION) {
        let options = ["--quiet", "--locked", "--version", VERSION, "cargo-mutants"];
        cmd!(shell, "cargo install --root {root} {options...}").run()?;
    }
    Ok(tool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_part_of_each_package() {
        let mutants = (0..40).map(|id| Mutant {
            id,
            name: format!("change {id}"),
            package: ["a", "b"][id % 2].to_owned(),
            ..Mutant::default()
        });
        let sample = sampled(mutants.collect(), 3);
        let odd = sample.iter().filter(|mutant| mutant.id % 2 == 1).count();
        assert_eq!((sample.len(), odd), (6, 3));
    }
}
