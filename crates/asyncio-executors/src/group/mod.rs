//! How a task group runs and ends.
//!
//! A step of a group polls the body and the children that were woken before it. It polls them in the order of their
//! wake-ups, as far as the budget of the loop's turn lasts. When one of them fails, or a request to cancel comes, the
//! group is *ending*. Body and children are cancelled, and the group waits until all have ended.
//!
//! The values of a group that is ending are lost, but for those of children that a task outside of the group awaits. No
//! other child has a last poll, nor has the body: it would take an item of a queue that is lost with its value.
//! Children that wait for nothing else are dropped in the step in which the group begins to end, whatever the budget.
//! So a race that is itself a contender returns in the step in which it is decided. The `cancel` of a group leaves the
//! body, which may take values: there a child whose handle is held keeps its last poll. A value that a child has left
//! to a sibling or to the body reaches it (`handover.rs` of asyncio-task).
//!
//! The children are `asyncio_task::Children`, which alone polls and drops their futures. The body runs in a scope of
//! its own behind the group's listener. Requests from outside reach the group, and the group passes them on to body and
//! children.

pub(crate) mod shared;

pub(crate) mod member;
pub(crate) mod running;
