//! A task cell for single-threaded executors: one allocation a task, wakers for every thread, no atomic state on the local path.
