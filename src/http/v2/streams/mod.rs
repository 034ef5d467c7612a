//! What is told as it happens, to clients that stay: server-sent events and WebSockets.
//!
//! A message of a run's log has the event's seq as its id and no name, so that a browser's `onmessage` gets it; `end` and
//! `reconnect` have names. Where a client was cut off it goes on behind the last id that it has seen, at any replica.

pub(in crate::http) mod board;
pub(in crate::http) mod log;
pub(in crate::http) mod socket;

use std::convert::Infallible;
use std::io::Write as _;
use std::ops::Range;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::super::auth::LetIn;
use super::super::error::ApiError;
use super::super::problem::{Location, ProblemType};
use super::time::Time;
use crate::db::RunId;
use crate::db::runs::{Reason, RunState};
use crate::db::status::{Event, Status};
use crate::streams::{NoStream, Renders};

/// How messages are told.
pub(in crate::http) const RENDERS: Renders = Renders { event: log::frame, run: board::frame };

/// The header in which a client that was cut off says what it saw last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Milliseconds after which a client that was cut off comes back.
const RETRY_MS: u64 = 1000;

/// Milliseconds after which those come back whom a shutdown sends away, and what chance adds: not all at once.
const RETRY_AFTER_SHUTDOWN_MS: Range<u64> = 100..1500;

/// What keeps a connection alive on which nothing happens.
const COMMENT: &str = ": still here\n\n";

/// Writes an event as JSON on one line, as lists tell it: the database tells its fields without a line break.
fn write_event(event: &Event, text: &mut Vec<u8>) {
    // Writing into memory cannot fail, and what the database tells as JSON is JSON.
    let _ = serde_json::to_writer(text, &super::run::Event::from(event.clone()));
}

/// Writes a frame with this id, and says where its data stand.
fn write_frame(id: impl std::fmt::Display, text: &mut Vec<u8>, data: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
    // Writing into memory cannot fail.
    let _ = write!(text, "id: {id}\ndata: ");
    let begin = text.len();
    data(text);
    let end = text.len();
    text.extend_from_slice(b"\n\n");
    begin..end
}

/// How a run ended.
#[derive(Serialize)]
struct End {
    run_id: RunId,
    state: RunState,
    reason: Option<Reason>,
    last_seq: i64,
    finished_at: Option<Time>,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        let Status { run_id, state, reason, last_seq, finished_at, .. } = status;
        Self { run_id, state, reason, last_seq, finished_at: finished_at.map(Time) }
    }
}

/// How long those wait whom a shutdown sends away.
fn retry_after_shutdown() -> u64 {
    rand::random_range(RETRY_AFTER_SHUTDOWN_MS)
}

/// An answer that goes on, as long as who asked may hear it.
fn event_stream(let_in: LetIn, frames: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    use futures_util::StreamExt as _;

    let frames = frames.take_until(Box::pin(let_in.over()));
    let begin = futures_util::stream::once(async { Bytes::from(format!("retry: {RETRY_MS}\n\n")) });
    let body = Body::from_stream(begin.chain(frames).map(Ok::<_, Infallible>));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

/// The id of the last message that a client says it has seen.
fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| no_id("is no text"))
}

fn no_id(wrong: &str) -> ApiError {
    let detail = format!("{wrong}; send the id of a message of this stream, or leave it out to begin anew");
    ApiError::field(Location::Header, "Last-Event-ID", detail)
}

/// The seq behind which a client wants to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Seq(i64);

impl Seq {
    /// The greatest number that every JSON reader has exactly; no run has so many events.
    const MAX: i64 = (1 << 53) - 1;

    fn of(number: i64) -> Option<Self> {
        (0..=Self::MAX).contains(&number).then_some(Self(number))
    }
}

impl<'de> Deserialize<'de> for Seq {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = i64::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("is {wanted}; it must be from 0 to {}", Self::MAX));
        Self::of(wanted).ok_or_else(wrong)
    }
}

