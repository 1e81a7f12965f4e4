//! Small programs written twice, for CPython's asyncio and for this one, and their traces.
//!
//! A program is a function in one of the files here, and another of the same name in the Python file beside it.
//! `traces/` has the traces of CPython, recorded by `cargo xtask traces`: a line for each event, with its second. Our
//! program must have the same trace. If a rule of ours differs, there is a second trace, `.ours`, which opens with
//! `#`, the rule and the reason. Then our program must match that one. So each difference has a stated reason.
//!
//! Not here: programs about one library alone, and programs whose events CPython orders by chance.

#![allow(
    elided_lifetimes_in_paths,
    reason = "`|tg: TaskGroup|`, as users write it"
)]

mod cancellation;
mod eager;
mod groups;
mod requests;
mod several;
mod shields;
mod timeouts;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::{BoxError, ErrorGroup, EventLoop, JoinError, TimedOut, catch_cancel, sleep, time};

/// The events of a program, in words, each with its second.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    start: Instant,
    lines: Rc<RefCell<Vec<String>>>,
}

impl Note {
    /// Adds what has just happened.
    pub(crate) fn say(&self, words: impl Display) {
        let seconds = time().duration_since(self.start).as_secs_f64();
        self.lines.borrow_mut().push(format!("{seconds} {words}"));
    }
}

/// So many seconds.
pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Works for some seconds; cancelled, cleans up for some seconds.
pub(crate) async fn worker(note: Note, name: impl Display, work: u64, cleanup: u64) -> String {
    note.say(format_args!("{name} starts"));
    if let Err(cancelled) = catch_cancel(sleep(secs(work))).await {
        note.say(format_args!("{name} cleans up"));
        if let Err(second) = catch_cancel(sleep(secs(cleanup))).await {
            note.say(format_args!("{name} is interrupted"));
            second.resume().await
        }
        note.say(format_args!("{name} is clean"));
        cancelled.resume().await
    }
    note.say(format_args!("{name} is done"));
    name.to_string()
}

/// The same, as what may fail.
pub(crate) async fn try_worker(
    note: Note,
    name: &'static str,
    work: u64,
    cleanup: u64,
) -> Result<String, BoxError> {
    Ok(worker(note, name, work, cleanup).await)
}

/// Fails after some seconds.
pub(crate) async fn failing(
    note: Note,
    name: &'static str,
    after: u64,
) -> Result<String, BoxError> {
    note.say(format_args!("{name} starts"));
    sleep(secs(after)).await;
    note.say(format_args!("{name} fails"));
    Err(name.into())
}

/// Awaits something, and tells what came of it.
pub(crate) async fn outcome<T: Shown>(note: &Note, name: &str, awaited: impl Future<Output = T>) {
    match catch_cancel(awaited).await {
        Ok(value) => note.say(format_args!("{name}: {}", value.shown())),
        Err(cancelled) => {
            // As the Python twin does: there an awaiter of a cancelled task looks the same.
            note.say(format_args!("{name}: cancelled"));
            cancelled.swallow();
        }
    }
}

