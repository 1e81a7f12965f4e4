//! Forms with files: whatever a client sends, in whatever pieces, there are fields or an error, and the limits hold.

use arbitrary::Arbitrary;
use asyncio_http::multipart::{Limits, Multipart};
use axum_core::body::Body;
use futures::stream;

use crate::on_a_loop;

/// The input of the law.
#[derive(Arbitrary, Debug)]
pub struct Input {
    kind: Kind,
    pieces: Vec<Vec<u8>>,
    bytes: u16,
    field_bytes: u16,
    fields: u8,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Any(String),
    Boundary,
}

/// Panics if the law does not hold.
pub fn check(input: Input) {
    let kind = match input.kind {
        Kind::Any(kind) => kind,
        Kind::Boundary => "multipart/form-data; boundary=x".to_owned(),
    };
    let limits = Limits::default()
        .bytes(input.bytes.into())
        .field_bytes(input.field_bytes.into())
        .fields(input.fields.into());
    let pieces = input.pieces.into_iter().map(Ok::<_, std::io::Error>);
    let request = http::Request::builder().header("content-type", kind);
    let Ok(request) = request.body(Body::from_stream(stream::iter(pieces))) else {
        return;
    };
    on_a_loop(async {
        let Ok(mut form) = Multipart::of(request, limits) else {
            return;
        };
        let (mut fields, mut bytes) = (0, 0);
        while let Ok(Some(field)) = form.next_field().await {
            fields += 1;
            assert!(fields <= usize::from(input.fields));
            let _ = (field.name(), field.file_name(), field.content_type());
            let Ok(content) = field.bytes().await else {
                break;
            };
            assert!(content.len() <= input.field_bytes.into());
            bytes += content.len();
            assert!(bytes <= input.bytes.into());
        }
    });
}
