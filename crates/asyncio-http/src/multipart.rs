//! Forms with files (`multipart/form-data`).
//!
//! ```
//! use asyncio::http::multipart::{Limits, Multipart};
//! use asyncio::http::{Request, Response, StatusCode, IntoResponse};
//!
//! async fn upload(request: Request) -> Result<String, Response> {
//!     let limits = Limits::default().fields(10).field_bytes(1 << 20);
//!     let mut form = Multipart::of(request, limits)?;
//!     let mut sizes = String::new();
//!     while let Some(field) = form.next_field().await? {
//!         let name = field.name().unwrap_or_default().to_owned();
//!         let size = field.bytes().await?.len();
//!         sizes += &format!("{name}: {size} bytes\n");
//!     }
//!     Ok(sizes)
//! }
//! # asyncio::run(async {
//! # let body = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhello\r\n--x--\r\n";
//! # let request = http::Request::post("/").header("content-type", "multipart/form-data; boundary=x");
//! # let request = request.body(asyncio::http::Body::from(body)).unwrap();
//! # assert_eq!(upload(request).await.unwrap(), "a: 5 bytes\n");
//! # });
//! ```

use std::fmt;

use axum_core::extract::{FromRequest, Request};
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use multer::{Constraints, SizeLimit};

use crate::form_heads::{BoundedHeads, HeadTooLong};

/// The limits of a form. The default is 16 MiB in all, 16 MiB a field, and 100 fields.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    whole: u64,
    field: u64,
    fields: usize,
}

impl Default for Limits {
    /// 16 MiB in all, 16 MiB a field, 100 fields.
    fn default() -> Self {
        let most = 16 * 1024 * 1024;
        Self {
            whole: most,
            field: most,
            fields: 100,
        }
    }
}

impl Limits {
    /// Sets the size of the whole form, in bytes. (The server's [limit](crate::ServerBuilder::max_body) counts too.)
    #[must_use]
    pub fn bytes(mut self, most: u64) -> Self {
        self.whole = most;
        self
    }

    /// Sets the size of each field, in bytes.
    #[must_use]
    pub fn field_bytes(mut self, most: u64) -> Self {
        self.field = most;
        self
    }

    /// Sets the number of fields. (Their heads have a limit of their own, 64 KiB each.)
    #[must_use]
    pub fn fields(mut self, most: usize) -> Self {
        self.fields = most;
        self
    }
}

/// A form, read field by field. As an extractor for axum it has the default [`Limits`].
pub struct Multipart {
    form: multer::Multipart<'static>,
    fields_left: usize,
}

impl Multipart {
    /// The form that is the body of a request.
    ///
    /// # Errors
    ///
    /// The header `Content-Type` names no form or no boundary. As a response the error is 400.
    pub fn of(request: Request, limits: Limits) -> Result<Self, MultipartError> {
        let kind = request.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(kind).map_err(MultipartError::from)?;
        let sizes = SizeLimit::new().whole_stream(limits.whole);
        let constraints = Constraints::new().size_limit(sizes.per_field(limits.field));
        let pieces = BoundedHeads::new(request.into_body().into_data_stream(), &boundary);
        Ok(Self {
            form: multer::Multipart::with_constraints(pieces, boundary, constraints),
            fields_left: limits.fields,
        })
    }

    /// The next field; `None` at the end. Drop the last field before. Its unread rest is skipped.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The form is malformed or exceeds a limit, the body breaks off, or the last field was not dropped.
    pub async fn next_field(&mut self) -> Result<Option<Field>, MultipartError> {
        let field = self.form.next_field().await?;
        if field.is_some() {
            let left = self.fields_left.checked_sub(1);
            self.fields_left = left.ok_or(MultipartError::TooManyFields)?;
        }
        Ok(field.map(Field))
    }
}

impl<S: Send + Sync> FromRequest<S> for Multipart {
    type Rejection = MultipartError;

    async fn from_request(request: Request, _: &S) -> Result<Self, MultipartError> {
        Self::of(request, Limits::default())
    }
}

impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multipart").finish_non_exhaustive()
    }
}

/// A field of a form.
#[derive(Debug)]
pub struct Field(multer::Field<'static>);

impl Field {
    /// The name of the field.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// The name of the file, as the client has sent it. It must not be used as a path.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.0.file_name()
    }

    /// The media type, as the client has sent it.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.0.content_type().map(AsRef::as_ref)
    }

    /// The next piece; `None` at the end of the field.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The errors of [`Multipart::next_field`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        Ok(self.0.chunk().await?)
    }

    /// The whole field.
    ///
    /// # Cancellation
    ///
    /// Loses what was read.
    ///
    /// # Errors
    ///
    /// The errors of [`Multipart::next_field`].
    pub async fn bytes(self) -> Result<Bytes, MultipartError> {
        Ok(self.0.bytes().await?)
    }

    /// The whole field, as text.
    ///
    /// # Cancellation
    ///
    /// Loses what was read.
    ///
    /// # Errors
    ///
    /// The errors of [`Multipart::next_field`].
    pub async fn text(self) -> Result<String, MultipartError> {
        Ok(self.0.text().await?)
    }
}

/// Why a form cannot be read. As a response it is 400, or 413 for a limit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MultipartError {
    /// The form has more fields than the limit.
    #[error("the form has too many fields")]
    TooManyFields,
    /// The form is malformed, too large, or breaks off, or a field is read while another one is held.
    #[error("the form cannot be read: {0}")]
    Invalid(#[from] multer::Error),
}

impl MultipartError {
    /// The status of the response for this error.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        use multer::Error::{FieldSizeExceeded, StreamReadFailed, StreamSizeExceeded};
        match self {
            Self::TooManyFields
            | Self::Invalid(FieldSizeExceeded { .. } | StreamSizeExceeded { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Invalid(StreamReadFailed(error)) if is_limit(&**error) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Whether the server's own limit was exceeded, or that of a field's head.
fn is_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut errors = std::iter::successors(Some(error), |error| error.source());
    errors.any(|error| error.is::<http_body_util::LengthLimitError>() || error.is::<HeadTooLong>())
}

impl IntoResponse for MultipartError {
    fn into_response(self) -> Response {
        (self.status(), self.to_string()).into_response()
    }
}

/// So that a handler which returns responses can use `?`.
impl From<MultipartError> for Response {
    fn from(error: MultipartError) -> Self {
        error.into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use multer::Error::{StreamReadFailed, StreamSizeExceeded};

    #[test]
    fn a_limit_is_told_from_a_body_that_breaks_off() {
        let broken = || Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let status = |error: multer::Error| MultipartError::from(error).status();
        assert_eq!(status(StreamReadFailed(broken())), StatusCode::BAD_REQUEST);
        for error in [
            StreamReadFailed(Box::new(HeadTooLong)),
            StreamSizeExceeded { limit: 1 },
        ] {
            assert_eq!(status(error), StatusCode::PAYLOAD_TOO_LARGE);
        }
        let many = MultipartError::TooManyFields;
        assert_eq!(many.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn each_limit_is_set_by_itself() {
        let limits = Limits::default().bytes(1).field_bytes(2).fields(3);
        assert_eq!((limits.whole, limits.field, limits.fields), (1, 2, 3));
    }
}
