//! Where version 2 begins: what it has, each with its address.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::{V2_PATH, openapi};
use super::query::NoQuery;

/// What stands where.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Index {
    /// The program.
    #[schema(example = "ig-tracking")]
    name: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// What there is to ask for, each without a parameter.
    links: IndexLinks,
}

/// Addresses below the one that was asked.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct IndexLinks {
    /// This.
    #[serde(rename = "self")]
    #[schema(example = "/api/v2")]
    itself: &'static str,
    /// What to track.
    #[schema(example = "/api/v2/tasks")]
    tasks: String,
    /// Attempts to bring a task up to date.
    #[schema(example = "/api/v2/runs")]
    runs: String,
    /// The life of all runs, as it happens.
    #[schema(example = "/api/v2/runs/stream")]
    board: String,
    /// What runs said.
    #[schema(example = "/api/v2/events")]
    events: String,
    /// Accounts; their posts and reels are below each.
    #[schema(example = "/api/v2/profiles")]
    profiles: String,
    /// Who asks.
    #[schema(example = "/api/v2/session")]
    session: String,
    /// The keys.
    #[schema(example = "/api/v2/keys")]
    keys: String,
    /// What was done by those who may.
    #[schema(example = "/api/v2/audit")]
    audit: String,
    /// The kinds of errors.
    #[schema(example = "/api/v2/problems")]
    problems: String,
    /// All of this as an OpenAPI document.
    #[schema(example = "/openapi.json")]
    openapi: &'static str,
    /// The same for a person, to read and to try out.
    #[schema(example = "/docs")]
    docs: &'static str,
}

/// Begin here
///
/// What version 2 has, each with its address. Whoever follows the `Link` header of version 1 comes here.
#[utoipa::path(get, path = "/", tag = "service", operation_id = "index",
    responses((status = 200, description = "What stands where", body = Index)))]
pub(in crate::http) async fn index(NoQuery: NoQuery) -> Json<Index> {
    let below = |path: &str| format!("{V2_PATH}/{path}");
    Json(Index {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        links: IndexLinks {
            itself: V2_PATH,
            tasks: below("tasks"),
            runs: below("runs"),
            board: below("runs/stream"),
            events: below("events"),
            profiles: below("profiles"),
            session: below("session"),
            keys: below("keys"),
            audit: below("audit"),
            problems: below("problems"),
            openapi: openapi::PATH,
            docs: openapi::PAGE,
        },
    })
}
