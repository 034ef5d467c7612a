//! For those who run the service: alive, ready, which version, metrics; and what stands at no path.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::App;
use super::error::ApiError;
use super::problem::ProblemType;
use crate::db;
use crate::db::runs::RunState;

/// `GET /healthz`: the process answers. Says nothing of the database, so that a restart is not asked of the wrong one.
pub(super) async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// `GET /readyz`: this replica takes requests and its database answers; else 503.
pub(super) async fn readyz(State(app): State<App>) -> Result<Response, ApiError> {
    if app.closing.is_cancelled() {
        return Err(ApiError::new(ProblemType::ShuttingDown, "This replica is shutting down"));
    }
    db::migrations::applied(&app.database()).await?;
    Ok(Json(json!({"status": "ready"})).into_response())
}

/// `GET /version`: what runs here.
pub(super) async fn version(State(app): State<App>) -> Result<Response, ApiError> {
    let schema = db::migrations::applied(&app.database()).await?;
    let version = json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "schema": schema.map(|version| version.to_string()),
        "worker_id": app.runs.worker_id().to_string(),
    });
    Ok(Json(version).into_response())
}

/// `GET /metrics`: the Prometheus text format. The gauges over all replicas are read from the database at this
/// moment; while it is away they keep their last value and `igt_database_up` is 0.
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
