//! Server-sent events: a reader of the standard reads what was sent, whatever text is in an event. No text begins a
//! field or an event of its own.

use std::time::Duration;

use arbitrary::Arbitrary;
use asyncio_http::sse::{Event, Sse};
use axum_core::response::IntoResponse;
use http_body_util::BodyExt;

use crate::on_a_loop;

/// The events that are sent.
pub type Input = Vec<Sent>;

/// An event that is sent.
#[derive(Arbitrary, Debug)]
pub struct Sent {
    data: String,
    name: Option<String>,
    id: Option<String>,
    retry: Option<u32>,
    comment: Option<String>,
}

#[derive(Debug, Default, PartialEq)]
struct Received {
    data: Vec<String>,
    name: Option<String>,
    id: Option<String>,
    retry: Option<String>,
}

/// The events of a stream, as the standard of HTML reads them.
fn parse(text: &str) -> Vec<Received> {
    let (mut events, mut event) = (Vec::new(), Received::default());
    for line in text.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
        if line.is_empty() {
            let event = std::mem::take(&mut event);
            if !event.data.is_empty() {
                events.push(event);
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "data" => event.data.push(value),
            "event" => event.name = Some(value),
            "id" => event.id = Some(value),
            "retry" => event.retry = Some(value),
            "" => {}
            other => panic!("the field {other:?}"),
        }
    }
    events
}

/// A text without line breaks.
fn line(text: &str) -> String {
    text.replace(['\r', '\n'], "")
}

/// Panics if the law does not hold.
pub fn check(sent: Input) {
    let mut events = Vec::new();
    for sent in &sent {
        events.extend(sent.comment.as_deref().map(Event::comment));
        let mut event = Event::data(&sent.data);
        if let Some(name) = &sent.name {
            event = event.event(name);
        }
        if let Some(id) = &sent.id {
            event = event.id(id);
        }
        if let Some(retry) = sent.retry {
            event = event.retry(Duration::from_millis(retry.into()));
        }
        events.push(event);
    }
    let mut text = String::new();
    on_a_loop(async {
        let response = Sse::new(futures::stream::iter(events)).into_response();
        let body = response.into_body().collect().await.unwrap();
        text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    });
    let expected = sent.iter().map(|sent| Received {
        data: sent
            .data
            .replace("\r\n", "\n")
            .replace('\r', "\n")
            .split('\n')
            .map(str::to_owned)
            .collect(),
        name: sent.name.as_deref().map(line),
        id: sent.id.as_deref().map(|id| line(id).replace('\0', "")),
        retry: sent.retry.map(|retry| retry.to_string()),
    });
    assert_eq!(parse(&text), expected.collect::<Vec<_>>());
}
