//! What runs say and ask: the log of one, filtered, as a page or a file; one event; the events of all; requests.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::error::ApiError;
use super::super::problem::ProblemType;
use super::filter::{Count, EventType, Many, Switch, Text};
use super::handle::Handle;
use super::log::{self, EventPage, Form, Whole};
use super::page::{Cursor, Limit, Order, Page, Paging};
use super::path;
use super::query::{NoQuery, Query};
use super::run::{Event, Request, no_such_run};
use super::time::Time;
use crate::db::event_lists::{self, Filter, Place};
use crate::db::event_search::Position;
use crate::db::journal::Level;
use crate::db::runs::Reason;
use crate::db::{self, RunId, TaskId, health, run_lists};
use crate::reading::search::{self, Search};

/// Which events of a run to tell.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct OfRun {
    /// Only events of this type; may be repeated.
    #[param(value_type = Vec<EventType>, required = false, max_items = 50)]
    #[serde(default, rename = "type")]
    event_type: Many<EventType>,
    /// Only events of this level; may be repeated.
    #[param(value_type = Vec<Level>, required = false, max_items = 50)]
    #[serde(default)]
    level: Many<Level>,
    /// Only events that happened then or later.
    #[param(nullable = false)]
    since: Option<Time>,
    /// Only events that happened earlier.
    #[param(nullable = false)]
    until: Option<Time>,
    /// Only events with this in their message or in the JSON text of their fields, in upper or lower case.
    #[param(value_type = Option<String>, nullable = false, min_length = 1, max_length = 200, pattern = r"^[^\x00]*$")]
    q: Option<Text>,
    /// Only events behind this `seq`.
    #[param(value_type = Option<u64>, nullable = false, minimum = 0)]
    after: Option<Count>,
    /// Only events before this `seq`.
    #[param(value_type = Option<u64>, nullable = false, minimum = 0)]
    before: Option<Count>,
    /// How many at most; without it 50, and with `download` all.
    #[param(nullable = false, inline)]
    limit: Option<Limit>,
    /// How many to pass over.
    #[param(value_type = Option<u64>, nullable = false, minimum = 0)]
    offset: Option<Count>,
    /// The first first (`asc`, as it is without) or the last.
    #[param(nullable = false, inline)]
    order: Option<Order>,
    /// The `next_cursor` of the page before; it goes with the same filters and the same order.
    #[param(nullable = false, min_length = 1)]
    cursor: Option<String>,
    /// Whether to send a file to be saved, with all that the filters let through.
    #[param(nullable = false, inline)]
    download: Option<Switch>,
}

/// The log of a run
///
/// A page of it as JSON, as a JSON object a line (`application/x-ndjson`) or as lines for a person (`text/plain`), as
/// `Accept` says; with `download` all of it, as far as it goes now. `X-Total-Count` and `X-Next-Cursor` say the same as
/// `total` and `next_cursor`.
#[utoipa::path(get, path = "/runs/{run_id}/events", tag = "events", params(("run_id" = RunId, Path), OfRun),
    responses(
        (status = 200, description = "A page of the log, or all of it", content(
            (EventPage = "application/json"), (String = "application/x-ndjson"), (String = "text/plain")),
         headers(("X-Total-Count" = i64, description = "How many events the filters let through"),
                 ("X-Next-Cursor" = String, description = "Where the next page begins; absent on the last one"))),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "There is no such run"),
        (status = 410, description = "`log-gone`: the time of its log is over"),
        (status = 406, description = "`not-acceptable`: `Accept` names none of the three"),
        (status = 503, description = "The database is away, or the search took too long: leave its filters out")))]
