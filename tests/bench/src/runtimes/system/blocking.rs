//! The standard library's files and processes: the thread waits. They are the floor.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::system::System;

/// Calls that block.
#[derive(Debug)]
pub(crate) struct Blocking;

impl System for Blocking {
    type File = File;

    async fn open(path: &Path) -> File {
        File::open(path).expect("it is there")
    }

    async fn create(path: &Path) -> File {
        File::create(path).expect("it can be created")
    }

    async fn read_at(file: &mut File, mut buf: Vec<u8>, offset: u64) -> Vec<u8> {
        let read = file.read_exact_at(&mut buf, offset);
        read.expect("it is long enough");
        buf
    }

    async fn read(file: &mut File, mut buf: Vec<u8>) -> (Vec<u8>, usize) {
        let n = file.read(&mut buf).expect("it can be read");
        (buf, n)
    }

    async fn write(file: &mut File, bytes: Vec<u8>) -> Vec<u8> {
        file.write_all(&bytes).expect("there is room");
        bytes
    }

    async fn finish(_file: File) {}

    async fn count_lines(path: &Path) -> u64 {
        let mut lines = BufReader::new(File::open(path).expect("it is there"));
        let mut line = String::new();
        let mut count = 0;
        while lines.read_line(&mut line).expect("it is text") > 0 {
            line.clear();
            count += 1;
        }
        count
    }

    async fn read_whole(path: PathBuf) -> Vec<u8> {
        fs::read(path).expect("it is there")
    }

    async fn run(program: &str) {
        let status = Command::new(program).status();
        assert!(status.expect("it starts").success());
    }

    async fn through_cat(input: Vec<u8>) -> Vec<u8> {
        let mut cat = Command::new("cat");
        let cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut cat = cat.expect("it starts");
        let mut stdin = cat.stdin.take().expect("it is piped");
        let feed = thread::spawn(move || stdin.write_all(&input));
        let output = cat.wait_with_output().expect("it answers");
        feed.join().expect("no panic").expect("it takes all");
        output.stdout
    }
}