impl PartialSchema for Seq {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
        number.minimum(Some(0)).maximum(Some(Self::MAX)).default(Some(0.into())).into()
    }
}

impl ToSchema for Seq {}

/// A run's log begins anew, goes on, or was told to its end already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begin {
    seq: i64,
    has_seen_end: bool,
}

impl Begin {
    /// What the header says, else the parameter.
    fn read(headers: &HeaderMap, after: Option<Seq>) -> Result<Self, ApiError> {
        let Some(id) = last_event_id(headers)? else {
            return Ok(Self { seq: after.unwrap_or_default().0, has_seen_end: false });
        };
        let (digits, has_seen_end) = id.strip_suffix(".end").map_or((id, false), |digits| (digits, true));
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let seq = digits.parse().ok().filter(|_| is_number).and_then(Seq::of);
        let Seq(seq) = seq.ok_or_else(|| no_id(&format!("is {id:?}, which is none of this stream")))?;
        Ok(Self { seq, has_seen_end })
    }
}

impl From<NoStream> for ApiError {
    fn from(error: NoStream) -> Self {
        match error {
            NoStream::NoSuchRun => Self::new(ProblemType::NotFound, "There is no such run"),
            NoStream::Full => {
                let detail = "This replica has as many streams as it takes (IGT_MAX_STREAMS); try again in a moment";
                Self::new(ProblemType::TooManyStreams, detail)
            }
            NoStream::Closing => Self::new(ProblemType::ShuttingDown, "This replica is shutting down; try again"),
            NoStream::Database(failure) => failure.into(),
        }
    }
}

/// A message of a stream, as an EventSource hands it over.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "it is what the document says of a stream's text")]
pub(super) struct SseMessage {
    /// What kind of message it is; `message` where the stream says nothing.
    event: Option<String>,
    /// Where the stream has come to; sent again as `Last-Event-ID`.
    id: Option<String>,
    /// What it says, as JSON.
    data: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::journal::Level;

    #[test]
    fn the_header_wins_and_says_whether_the_end_was_seen() {
        let read = |id: Option<&'static str>, after| {
            let headers = id.map(|id| (LAST_EVENT_ID, HeaderValue::from_static(id)));
            Begin::read(&headers.into_iter().collect(), after).map(|from| (from.seq, from.has_seen_end))
        };
        assert_eq!(read(None, None).unwrap(), (0, false));
        assert_eq!(read(None, Some(Seq(4))).unwrap(), (4, false));
        assert_eq!(read(Some("7"), Some(Seq(4))).unwrap(), (7, false));
        assert_eq!(read(Some(""), Some(Seq(4))).unwrap(), (4, false));
        assert_eq!(read(Some("7.end"), None).unwrap(), (7, true));
        for bad in ["x", "-1", "+1", "1.5", ".end", "7.end.end", "9007199254740992", "99999999999999999999", "1 "] {
            assert_eq!(read(Some(bad), None).unwrap_err().fields()[0]["field"], "Last-Event-ID", "{bad}");
        }
    }

    #[test]
    fn an_event_is_one_line_of_json_and_its_place_is_known() {
        let event = Event {
            seq: 3,
            at: chrono::DateTime::from_timestamp(1_754_654_979, 1000).unwrap(),
            level: Level::Info,
            event_type: "posts_fetched".to_owned(),
            message: "Page 1\nof \"2\"".to_owned(),
            fields: r#"{"page": 1}"#.to_owned(),
        };
        let mut text = b"before".to_vec();
        let place = log::frame(&event, &mut text);
        let json = r#"{"seq":3,"at":"2025-08-08T12:09:39.000001Z","level":"info","event_type":"posts_fetched","message":"Page 1\nof \"2\"","fields":{"page": 1}}"#;
        assert_eq!(std::str::from_utf8(&text[place]).unwrap(), json);
        assert_eq!(String::from_utf8(text).unwrap(), format!("beforeid: 3\ndata: {json}\n\n"));
    }
}
