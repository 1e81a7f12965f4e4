//! Synchronisation for tasks of one thread: Lock, Event, Condition, Semaphore, Barrier, Queue, promise. Works with any executor.
