//! For those who run the service: alive, ready, which version, metrics; and what stands at no path.
//!
//! What probes ask takes any query: whoever asks may have to add one.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::error::ApiError;
use super::problem::ProblemType;
use crate::db;
use crate::db::runs::RunState;

/// Those that read the database and are 503 while it is away.
pub(super) fn of_the_database() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(readyz)).routes(routes!(version))
}

/// Those that answer without it.
pub(super) fn of_themselves() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(metrics))
}

/// An error as these endpoints tell it.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is what the document says of an error")]
pub(super) struct Message {
    /// Always false.
    #[schema(example = false)]
    result: bool,
    /// What went wrong, and what to do.
    #[schema(example = "The database is not available; try again in a moment")]
    message: String,
}

/// How it stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` of a process that answers, `ready` of a replica that takes requests.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the process answers
///
/// Says nothing of the database: a restart would not mend that.
#[utoipa::path(get, path = "/healthz", tag = "service", security(()),
    responses((status = 200, description = "It does", body = Health)))]
pub(super) async fn healthz() -> Json<Health> {
    // Nothing is asked of the database, so that a restart is not asked of the wrong one.
    Json(Health { status: "ok" })
}

/// Whether this replica takes requests
///
/// Its database answers, and it is not shutting down.
#[utoipa::path(get, path = "/readyz", tag = "service", security(()),
    responses((status = 200, description = "It does", body = Health)))]
pub(super) async fn readyz(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    if app.closing.is_cancelled() {
        return Err(ApiError::new(ProblemType::ShuttingDown, "This replica is shutting down"));
    }
    db::migrations::applied(&app.database()).await?;
    Ok(Json(Health { status: "ready" }))
}

/// What runs here.
#[derive(Serialize, ToSchema)]
pub(super) struct Version {
    /// The program.
    #[schema(example = "ig-tracking")]
    name: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The version of the database's schema; null where none was ever made.
    #[schema(required = true, example = "20261122000100")]
    schema: Option<String>,
    /// This boot of this replica, as in `runs.worker_id`.
    #[schema(example = "b5ccabf8-0f98-4932-9646-f0488ee28203")]
    worker_id: String,
}

/// What runs here
#[utoipa::path(get, path = "/version", tag = "service",
    responses((status = 200, description = "The program, its version and the schema's", body = Version)))]
pub(super) async fn version(State(app): State<App>) -> Result<Json<Version>, ApiError> {
    let schema = db::migrations::applied(&app.database()).await?;
    Ok(Json(Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        schema: schema.map(|version| version.to_string()),
        worker_id: app.runs.worker_id().to_string(),
    }))
}

/// Metrics
///
/// The Prometheus text format. The gauges over all replicas are read from the database at this moment; while it is away they
/// keep their last value and `igt_database_up` is 0.
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, description = "A line a series", content_type = "text/plain", body = String)))]
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let database = app.database();
    let read =
        async { Ok::<_, sqlx::Error>((db::runs::load(&database).await?, db::credentials::count(&database).await?)) };
    let read = tokio::select! {
        biased;
        () = app.availability.away() => None,
        read = read => read.ok(),
    };
    let (load, credentials) = read.unzip();
    for count in credentials.into_iter().flatten() {
        for (state, number) in [("ready", count.ready), ("cooling", count.cooling), ("disabled", count.disabled)] {
            metrics::gauge!("igt_credentials", "source" => count.source.clone(), "state" => state).set(number as f64);
        }
        let is_open = if count.circuit_open { 1.0 } else { 0.0 };
        metrics::gauge!("igt_circuit_open", "source" => count.source).set(is_open);
    }
    metrics::gauge!("igt_database_up").set(if load.is_some() { 1.0 } else { 0.0 });
    if let Some(load) = load {
        for (state, runs) in
            [(RunState::Queued, load.queued), (RunState::Running, load.running), (RunState::Waiting, load.waiting)]
        {
            metrics::gauge!("igt_runs_active", "state" => state.as_str()).set(runs as f64);
        }
        metrics::gauge!("igt_queue_age_seconds").set(load.queue_age_seconds);
    }
    let (open, idle) = app.pool.connections();
    metrics::gauge!("igt_database_connections", "state" => "open").set(open as f64);
    metrics::gauge!("igt_database_connections", "state" => "idle").set(idle as f64);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render()).into_response()
}

/// What stands at no path.
pub(super) async fn unknown_path(OriginalUri(uri): OriginalUri) -> ApiError {
    let path = uri.path();
    ApiError::new(ProblemType::NotFound, format!("No such path: {path}"))
}

/// A path that is there, asked in a way that it is not.
pub(super) async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::new(ProblemType::MethodNotAllowed, format!("{method} is not allowed on {}; see Allow", uri.path()))
}
