//! Where a person still stands in a database: in any table, packed or not.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

/// Every text that any table holds: of columns of text, JSON and bytes, those unpacked.
async fn everything(pool: &PgPool) -> Vec<(String, String)> {
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "select c.oid::regclass::text, quote_ident(a.attname), format_type(a.atttypid, null)
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
             and format_type(a.atttypid, null) in
                 ('text', 'character varying', 'text[]', 'json', 'jsonb', 'bytea', 'bigint')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(columns.len() > 60, "{columns:?}");
    let mut texts = Vec::new();
    for (table, column, kind) in columns {
        // Names that the catalogue gave.
        let of = format!("{table}.{column}");
        if kind == "bytea" {
            let statement = format!("select {column} from {table} where {column} is not null");
            let all: Vec<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(pool).await.unwrap();
            for bytes in all {
                texts.push((of.clone(), unpacked(&table, bytes)));
            }
        } else {
            let statement = format!("select {column}::text from {table} where {column} is not null");
            let all: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(pool).await.unwrap();
            texts.extend(all.into_iter().map(|text| (of.clone(), text)));
        }
    }
    texts
}

/// What these bytes say: a packed log, or what zstd made of a text.
fn unpacked(table: &str, bytes: Vec<u8>) -> String {
    if table.starts_with("run_archives") {
        let events = ig_tracking::archive::unpack(&bytes).unwrap();
        return events.into_iter().map(|event| [event.event_type, event.message, event.fields].join("\n")).collect();
    }
    let text = zstd::decode_all(&bytes[..]).unwrap_or(bytes);
    String::from_utf8_lossy(&text).into_owned()
}

/// Where any of these words stands.
pub(super) async fn found(pool: &PgPool, words: &[String]) -> Vec<(String, String, String)> {
    let texts = everything(pool).await;
    let hits = texts.iter().flat_map(|(of, text)| {
        let lower = text.to_lowercase();
        let hits = words.iter().filter(move |word| lower.contains(&word.to_lowercase()));
        hits.map(move |word| (of.clone(), word.clone(), text.chars().take(300).collect()))
    });
    hits.collect()
}

/// How many rows there are of each table that a person's rows stand in.
pub(super) async fn counts(pool: &PgPool) -> BTreeMap<&'static str, i64> {
    let mut counts = BTreeMap::new();
    for table in [
        "tasks",
        "runs",
        "events",
        "run_exchanges",
        "profiles",
        "profile_names",
        "profile_snapshots",
        "media",
        "media_captions",
        "media_snapshots",
        "engagement_weeks",
        "reel_days",
        "account_rollups",
        "idempotency_keys",
    ] {
        let statement = format!("select count(*) from {table}");
        counts.insert(table, sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await.unwrap());
    }
    counts
}

/// The bare statistics of all runs.
pub(super) async fn statistics(pool: &PgPool) -> Vec<Value> {
    sqlx::query_scalar(
        "select to_jsonb(r) - array['task_id', 'username', 'profile_id', 'checkpoint', 'began_at', 'erased_at', 'updated_at',
                                    'state_xid', 'lease', 'claimable_at']
         from runs r order by run_id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}
