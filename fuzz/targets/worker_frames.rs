//! The law of `worker_frames`, with the bytes of libFuzzer.
#![cfg_attr(fuzzing, no_main)]

asyncio_fuzz::target!(worker_frames);
