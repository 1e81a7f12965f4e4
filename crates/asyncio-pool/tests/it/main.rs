//! Pools of threads and of loops: a module a concept.

mod default_pool;
mod jobs;
mod loop_pools;
mod loop_threads;
mod pools;
mod support;
