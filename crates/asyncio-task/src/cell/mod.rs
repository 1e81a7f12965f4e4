//! The task cell: one allocation for what the runtime knows of a task and for its future, which its value replaces when
//! it is done.
//!
//! All code that polls, ends, references or frees a cell is in this folder. The rest of the crate gets values that
//! stand for a right, and that only this folder makes:
//!
//! | value | the right |
//! |---|---|
//! | [`LocalRef`](cell_ref::LocalRef) | to read the header, on the owner's thread |
//! | [`RemoteRef`](cell_ref::RemoteRef) | to send the cell a message, on any thread |
//! | [`OwnerRef`](cell_ref::OwnerRef) | none: it keeps a task alive that has not ended |
//! | [`JoinRef`](cell_ref::JoinRef) | to take the outcome |
//! | [`QueueEntry`](cell_ref::QueueEntry) | one place in a ready queue, to begin one step |
//! | [`StepRight`](cell_ref::StepRight) | the same for the queue of a foreign executor, with a reference |
//! | [`Running`](cell_ref::Running) | to poll the future once more, or to drop it |
//! | [`Ended`](cell_ref::Ended) | to finish a task whose future has gone |
//!
//! A value that is lost, by a panic or a leak, leaks its task. It never lets a task be polled or dropped twice.
//!
//! - **C1** A cell lives until its last reference is dropped, on whatever thread (`refs.rs` counts). That drop frees
//!   memory and nothing else: by then future, schedule, value, joiner, context and payload are gone. All that may be
//!   left is the task's name, which any thread may drop. A future that is leaked keeps its cell, as it may be pinned.
//! - **C2** The stage holds the future until it has returned or is dropped. That happens while the state says running,
//!   so that nothing else uses it. The state says done afterwards. If the completion is a value, the stage holds it
//!   from then on until it is taken, and the state says taken before that. The task's scheduler goes with the future,
//!   or, if it is being cloned at that moment, right after.
//! - **C3** Other threads reach only the remote count, the `posted` flag, the owner, the number of the span and the
//!   vtable, by pointers to these fields. The rest is touched on the owner's thread only; the thread that drops the
//!   last reference may touch it too, after all others.
//! - **C4** A task that has not ended is alive: an [`OwnerRef`](cell_ref::OwnerRef) is not released before the state
//!   says done. So an entry of a ready queue needs no reference of its own, and neither does a poll. If a task ends
//!   while an entry of it is left, [`Ended::finish`](cell_ref::Ended::finish) gives that entry a reference.
//! - **C5** A pointer to a header is a pointer to the whole `TaskCell<F, S>` that its vtable was made for, with the
//!   right to all of it.
//! - **C6** There is one [`Running`](cell_ref::Running) or [`Ended`](cell_ref::Ended) of a cell at most. The transition
//!   of the state to running makes it, and the next transition uses it up. A task that borrows becomes running only in
//!   an unsafe function, whose caller has its `Children` at hand (H1 in `children/members.rs`).

pub(crate) mod cell_ref;
pub(crate) mod extra;
pub(crate) mod header;
pub(crate) mod is_err;
pub(crate) mod layout;
pub(crate) mod marks;
pub(crate) mod owner;
pub(crate) mod pool;
pub(crate) mod ready;
pub(crate) mod refs;
pub(crate) mod state;
pub(crate) mod waker;