/// A result, in the words that the Python programs use.
pub(crate) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for () {
    fn shown(&self) -> String {
        "nothing".to_owned()
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for &str {
    fn shown(&self) -> String {
        (*self).to_owned()
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| ().shown(), Shown::shown)
    }
}

impl<T: Shown> Shown for Result<T, JoinError> {
    fn shown(&self) -> String {
        match self {
            Ok(value) => value.shown(),
            Err(error) if error.is_cancelled() => "cancelled".to_owned(),
            Err(error) => format!("failed with {error}"),
        }
    }
}

impl<T: Shown> Shown for Result<T, TimedOut> {
    fn shown(&self) -> String {
        self.as_ref()
            .map_or_else(|_| "timed out".to_owned(), Shown::shown)
    }
}

impl<T: Shown> Shown for Result<T, BoxError> {
    fn shown(&self) -> String {
        match self {
            Ok(value) => value.shown(),
            Err(error) => format!("failed with {}", in_words(error)),
        }
    }
}

impl<T: Shown> Shown for Result<T, ErrorGroup> {
    fn shown(&self) -> String {
        match self {
            Ok(value) => value.shown(),
            Err(errors) => format!("failed with {}", all_in_words(errors)),
        }
    }
}

/// An error in words, a group with what is in it.
fn in_words(error: &BoxError) -> String {
    match error.downcast_ref::<ErrorGroup>() {
        Some(errors) => all_in_words(errors),
        None => error.to_string(),
    }
}

fn all_in_words(errors: &ErrorGroup) -> String {
    let errors: Vec<_> = errors.errors().iter().map(in_words).collect();
    format!("[{}]", errors.join(", "))
}

/// The trace of a program on virtual time.
fn record(program: impl AsyncFnOnce(Note)) -> String {
    let builder = EventLoop::builder().virtual_time(true);
    let mut event_loop = builder.build_loop().expect("a selector");
    let note = Note {
        start: event_loop.time(),
        lines: Rc::default(),
    };
    let handler = note.clone();
    event_loop.set_exception_handler(move |_| handler.say("the exception handler hears of it"));
    event_loop
        .run_until_complete(program(note.clone()))
        .expect("the program itself ends well");
    drop(event_loop);
    let lines = note.lines.take();
    lines.into_iter().map(|line| line + "\n").collect()
}

fn traces() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("differential/traces")
}

/// Runs a program and compares what it does with what was recorded.
fn check(file: &str, name: &str, program: impl AsyncFnOnce(Note)) {
    let cpython = traces().join(file).join(format!("{name}.cpython"));
    let cpython = fs::read_to_string(&cpython)
        .unwrap_or_else(|error| panic!("{}: {error}", cpython.display()));
    let expected = match fs::read_to_string(traces().join(file).join(format!("{name}.ours"))) {
        Err(_) => cpython,
        Ok(ours) => {
            let (reason, trace): (Vec<&str>, Vec<&str>) =
                ours.lines().partition(|line| line.starts_with('#'));
            let says_why = reason
                .first()
                .is_some_and(|line| line.starts_with("# Rule ") || line.starts_with("# Groups: "));
            assert!(
                says_why,
                "{name}.ours opens with the rule that it differs by"
            );
            let trace: String = trace.into_iter().map(|line| format!("{line}\n")).collect();
            assert_ne!(trace, cpython, "{name}.ours does not differ: it can go");
            trace
        }
    };
    let done = record(program);
    assert!(
        done == expected,
        "{file}/{name} did\n{done}\nand was to do\n{expected}"
    );
}

/// A test for each program, and one that no recording is without.
macro_rules! programs {
    ($($file:ident: $($program:ident)+;)+) => {
        $(mod $file {
            $(#[test]
            fn $program() {
                crate::check(stringify!($file), stringify!($program), crate::$file::$program);
            })+
        })+

        /// Every recording, of either kind, is of a program here.
        #[test]
        fn no_trace_is_without_its_program() {
            let programs: super::BTreeSet<(&str, &str)> =
                [$($((stringify!($file), stringify!($program)),)+)+].into();
            let mut recorded = 0;
            for (file, name, kind) in super::recordings() {
                assert!(
                    programs.contains(&(&file, &name)),
                    "{file}/{name}.{kind} has no program"
                );
                recorded += usize::from(kind == "cpython");
            }
            assert_eq!(recorded, programs.len());
        }
    };
}

/// File, program and kind of all that is recorded.
fn recordings() -> Vec<(String, String, String)> {
    let mut recordings = Vec::new();
    for entry in fs::read_dir(traces()).expect("the traces are there") {
        let entry = entry.expect("a directory can be read");
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let file = entry.file_name().to_string_lossy().into_owned();
        for trace in fs::read_dir(entry.path()).expect("a directory can be read") {
            let trace = trace.expect("a directory can be read").file_name();
            let trace = trace.to_string_lossy();
            let (name, kind) = trace
                .split_once('.')
                .expect("a trace is called program.kind");
            recordings.push((file.clone(), name.to_owned(), kind.to_owned()));
        }
    }
    recordings
}

