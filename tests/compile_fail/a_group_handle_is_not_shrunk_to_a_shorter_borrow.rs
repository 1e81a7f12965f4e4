//! A handle of a group takes children that live as long as the group may; one for a shorter time would take
//! children that end too early.

use asyncio::TaskGroup;

fn shrink<'short, 'env: 'short>(tg: TaskGroup<'env>) -> TaskGroup<'short> {
    tg
}

fn main() {
    let _ = shrink;
}
