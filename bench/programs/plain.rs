//! The handler that anybody would write first: axum, sqlx's own pool, one query a request, serde for the answer.
//!
//! No log, no request id, no time limit, no metrics, no memory. Its two statements are the same files that pgbench
//! runs.

use std::net::SocketAddr;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use clap::Args;
use ig_tracking::http::V1_PATH;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::types::Json as Jsonb;
use tokio::net::TcpListener;

use super::Failed;

const STATUS: &str = include_str!("../status.sql");
const START: &str = include_str!("../start.sql");

/// Connections to the database; as many as the service has by default.
const CONNECTIONS: u32 = 16;

#[derive(Args)]
pub(crate) struct Settings {
    /// The database
    #[arg(long)]
    database_url: String,
    /// The address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Ask a connection whether it lives before each use, as sqlx's pool does where nobody says otherwise: that is one
    /// more trip to the database for each request
    #[arg(long)]
    ask_first: bool,
}

/// Serves until it is killed.
pub(crate) async fn serve(settings: Settings) -> Result<(), Failed> {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(settings.ask_first);
    let pool = pool.connect(&settings.database_url).await?;
    let routes = Router::new()
        .route("/task_status/{task_id}", get(task_status))
        .route("/force_scrape/{task_id}", post(force_scrape))
        .with_state(pool);
    let router = Router::new().route("/healthz", get(|| async { "ok\n" })).nest(V1_PATH, routes);
    axum::serve(TcpListener::bind(settings.listen).await?, router).await?;
    Ok(())
}

/// The run, once with each of its events.
#[derive(sqlx::FromRow)]
struct Row {
    state: String,
    reason: Option<String>,
    last_seq: i64,
    requested_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    at: Option<DateTime<Utc>>,
    event_type: Option<String>,
    message: Option<String>,
    fields: Option<Jsonb<Map<String, Value>>>,
}

#[derive(Serialize)]
struct Status<'a> {
    task_id: &'a str,
    is_processing: bool,
    status: &'a str,
    started_at: i64,
    updated_at: i64,
    finished_at: Option<i64>,
    reason: Option<&'a str>,
    logs_count: i64,
    requested_logs_count: usize,
    logs: &'a [Event],
    latest_event: Option<&'a Event>,
}

#[derive(Serialize)]
struct Event {
    timestamp: i64,
    event_type: String,
    message: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

async fn task_status(State(pool): State<PgPool>, Path(task_id): Path<String>) -> Result<Json<Value>, StatusCode> {
    let rows = sqlx::query_as::<_, Row>(STATUS).bind(&task_id).fetch_all(&pool).await;
    let mut rows = rows.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let logs: Vec<Event> = rows.iter_mut().filter_map(take_event).collect();
    let Some(run) = rows.first() else {
        return Ok(Json(json!({"result": true, "response": {"task_id": task_id, "is_processing": false, "logs": []}})));
    };
    let response = Status {
        task_id: &task_id,
        is_processing: run.finished_at.is_none(),
        status: &run.state,
        started_at: run.started_at.unwrap_or(run.requested_at).timestamp(),
        updated_at: run.updated_at.timestamp(),
        finished_at: run.finished_at.map(|at| at.timestamp()),
        reason: run.reason.as_deref(),
        logs_count: run.last_seq,
        requested_logs_count: logs.len(),
        latest_event: logs.last(),
        logs: &logs,
    };
    Ok(Json(json!({"result": true, "response": response})))
}

/// The event of a row; none where the run has said nothing yet.
fn take_event(row: &mut Row) -> Option<Event> {
    Some(Event {
        timestamp: row.at?.timestamp(),
        event_type: row.event_type.take()?,
        message: row.message.take()?,
        fields: row.fields.take()?.0,
    })
}

async fn force_scrape(State(pool): State<PgPool>, Path(task_id): Path<String>) -> Result<Json<Value>, StatusCode> {
    let row =
        sqlx::query_as::<_, (String, Option<sqlx::types::Uuid>)>(START).bind(&task_id).fetch_optional(&pool).await;
    match row.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)? {
        None => Err(StatusCode::NOT_FOUND),
        Some((_, None)) => Err(StatusCode::CONFLICT),
        Some((_, Some(_))) => Ok(Json(json!({
            "result": true, "message": "Task scraping initiated successfully", "task_id": task_id,
            "status": "processing",
        }))),
    }
}
