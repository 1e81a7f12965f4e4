//! Groups, scopes and combinators on a loop: a module a concept.

mod answers;
mod boundaries;
mod cancelling;
mod cleanups;
mod finally;
mod first_programs;
mod forgotten;
mod groups;
mod never;
mod overdue;
mod passed_on;
mod patience;
mod real_time;
mod several;
mod soundness;
mod support;
mod swallowed;
mod turns;
