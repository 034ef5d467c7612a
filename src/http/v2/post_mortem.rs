//! Why a run ended as it did, as JSON or on one screen.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::super::App;
use super::super::error::ApiError;
use super::events::too_long;
use super::query::NoQuery;
use super::run::no_such_run;
use super::{accept, path};
use crate::db::RunId;
use crate::post_mortem::{self, PostMortem};

/// What to do where it takes too long.
const INSTEAD: &str =
    "try again in a moment, or read the run's log (GET /api/v2/runs/{run_id}/events) from its end (order=desc)";

#[derive(Clone, Copy)]
enum Form {
    Json,
    Text,
}

/// Why a run ended as it did
///
/// What failed, where and after what; its time and its counts beside the last run of the task that succeeded; the latest
/// requests; what could not be read; what else failed for the same reason within half an hour; what to do. Of a run that has
/// not ended, what keeps it. As JSON, or as the text that `ig-tracking runs post-mortem` prints (`text/plain`), as `Accept`
/// says.
#[utoipa::path(get, path = "/runs/{run_id}/post-mortem", tag = "runs", operation_id = "post_mortem",
    params(("run_id" = RunId, Path)),
    responses(
        (status = 200, description = "The post-mortem", content(
            (PostMortem = "application/json"), (String = "text/plain"))),
        (status = 404, description = "There is no such run"),
        (status = 406, description = "`not-acceptable`: `Accept` names neither of the two"),
        (status = 503, description = "The database is away, or took too long")))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    path::Of(run_id): path::Of<RunId>,
    NoQuery: NoQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let form = accept::best(&headers, &[("application/json", Form::Json), ("text/plain", Form::Text)])?;
    let found = post_mortem::of(&app.database(), run_id).await.map_err(|error| too_long(error, INSTEAD))?;
    let found = found.ok_or_else(no_such_run)?;
    let mut answer = match form {
        Form::Json => Json(found).into_response(),
        Form::Text => format!("{found}\n").into_response(),
    };
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(answer)
}
