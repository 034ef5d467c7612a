//! What was done by those who may: what takes something away, or gives somebody a right.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::error::ApiError;
use super::page::{Cursor, Limit, Page};
use super::query::Query;
use super::time::Time;
use crate::db::audit::{self, Filter};

/// An act that was done.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Act {
    /// Counts up; a number may be missing.
    audit_id: i64,
    /// When.
    at: Time,
    /// A key's id, `cli:` and a user's name, or `anonymous`.
    #[schema(example = "cli:root")]
    who: String,
    /// What: `keys.create`, `keys.revoke`, `credentials.enable`, `credentials.disable`, `tasks.delete`,
    /// `profiles.purge`.
    #[schema(example = "keys.create")]
    act: String,
    /// To what: a key's id, a credential's name, a task's id; the made-up name of whom a purge erased.
    #[schema(example = "k3v9x2m4q7ab")]
    object: String,
    /// What else belongs to it.
    #[schema(value_type = Object)]
    details: Value,
    /// The request's id, as in the log; null at the command line.
    #[schema(required = true)]
    request_id: Option<String>,
    /// Whose connection it came on; null at the command line.
    #[schema(required = true)]
    address: Option<String>,
}

impl From<audit::Act> for Act {
    fn from(act: audit::Act) -> Self {
        let audit::Act { audit_id, at, who, act, object, details, request_id, address } = act;
        Self { audit_id, at: at.into(), who, act, object, details, request_id, address }
    }
}

/// Which acts to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Wanted {
    /// Only acts of this name.
    #[param(nullable = false, min_length = 1, example = "keys.revoke")]
    act: Option<String>,
    /// Only acts of this author.
    #[param(nullable = false, min_length = 1)]
    who: Option<String>,
    /// Only acts from then on.
    #[param(nullable = false, inline)]
    since: Option<Time>,
    /// Only acts before then.
    #[param(nullable = false, inline)]
    until: Option<Time>,
    /// How many at most.
    #[param(inline)]
    #[serde(default)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(nullable = false, min_length = 1)]
    cursor: Option<String>,
}

/// List what was done
///
/// The latest first.
#[utoipa::path(get, path = "/audit", tag = "access", operation_id = "list_acts", params(Wanted),
    responses(
        (status = 200, description = "A page of acts", body = Page<Act>),
        (status = 400, description = "A parameter is not as documented")))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<Act>>, ApiError> {
    let before: Option<(i64,)> = Cursor::read(wanted.cursor.as_deref())?;
    let filter = Filter {
        act: wanted.act,
        who: wanted.who,
        since: wanted.since.map(|Time(at)| at),
        until: wanted.until.map(|Time(at)| at),
        before: before.map(|(audit_id,)| audit_id),
    };
    let found = audit::list(&app.database(), &filter, wanted.limit.and_one()).await?;
    Ok(Json(Page::of(found, wanted.limit, |last| (last.audit_id,)).map(Act::from)))
}
