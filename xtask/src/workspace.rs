//! The workspace: its root, and its packages as cargo knows them.

use std::path::Path;

use cargo_metadata::{Metadata, MetadataCommand};
use xshell::Shell;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the repository")
}

/// A shell at the root, with the tools of [`tools`](crate::tools) on its `PATH`.
pub(crate) fn shell() -> anyhow::Result<Shell> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = [crate::tools::directory().join("bin")];
    let path = std::env::join_paths(directories.into_iter().chain(std::env::split_paths(&path)))?;
    shell.set_var("PATH", path);
    Ok(shell)
}

/// The packages of the workspace, without external dependencies.
pub(crate) fn metadata() -> anyhow::Result<Metadata> {
    Ok(MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()?)
}

/// The directory of a package from the root: `crates/asyncio-task`.
pub(crate) fn directory(package: &cargo_metadata::Package) -> &str {
    let directory = package.manifest_path.parent();
    let directory = directory.and_then(|path| path.strip_prefix(root()).ok());
    directory.map_or("", |path| path.as_str())
}
