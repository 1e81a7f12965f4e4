//! A readiness reactor over mio: sources, wakers, and a way to wake it from other threads.
