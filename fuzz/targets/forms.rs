//! The law of `forms`, with the bytes of libFuzzer.
#![cfg_attr(fuzzing, no_main)]

asyncio_fuzz::target!(forms);
