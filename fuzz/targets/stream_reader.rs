//! The law of `stream_reader`, with the bytes of libFuzzer.
#![cfg_attr(fuzzing, no_main)]

asyncio_fuzz::target!(stream_reader);
