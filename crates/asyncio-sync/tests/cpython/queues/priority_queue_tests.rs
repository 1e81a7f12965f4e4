//! `PriorityQueueTests`.

use asyncio_sync::PriorityQueue;

/// The smallest item comes out first.
#[test]
fn order() {
    let queue = PriorityQueue::new(0);
    for item in [1, 3, 2] {
        queue.put_nowait(item).unwrap();
    }
    assert_eq!([(); 3].map(|()| queue.get_nowait().unwrap()), [1, 2, 3]);
}
