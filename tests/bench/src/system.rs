//! The operations that a workload needs from a way to use files and processes.

use std::future::Future;
use std::path::{Path, PathBuf};

/// The files and the child processes of a runtime.
///
/// Buffers are passed and given back, because a runtime over io_uring owns them while it reads.
pub(crate) trait System: 'static {
    /// Whether there is any of it.
    const EXISTS: bool = true;
    /// Whether it reads lines.
    const LINES: bool = true;

    /// An open file.
    type File: 'static;

    async fn open(path: &Path) -> Self::File;

    async fn create(path: &Path) -> Self::File;

    /// Fills `buf` from `offset` on.
    async fn read_at(file: &mut Self::File, buf: Vec<u8>, offset: u64) -> Vec<u8>;

    /// Reads the next bytes into `buf`. Returns their number as well, 0 at the end.
    async fn read(file: &mut Self::File, buf: Vec<u8>) -> (Vec<u8>, usize);

    /// Writes all of `bytes`.
    async fn write(file: &mut Self::File, bytes: Vec<u8>) -> Vec<u8>;

    /// Waits until all is written, and closes the file.
    async fn finish(file: Self::File);

    /// Counts the lines of a file, each read by the runtime's usual function.
    async fn count_lines(path: &Path) -> u64;

    /// Reads a whole file.
    fn read_whole(path: PathBuf) -> impl Future<Output = Vec<u8>> + 'static;

    /// Starts a program and waits for its end.
    async fn run(program: &str);

    /// Sends bytes through the program `cat`. Returns what comes out.
    async fn through_cat(input: Vec<u8>) -> Vec<u8>;
}

/// The missing files of a runtime. No workload uses them.
#[derive(Debug)]
pub(crate) struct NoSystem;

impl System for NoSystem {
    const EXISTS: bool = false;
    type File = ();

    async fn open(_path: &Path) {}

    async fn create(_path: &Path) {}

    async fn read_at((): &mut (), buf: Vec<u8>, _offset: u64) -> Vec<u8> {
        buf
    }

    async fn read((): &mut (), buf: Vec<u8>) -> (Vec<u8>, usize) {
        (buf, 0)
    }

    async fn write((): &mut (), bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    async fn finish((): ()) {}

    async fn count_lines(_path: &Path) -> u64 {
        0
    }

    async fn read_whole(_path: PathBuf) -> Vec<u8> {
        Vec::new()
    }

    async fn run(_program: &str) {}

    async fn through_cat(input: Vec<u8>) -> Vec<u8> {
        input
    }
}