pub(in crate::http) async fn of_run(
    State(app): State<App>,
    path::Of(run_id): path::Of<RunId>,
    Query(wanted): Query<OfRun>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let form = Form::accepted(&headers)?;
    let cursor: Option<(i64,)> = Cursor::read(wanted.cursor.as_deref())?;
    let database = app.database();
    let run = db::runs::find(&database, run_id).await?.ok_or_else(no_such_run)?;
    let filter = Filter {
        types: types(wanted.event_type),
        levels: wanted.level.wanted(),
        reasons: None,
        since: wanted.since.map(|since| since.0),
        until: wanted.until.map(|until| until.0),
        text: wanted.q.map(|text| text.0),
    };
    let total = match filter.is_empty() {
        true => run.last_seq,
        false => {
            let count = event_lists::count_of_run(&database, run_id, &filter, run.last_seq).await;
            count.map_err(filter_less)?.ok_or_else(|| log_gone(run_id))?
        }
    };
    let newest_first = wanted.order == Some(Order::Desc);
    let (behind, until) = match cursor {
        Some((seq,)) if newest_first => (0, seq),
        Some((seq,)) => (seq, i64::MAX),
        None => (0, i64::MAX),
    };
    // What comes meanwhile is not counted in the total, and not told.
    let place = Place {
        after: wanted.after.map_or(0, |seq| seq.0).max(behind),
        before: wanted.before.map_or(i64::MAX, |seq| seq.0).min(until).min(run.last_seq.saturating_add(1)),
        limit: i64::MAX,
        // A cursor says from where to go on: what was to be left out is behind it.
        offset: wanted.offset.filter(|_| cursor.is_none()).map_or(0, |offset| offset.0),
        newest_first,
    };
    if wanted.download == Some(Switch::On) {
        let place = Place { limit: wanted.limit.map_or(i64::MAX, |limit| limit.rows() as i64), ..place };
        let whole = Whole { pool: app.pool.clone(), run_id, filter, place, total, form };
        return log::download(whole).await.map_err(filter_less)?.ok_or_else(|| log_gone(run_id));
    }
    let limit = wanted.limit.unwrap_or_default();
    let found = match total {
        0 => Some(Vec::new()),
        _ => {
            let place = Place { limit: limit.and_one(), ..place };
            event_lists::of_run(&database, run_id, &filter, place).await.map_err(filter_less)?
        }
    };
    let events = found.ok_or_else(|| log_gone(run_id))?.into_iter().map(Event::from).collect();
    let Page { items, next_cursor } = Page::of(events, limit, |event: &Event| (event.seq,));
    Ok(log::page(form, &EventPage { items, total, next_cursor }))
}

/// One event of a run
#[utoipa::path(get, path = "/runs/{run_id}/events/{seq}", tag = "events",
    params(("run_id" = RunId, Path), ("seq" = i64, Path, description = "Its number in the run", minimum = 1)),
    responses(
        (status = 200, description = "The event", body = Event),
        (status = 404, description = "There is no such run or event"),
        (status = 410, description = "`log-gone`: the time of its log is over")))]
pub(in crate::http) async fn one(
    State(app): State<App>,
    path::Of((run_id, seq)): path::Of<(RunId, i64)>,
    NoQuery: NoQuery,
) -> Result<Json<Event>, ApiError> {
    let database = app.database();
    if let Some(event) = event_lists::one(&database, run_id, seq).await? {
        return Ok(Json(event.into()));
    }
    let run = db::runs::find(&database, run_id).await?;
    // The run has said so much; that it is not there is its age.
    Err(match run.is_some_and(|run| (1..=run.last_seq).contains(&seq)) {
        true => log_gone(run_id),
        false => ApiError::new(ProblemType::NotFound, format!("There is no event {seq} of a run {run_id}")),
    })
}

fn log_gone(run_id: RunId) -> ApiError {
    let detail = format!(
        "The log of run {run_id} is there no more: its time is over (IGT_LOG_RETENTION_DAYS), or it was erased. The run itself is at \
         /api/v2/runs/{run_id}"
    );
    ApiError::new(ProblemType::LogGone, detail)
}

