//! The life of all runs.

use std::time::Duration;

use ig_tracking::db::journal::{self, Entry, Transition};
use ig_tracking::db::runs::{Reason, RunState};
use ig_tracking::db::start::{Started, start};
use ig_tracking::db::{TaskId, cancel};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::{held, run_of};
use crate::harness::{EventStream, Message, World, eventually};
use crate::schema::{TERMS, claimed, entry, profile_start};

/// Run and state.
fn word(message: &Message) -> (String, String) {
    let text = |key: &str| message.data[key].as_str().unwrap().to_owned();
    (text("task_id"), text("state"))
}

fn words(messages: &[Message]) -> Vec<(String, String)> {
    messages.iter().map(word).collect()
}

fn pair(task: &str, state: &str) -> (String, String) {
    (task.to_owned(), state.to_owned())
}

#[tokio::test]
async fn the_board_begins_with_what_is_active_and_what_ended_last_and_goes_on() {
    let (world, replica) = World::with_replica().await;
    for n in 1..=3 {
        world.scrape(&replica, &format!("over{n}"), &format!("over.board.{n}")).await;
    }
    held(&world, &replica, "active", "active.board").await;
    let states = async |query: &str| {
        let told = replica.stream(&format!("/runs/stream?follow=false{query}"), None).await.rest().await;
        words(&told)
    };
    // Other tests have transactions under way in the same cluster, behind which nothing is told.
    eventually("what is there is told", async || (states("").await == [pair("active", "running")]).then_some(())).await;
    let all =
        [pair("over1", "succeeded"), pair("over2", "succeeded"), pair("over3", "succeeded"), pair("active", "running")];
    assert_eq!(states("&history=1000").await, all);
    assert_eq!(states("&history=2").await, all[1..]);
    assert_eq!(states("&history=2&state=succeeded").await, all[1..3]);
    assert_eq!(states("&history=2&state=succeeded&state=running&task=over3").await, all[2..3]);
    assert_eq!(states("&history=2&kind=reel").await, []);
    assert_eq!(states(&"&state=running".repeat(50)).await, [pair("active", "running")]);
    let many = format!("/runs/stream?follow=false{}", "&state=running".repeat(51));
    let problem = replica.v2(Method::GET, &many, None).await.problem(400, "invalid-request");
    assert_eq!(problem["errors"][0]["field"], "state");

    let mut board = replica.stream("/runs/stream?history=1", None).await;
    assert_eq!([word(&board.next().await.unwrap()), word(&board.next().await.unwrap())], all[2..]);
    world.instagram.let_go("active.board").await;
    let ended = board.next().await.unwrap();
    let row: (String, i64) = sqlx::query_as("select run_id::text, last_seq from runs where task_id = 'active'")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    let expected = json!({"task_id": "active", "kind": "profile", "username": "active.board", "state": "succeeded",
                          "reason": null, "trigger": "api", "attempt": 1, "run_id": row.0, "last_seq": row.1});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&ended.data[key], value, "{key}");
    }
    for time in ["requested_at", "started_at", "updated_at", "finished_at"] {
        assert!(chrono::DateTime::parse_from_rfc3339(ended.data[time].as_str().unwrap()).is_ok(), "{time}");
    }
    // From the id of any message one goes on, by header or parameter.
    let id = ended.id.unwrap();
    world.scrape(&replica, "later", "later.board").await;
    let by_header = eventually("the later run is told", async || {
        let told = replica.stream("/runs/stream?follow=false", Some(&id)).await.rest().await;
        (words(&told) == [pair("later", "succeeded")]).then_some(told)
    })
    .await;
    let by_parameter = replica.stream(&format!("/runs/stream?follow=false&after={id}"), None).await.rest().await;
    assert_eq!(by_parameter, by_header);
}

