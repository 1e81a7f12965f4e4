//! Each crate and each example alone, without the features that its neighbours turn on.

use std::collections::BTreeMap;

use cargo_metadata::{Metadata, TargetKind};
use xshell::{Shell, cmd};

use crate::workspace;

/// Programs of the project itself. They are built with all that they use.
const NO_CRATES: &[&str] = &["asyncio-bench", "asyncio-ecosystem", "asyncio-tests"];

/// Checks each crate with no feature and with each alone, and each example with the features that it declares.
pub(crate) fn check(shell: &Shell) -> anyhow::Result<()> {
    let packages = NO_CRATES.iter().flat_map(|name| ["--exclude", name]);
    let each = ["--each-feature", "--no-dev-deps", "--exclude-all-features"];
    cmd!(
        shell,
        "cargo hack check --quiet --workspace {packages...} {each...}"
    )
    .run()?;
    for ((package, features), names) in examples(&workspace::metadata()?) {
        let names = names.iter().flat_map(|name| ["--example", name]);
        cmd!(shell, "cargo check --quiet --no-default-features")
            .args(["--package", package, "--features", &features])
            .args(names)
            .run()?;
    }
    Ok(())
}

/// The examples of each package and list of features.
fn examples(metadata: &Metadata) -> BTreeMap<(&str, String), Vec<&str>> {
    let mut examples: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for package in metadata.workspace_packages() {
        if NO_CRATES.contains(&package.name.as_str()) {
            continue;
        }
        for target in &package.targets {
            if target.kind.contains(&TargetKind::Example) {
                let features = target.required_features.join(",");
                let alike = examples.entry((package.name.as_str(), features));
                alike.or_default().push(target.name.as_str());
            }
        }
    }
    examples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_checked_with_the_features_that_it_declares() {
        let metadata = workspace::metadata().unwrap();
        let examples = examples(&metadata);
        let with_features = |features: &str| &examples[&("asyncio", features.to_owned())];
        assert!(with_features("net,sync").contains(&"chat"));
        assert!(with_features("").contains(&"game_loop"));
        assert!(!with_features("").contains(&"chat"));
    }
}
