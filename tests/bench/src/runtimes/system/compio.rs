//! compio's files and processes, over io_uring. It has no lines.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use compio::buf::BufResult;
use compio::fs::{self, File};
use compio::io::{AsyncReadAt, AsyncReadAtExt, AsyncWriteAtExt, AsyncWriteExt};
use compio::process::Command;

use crate::system::System;

/// compio's files and processes.
#[derive(Debug)]
pub(crate) struct Compio;

/// A file with a position, which compio's has not.
#[derive(Debug)]
pub(crate) struct Sequential {
    file: File,
    position: u64,
}

impl System for Compio {
    const LINES: bool = false;
    type File = Sequential;

    async fn open(path: &Path) -> Sequential {
        Sequential {
            file: File::open(path).await.expect("it is there"),
            position: 0,
        }
    }

    async fn create(path: &Path) -> Sequential {
        Sequential {
            file: File::create(path).await.expect("it can be created"),
            position: 0,
        }
    }

    async fn read_at(file: &mut Sequential, mut buf: Vec<u8>, offset: u64) -> Vec<u8> {
        // It fills the capacity.
        buf.clear();
        let BufResult(read, buf) = file.file.read_exact_at(buf, offset).await;
        read.expect("it is long enough");
        buf
    }

    async fn read(file: &mut Sequential, mut buf: Vec<u8>) -> (Vec<u8>, usize) {
        let length = buf.len();
        buf.clear();
        let BufResult(read, mut buf) = file.file.read_at(buf, file.position).await;
        let n = read.expect("it can be read");
        file.position += n as u64;
        buf.resize(length, 0);
        (buf, n)
    }

    async fn write(file: &mut Sequential, bytes: Vec<u8>) -> Vec<u8> {
        let length = bytes.len() as u64;
        let BufResult(written, bytes) = file.file.write_all_at(bytes, file.position).await;
        written.expect("there is room");
        file.position += length;
        bytes
    }

    async fn finish(file: Sequential) {
        file.file.close().await.expect("it closes");
    }

    async fn count_lines(_path: &Path) -> u64 {
        0
    }

    async fn read_whole(path: PathBuf) -> Vec<u8> {
        fs::read(path).await.expect("it is there")
    }

    async fn run(program: &str) {
        let child = Command::new(program).spawn().expect("it starts");
        assert!(child.wait().await.expect("it ends").success());
    }

    async fn through_cat(input: Vec<u8>) -> Vec<u8> {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped()).expect("it can be piped");
        cat.stdout(Stdio::piped()).expect("it can be piped");
        let mut cat = cat.spawn().expect("it starts");
        let mut stdin = cat.stdin.take().expect("it is piped");
        let feed = async move { stdin.write_all(input).await.0 };
        let output = cat.wait_with_output();
        let (fed, output) = futures_lite::future::zip(feed, output).await;
        fed.expect("it takes all");
        output.expect("it answers").stdout
    }
}
