//! The upstream requests of a run, for those who ask why it failed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};

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
    /// Whether the answer's body is kept.
    pub has_body: bool,
}

/// The latest `limit` upstream requests of a run, oldest first.
pub async fn latest(db: impl PgExecutor<'_>, run_id: RunId, limit: i64) -> sqlx::Result<Vec<Exchange>> {
    sqlx::query_as!(
        Exchange,
        r#"
        select seq as "seq!", at as "at!", attempt as "attempt!", credential, endpoint as "endpoint!", method as "method!",
               url as "url!", status, duration_ms as "duration_ms!", bytes as "bytes!", failure,
               body is not null as "has_body!"
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

/// The kept body of a request's answer, compressed (zstd).
#[derive(Clone, Debug)]
pub struct Body {
    /// The body; `None` where it is not kept, or not any more.
    pub body: Option<Vec<u8>>,
    /// How large it was, in bytes.
    pub bytes: i64,
}

/// A request of a run, with the body of its answer where that is kept; `None` where the run made no such request.
pub async fn body(db: impl PgExecutor<'_>, run_id: RunId, seq: i64) -> sqlx::Result<Option<Body>> {
    sqlx::query_as!(Body, "select body, bytes from run_exchanges where run_id = $1 and seq = $2", run_id.0, seq)
        .fetch_optional(db)
        .await
}

/// Keeps the bodies (zstd) of answers to earlier requests of a run, by the requests' numbers. Runs in the transaction whose
/// first statement was the run's fenced write.
pub async fn keep_bodies(db: &mut PgConnection, run_id: RunId, bodies: &[(i64, Vec<u8>)]) -> sqlx::Result<()> {
    let seqs: Vec<_> = bodies.iter().map(|(seq, _)| *seq).collect();
    let bodies: Vec<_> = bodies.iter().map(|(_, body)| body.as_slice()).collect();
    sqlx::query!(
        r#"
        update run_exchanges x set body = kept.body
        from unnest($2::bigint[], $3::bytea[]) as kept (seq, body)
        where x.run_id = $1 and x.seq = kept.seq and x.body is null
        "#,
        run_id.0,
        &seqs,
        &bodies as &[&[u8]],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes the bodies of up to `limit` requests whose runs were asked for more than so many days ago; their rows stay.
/// Says how many it removed. Any replica may, at any time: what another one is at is passed over.
pub async fn drop_bodies(db: impl PgExecutor<'_>, older_than_days: i32, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        with old as (
            select run_id, seq
            from run_exchanges
            where body is not null and run_id < uuid_v7_floor(now() - make_interval(days => $1))
            order by run_id, seq
            limit $2
            for update skip locked
        )
        update run_exchanges x set body = null
        from old
        where x.run_id = old.run_id and x.seq = old.seq
        "#,
        older_than_days,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// How many bodies would be removed.
pub async fn count_old_bodies(db: impl PgExecutor<'_>, older_than_days: i32) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "bodies!" from run_exchanges
        where body is not null and run_id < uuid_v7_floor(now() - make_interval(days => $1))
        "#,
        older_than_days,
    )
    .fetch_one(db)
    .await
}

/// An upstream request as clients are told of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// All that the run itself has of it.
    pub exchange: Exchange,
    /// `web` or `graph`.
    pub source: String,
}

/// Up to `limit` upstream requests of a run behind this seq, oldest first.
pub async fn after(db: impl PgExecutor<'_>, run_id: RunId, after: i64, limit: i64) -> sqlx::Result<Vec<Told>> {
    let rows = sqlx::query!(
        r#"
        select seq, at, attempt, source, credential, endpoint, method, url, status, duration_ms, bytes, failure,
               body is not null as "has_body!"
        from run_exchanges
        where run_id = $1 and seq > $2
        order by seq
        limit $3
        "#,
        run_id.0,
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    let told = rows.into_iter().map(|row| Told {
        source: row.source,
        exchange: Exchange {
            seq: row.seq,
            at: row.at,
            attempt: row.attempt,
            credential: row.credential,
            endpoint: row.endpoint,
            method: row.method,
            url: row.url,
            status: row.status,
            duration_ms: row.duration_ms,
            bytes: row.bytes,
            failure: row.failure,
            has_body: row.has_body,
        },
    });
    Ok(told.collect())
}
