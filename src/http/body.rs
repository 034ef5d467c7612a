//! A request's body, up to its limit.

use axum::body::Body;
use futures_util::StreamExt as _;

use super::error::ApiError;
use super::problem::ProblemType;

/// A request's body may have so many bytes; beyond it the answer is 413.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// So many bytes are read in all before that answer is given. A client that is still sending when the connection is
/// closed tells its user of a broken pipe, and never reads why.
const MAX_READ_BYTES: usize = 16 * 1024 * 1024;

/// Reads a body whole, whatever its content type says.
pub(super) async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut pieces = body.into_data_stream();
    let (mut whole, mut length) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| ApiError::bad_request(format!("The body could not be read: {error}")))?;
        length += piece.len();
        if length <= MAX_BODY_BYTES {
            whole.extend_from_slice(&piece);
        } else if length > MAX_READ_BYTES {
            break;
        }
    }
    if length > MAX_BODY_BYTES {
        let message = format!("The request's body is larger than {MAX_BODY_BYTES} bytes");
        return Err(ApiError::new(ProblemType::PayloadTooLarge, message));
    }
    Ok(whole)
}
