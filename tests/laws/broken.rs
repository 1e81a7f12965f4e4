//! Programs that broke a law once, as small as they go.

use crate::broken_by;
use crate::program::Node::*;
use crate::program::{Node, Program, Then};

fn check(root: Node, cancels: &[(u64, usize)], order: Option<u64>) {
    let cancels = cancels.to_vec();
    let broken = broken_by(&Program {
        root,
        cancels,
        order,
    });
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The smallest of all, to see that the watcher itself breaks nothing.
#[test]
fn a_cleanup_and_a_request() {
    let cleanup = Catch(Box::new(Sleep(5)), Box::new(Sleep(1)), Then::Resume);
    check(cleanup, &[(1, 0)], None);
}

/// The second request was swallowed, and with it the first was taken for answered: whoever resumed that waited
/// for ever.
#[test]
fn a_request_goes_on_after_a_second_was_swallowed_in_its_cleanup() {
    let stubborn = || Box::new(Catch(Box::new(Sleep(2)), Box::new(Sleep(0)), Then::Swallow));
    let tidy = Finally(Box::new(Result(5)), stubborn());
    check(tidy, &[(5, 0), (6, 0)], None);
    let resumes = Catch(Box::new(Sleep(9)), stubborn(), Then::Resume);
    check(resumes, &[(1, 0), (2, 0)], None);
}

/// The branch that resumed the first request waited for ever, since the other one swallowed the second.
#[test]
fn a_branch_goes_on_with_a_request_although_another_swallows_a_second() {
    let first = Catch(Box::new(Sleep(9)), Box::new(Sleep(3)), Then::Resume);
    let inner = Catch(Box::new(Sleep(9)), Box::new(Sleep(4)), Then::Swallow);
    let second = Catch(Box::new(Sleep(9)), Box::new(inner), Then::Swallow);
    check(Join(vec![first, second]), &[(1, 0), (2, 0)], None);
}

/// A request that the awaiter of a task passes on comes later than one that the task had itself.
#[test]
fn a_task_and_its_awaiter_are_cancelled_at_once() {
    let work = Catch(Box::new(Result(3)), Box::new(Sleep(1)), Then::Resume);
    let awaited = Task(Box::new(Gather(vec![work])));
    check(awaited, &[(2, 3), (2, 2)], Some(3_864_426_106_147_140_065));
}

/// A shield that had waited before a scope opened inside of it let requests through to that.
#[test]
fn a_scope_that_opens_late_in_a_shield_is_shielded() {
    let limited = Timeout(0, Box::new(Sleep(0)));
    let shielded = Shield(Box::new(Sequence(vec![Sleep(1), limited])));
    check(shielded, &[(1, 0)], None);
}

/// A request that one shield had held up cut the next one in the middle.
#[test]
fn of_two_shields_the_second_runs_to_its_end_as_well() {
    let first = Shield(Box::new(Sequence(vec![Sleep(4)])));
    let second = Shield(Box::new(Sleep(0)));
    check(Sequence(vec![first, second]), &[(1, 0)], None);
}

/// The message of a request to a scope came out of it, as the enclosing group was ended in the same moment.
#[test]
fn a_message_to_a_scope_ends_with_it_when_an_outer_request_wins() {
    let body = Finally(Box::new(Sequence(vec![Fail])), Box::new(Sleep(1)));
    let scope = Scope(1, Box::new(Sleep(2)));
    let child = Catch(Box::new(scope), Box::new(Sleep(0)), Then::Resume);
    check(Group(Box::new(body), 3, vec![child]), &[], None);
}

/// The limit came due while a request was open, and was forgotten when that had been answered.
#[test]
fn a_limit_ends_its_work_when_the_request_before_it_was_answered() {
    let swallows = Catch(Box::new(Sleep(5)), Box::new(Sleep(3)), Then::Swallow);
    let limited = Timeout(2, Box::new(Sequence(vec![swallows, Sleep(5)])));
    check(limited, &[(1, 0)], None);
    let awaited = Task(Box::new(Shield(Box::new(Sleep(4)))));
    let limited = Timeout(2, Box::new(Sequence(vec![awaited, Sleep(5)])));
    check(limited, &[(1, 0)], None);
}

/// The task had its result before the request came to the race around its await, and was not polled any more.
#[test]
fn a_race_that_is_asked_to_end_takes_the_result_that_came_before() {
    let race = Race(vec![Task(Box::new(Result(4)))]);
    check(race, &[(4, 2)], Some(7_419_014_312_567_371_968));
    // Of what is gathered nobody can take the value then.
    let gather = Gather(vec![Task(Box::new(Result(3))), Sleep(4)]);
    check(gather, &[(3, 2)], Some(11_562_883_378_160_241_777));
}

/// One branch had sent the request on when the other answered it, and with that what was said was forgotten.
#[test]
fn what_was_said_stays_with_a_request_that_one_of_two_answers() {
    let awaits = |n| Task(Box::new(Shield(Box::new(Sleep(n)))));
    let limited = |limit, n| Timeout(limit, Box::new(Sequence(vec![awaits(n), Sleep(5)])));
    check(Join(vec![limited(4, 0), limited(1, 4)]), &[(1, 0)], None);
}

/// The request was taken for answered when the quick branch had swallowed it, and its message was forgotten.
#[test]
fn what_was_said_stays_while_a_branch_cleans_up() {
    let inner = Catch(Box::new(Sleep(4)), Box::new(Sleep(2)), Then::Resume);
    let slow = Catch(Box::new(inner), Box::new(Sleep(0)), Then::Resume);
    let quick = Catch(Box::new(Sleep(4)), Box::new(Sleep(0)), Then::Swallow);
    check(Join(vec![slow, quick]), &[(1, 0)], None);
}

/// The law took a request for lost that an awaited task had held up, until a `select` dropped the await.
#[test]
fn a_request_may_be_with_a_task_whose_await_is_dropped() {
    let awaits = Sequence(vec![Task(Box::new(Shield(Box::new(Sleep(4))))), Sleep(5)]);
    let limited = Timeout(1, Box::new(awaits));
    check(
        Select(Box::new(Sleep(3)), Box::new(limited)),
        &[(1, 0)],
        None,
    );
}

/// The law took a request for lost that a race had put off: a contender answered it and won later.
#[test]
fn a_race_that_is_won_after_a_request_returns_its_value_first() {
    let answers = Catch(Box::new(Sleep(2)), Box::new(Sleep(0)), Then::Swallow);
    let limited = Timeout(2, Box::new(Sequence(vec![answers, Sleep(5)])));
    check(Race(vec![limited]), &[(1, 0)], None);
}

/// The law took the report for a fault that a `select` makes which drops a panic with its cleanup.
#[test]
fn a_panic_that_is_dropped_with_its_cleanup_is_reported() {
    let breaks = Catch(Box::new(Sleep(2)), Box::new(Panic(1)), Then::Resume);
    let inner = Protect(Box::new(breaks), Box::new(Sleep(0)));
    let outer = Protect(Box::new(inner), Box::new(Sleep(2)));
    let caught = Caught(Box::new(outer));
    check(
        Select(Box::new(caught), Box::new(Sleep(2))),
        &[(1, 0)],
        None,
    );
}

/// A token was dropped again and again where an awaited task had ended.
#[test]
fn tokens_that_leave_a_limit_around_an_awaited_task() {
    let eager = Eager(Box::new(Sleep(3)));
    check(
        Escape(3, Box::new(eager), Box::new(Sleep(0)), Then::Drop),
        &[(1, 0)],
        None,
    );
    let gather = Gather(vec![Sleep(4)]);
    check(
        Escape(3, Box::new(gather), Box::new(Sleep(0)), Then::Drop),
        &[(1, 0)],
        None,
    );
}

/// A scope that opens while another branch cleans up gets the request when the cleanup is over, also in code that has
/// sent the request on.
#[test]
fn a_token_is_dropped_while_another_branch_cleans_up() {
    let tidy = Catch(Box::new(Sleep(5)), Box::new(Sleep(5)), Then::Resume);
    let moved = Escape(3, Box::new(Sleep(5)), Box::new(Sleep(1)), Then::Drop);
    check(Unordered(vec![tidy, moved]), &[(1, 0)], None);
}
