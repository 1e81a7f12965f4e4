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
