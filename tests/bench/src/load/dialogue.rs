//! The client's side of a connection: its next request, and whether the answer is complete.

use std::io;

use super::http2::Http2;
use crate::workload::Message;

/// The client's side of a connection.
#[derive(Debug)]
pub(super) enum Dialogue {
    /// Each request is the same, and each answer has the length of the first one.
    Same(Same),
    Http2(Http2),
}

/// Requests that are all the same.
#[derive(Debug)]
pub(super) struct Same {
    request: Vec<u8>,
    /// The length of an answer. `None` until the first one has come.
    answer: Option<usize>,
    /// The bytes of the present answer so far.
    received: Vec<u8>,
    count: usize,
    is_page: bool,
}

impl Dialogue {
    pub(super) fn new(message: Message) -> Self {
        let request = match message {
            Message::Echo(bytes) => (0..bytes).map(|byte| byte as u8).collect(),
            Message::Http => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            Message::Http2 => return Self::Http2(Http2::new()),
        };
        Self::Same(Same {
            request,
            answer: None,
            received: Vec::new(),
            count: 0,
            is_page: message == Message::Http,
        })
    }

    /// Begins the next request.
    pub(super) fn begin(&mut self) {
        match self {
            Self::Same(same) => same.count = 0,
            Self::Http2(http2) => http2.begin(),
        }
    }

    /// The bytes of the request.
    pub(super) fn request(&self) -> &[u8] {
        match self {
            Self::Same(same) => &same.request,
            Self::Http2(http2) => http2.request(),
        }
    }

    /// Takes bytes of the answer. `true` if it is complete.
    ///
    /// # Errors
    ///
    /// The answer is wrong.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match self {
            Self::Same(same) => same.receive(bytes),
            Self::Http2(http2) => http2.receive(bytes),
        }
    }
}

impl Same {
    fn receive(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if let Some(answer) = self.answer {
            self.count += bytes.len();
            return Ok(self.count >= answer);
        }
        self.received.extend_from_slice(bytes);
        let length = match self.is_page {
            true => length_of_page(&self.received)?,
            false => Some(self.request.len()),
        };
        let Some(length) = length.filter(|length| self.received.len() >= *length) else {
            return Ok(false);
        };
        if !self.is_page && self.received != self.request {
            return Err(io::Error::other("the server sent back something else"));
        }
        self.answer = Some(length);
        self.received = Vec::new();
        Ok(true)
    }
}

/// The length of a page with its head, once the head is there. All answers have the same length: only the date changes.
fn length_of_page(received: &[u8]) -> io::Result<Option<usize>> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(head) = end.map(|end| end + 4) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&received[..head]).to_ascii_lowercase();
    let lengths = text
        .lines()
        .filter_map(|line| line.strip_prefix("content-length: "));
    let length = lengths
        .filter_map(|length| length.parse::<usize>().ok())
        .next()
        .filter(|_| text.starts_with("http/1.1 200 "));
    let length = length.ok_or_else(|| io::Error::other(format!("the server answers {text}")))?;
    Ok(Some(head + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_come_in_pieces() {
        let page = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes";
        let mut dialogue = Dialogue::new(Message::Http);
        for _ in 0..2 {
            dialogue.begin();
            let (last, rest) = page.split_last().unwrap();
            for byte in rest {
                assert!(!dialogue.receive(&[*byte]).unwrap());
            }
            assert!(dialogue.receive(&[*last]).unwrap());
        }
        let refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let mut dialogue = Dialogue::new(Message::Http);
        assert!(dialogue.receive(refusal).is_err());
    }
}
