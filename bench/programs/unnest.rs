//! The peer of the journal: the same events by `insert … select … from unnest(…)`, on one connection, with nothing
//! else: no fence, no state, no hints, and no others to wait for.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use sqlx::types::Uuid;
use sqlx::{Connection as _, PgConnection};

use super::{Failed, words};

#[derive(Args)]
pub(crate) struct Settings {
    /// The database, with the service's schema
    #[arg(long)]
    database_url: String,
    /// How long to insert
    #[arg(long)]
    seconds: u64,
    /// How many events a statement inserts, each of another run
    #[arg(long, default_value_t = 100)]
    rows: i64,
}

/// Inserts, and prints how many events a second were committed.
pub(crate) async fn measure(settings: Settings) -> Result<(), Failed> {
    let mut connection = PgConnection::connect(&settings.database_url).await?;
    // Ids as runs have them: the events fall where those of the service do.
    let runs: Vec<Uuid> = sqlx::query_scalar("select uuid_v7() from generate_series(1, $1)")
        .bind(settings.rows)
        .fetch_all(&mut connection)
        .await?;
    let levels = vec![words::LEVEL; runs.len()];
    let event_types = vec![words::EVENT_TYPE; runs.len()];

    let began = Instant::now();
    let until = began + Duration::from_secs(settings.seconds);
    let mut seq = 0;
    while Instant::now() < until {
        seq += 1;
        let messages: Vec<String> = runs.iter().map(|_| words::message(seq)).collect();
        let fields: Vec<Value> = runs.iter().map(|_| words::fields(seq)).collect();
        sqlx::query(
            "insert into events (run_id, seq, at, level, event_type, message, fields)
             select e.run_id, e.seq, now(), e.level, e.event_type, e.message, e.fields
             from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::jsonb[])
                 as e (run_id, seq, level, event_type, message, fields)",
        )
        .bind(&runs)
        .bind(vec![seq; runs.len()])
        .bind(&levels)
        .bind(&event_types)
        .bind(messages)
        .bind(fields)
        .execute(&mut connection)
        .await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let events = seq * settings.rows;
    println!("{}", json!({"events": events, "seconds": seconds, "rate": events as f64 / seconds}));
    Ok(())
}