/// What a run asked of its source
///
/// Every request with its answer's status, size and time, the first first.
#[utoipa::path(get, path = "/runs/{run_id}/requests", tag = "events", params(("run_id" = RunId, Path), Paging),
    responses(
        (status = 200, description = "A page of its requests", body = Page<Request>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "There is no such run")))]
pub(in crate::http) async fn requests(
    State(app): State<App>,
    path::Of(run_id): path::Of<RunId>,
    Query(wanted): Query<Paging>,
) -> Result<Json<Page<Request>>, ApiError> {
    let after: Option<(i64,)> = Cursor::read(wanted.cursor.as_deref())?;
    let database = app.database();
    db::runs::find(&database, run_id).await?.ok_or_else(no_such_run)?;
    let after = after.map_or(0, |(seq,)| seq);
    let found = db::exchanges::after(&database, run_id, after, wanted.limit.and_one()).await?;
    Ok(Json(Page::of(found, wanted.limit, |told| (told.exchange.seq,)).map(Request::from)))
}

/// Which events of all runs to tell.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct OfAll {
    /// Only events of this task's runs; may be repeated.
    #[param(value_type = Vec<TaskId>, required = false, max_items = 50)]
    #[serde(default)]
    task: Many<TaskId>,
    /// Only events of this account's runs.
    #[param(nullable = false)]
    username: Option<Handle>,
    /// Only events of this type; may be repeated.
    #[param(value_type = Vec<EventType>, required = false, max_items = 50)]
    #[serde(default, rename = "type")]
    event_type: Many<EventType>,
    /// Only events of this level; may be repeated.
    #[param(value_type = Vec<Level>, required = false, max_items = 50)]
    #[serde(default)]
    level: Many<Level>,
    /// Only events that name this reason; may be repeated.
    #[param(value_type = Vec<Reason>, required = false, max_items = 50)]
    #[serde(default)]
    reason: Many<Reason>,
    /// Only events that happened then or later. One that happened more than 14 days after its run was asked for is not
    /// looked for.
    #[param(nullable = false)]
    since: Option<Time>,
    /// Only events that happened earlier.
    #[param(nullable = false)]
    until: Option<Time>,
    /// Only events with this in their message or in the JSON text of their fields, in upper or lower case.
    #[param(value_type = Option<String>, nullable = false, min_length = 1, max_length = 200, pattern = r"^[^\x00]*$")]
    q: Option<Text>,
    /// The newest run first (`desc`, as it is without) or the oldest.
    #[param(nullable = false, inline)]
    order: Option<Order>,
    /// How many at most.
    #[param(inline)]
    #[serde(default)]
    limit: Limit,
    /// The `next_cursor` of the page before; it goes with the same filters and the same order.
    #[param(nullable = false, min_length = 1)]
    cursor: Option<String>,
}

/// An event of some run.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct FoundEvent {
    /// The run.
    run_id: RunId,
    /// Its task; null where the run is there no more.
    #[schema(required = true)]
    task_id: Option<TaskId>,
    /// Its account; null where the run is there no more.
    #[schema(required = true, example = "nasa")]
    username: Option<String>,
    /// What it said.
    #[serde(flatten)]
    event: Event,
}

/// Events of many runs.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct FoundEvents {
    /// What was found, run by run in the order that was asked for, and within a run likewise.
    items: Vec<FoundEvent>,
    /// How many hits there are in all, up to 10,000; null on a page that a `cursor` asked for.
    #[schema(required = true, minimum = 0, maximum = 10000, example = 42)]
    total: Option<i64>,
    /// Whether `total` is all, and not only what could be counted in time; null with it.
    #[schema(required = true)]
    total_is_exact: Option<bool>,
    /// Where to go on, to be sent as `cursor`; null where nothing is left to look through. A page may be short, or empty,
    /// and have one: so far it was looked in the time of a request.
    #[schema(required = true, example = "WyIwMWEyMDE3OC04NDA4LTczMmUtYTE4ZC1kYTQ2ZWIwMzE4MDUiLDdd")]
    next_cursor: Option<String>,
}

