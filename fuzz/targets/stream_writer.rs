//! The law of `stream_writer`, with the bytes of libFuzzer.
#![cfg_attr(fuzzing, no_main)]

asyncio_fuzz::target!(stream_writer);
