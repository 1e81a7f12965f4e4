//! The step that another thread sees.

use asyncio_task::{SpawnOptions, Tasks, try_spawn_with};

#[test]
fn a_step_within_a_step_is_seen_until_it_ends() {
    let tasks = Tasks::new(|| ());
    let pulse = tasks.pulse();
    let inside = pulse.clone();
    let mut task = tasks.spawn(async move {
        let id = || inside.step().unwrap().0.get();
        let outer = id();
        let within = inside.clone();
        let eager = SpawnOptions::new().eager_start();
        let inner = try_spawn_with(eager, async move { within.step() });
        let inner = inner.unwrap().try_take().unwrap().unwrap();
        (outer, inner.unwrap().0.get(), id())
    });
    tasks.enter(&(), || tasks.run_turn(10, || false));
    let (outer, inner, after) = task.try_take().unwrap().unwrap();
    assert_eq!((inner, after), (outer + 1, outer));
    assert!(pulse.step().is_none(), "the turn is over");
}
