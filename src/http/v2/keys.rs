//! The keys of the interface. They are made at the command line.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::App;
use super::super::auth::By;
use super::super::error::ApiError;
use super::super::problem::ProblemType;
use super::page::{Cursor, Page, Paging};
use super::path;
use super::query::{NoQuery, Query};
use super::time::Time;
use crate::db::keys::{self, KeyState, Scope};

/// A key: all but its secret.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Key {
    /// Its id.
    #[schema(example = "k3v9x2m4q7ab")]
    key_id: String,
    /// What it is for.
    #[schema(example = "dashboard")]
    name: String,
    /// What it allows.
    scope: Scope,
    /// Whether it is taken.
    state: KeyState,
    /// Requests a second that a replica takes with it; null where the replica's setting counts.
    #[schema(required = true)]
    rate_limit: Option<i32>,
    /// When it was made.
    created_at: Time,
    /// From when on it is refused; null where it does not expire.
    #[schema(required = true)]
    expires_at: Option<Time>,
    /// When it was last used, to about a minute; null where it never was.
    #[schema(required = true)]
    last_used_at: Option<Time>,
    /// Since when it is refused for good; null where it is not.
    #[schema(required = true)]
    revoked_at: Option<Time>,
}

impl From<keys::Key> for Key {
    fn from(key: keys::Key) -> Self {
        Self {
            key_id: key.key_id,
            name: key.name,
            scope: key.scope,
            state: key.state,
            rate_limit: key.rate_limit,
            created_at: key.created_at.into(),
            expires_at: key.expires_at.map(Time),
            last_used_at: key.last_used_at.map(Time),
            revoked_at: key.revoked_at.map(Time),
        }
    }
}

/// List the keys
///
/// In the order in which they were made, those that are expired or revoked included.
#[utoipa::path(get, path = "/keys", tag = "access", operation_id = "list_keys", params(Paging),
    responses(
        (status = 200, description = "A page of keys", body = Page<Key>),
        (status = 400, description = "A parameter is not as documented")))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    Query(wanted): Query<Paging>,
) -> Result<Json<Page<Key>>, ApiError> {
    let after: Option<(DateTime<Utc>, String)> = Cursor::read(wanted.cursor.as_deref())?;
    let after = after.as_ref().map(|(at, key_id)| (*at, key_id.as_str()));
    let found = keys::list(&app.database(), after, Some(wanted.limit.and_one())).await?;
    Ok(Json(Page::of(found, wanted.limit, |last| (last.created_at, last.key_id.clone())).map(Key::from)))
}

/// Revoke a key
///
/// It is refused from now on: here at once, on every other replica within two seconds, and so are the sessions that were
/// signed in with it. A key that was revoked before stays so.
#[utoipa::path(delete, path = "/keys/{key_id}", tag = "access",
    params(("key_id" = String, Path, description = "The key's id", example = "k3v9x2m4q7ab")),
    responses(
        (status = 204, description = "The key is revoked"),
        (status = 404, description = "There is no such key")))]
pub(in crate::http) async fn revoke(
    State(app): State<App>,
    By(author): By,
    path::Of(key_id): path::Of<String>,
    NoQuery: NoQuery,
) -> Result<StatusCode, ApiError> {
    // No text with a NUL is the id of a key.
    let found = match key_id.contains('\0') {
        true => None,
        false => app.gate.keys.revoke(&app.database(), &key_id, &author).await?,
    };
    let nothing =
        || ApiError::new(ProblemType::NotFound, "There is no such key; GET /api/v2/keys lists those that are there");
    found.map(|_| StatusCode::NO_CONTENT).ok_or_else(nothing)
}
