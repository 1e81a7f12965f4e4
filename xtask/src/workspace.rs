//! What cargo knows about the workspace: its packages and the arrows between them.
//!
//! Only packages of this repository are here; what they use from outside is no concern of ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::Failure;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the repository")
}

/// The packages of the workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    /// Where cargo puts what it builds.
    pub(crate) target_directory: PathBuf,
}

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Where it lies, from the root: `crates/asyncio-task`.
    pub(crate) directory: String,
    pub(crate) arrows: Vec<Arrow>,
    pub(crate) features: Vec<String>,
}

/// "Uses": from a package to another one of the workspace.
#[derive(Debug)]
pub(crate) struct Arrow {
    pub(crate) to: String,
    /// Whether only tests and examples use it.
    pub(crate) dev: bool,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Workspace, Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(root())
            .output()
            .map_err(|error| {
                Failure::because(format!("`cargo metadata` did not start: {error}"))
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::because(format!("`cargo metadata` failed: {said}")));
        }
        let metadata = serde_json::from_slice(&output.stdout).map_err(|error| {
            Failure::because(format!("`cargo metadata` printed no JSON: {error}"))
        })?;
        read(&metadata, root()).ok_or_else(|| {
            Failure::because("`cargo metadata` has a shape this program does not know")
        })
    }
}

fn read(metadata: &Value, root: &Path) -> Option<Workspace> {
    let packages = metadata["packages"].as_array()?;
    let names: Option<Vec<&str>> = packages
        .iter()
        .map(|package| package["name"].as_str())
        .collect();
    let names = names?;
    let packages = packages.iter().map(|package| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        let directory = manifest.parent()?.strip_prefix(root).ok()?;
        let mut arrows = Vec::new();
        for dependency in package["dependencies"].as_array()? {
            let to = dependency["name"].as_str()?;
            if names.contains(&to) {
                arrows.push(Arrow {
                    to: to.to_owned(),
                    dev: dependency["kind"] == "dev",
                });
            }
        }
        Some(Package {
            name: package["name"].as_str()?.to_owned(),
            directory: directory.to_str()?.to_owned(),
            arrows,
            features: package["features"].as_object()?.keys().cloned().collect(),
        })
    });
    Some(Workspace {
        packages: packages.collect::<Option<_>>()?,
        target_directory: metadata["target_directory"].as_str()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_their_arrows_are_read() {
        let metadata = serde_json::json!({
            "target_directory": "/repository/target",
            "packages": [
                {
                    "name": "upper",
                    "manifest_path": "/repository/crates/upper/Cargo.toml",
                    "dependencies": [
                        { "name": "lower", "kind": null },
                        { "name": "helper", "kind": "dev" },
                        { "name": "from-outside", "kind": null },
                    ],
                    "features": { "default": ["more"], "more": [] },
                },
                {
                    "name": "lower",
                    "manifest_path": "/repository/lower/Cargo.toml",
                    "dependencies": [],
                    "features": {},
                },
                {
                    "name": "helper",
                    "manifest_path": "/repository/helper/Cargo.toml",
                    "dependencies": [],
                    "features": {},
                },
            ],
        });
        let workspace = read(&metadata, Path::new("/repository")).expect("a known shape");
        let upper = &workspace.packages[0];
        assert_eq!(
            (upper.name.as_str(), upper.directory.as_str()),
            ("upper", "crates/upper")
        );
        let arrows: Vec<_> = upper
            .arrows
            .iter()
            .map(|arrow| (arrow.to.as_str(), arrow.dev))
            .collect();
        assert_eq!(arrows, [("lower", false), ("helper", true)]);
        assert_eq!(upper.features, ["default", "more"]);
    }

    #[test]
    fn this_workspace_is_read() {
        let workspace = Workspace::load().expect("cargo answers");
        assert!(
            workspace
                .packages
                .iter()
                .any(|package| package.name == "xtask")
        );
    }
}
