//! The problem types, for whoever follows the address in an error's `type`.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::error::ApiError;
use super::super::problem::ProblemType as Kind;
use super::path;
use super::query::NoQuery;

/// A kind of error that an answer can be.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ProblemType {
    /// Its address, as it stands in an error's `type`.
    #[serde(rename = "type")]
    #[schema(example = "/api/v2/problems/task-busy")]
    kind: String,
    /// Its title.
    #[schema(example = "The task has an active run")]
    title: &'static str,
    /// The HTTP status that it comes with.
    #[schema(example = 409)]
    status: u16,
    /// What it means and what to do.
    description: &'static str,
}

impl From<Kind> for ProblemType {
    fn from(kind: Kind) -> Self {
        let (title, status, description) = (kind.title(), kind.status().as_u16(), kind.description());
        Self { kind: kind.address(), title, status, description }
    }
}

/// List the problem types
#[utoipa::path(get, path = "/problems", tag = "problems", security(()),
    responses((status = 200, description = "All problem types", body = Vec<ProblemType>)))]
pub(in crate::http) async fn list(NoQuery: NoQuery) -> Json<Vec<ProblemType>> {
    Json(Kind::ALL.into_iter().map(ProblemType::from).collect())
}

/// Describe a problem type
#[utoipa::path(get, path = "/problems/{name}", tag = "problems", security(()),
    params(("name" = String, Path, description = "The last part of its address", example = "task-busy")),
    responses(
        (status = 200, description = "The problem type", body = ProblemType),
        (status = 404, description = "There is none of this name")))]
pub(in crate::http) async fn get(
    path::Of(name): path::Of<String>,
    NoQuery: NoQuery,
) -> Result<Json<ProblemType>, ApiError> {
    let found = Kind::ALL.into_iter().find(|kind| kind.slug() == name);
    found.map(|kind| Json(kind.into())).ok_or_else(|| {
        ApiError::new(Kind::NotFound, "There is no problem type of this name; GET /api/v2/problems lists them all")
    })
}
