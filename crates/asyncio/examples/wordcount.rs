//! Counts lines, words and bytes of many files at once, on one thread, with a progress bar.
//!
//! Usage: `wordcount PATH…`. A directory stands for the files in it.
//!
//! Reads that the page cache can serve happen at once; the others wait on threads. The loop goes on
//! meanwhile, so the bar moves. At the end the same is done one file after the other, for comparison.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use asyncio::fs::{self, File};
use asyncio::sync::Semaphore;
use asyncio::{gather_iter, race};

/// So many files are open at once.
const AT_ONCE: usize = 32;

#[derive(Clone, Copy, Default)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let mut files = Vec::new();
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        match fs::metadata(&path).await?.is_dir() {
            true => files.extend(files_in(&path).await?),
            false => files.push(path),
        }
    }
    if files.is_empty() {
        eprintln!("usage: wordcount PATH…");
        std::process::exit(2);
    }
    let mut total = 0;
    for file in &files {
        total += fs::metadata(file).await?.len();
    }

    let done = Cell::new(0);
    let start = Instant::now();
    // The bar never ends, so the count wins.
    let counts = race((bar(&done, total), count_all(&files, &done))).await?;
    let at_once = start.elapsed();

    let start = Instant::now();
    for file in &files {
        count(file, &Cell::new(0)).await?;
    }
    let Counts {
        lines,
        words,
        bytes,
    } = counts;
    println!(
        "{} files: {lines} lines, {words} words, {bytes} bytes",
        files.len()
    );
    println!(
        "at once: {at_once:.1?}; one after the other: {:.1?}",
        start.elapsed()
    );
    Ok(())
}

async fn files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut entries = fs::read_dir(directory).await?;
    while let Some(entry) = entries.next_entry().await? {
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

async fn count_all(files: &[PathBuf], done: &Cell<u64>) -> io::Result<Counts> {
    let places = Semaphore::new(AT_ONCE);
    let counts = files.iter().map(async |file| {
        let _place = places.acquire().await;
        count(file, done).await
    });
    let mut sum = Counts::default();
    for counts in gather_iter(counts).await {
        let counts = counts?;
        sum.lines += counts.lines;
        sum.words += counts.words;
        sum.bytes += counts.bytes;
    }
    Ok(sum)
}

async fn count(path: &Path, done: &Cell<u64>) -> io::Result<Counts> {
    let mut file = File::open(path).await?;
    let mut buf = vec![0; 64 * 1024];
    let mut counts = Counts::default();
    let mut in_word = false;
    loop {
        let n = file.read(&mut buf).await?;
        if n == 0 {
            return Ok(counts);
        }
        for byte in &buf[..n] {
            counts.lines += u64::from(*byte == b'\n');
            counts.words += u64::from(!in_word && !byte.is_ascii_whitespace());
            in_word = !byte.is_ascii_whitespace();
        }
        counts.bytes += n as u64;
        done.set(done.get() + n as u64);
    }
}

/// Shows how much is done, until it is dropped.
async fn bar(done: &Cell<u64>, total: u64) -> io::Result<Counts> {
    loop {
        asyncio::sleep(Duration::from_millis(50)).await;
        let filled = usize::try_from(done.get() * 40 / total.max(1))
            .unwrap_or(40)
            .min(40);
        eprint!(
            "\r[{:40}] {} MB",
            "#".repeat(filled),
            done.get() / 1_000_000
        );
    }
}
