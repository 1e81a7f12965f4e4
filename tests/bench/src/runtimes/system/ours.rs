//! `asyncio::fs` and `asyncio::process`.

use std::path::{Path, PathBuf};

use asyncio::fs::{self, File};
use asyncio::net::StreamReader;
use asyncio::process::{Command, Stdio};

use crate::system::System;

/// asyncio's files and processes.
#[derive(Debug)]
pub(crate) struct Ours;

impl System for Ours {
    type File = File;

    async fn open(path: &Path) -> File {
        File::open(path).await.expect("it is there")
    }

    async fn create(path: &Path) -> File {
        File::create(path).await.expect("it can be created")
    }

    async fn read_at(file: &mut File, mut buf: Vec<u8>, offset: u64) -> Vec<u8> {
        let read = file.read_exact_at(&mut buf, offset).await;
        read.expect("it is long enough");
        buf
    }

    async fn read(file: &mut File, mut buf: Vec<u8>) -> (Vec<u8>, usize) {
        let n = file.read(&mut buf).await.expect("it can be read");
        (buf, n)
    }

    async fn write(file: &mut File, bytes: Vec<u8>) -> Vec<u8> {
        file.write_behind(&bytes).await.expect("there is room");
        bytes
    }

    async fn finish(file: File) {
        file.close().await.expect("all is written");
    }

    async fn count_lines(path: &Path) -> u64 {
        let mut lines = StreamReader::new(Self::open(path).await);
        let mut count = 0;
        while lines.next_line().await.expect("it is text").is_some() {
            count += 1;
        }
        count
    }

    async fn read_whole(path: PathBuf) -> Vec<u8> {
        fs::read(path).await.expect("it is there")
    }

    async fn run(program: &str) {
        let status = Command::new(program).status().await;
        assert!(status.expect("it starts").success());
    }

    async fn through_cat(input: Vec<u8>) -> Vec<u8> {
        let mut cat = Command::new("cat");
        let cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let output = cat.expect("it starts").communicate(&input).await;
        output.expect("it answers").stdout
    }
}