mod programs {
    programs! {
        cancellation:
            a_cleanup_is_waited_for
            a_second_request_interrupts_a_cleanup
            cancelled_before_the_first_step
            swallowed_it_goes_on
            every_request_is_heard_once
            two_requests_at_once_are_one
            a_result_and_a_request_in_one_turn
            a_request_to_oneself_takes_the_next_await
            returning_with_a_request_open
            a_finished_task_is_not_cancelled
            cleanups_run_from_the_inside_out
            a_request_goes_through_to_the_task_that_is_awaited
            an_awaited_task_that_swallows_lets_the_awaiter_go_on
            awaiting_a_task_that_was_cancelled
            an_error_in_a_cleanup_takes_the_place_of_the_request
            a_cleanup_on_the_normal_path_is_cut_by_a_first_request
            cancelled_from_its_own_cleanup
            a_request_goes_on_after_a_second_was_swallowed_in_its_cleanup;
        timeouts:
            the_work_is_in_time
            the_cleanup_outlasts_the_limit
            of_two_the_inner_comes_first
            of_two_the_outer_comes_first
            of_two_at_once_the_outer_reports
            of_three_at_once_the_outermost_reports
            the_outer_comes_while_the_inner_one_cleans_up
            the_inner_comes_while_the_outer_one_cleans_up
            a_limit_of_zero_lets_the_work_begin
            work_that_swallows_the_limit_has_its_value
            a_request_from_outside_is_no_timeout
            a_request_while_the_limit_cleans_up
            a_limit_around_a_task_waits_for_its_cleanup
            a_value_in_the_cleanup_beats_the_limit
            an_error_in_the_cleanup_beats_the_limit
            wait_for_something_done_at_the_very_limit
            a_limit_that_is_moved
            one_limit_after_the_other;
        groups:
            all_children_are_waited_for
            the_first_error_cancels_siblings_which_clean_up
            errors_come_in_the_order_of_the_failures
            two_errors_in_one_turn
            a_cancelled_child_among_successes
            the_error_of_the_body_comes_last
            a_body_that_fails_ends_the_children
            a_child_that_fails_ends_the_body
            groups_inside_of_groups_fail_as_a_tree
            a_request_ends_all_children_and_goes_on
            a_request_while_a_child_fails
            a_request_while_siblings_of_a_failure_clean_up
            a_second_request_while_the_children_clean_up
            a_body_that_swallows_a_request_from_outside
            a_child_that_swallows_holds_up_a_failing_group
            a_group_that_ends_takes_no_more_children
            children_spawn_children
            a_limit_around_a_group
            a_limit_that_comes_while_the_body_cleans_up;
        shields:
            the_wait_is_cut_and_the_task_goes_on
            a_limit_around_a_shield
            the_task_behind_the_shield_is_cancelled
            a_failure_behind_a_shield_that_was_cut
            a_shielded_cleanup_and_a_second_request;
        several:
            results_come_in_the_order_of_the_arguments
            errors_as_values
            one_failure_among_several
            a_request_goes_to_all
            a_limit_around_all
            one_of_several_tasks_was_cancelled
            wait_for_the_first
            wait_for_the_first_error
            a_wait_that_is_cancelled_cancels_nobody
            as_they_are_completed;
        requests:
            a_message_is_heard_inside_and_by_who_awaits
            two_messages_to_a_task_that_waits
            two_messages_before_the_first_step
            a_second_message_interrupts_the_cleanup
            a_message_goes_to_the_task_that_is_awaited
            a_message_goes_to_all_that_is_gathered
            a_message_goes_to_body_and_children
            requests_are_counted_until_they_are_swallowed
            a_time_limit_is_no_request_to_the_task
            a_request_that_a_failing_group_leaves_open;
        eager:
            one_that_need_not_wait_is_done_at_once
            one_that_waits_goes_on_after_what_is_ready
            each_is_the_current_task_in_turn
            one_that_fails_at_once
            one_that_cancels_itself_at_once
            one_that_cancels_its_spawner
            a_limit_around_the_spawn_is_not_around_the_task
            a_request_to_the_spawner_is_not_one_to_the_task
            children_of_a_group_start_at_once
            a_child_of_a_group_fails_at_once;
    }
}
