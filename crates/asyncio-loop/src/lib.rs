//! The event loop: run, spawn, sleep, call_soon, clocks, handles.
