//! `tokio::fs` and `tokio::process`.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures_lite::future;
use tokio::fs::{self, File};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::system::System;

/// tokio's files and processes.
#[derive(Debug)]
pub(crate) struct Tokio;

impl System for Tokio {
    type File = File;

    async fn open(path: &Path) -> File {
        File::open(path).await.expect("it is there")
    }

    async fn create(path: &Path) -> File {
        File::create(path).await.expect("it can be created")
    }

    async fn read_at(file: &mut File, mut buf: Vec<u8>, offset: u64) -> Vec<u8> {
        file.seek(SeekFrom::Start(offset)).await.expect("it can");
        file.read_exact(&mut buf).await.expect("it is long enough");
        buf
    }

    async fn read(file: &mut File, mut buf: Vec<u8>) -> (Vec<u8>, usize) {
        let n = file.read(&mut buf).await.expect("it can be read");
        (buf, n)
    }

    async fn write(file: &mut File, bytes: Vec<u8>) -> Vec<u8> {
        file.write_all(&bytes).await.expect("there is room");
        bytes
    }

    async fn finish(mut file: File) {
        file.flush().await.expect("all is written");
    }

    async fn count_lines(path: &Path) -> u64 {
        let mut lines = BufReader::new(Self::open(path).await).lines();
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
        let mut cat = cat.expect("it starts");
        let mut stdin = cat.stdin.take().expect("it is piped");
        let feed = async move { stdin.write_all(&input).await };
        let (fed, output) = future::zip(feed, cat.wait_with_output()).await;
        fed.expect("it takes all");
        output.expect("it answers").stdout
    }
}