#[tokio::test]
async fn what_commits_late_is_neither_lost_nor_told_twice() {
    let (world, replica) = World::with_replica().await;
    for n in 1..=4 {
        replica.create("create_task", &format!("late{n}"), &format!("late.board.{n}")).await;
    }
    let mut board = replica.stream("/runs/stream", None).await;
    // So that it follows: what is there is told, and a first change comes.
    claimed(&world.database.pool, "first").await;
    assert_eq!(word(&board.next().await.unwrap()), pair("first", "running"));

    let mut connections = Vec::new();
    for n in 1..=4 {
        let mut connection = PgConnection::connect(&world.database.url).await.unwrap();
        sqlx::raw_sql("begin").execute(&mut connection).await.unwrap();
        let task = TaskId::parse(&format!("late{n}")).unwrap();
        let started = start(&mut connection, TERMS, &[profile_start(&task)]).await.unwrap().remove(0);
        assert!(matches!(started, Started::Claimed(_)));
        connections.push(connection);
    }
    // In another order than they began.
    for n in [2, 0, 3] {
        sqlx::raw_sql("commit").execute(&mut connections[n]).await.unwrap();
    }
    // The second is still under way: of what began after it nothing is told, nor is it left out of a new board for good.
    assert_eq!(word(&board.next().await.unwrap()), pair("late1", "running"));
    let mut new_board = replica.stream("/runs/stream", None).await;
    for expected in ["first", "late1"] {
        assert_eq!(word(&new_board.next().await.unwrap()), pair(expected, "running"));
    }
    eventually("it is said that something waits", async || {
        (super::logs::metric(&replica, "igt_board_kept_back_seconds").await > 0.0).then_some(())
    })
    .await;
    sqlx::raw_sql("commit").execute(&mut connections[1]).await.unwrap();
    for board in [&mut board, &mut new_board] {
        for expected in ["late2", "late3", "late4"] {
            assert_eq!(word(&board.next().await.unwrap()), pair(expected, "running"));
        }
    }
    // And what was undone is not told.
    sqlx::raw_sql("begin; update runs set state_xid = pg_current_xact_id(); rollback")
        .execute(&mut connections[0])
        .await
        .unwrap();
    claimed(&world.database.pool, "last").await;
    for board in [&mut board, &mut new_board] {
        assert_eq!(word(&board.next().await.unwrap()), pair("last", "running"));
    }
}

#[tokio::test]
async fn every_change_of_a_state_is_noted_and_an_event_alone_is_none() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let noted = async |run: ig_tracking::db::RunId| -> i64 {
        let query = "select state_xid::text::bigint from runs where run_id = $1";
        sqlx::query_scalar(query).bind(run.0).fetch_one(pool).await.unwrap()
    };
    let run = claimed(pool, "t").await;
    let mut last = noted(run.run_id).await;
    assert!(last > 0);
    let mut moved = async |run: &ig_tracking::db::runs::Claimed, expected: bool| {
        let now = noted(run.run_id).await;
        assert_eq!(now > last, expected, "{last} {now}");
        last = now;
    };
    journal::write(pool, &[entry(&run, 1)]).await.unwrap();
    moved(&run, false).await;
    let wait = Entry { transition: Transition::Wait(0.0, Reason::RateLimited), ..entry(&run, 2) };
    journal::write(pool, &[wait]).await.unwrap();
    moved(&run, true).await;
    let run = ig_tracking::db::runs::claim(pool, TERMS.worker, 60.0, 1).await.unwrap().remove(0);
    moved(&run, true).await;
    let hand_over = Entry { transition: Transition::HandOver, ..entry(&run, 3) };
    journal::write(pool, &[hand_over]).await.unwrap();
    moved(&run, true).await;
    let asked = cancel::ask(pool, run.run_id).await.unwrap().unwrap();
    moved(&run, false).await;
    cancel::end(pool, &asked, &entry(&run, 4).events).await.unwrap().unwrap();
    moved(&run, true).await;
    let run = claimed(pool, "u").await;
    let before = noted(run.run_id).await;
    let finish = Entry { transition: Transition::Finish(RunState::Succeeded, None), ..entry(&run, 1) };
    journal::write(pool, &[finish]).await.unwrap();
    assert!(noted(run.run_id).await > before);
}

