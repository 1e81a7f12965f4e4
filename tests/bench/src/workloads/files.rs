//! Files that the page cache has: in parts, as a whole, by lines; many small ones.

use std::fs;
use std::path::{Path, PathBuf};

use super::Work;
use crate::cores::unpin;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::meter::measure;
use crate::runtime::Runtime;
use crate::system::System;
use crate::workload::{Column, Countable, Workload};

const MIB: usize = 1024 * 1024;

/// The part that is read or written at once.
const PART: usize = 64 * 1024;

/// A directory of the files of a run, which is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("asyncio-bench-{}", std::process::id()));
        fs::create_dir_all(&path).expect("there is a place for temporary files");
        Place(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lines of 64 bytes, `mib` MiB of them.
fn text(path: &Path, mib: usize) {
    let line = [&[b'x'; 63][..], b"\n"].concat();
    fs::write(path, line.repeat(mib * MIB / line.len())).expect("there is room");
}

/// Pseudo-random numbers, the same in each run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

const COLUMNS: &[Column] = &[Column::CPU, Column::less("wall", "wall ns").aside()];

const PER_MIB: &[Column] = &[
    Column::less("cpu", "CPU ns a MiB"),
    Column::less("wall", "wall ns a MiB").aside(),
];

/// Reads of 4 KiB at random places of an open file.
#[derive(Debug)]
pub(crate) struct RandomReads;

impl Work for RandomReads {
    const WORKLOAD: Workload = Workload {
        name: "file-random",
        what: "4 KiB read at a random place of a file in the page cache",
        columns: COLUMNS,
        countable: Countable::Worker(100, 1_100),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const SIZE: usize = 4096;
        const READS: u64 = 16;
        let work = async move {
            let place = Place::new();
            let path = place.path("random");
            text(&path, 64);
            let mut file = R::System::open(&path).await;
            let mut buf = vec![0; SIZE];
            let mut state = 0x9e37_79b9_7f4a_7c15;
            measure(effort, READS, async || {
                for _ in 0..READS {
                    let block = next(&mut state) % (64 * MIB / SIZE) as u64;
                    let filled = std::mem::take(&mut buf);
                    buf = R::System::read_at(&mut file, filled, block * SIZE as u64).await;
                }
            })
            .await
        };
        run_if::<R, _>(R::System::EXISTS, work)
    }
}

/// A large file is read from its start to its end.
#[derive(Debug)]
pub(crate) struct SequentialRead;

impl Work for SequentialRead {
    const WORKLOAD: Workload = Workload {
        name: "file-read",
        what: "256 MiB of a file in the page cache read in sequence, by 64 KiB",
        columns: PER_MIB,
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        let mib = effort.size(256);
        let work = async move {
            let place = Place::new();
            let path = place.path("sequence");
            text(&path, mib as usize);
            let mut buf = vec![0; PART];
            measure(effort, mib, async || {
                let mut file = R::System::open(&path).await;
                let mut sum = 0;
                loop {
                    let (back, n) = R::System::read(&mut file, std::mem::take(&mut buf)).await;
                    buf = back;
                    sum += n;
                    if n == 0 {
                        break;
                    }
                }
                assert_eq!(sum, mib as usize * MIB);
            })
            .await
        };
        run_if::<R, _>(R::System::EXISTS, work)
    }
}

/// A large file is written from its start to its end.
#[derive(Debug)]
pub(crate) struct SequentialWrite;

impl Work for SequentialWrite {
    const WORKLOAD: Workload = Workload {
        name: "file-write",
        what: "256 MiB written to the page cache in sequence, by 64 KiB",
        columns: PER_MIB,
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        let mib = effort.size(256);
        let work = async move {
            let place = Place::new();
            let path = place.path("written");
            let mut part = vec![7; PART];
            measure(effort, mib, async || {
                let mut file = R::System::create(&path).await;
                for _ in 0..mib as usize * MIB / PART {
                    part = R::System::write(&mut file, std::mem::take(&mut part)).await;
                }
                R::System::finish(file).await;
            })
            .await
        };
        run_if::<R, _>(R::System::EXISTS, work)
    }
}

/// The lines of a large file are counted.
#[derive(Debug)]
pub(crate) struct Lines;

impl Work for Lines {
    const WORKLOAD: Workload = Workload {
        name: "file-lines",
        what: "lines of 64 bytes read from a file in the page cache",
        columns: COLUMNS,
        countable: Countable::Worker(1, 2),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const FILE: u64 = 16;
        const LINES: u64 = FILE * MIB as u64 / 64;
        let work = async move {
            let place = Place::new();
            let path = place.path("lines");
            text(&path, FILE as usize);
            measure(effort, LINES, async || {
                assert_eq!(R::System::count_lines(&path).await, LINES);
            })
            .await
        };
        run_if::<R, _>(R::System::EXISTS && R::System::LINES, work)
    }
}

/// Small files are read as wholes, a hundred at a time.
#[derive(Debug)]
pub(crate) struct SmallFiles;

impl Work for SmallFiles {
    const WORKLOAD: Workload = Workload {
        name: "files-small",
        what: "10,000 files of 4 KiB in the page cache read as wholes, 100 at a time",
        columns: COLUMNS,
        countable: Countable::Worker(1, 2),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const FILES: u64 = 10_000;
        const AT_ONCE: u64 = 100;
        let work = async move {
            let place = Place::new();
            let paths: Vec<PathBuf> = (0..FILES).map(|n| place.path(&n.to_string())).collect();
            for path in &paths {
                fs::write(path, [7; 4096]).expect("there is room");
            }
            let mut left = paths.iter().cycle();
            measure(effort, AT_ONCE, async || {
                let reading: Vec<_> = left
                    .by_ref()
                    .take(AT_ONCE as usize)
                    .map(|path| R::spawn(R::System::read_whole(path.clone())))
                    .collect();
                for file in reading {
                    assert_eq!(R::join(file).await.len(), 4096);
                }
            })
            .await
        };
        run_if::<R, _>(R::System::EXISTS, work)
    }
}

/// Runs work on all cores, because most runtimes use threads for it.
fn run_if<R: Runtime, F>(can: bool, work: F) -> Option<Figures>
where
    F: Future<Output = Figures> + 'static,
{
    can.then(|| {
        unpin().expect("a thread can choose its cores");
        R::block_on_with_threads(work)
    })
}
