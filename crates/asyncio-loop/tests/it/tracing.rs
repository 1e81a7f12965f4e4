//! Reports as `tracing` events, if the thread has a subscriber. The other case, standard error, is
//! tested with whole processes.

use std::fmt;
use std::sync::{Arc, Mutex};

use asyncio_loop::{run, spawn, yield_now};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A subscriber that stores the messages of events.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Subscriber for Events {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.target() == "asyncio" // and not what a console reads
    }

    fn event(&self, event: &Event<'_>) {
        let about = event.metadata();
        assert_eq!((about.target(), about.level()), ("asyncio", &Level::ERROR));
        event.record(&mut Message(&self.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        unreachable!("there are no spans")
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message<'a>(&'a Mutex<Vec<String>>);

impl Visit for Message<'_> {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        self.0.lock().unwrap().push(format!("{value:?}"));
    }
}

#[test]
fn a_report_is_an_event_for_a_subscriber() {
    let events = Events::default();
    tracing::subscriber::with_default(events.clone(), || {
        run(async {
            spawn(async { Err::<(), _>("no bread") }).detach();
            yield_now().await;
        });
    });
    let events = events.0.lock().unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("no bread"), "{events:?}");
}
