//! Sockets for the asyncio event loop.