#[tokio::test]
async fn runs_of_another_cluster_are_no_news_and_a_cursor_of_it_begins_anew() {
    let world = World::new().await;
    let before = world.replica(&[]).await;
    world.scrape(&before, "old", "restored.board").await;
    let id = eventually("it is told", async || {
        let told = before.stream("/runs/stream?history=1&follow=false", None).await.rest().await;
        told.first().and_then(|told| told.id.clone())
    })
    .await;
    before.kill().await;
    // As a dump of a cluster that got further has it.
    sqlx::query("update runs set state_xid = '1000000000000'").execute(&world.database.pool).await.unwrap();
    let replica = world.replica(&[]).await;
    held(&world, &replica, "new", "new.restored.board").await;
    eventually("what is new is told alone", async || {
        let told = replica.stream("/runs/stream?history=9&follow=false", None).await.rest().await;
        (words(&told) == [pair("new", "running")]).then_some(())
    })
    .await;

    // A cursor of another cluster, and one that is ahead of this.
    let decoded: Value = serde_json::from_slice(&base64(&id)).unwrap();
    for (cluster, xid) in [(json!(1), decoded[1].clone()), (decoded[0].clone(), json!(1_000_000_000_000_i64))] {
        let foreign = unbase64(&json!([cluster, xid, decoded[2]]));
        let told = replica.stream("/runs/stream?follow=false", Some(&foreign)).await.rest().await;
        assert_eq!((told[0].event.as_str(), told.len()), ("reset", 2), "{told:?}");
        assert_eq!(word(&told[1]), pair("new", "running"));
    }
    world.instagram.let_go("new.restored.board").await;
    assert!(!run_of(&world, "new").await.is_empty());
}

#[tokio::test]
async fn a_board_that_cannot_be_is_said() {
    let (_world, replica) = World::with_replica().await;
    for (query, field) in [
        ("state=sleeping", "state"),
        ("kind=x", "kind"),
        ("task=a%20b", "task"),
        ("history=1001", "history"),
        ("history=-1", "history"),
        ("after=none", "after"),
        ("colour=1", "colour"),
    ] {
        let asked = replica.ask(Method::GET, &format!("/api/v2/runs/stream?{query}"), None).await;
        assert_eq!(asked.status, 400, "{query}: {}", asked.text);
        let problem: Value = serde_json::from_str(&asked.text).unwrap();
        let named = problem["errors"][0]["field"].as_str().unwrap();
        assert!(named.starts_with(field), "{query}: {problem}");
    }
    let url = format!("{}/api/v2/runs/stream", replica.address);
    let answer = EventStream::ask(&url, Some("7")).await.unwrap().unwrap_err();
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn a_board_of_many_runs_is_told_page_by_page() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let replica = world.replica(&[("IGT_CONCURRENCY", "0")]).await;
    sqlx::raw_sql(
        "insert into tasks (task_id, kind, username) select 'many' || n, 'profile', 'many' from generate_series(1, 1700) n;
         insert into runs (task_id, kind, username, source, trigger, state, claimable_at, deadline_at)
         select 'many' || n, 'profile', 'many', 'auto', 'api', 'queued', now() + interval '1 hour', now() + interval '1 hour'
         from generate_series(1, 1700) n",
    )
    .execute(pool)
    .await
    .unwrap();
    let mut board = replica.stream("/runs/stream", None).await;
    let mut told = Vec::new();
    while told.len() < 1700 {
        told.push(tokio::time::timeout(Duration::from_secs(30), board.next()).await.unwrap().unwrap().id);
    }
    // All change at once, which is more than is kept for those who follow.
    sqlx::query(
        "update runs set state = 'failed', reason = 'internal_error', claimable_at = null, finished_at = now(),
                 state_xid = pg_current_xact_id()",
    )
    .execute(pool)
    .await
    .unwrap();
    while told.len() < 3400 {
        let message = board.next().await.unwrap();
        assert_eq!(message.data["state"], "failed");
        told.push(message.id);
    }
    // And from the middle.
    let rest = replica.stream("/runs/stream?follow=false", told[2000].as_deref()).await.rest().await;
    let rest: Vec<_> = rest.into_iter().map(|message| message.id).collect();
    assert_eq!(rest, told[2001..]);
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 3400);
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn unbase64(value: &Value) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}
