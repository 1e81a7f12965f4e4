//! Compressed bodies: gzip and deflate.
//!
//! A small body may decompress to a thousand times its size. So it is decompressed in small steps, each only when the
//! reader asks for more.

use std::io::Write;

use bytes::{Buf as _, Bytes};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, RANGE};

use super::error::FetchError;

/// How many compressed bytes one step takes. It gives at most about a thousand times as many.
const STEP: usize = 256;
/// How many decompressed bytes come without a yield to other tasks.
const TURN: usize = 256 * 1024;

/// Tells the server which compressions can be read. `false` if the request says that itself, or wants a part.
pub(super) fn offer(headers: &mut HeaderMap) -> bool {
    if headers.contains_key(ACCEPT_ENCODING) || headers.contains_key(RANGE) {
        return false;
    }
    let both = HeaderValue::from_static("gzip, deflate");
    headers.insert(ACCEPT_ENCODING, both);
    true
}

/// Decompresses a body.
pub(super) struct Decoder {
    kind: Kind,
    /// The input that was fed and is not decompressed yet.
    input: Bytes,
    /// The number of decompressed bytes since the last yield.
    since_yield: usize,
    has_begun: bool,
}

enum Kind {
    Gzip(MultiGzDecoder<Vec<u8>>),
    /// `deflate` is zlib's format. Some servers send it without zlib's frame, so the first byte decides.
    Deflate,
    Zlib(ZlibDecoder<Vec<u8>>),
    Raw(DeflateDecoder<Vec<u8>>),
}

impl Decoder {
    /// The decoder for a response, if one is needed. Removes the headers that are no longer true.
    pub(super) fn of(headers: &mut HeaderMap) -> Option<Self> {
        let encoding = headers.get(CONTENT_ENCODING)?.to_str().ok()?;
        let kind = match encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Kind::Gzip(MultiGzDecoder::new(Vec::new())),
            "deflate" => Kind::Deflate,
            _ => return None,
        };
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        let input = Bytes::new();
        Some(Self {
            kind,
            input,
            since_yield: 0,
            has_begun: false,
        })
    }

    /// Gives it more compressed bytes, after all of the last ones are used up.
    pub(super) fn feed(&mut self, input: Bytes) {
        self.has_begun |= !input.is_empty();
        self.input = input;
        if let (Kind::Deflate, Some(first)) = (&self.kind, self.input.first()) {
            self.kind = match first & 0x0f {
                8 => Kind::Zlib(ZlibDecoder::new(Vec::new())),
                _ => Kind::Raw(DeflateDecoder::new(Vec::new())),
            };
        }
    }

    /// Whether other tasks are to run first. If so, the next call says no.
    pub(super) fn has_done_enough(&mut self) -> bool {
        let has_done_enough = self.since_yield >= TURN;
        if has_done_enough {
            self.since_yield = 0;
        }
        has_done_enough
    }

    /// The next piece; `None` if it needs more input.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        while !self.input.is_empty() {
            let step = &self.input[..self.input.len().min(STEP)];
            let (written, output) = match &mut self.kind {
                Kind::Gzip(decoder) => (decoder.write(step), decoder.get_mut()),
                Kind::Zlib(decoder) => (decoder.write(step), decoder.get_mut()),
                Kind::Raw(decoder) => (decoder.write(step), decoder.get_mut()),
                Kind::Deflate => return Ok(None),
            };
            let output = std::mem::take(output);
            match written.map_err(wrong)? {
                // Bytes behind the end.
                0 if output.is_empty() => self.input.clear(),
                n => self.input.advance(n),
            }
            if !output.is_empty() {
                self.since_yield += output.len();
                return Ok(Some(output.into()));
            }
        }
        Ok(None)
    }

    /// The last piece. An error if the compressed body ends early.
    pub(super) fn finish(self) -> Result<Option<Bytes>, FetchError> {
        if !self.has_begun {
            // Some responses have no body, whatever their headers say.
            return Ok(None);
        }
        let rest = match self.kind {
            Kind::Gzip(decoder) => decoder.finish(),
            Kind::Zlib(decoder) => decoder.finish(),
            Kind::Raw(decoder) => decoder.finish(),
            Kind::Deflate => Ok(Vec::new()),
        };
        let rest = rest.map_err(wrong)?;
        Ok((!rest.is_empty()).then(|| rest.into()))
    }
}

fn wrong(error: std::io::Error) -> FetchError {
    FetchError::Decode(format!("its compression is wrong: {error}"))
}
