//! The rows of crates: a crate uses only rows below its own.
//!
//! The table is the design, and a test compares it with `cargo metadata`. A new arrow comes with a line in
//! `docs/architecture.md`. Crates that do not exist yet have their row already.

use cargo_metadata::{DependencyKind, Metadata};

use crate::workspace;

/// The rows from top to bottom. Crates of one row do not use each other.
const ROWS: &[&[&str]] = &[
    // Users of the whole: tests, benchmarks, and these checks.
    &[
        "asyncio-tests",
        "asyncio-bench",
        "asyncio-ecosystem",
        "asyncio-fuzz",
        "xtask",
    ],
    // The facade: re-exports, features, prelude; no logic.
    &["asyncio"],
    // Inspection of a running loop; hyper on our sockets; the loop as a guest of tokio.
    &["asyncio-inspect", "asyncio-http", "asyncio-tokio"],
    // Files, subprocesses, signals.
    &["asyncio-os"],
    // Sockets, streams, servers.
    &["asyncio-net"],
    // Task groups, gather, timeouts; threads and processes.
    &["asyncio-executors", "asyncio-pool"],
    // The event loop.
    &["asyncio-loop"],
    // The parts, independent of each other.
    &[
        "asyncio-reactor",
        "asyncio-timer",
        "asyncio-task",
        "asyncio-sync",
    ],
    // The spans that tokio-console reads.
    &["asyncio-console"],
    // Emits paths into the facade; uses no crate of ours.
    &["asyncio-macros"],
    // The tools that tests share.
    &["asyncio-testkit"],
];

/// Arrows of tests and examples only, which may point upwards.
const UPWARD_IN_TESTS: &[(&str, &str)] = &[
    // Its examples are examples of the facade, so they use it.
    ("asyncio-macros", "asyncio"),
    // Its handlers and clients are written as a user of the facade writes them.
    ("asyncio-http", "asyncio"),
];

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    name: String,
    /// Its directory from the root: `crates/asyncio-task`.
    directory: String,
    /// The packages of the workspace that it uses.
    arrows: Vec<Arrow>,
}

/// A use of one package by another.
#[derive(Debug)]
struct Arrow {
    to: String,
    /// Whether only tests and examples have it.
    dev: bool,
}

/// The packages and their arrows, as cargo sees them.
pub(crate) fn arrows(metadata: &Metadata) -> Vec<Package> {
    let is_ours = |name: &str| metadata.packages.iter().any(|package| package.name == name);
    let packages = metadata.packages.iter().map(|package| {
        let uses = package.dependencies.iter();
        let arrows = uses.filter(|to| is_ours(&to.name)).map(|to| Arrow {
            to: to.name.clone(),
            dev: to.kind == DependencyKind::Development,
        });
        Package {
            name: package.name.to_string(),
            directory: workspace::directory(package).to_owned(),
            arrows: arrows.collect(),
        }
    });
    packages.collect()
}

/// The arrows and packages that the table does not allow.
pub(crate) fn complaints(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        let name = &package.name;
        let Some(own_row) = row(name) else {
            complaints.push(format!(
                "layers: `{name}` has no row in xtask/src/layers.rs"
            ));
            continue;
        };
        for arrow in &package.arrows {
            let allowed_in_tests = UPWARD_IN_TESTS.contains(&(name, &arrow.to));
            // A package without a row is a complaint of its own.
            let downward = row(&arrow.to).is_none_or(|row| row > own_row);
            if !(downward || arrow.dev && allowed_in_tests) {
                let to = &arrow.to;
                complaints.push(format!(
                    "layers: `{name}` uses `{to}`, which is no row below"
                ));
            }
        }
        complaints.extend(misplaced(package));
    }
    complaints
}

/// The row of a crate, counted from the top.
fn row(name: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&name))
}

/// A public crate is in `crates/`, in a directory of its own name.
fn misplaced(package: &Package) -> Option<String> {
    let Package {
        name, directory, ..
    } = package;
    let is_users = !ROWS[0].contains(&name.as_str());
    let misplaced = is_users && *directory != format!("crates/{name}");
    misplaced.then(|| format!("layers: `{name}` lies in {directory}, not in crates/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, arrows: &[&str]) -> Package {
        let arrows = arrows.iter().map(|to| Arrow {
            to: (*to).to_owned(),
            dev: false,
        });
        Package {
            name: name.to_owned(),
            directory: format!("crates/{name}"),
            arrows: arrows.collect(),
        }
    }

    #[test]
    fn the_workspace_keeps_its_layers() {
        let workspace = arrows(&workspace::metadata().expect("cargo answers"));
        assert_eq!(complaints(&workspace), [""; 0]);
    }

    #[test]
    fn arrows_downward_are_fine() {
        let workspace = [
            package("asyncio", &["asyncio-net", "asyncio-macros"]),
            package("asyncio-net", &["asyncio-loop", "asyncio-reactor"]),
        ];
        assert_eq!(complaints(&workspace), [""; 0]);
    }

    #[test]
    fn an_arrow_upward_is_caught() {
        let workspace = [package("asyncio-timer", &["asyncio-loop"])];
        assert_eq!(
            complaints(&workspace),
            ["layers: `asyncio-timer` uses `asyncio-loop`, which is no row below"]
        );
    }

    #[test]
    fn an_arrow_within_a_row_is_caught() {
        let workspace = [package("asyncio-task", &["asyncio-timer"])];
        assert_eq!(
            complaints(&workspace),
            ["layers: `asyncio-task` uses `asyncio-timer`, which is no row below"]
        );
    }

    #[test]
    fn an_arrow_of_tests_is_an_arrow_but_for_those_listed() {
        let mut timer = package("asyncio-timer", &["asyncio-loop"]);
        let mut macros = package("asyncio-macros", &["asyncio"]);
        assert_eq!(
            complaints(&[package("asyncio-macros", &["asyncio"])]).len(),
            1
        );
        timer.arrows[0].dev = true;
        macros.arrows[0].dev = true;
        assert_eq!(
            complaints(&[timer, macros]),
            ["layers: `asyncio-timer` uses `asyncio-loop`, which is no row below"]
        );
    }

    #[test]
    fn an_unknown_crate_is_caught() {
        let workspace = [package("asyncio-newcomer", &[])];
        assert_eq!(
            complaints(&workspace),
            ["layers: `asyncio-newcomer` has no row in xtask/src/layers.rs"]
        );
    }

    #[test]
    fn a_crate_outside_crates_is_caught() {
        let mut stray = package("asyncio-task", &[]);
        stray.directory = "task".to_owned();
        assert_eq!(
            complaints(&[stray]),
            ["layers: `asyncio-task` lies in task, not in crates/asyncio-task"]
        );
    }
}
