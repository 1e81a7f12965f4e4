//! The cost of a thread on this machine, measured: to start it, its memory, and to wake it.

use std::fmt;
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{most_threads, resident_memory};
use crate::words::{bytes, grouped, seconds};

/// The measured cost of a thread.
pub(crate) struct ThreadCosts {
    /// The number of threads that were started to measure it.
    measured: u32,
    /// The time to start a thread and to wait for its end.
    start: Duration,
    /// Resident memory of a waiting thread that has done nothing yet, without the kernel's share.
    memory: Option<u64>,
    /// A round trip between two threads that wait for each other on channels.
    round_trip: Duration,
    /// The highest number of threads in a process here.
    most: Option<u64>,
}

impl ThreadCosts {
    pub(crate) fn measure(threads: u32) -> Self {
        let (start, memory) = measure_start(threads);
        Self {
            measured: threads,
            start,
            memory,
            round_trip: measure_round_trip(threads * 10),
            most: most_threads(),
        }
    }

    /// The time to start so many threads, and to wait for their end.
    pub(crate) fn to_start(&self, threads: u64) -> Duration {
        self.start.mul_f64(threads as f64)
    }

    pub(crate) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The cost of so many threads, in words.
    pub(crate) fn cost_of(&self, threads: u64) -> String {
        let mut cost = format!(
            "{} threads: {} to start and end them",
            grouped(threads),
            seconds(self.to_start(threads))
        );
        if let Some(memory) = self.memory {
            cost += &format!(", {} resident", bytes(memory * threads));
        }
        if let Some(most) = self.most.filter(|&most| most < threads) {
            cost += &format!(
                ", if they could be had: this system allows {}",
                grouped(most)
            );
        }
        cost
    }
}

/// Starts threads that wait, measures the memory, and ends them.
fn measure_start(threads: u32) -> (Duration, Option<u64>) {
    let before = resident_memory();
    let all_wait = Arc::new(Barrier::new(threads as usize + 1));
    let go_home = Arc::new(Barrier::new(threads as usize + 1));
    let start = Instant::now();
    let started: Vec<_> = (0..threads)
        .map(|_| {
            let (all_wait, go_home) = (all_wait.clone(), go_home.clone());
            thread::spawn(move || {
                all_wait.wait();
                go_home.wait();
            })
        })
        .collect();
    all_wait.wait();
    let took = start.elapsed();
    let after = resident_memory();
    let end = Instant::now();
    go_home.wait();
    for thread in started {
        thread.join().expect("it only waits");
    }
    let each = (took + end.elapsed()) / threads;
    let memory = before
        .zip(after)
        .map(|(before, after)| after.saturating_sub(before) / u64::from(threads));
    (each, memory)
}

fn measure_round_trip(trips: u32) -> Duration {
    let (ask, asked) = mpsc::channel();
    let (answer, answered) = mpsc::channel();
    let other = thread::spawn(move || {
        for question in asked {
            if answer.send(question).is_err() {
                return;
            }
        }
    });
    let start = Instant::now();
    for n in 0..trips {
        ask.send(n).expect("the other one listens");
        answered.recv().expect("the other one answers");
    }
    let took = start.elapsed() / trips;
    drop(ask);
    other.join().expect("it only answers");
    took
}

impl fmt::Display for ThreadCosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "For comparison, a thread on this machine, measured with {}:\n{} to start and end",
            self.measured,
            seconds(self.start)
        )?;
        if let Some(memory) = self.memory {
            write!(f, ", {} resident while it waits", bytes(memory))?;
        }
        write!(
            f,
            ", {} for a message to another one and back.",
            seconds(self.round_trip)
        )
    }
}
