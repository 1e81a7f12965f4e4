//! Server-sent events: a response that goes on while there is news.
