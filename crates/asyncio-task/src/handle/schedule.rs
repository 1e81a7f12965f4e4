//! Where a woken task goes, for executors that keep their own queue.

use crate::cell::cell_ref::StepRight;
use crate::cell::layout::Scheduler;
use crate::engine::current;
use crate::engine::deliver::end_unscheduled;
use crate::handle::task_ref::TaskRef;

/// How a woken task gets into the queue of the code that runs it. Called on the task's own thread only.
///
/// Most tasks are at home in the ready queue of their [`Tasks`](crate::Tasks) and need none of this. An executor with
/// an order of its own spawns with [`Tasks::spawn_on`](crate::Tasks::spawn_on):
///
/// ```
/// use asyncio_task::{Schedule, Step, Tasks};
/// use std::{cell::RefCell, rc::Rc};
///
/// /// Runs what was woken last first.
/// #[derive(Clone, Default)]
/// struct Stack(Rc<RefCell<Vec<Step>>>);
///
/// impl Schedule for Stack {
///     fn schedule(&self, step: Step) {
///         self.0.borrow_mut().push(step);
///     }
/// }
///
/// let tasks = Tasks::new(|| ());
/// tasks.enter(&(), || {
///     let stack = Stack::default();
///     let order = Rc::new(RefCell::new(vec![]));
///     for n in 0..3 {
///         let order = order.clone();
///         tasks.spawn_on(stack.clone(), async move { order.borrow_mut().push(n) }).detach();
///     }
///     loop {
///         let Some(step) = stack.0.borrow_mut().pop() else { break };
///         step.run();
///     }
///     assert_eq!(*order.borrow(), [2, 1, 0]);
/// });
/// ```
///
/// A task holds a clone of its schedule until it is done, and the queue holds its steps. An executor that is dropped
/// with steps in its queue should drop those, which ends their tasks.
pub trait Schedule {
    /// Takes a task that was woken. It is to be run later, never from within this call.
    fn schedule(&self, step: Step);
}

/// One step of a task: the right, and the duty, to poll it once.
///
/// Dropping a step cancels its task then and there: nothing else would poll it any more. (If the task runs
/// at that moment, after its poll; if its [`Tasks`](crate::Tasks) are not entered, when they next
/// [deliver](crate::Tasks::deliver).)
#[derive(Debug)]
#[must_use = "a step that is dropped cancels its task"]
pub struct Step {
    /// `None`: it has been run.
    right: Option<StepRight>,
}

impl Step {
    /// The task it belongs to.
    #[must_use]
    pub fn task(&self) -> TaskRef {
        let right = self.right.as_ref();
        let right = right.expect("a step has its task until it is run");
        TaskRef::new(right.cell().clone())
    }

    /// Polls the task, unless it has ended. If a step of it is under way, further up the stack, it is
    /// scheduled again after that.
    ///
    /// # Panics
    ///
    /// If the [`Tasks`](crate::Tasks) it was spawned on are not entered on this thread, and the task has not ended. It
    /// is cancelled then.
    pub fn run(mut self) {
        let Some(right) = self.right.take() else {
            return;
        };
        let cell = right.cell().clone();
        current::of(&cell, |tasks| match tasks {
            Some(tasks) => tasks.run_scheduled(&cell, right),
            None if cell.state.is_done() => {}
            None => {
                end_unscheduled(&cell);
                panic!("a step was run outside of the loop that its task belongs to");
            }
        });
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(right) = self.right.take() {
            end_unscheduled(right.cell());
        }
    }
}

/// An executor's schedule, as a cell has it.
#[derive(Clone)]
pub(crate) struct Scheduled<S>(pub(crate) S);

impl<S: Schedule + Clone> Scheduler for Scheduled<S> {
    type Entry = Step;

    fn entry(right: StepRight) -> Step {
        Step { right: Some(right) }
    }

    fn take(&self, entry: Step) {
        self.0.schedule(entry);
    }
}
