//! A run's log as server-sent events.

use std::ops::Range;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::super::super::App;
use super::super::super::auth::LetIn;
use super::super::super::error::ApiError;
use super::super::path;
use super::super::query::Query;
use super::{Begin, COMMENT, End, Seq, event_stream, retry_after_shutdown, write_event, write_frame};
use crate::db::RunId;
use crate::db::status::Event;
use crate::streams::{RunNews, RunViewer};

/// From where on, and how long.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Wanted {
    /// Only events behind this seq; a `Last-Event-ID` counts for more.
    #[param(nullable = false, inline)]
    pub(super) after: Option<Seq>,
    /// `false`: only what is there by now.
    #[param(nullable = false, default = true)]
    pub(super) follow: Option<bool>,
}

/// Follow a run's log
///
/// Server-sent events: the events that are there, then those that come, to the run's end. A message has the event's seq as
/// its `id` and the event as its data: `seq`, `at`, `level`, `event_type`, `message`, `fields`. Then comes `event: end`, whose
/// data are `run_id`, `state`, `reason`, `last_seq`, `finished_at`, and the stream ends. Its id is `<last_seq>.end`: who
/// comes back with that is answered 204, so that a browser comes back no more; who comes back with the last event's gets the
/// end again. `event: reconnect` comes before the stream ends because this replica shuts down: another one goes on behind
/// the last id. A comment comes at least every 10 s.
#[utoipa::path(get, path = "/runs/{run_id}/events/stream", tag = "streams",
    params(("run_id" = inline(RunId), Path, description = "The run"), Wanted,
           ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The id of the last message seen",
            pattern = r"^([0-9]{1,15}(\.end)?)?$")),
    responses(
        (status = 200, description = "The events", content_type = "text/event-stream", body = super::SseMessage),
        (status = 204, description = "The run has ended, and the `Last-Event-ID` is that of its end"),
        (status = 400, description = "A parameter or the `Last-Event-ID` is not as documented"),
        (status = 404, description = "There is no such run"),
        (status = 503, description = "`too-many-streams`, `database-away` or `shutting-down`")))]
pub(in crate::http) async fn log(
    State(app): State<App>,
    path::Of(run_id): path::Of<RunId>,
    Query(wanted): Query<Wanted>,
    let_in: LetIn,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Begin { seq, has_seen_end } = Begin::read(&headers, wanted.after)?;
    let viewer = app.streams.run(run_id, seq, wanted.follow.unwrap_or(true), "log").await?;
    if has_seen_end && viewer.is_at_end() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(event_stream(let_in, stream::unfold(Some(viewer), next)))
}

/// An event in its frame.
pub(super) fn frame(event: &Event, text: &mut Vec<u8>) -> Range<usize> {
    write_frame(event.seq, text, |text| write_event(event, text))
}

/// What a viewer is sent next, and the viewer, if the stream goes on.
async fn next(viewer: Option<RunViewer>) -> Option<(Bytes, Option<RunViewer>)> {
    let mut viewer = viewer?;
    match viewer.next().await {
        RunNews::Lines(lines) => Some((lines.frames(), Some(viewer))),
        RunNews::Quiet => Some((Bytes::from_static(COMMENT.as_bytes()), Some(viewer))),
        RunNews::End(status) => {
            let (last_seq, end) = (status.last_seq, json!(End::from(status)));
            Some((format!("event: end\nid: {last_seq}.end\ndata: {end}\n\n").into(), None))
        }
        RunNews::Reconnect => {
            let told = json!({ "after": viewer.seen() });
            Some((format!("event: reconnect\nretry: {}\ndata: {told}\n\n", retry_after_shutdown()).into(), None))
        }
        RunNews::Done => None,
    }
}
