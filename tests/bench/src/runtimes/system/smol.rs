//! async-fs and async-process.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use async_fs::File;
use async_process::{Command, Stdio};
use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, StreamExt, future};

use crate::system::System;

/// smol's files and processes.
#[derive(Debug)]
pub(crate) struct Smol;

impl System for Smol {
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
        file.close().await.expect("all is written");
    }

    async fn count_lines(path: &Path) -> u64 {
        let mut lines = BufReader::new(Self::open(path).await).lines();
        let mut count = 0;
        while let Some(line) = lines.next().await {
            line.expect("it is text");
            count += 1;
        }
        count
    }

    async fn read_whole(path: PathBuf) -> Vec<u8> {
        async_fs::read(path).await.expect("it is there")
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
        let (fed, output) = future::zip(feed, cat.output()).await;
        fed.expect("it takes all");
        output.expect("it answers").stdout
    }
}
