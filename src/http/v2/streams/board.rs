//! The life of all runs as server-sent events, for a board.

use std::ops::Range;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use uuid::Uuid;

use super::super::super::App;
use super::super::super::auth::LetIn;
use super::super::super::error::ApiError;
use super::super::super::problem::Location;
use super::super::filter::Many;
use super::super::page;
use super::super::query::Query;
use super::super::time::Time;
use super::{event_stream, last_event_id, no_id, retry_after_shutdown, write_frame};
use crate::db::board::Position;
use crate::db::runs::{Reason, Run, RunState, Trigger};
use crate::db::tasks::TaskKind;
use crate::db::{RunId, TaskId};
use crate::streams::{BoardNews, BoardViewer, Cursor, Filter};

/// Which runs, from where on, and how long.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Wanted {
    /// Only runs that now stand in one of these states; given again for another.
    #[param(value_type = Vec<RunState>, required = false, max_items = 50)]
    #[serde(default)]
    state: Many<RunState>,
    /// Only runs of this task.
    #[param(nullable = false, inline)]
    task: Option<TaskId>,
    /// Only runs of this kind.
    #[param(nullable = false)]
    kind: Option<TaskKind>,
    /// How many of the runs that ended last come first, beside those that are active; not with a cursor. They are counted
    /// before they are filtered.
    #[param(inline)]
    #[serde(default)]
    history: History,
    /// Only changes behind this cursor, which is the id of a message; a `Last-Event-ID` counts for more.
    #[param(nullable = false, min_length = 1)]
    after: Option<String>,
    /// `false`: only what is there by now.
    #[param(nullable = false, default = true)]
    follow: Option<bool>,
}

/// How many ended runs.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct History(u16);

impl History {
    const MAX: u16 = 1000;
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = i64::deserialize(deserializer)?;
        let count = u16::try_from(wanted).ok().filter(|count| *count <= Self::MAX);
        let wrong = || serde::de::Error::custom(format!("is {wanted}; it must be from 0 to {}", Self::MAX));
        count.map(Self).ok_or_else(wrong)
    }
}

impl PartialSchema for History {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
        number.minimum(Some(0)).maximum(Some(Self::MAX)).default(Some(0.into())).into()
    }
}

impl ToSchema for History {}

/// Follow all runs
///
/// Server-sent events: the active runs, then each run as it stands after a change of its state, in the order in which the
/// changes became visible. Whoever is slow may miss a state in between, never the last one. A message's data are the run:
/// `run_id`, `task_id`, `kind`, `username`, `state`, `reason`, `trigger`, `attempt`, `last_seq`, `requested_at`,
/// `started_at`, `updated_at`, `finished_at`. Its id is a cursor, with which any replica goes on; a comment, at least every
/// 10 s, moves it on, too. `event: reset` says that the cursor is of another database: what was told before is void.
/// `event: reconnect` comes before the stream ends because this replica shuts down.
#[utoipa::path(get, path = "/runs/stream", tag = "streams",
    params(Wanted, ("Last-Event-ID" = Option<String>, Header, nullable = false,
                    description = "The id of the last message seen")),
    responses(
        (status = 200, description = "The runs", content_type = "text/event-stream", body = super::SseMessage),
        (status = 400, description = "A parameter or the `Last-Event-ID` is not as documented"),
        (status = 503, description = "`too-many-streams`, `database-away` or `shutting-down`")))]
pub(in crate::http) async fn board(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
    let_in: LetIn,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = match (last_event_id(&headers)?, &wanted.after) {
        (Some(id), _) => Some(read(id).ok_or_else(|| no_id("is none of this stream"))?),
        (None, Some(after)) => Some(read(after).ok_or_else(|| {
            let detail = "is none of this stream; send the id of one of its messages, or leave it out to begin anew";
            ApiError::field(Location::Query, "after", detail)
        })?),
        (None, None) => None,
    };
    let filter = Filter { states: wanted.state.wanted().unwrap_or_default(), task_id: wanted.task, kind: wanted.kind };
    let viewer = app.streams.board(after, wanted.history.0, filter, wanted.follow.unwrap_or(true)).await?;
    Ok(event_stream(let_in, stream::unfold(Some(viewer), next)))
}

/// A run as it stands.
#[derive(Serialize)]
struct Told<'a> {
    run_id: RunId,
    task_id: &'a TaskId,
    kind: TaskKind,
    username: &'a str,
    state: RunState,
    reason: Option<Reason>,
    trigger: Trigger,
    attempt: i32,
    last_seq: i64,
    requested_at: Time,
    started_at: Option<Time>,
    updated_at: Time,
    finished_at: Option<Time>,
}

/// A run in its frame.
pub(super) fn frame(cursor: Cursor, run: &Run, text: &mut Vec<u8>) -> Range<usize> {
    let told = Told {
        run_id: run.run_id,
        task_id: &run.task_id,
        kind: run.kind,
        username: &run.username,
        state: run.state,
        reason: run.reason,
        trigger: run.trigger,
        attempt: run.attempt,
        last_seq: run.last_seq,
        requested_at: run.requested_at.into(),
        started_at: run.started_at.map(Time),
        updated_at: run.updated_at.into(),
        finished_at: run.finished_at.map(Time),
    };
    write_frame(id(cursor), text, |text| {
        // Writing into memory cannot fail.
        let _ = serde_json::to_writer(text, &told);
    })
}

fn id(Cursor { cluster, position }: Cursor) -> String {
    page::Cursor((cluster, position.xid, position.run_id)).to_text()
}

fn read(text: &str) -> Option<Cursor> {
    let (cluster, xid, run_id) = page::Cursor::<(i64, i64, Uuid)>::read(Some(text)).ok()??;
    Some(Cursor { cluster, position: Position { xid, run_id: RunId(run_id) } }).filter(|_| xid >= 0)
}

/// What a viewer is sent next, and the viewer, if the stream goes on.
async fn next(viewer: Option<BoardViewer>) -> Option<(Bytes, Option<BoardViewer>)> {
    let mut viewer = viewer?;
    match viewer.next().await {
        BoardNews::Frames(frames) => Some((frames, Some(viewer))),
        // An id without data is no message, and is remembered all the same.
        BoardNews::Place(Some(cursor)) => Some((format!(": still here\nid: {}\n\n", id(cursor)).into(), Some(viewer))),
        BoardNews::Place(None) => Some((Bytes::from_static(super::COMMENT.as_bytes()), Some(viewer))),
        BoardNews::Reset => Some((Bytes::from_static(b"event: reset\ndata: {}\n\n"), Some(viewer))),
        BoardNews::Reconnect => {
            Some((format!("event: reconnect\nretry: {}\ndata: {{}}\n\n", retry_after_shutdown()).into(), None))
        }
        BoardNews::Done => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_any_other_text_is_none() {
        let position = Position { xid: 7, run_id: RunId(Uuid::now_v7()) };
        let cursor = Cursor { cluster: i64::MAX, position };
        assert_eq!(read(&id(cursor)), Some(cursor));
        for other in ["", "x", "7", &page::Cursor((1, -1, Uuid::nil())).to_text(), &page::Cursor((1, 1)).to_text()] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
