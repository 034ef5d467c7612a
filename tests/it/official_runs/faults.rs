//! Each fault that the official source may meet, through the whole service.

use std::collections::BTreeSet;

use ig_tracking::sandbox;
use serde_json::Value;
use sqlx::PgPool;

use super::table::{LOOPING, Posts, Row, TABLE, Token};
use super::{ample, assert_one_history, begin, count, end, of_token, put_back, replica};
use crate::bodies::assert_bodies;
use crate::credentials::{File, row};
use crate::failures::extraordinary;
use crate::harness::{Replica, World};

#[test]
fn no_fault_of_the_official_source_is_missing_from_the_table_of_runs() {
    let tested: Vec<&str> = TABLE.iter().map(|row| row.fault.split('.').next().unwrap()).collect();
    assert_eq!(tested.iter().collect::<BTreeSet<_>>().len(), tested.len(), "each once");
    for fault in sandbox::names().iter().filter(|fault| fault.source == "graph") {
        assert!(tested.contains(&fault.name), "{} is not tested", fault.name);
    }
}

#[tokio::test]
async fn every_fault_that_is_no_tokens_ends_as_it_should() {
    let rows = TABLE.iter().filter(|row| row.token == Token::Unharmed);
    let (far, near): (Vec<_>, Vec<_>) = rows.partition(|row| row.fault == LOOPING);
    every_fault(&near, &[("IGT_MAX_ATTEMPTS", "5")]).await;
    every_fault(&far, &[("IGT_MAX_POSTS", "1000")]).await;
}

#[tokio::test]
async fn every_fault_by_which_a_token_cools_or_is_slowed_ends_as_it_should() {
    let rows: Vec<_> = TABLE.iter().filter(|row| matches!(row.token, Token::Cooled | Token::Slowed)).collect();
    // Each has a world of its own.
    futures_util::future::join_all(rows.chunks(1).map(|row| every_fault(row, &[("IGT_MAX_ATTEMPTS", "2")]))).await;
}

#[tokio::test]
async fn every_fault_by_which_a_token_is_taken_out_ends_as_it_should() {
    let stage = Stage::new(&[("IGT_MAX_ATTEMPTS", "5")]).await;
    for row in TABLE.iter().filter(|row| matches!(row.token, Token::Disabled(_))) {
        stage.begin(row, "profile").await;
        stage.end(&[row], &["profile"]).await;
        put_back(&stage.world).await;
    }
}

async fn every_fault(rows: &[&Row], settings: &[(&str, &str)]) {
    let stage = Stage::new(settings).await;
    let kinds = if rows.len() > 1 { &["profile", "reel"][..] } else { &["profile"] };
    // All are started before the first is waited for.
    for row in rows {
        for kind in kinds {
            stage.begin(row, kind).await;
        }
    }
    stage.end(rows, kinds).await;
}

/// A world where rows of the table are played, with a replica that has one token.
struct Stage {
    world: World,
    replica: Replica,
    _file: File,
}

