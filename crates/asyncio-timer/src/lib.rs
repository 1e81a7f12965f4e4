//! A hierarchical timer wheel: insert, cancel and re-arm in constant time, never early, told the time.
