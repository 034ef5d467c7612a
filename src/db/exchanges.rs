//! The upstream requests of a run, for those who ask why it failed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use super::RunId;

/// One upstream request.
#[derive(Clone, Debug, Serialize)]
pub struct Exchange {
    /// Its number in the run.
    pub seq: i64,
    /// When it was complete.
    pub at: DateTime<Utc>,
    /// The attempt that made it.
    pub attempt: i32,
    /// The credential that it was asked with, where that is known.
    pub credential: Option<String>,
    /// The endpoint's short name.
    pub endpoint: String,
    /// `GET` or `POST`.
    pub method: String,
    /// The address asked.
    pub url: String,
    /// The HTTP status, where an answer came.
    pub status: Option<i16>,
    /// In milliseconds.
    pub duration_ms: f64,
    /// The size of the answer's body.
    pub bytes: i64,
    /// The failure's name, where it failed.
    pub failure: Option<String>,
}

/// The latest `limit` upstream requests of a run, oldest first.
pub async fn latest(db: impl PgExecutor<'_>, run_id: RunId, limit: i64) -> sqlx::Result<Vec<Exchange>> {
    sqlx::query_as!(
        Exchange,
        r#"
        select seq as "seq!", at as "at!", attempt as "attempt!", credential, endpoint as "endpoint!", method as "method!",
               url as "url!", status, duration_ms as "duration_ms!", bytes as "bytes!", failure
        from (
            select * from run_exchanges where run_id = $1 order by seq desc limit $2
        ) as latest
        order by seq
        "#,
        run_id.0,
        limit,
    )
    .fetch_all(db)
    .await
}