impl Stage {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let world = World::new().await;
        let file = of_token(&ample(), "");
        // With few hands, so that a busy machine has time for those who ask.
        let replica = replica(&world, &file, &[settings, &[("IGT_CONCURRENCY", "4")]].concat()).await;
        Self { world, replica, _file: file }
    }

    async fn begin(&self, row: &Row, kind: &str) {
        let (task, username) = (format!("{}-{kind}", row.fault), format!("{}.graph.{kind}", row.fault));
        begin(&self.replica, kind, &task, &username, "graph").await;
    }

    /// Waits for the ends, and compares all with the rows.
    async fn end(&self, rows: &[&Row], kinds: &[&str]) {
        let pool = &self.world.database.pool;
        let mut wrong = Vec::new();
        for row in rows {
            for kind in kinds {
                let task = format!("{}-{kind}", row.fault);
                let status = self.world.ended(&self.replica, &task).await;
                wrong.extend(check(pool, &self.world, row, kind, &task, &status).await);
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(became(pool).await, rows[0].token, "{}", rows[0].fault);
        assert_one_history(pool).await;
        // A number that was not told is null: no account and no post of the table has none of anything.
        let zero = "select count(*) from profile_snapshots s join profiles using (profile_id)
                    where (followers_count = 0 or posts_count = 0) and username not like 'empty.%'";
        assert_eq!(count(pool, zero).await, 0);
        let guests = "select count(*) from run_exchanges where source <> 'graph' or credential <> 'official'";
        assert_eq!(count(pool, guests).await, 0, "who names the official source asks no other");
        assert_bodies(pool).await;
    }
}

/// What became of the token.
async fn became(pool: &PgPool) -> Token {
    let stands = row(pool, "official").await;
    let reason = stands["reason"].as_str();
    let disabled =
        TABLE.iter().map(|row| row.token).find(|token| matches!(token, Token::Disabled(of) if reason == Some(of)));
    match (stands["state"].as_str().unwrap(), disabled) {
        ("disabled", disabled) => disabled.unwrap_or_else(|| panic!("{stands}")),
        _ if reason == Some("throttled") && !stands["cooling_until"].is_null() => Token::Cooled,
        _ if stands["usage_percent"].as_f64().is_some_and(|percent| percent >= 80.0) => Token::Slowed,
        _ if reason.is_none() && stands["strikes"] == 0 => Token::Unharmed,
        _ => panic!("{stands}"),
    }
}

/// What is not as the row says.
async fn check(pool: &PgPool, world: &World, row: &Row, kind: &str, task: &str, status: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, is: String, should: String| {
        if is != should {
            wrong.push(format!("{task}: {what} is {is} and should be {should}"));
        }
    };
    same("the end", format!("{:?}", end(status)), format!("{:?}", row.end));
    let last = status["logs"].as_array().unwrap().last().unwrap();
    let message = last["message"].as_str().unwrap();
    if !message.contains(row.says) {
        same("the last word", message.to_owned(), row.says.to_owned());
    }
    let (posts, with_numbers): (i64, i64) = sqlx::query_as(
        "select (select count(*) from media m where m.run_id = r.run_id),
                (select count(distinct shortcode) from media_snapshots m where m.run_id = r.run_id)
         from runs r where task_id = $1",
    )
    .bind(task)
    .fetch_one(pool)
    .await
    .unwrap();
    let all = match row.posts {
        Posts::Only(number) => number,
        Posts::All => {
            let username = format!("{}.graph.{kind}", row.fault);
            let known =
                status["logs"].as_array().unwrap().iter().find(|event| event["event_type"] == "account_fetched");
            let told = known.and_then(|event| event["posts_count"].as_i64());
            let told = match told {
                // What the site itself tells of this one no number holds; it has more than are read.
                None if row.fault == "beyond" => None,
                None => world.instagram.user(&username).await["edge_owner_to_timeline_media"]["count"].as_i64(),
                told => told,
            };
            // The second post cannot be read of each page of 25 but the first, which comes with the account.
            let lacking = |told: i64| if row.fault == "garbled" { (told - 1) / 25 } else { 0 };
            told.map_or(60, |told| (told - lacking(told)).min(60))
        }
    };
    same("the number of posts", posts.to_string(), all.to_string());
    same("the number of posts with numbers", with_numbers.to_string(), posts.to_string());

    let failed: Vec<String> = sqlx::query_scalar(
        "select format('%s %s %s', endpoint, coalesce(x.status::text, '-'), failure)
         from run_exchanges x join runs using (run_id) where task_id = $1 and failure is not null order by seq",
    )
    .bind(task)
    .fetch_all(pool)
    .await
    .unwrap();
    if kind == "profile" {
        same("what failed", format!("{failed:?}"), format!("{:?}", row.failed));
        same("the events", format!("{:?}", extraordinary(status)), format!("{:?}", row.events));
        // An event that tells of a failure names a request that failed so.
        for event in status["logs"].as_array().unwrap().iter().filter(|event| !event["failure"].is_null()) {
            let told = format!(
                "{} {} {}",
                event["endpoint"].as_str().unwrap(),
                event["http_status"],
                event["failure"].as_str().unwrap()
            );
            if !failed.contains(&told) {
                same("the failure of an event", told, format!("one of {failed:?}"));
            }
        }
    }
    wrong
}