/// Search the events of all runs
///
/// In the order in which their runs were asked for, the newest first unless asked otherwise. Warnings, errors and all that is
/// not of the smooth course of a run are found at once, by `level`, `type` or `reason`; a task's or an account's likewise.
/// What is rare among all else is looked for page by page: `since` and `until` bound it.
#[utoipa::path(get, path = "/events", tag = "events", params(OfAll),
    responses(
        (status = 200, description = "A page of events", body = FoundEvents),
        (status = 400, description = "A parameter is not as documented"),
        (status = 503, description = "The database is away, or the search took too long: narrow it")))]
pub(in crate::http) async fn search(
    State(app): State<App>,
    Query(wanted): Query<OfAll>,
) -> Result<Json<FoundEvents>, ApiError> {
    let after: Option<Position> = Cursor::read(wanted.cursor.as_deref())?;
    let wanted = Search {
        tasks: wanted.task.wanted(),
        username: wanted.username.map(|handle| handle.as_str().to_owned()),
        filter: Filter {
            types: types(wanted.event_type),
            levels: wanted.level.wanted(),
            reasons: wanted.reason.wanted(),
            since: wanted.since.map(|since| since.0),
            until: wanted.until.map(|until| until.0),
            text: wanted.q.map(|text| text.0),
        },
        after,
        newest_first: wanted.order != Some(Order::Asc),
        limit: wanted.limit.rows(),
    };
    let found = search::search(&app.pool, wanted).await.map_err(narrow)?;
    let mut run_ids: Vec<_> = found.hits.iter().map(|hit| hit.run_id).collect();
    run_ids.dedup();
    let owners = run_lists::owners(&app.database(), &run_ids).await?;
    let owner = |run_id: RunId| owners.iter().find(|owner| owner.run_id == run_id);
    let items = found.hits.into_iter().map(|hit| FoundEvent {
        run_id: hit.run_id,
        task_id: owner(hit.run_id).map(|owner| owner.task_id.clone()),
        username: owner(hit.run_id).map(|owner| owner.username.clone()),
        event: hit.event.into(),
    });
    Ok(Json(FoundEvents {
        items: items.collect(),
        total: found.total.map(|total| total.hits),
        total_is_exact: found.total.map(|total| total.is_exact),
        next_cursor: found.next.map(|next| Cursor(next).to_text()),
    }))
}

fn types(wanted: Many<EventType>) -> Option<Vec<String>> {
    wanted.wanted().map(|types| types.into_iter().map(|name| name.0).collect())
}

/// A search of runs or events that was given up in time says what to do.
pub(super) fn narrow(error: sqlx::Error) -> ApiError {
    too_long(error, "narrow it by since and until, by task or by username")
}

/// The same of one run's log: its filters look at all of it, whatever `after` and `before` say.
fn filter_less(error: sqlx::Error) -> ApiError {
    too_long(error, "leave its filters out, or ask for fewer events at a time (limit)")
}

/// What was given up in time says what to do `instead`; any other error is what it is.
pub(super) fn too_long(error: sqlx::Error, instead: &str) -> ApiError {
    if !health::is_silence(&error) {
        return error.into();
    }
    tracing::warn!(%error, "a search took too long");
    ApiError::new(ProblemType::TimedOut, format!("The search took longer than a request may; {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_too_long_is_told_what_that_very_request_can_leave_out() {
        let silence = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        for (error, words, others) in [
            (narrow(silence()), "by task or by username", "filters"),
            (filter_less(silence()), "its filters", "username"),
            (too_long(silence(), "try again"), "may; try again", "username"),
        ] {
            let told = format!("{error:?}");
            assert!(told.contains("TimedOut") && told.contains(words) && !told.contains(others), "{told}");
        }
        assert!(format!("{:?}", filter_less(sqlx::Error::PoolClosed)).contains("DatabaseAway"));
    }
}
