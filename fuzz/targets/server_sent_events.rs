//! The law of `server_sent_events`, with the bytes of libFuzzer.
#![cfg_attr(fuzzing, no_main)]

asyncio_fuzz::target!(server_sent_events);
