//! A run's log as server-sent events.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::Value;

use super::{BRISK, assert_whole, events_of, held, run_of};
use crate::harness::{EventStream, Message, Replica, World, eventually};

#[tokio::test]
async fn a_run_is_told_from_its_first_event_to_its_end_while_it_is_worked() {
    let (world, replica) = World::with_replica().await;
    let run = held(&world, &replica, "t", "heard.anna").await;
    let mut stream = replica.stream(&format!("/runs/{run}/events/stream"), None).await;
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(stream.header(name), value);
    }
    let mut told: Vec<Message> = Vec::new();
    for _ in events_of(&world, &run).await {
        told.push(stream.next().await.unwrap());
    }
    assert_eq!(told[0].data["event_type"], "scrape_started");
    world.instagram.let_go("heard.anna").await;
    told.extend(stream.rest().await);
    assert_whole(&world, &run, &told).await;
    assert_eq!(told.last().unwrap().id.as_deref(), Some(&*format!("{}.end", told.len() - 1)));
    eventually("nobody follows it", async || (metric(&replica, "igt_followed_runs").await == 0.0).then_some(())).await;
    assert_eq!(metric(&replica, "igt_streams{kind=\"log\"}").await, 0.0);
}

#[tokio::test]
async fn an_ended_run_is_told_to_its_end_and_who_has_seen_that_is_sent_nothing_more() {
    let (world, replica) = World::with_replica().await;
    world.scrape(&replica, "t", "over.anna").await;
    let run = run_of(&world, "t").await;
    let path = format!("/runs/{run}/events/stream");
    let all = replica.stream(&path, None).await.rest().await;
    assert_whole(&world, &run, &all).await;
    let last = all.len() - 1;

    // The header counts for more than the parameter; behind the last event there is the end.
    assert_eq!(replica.stream(&format!("{path}?after=2"), None).await.rest().await, all[2..]);
    assert_eq!(replica.stream(&format!("{path}?after=2"), Some("4")).await.rest().await, all[4..]);
    assert_eq!(replica.stream(&path, Some(&last.to_string())).await.rest().await, all[last..]);
    assert_eq!(replica.stream(&format!("{path}?after=1000000"), None).await.rest().await, all[last..]);
    assert_eq!(replica.stream(&format!("{path}?follow=false"), None).await.rest().await, all);
    // A browser comes back with the id of the end, and has to be told that there is nothing to come.
    let url = format!("{}/api/v2{path}", replica.address);
    let answer = EventStream::ask(&url, Some(&format!("{last}.end"))).await.unwrap().unwrap_err();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (204, String::new()));
}

#[tokio::test]
async fn without_following_a_run_that_goes_on_is_told_as_far_as_it_is() {
    let (world, replica) = World::with_replica().await;
    let run = held(&world, &replica, "t", "sofar.anna").await;
    let told = replica.stream(&format!("/runs/{run}/events/stream?follow=false"), None).await.rest().await;
    let told: Vec<_> = told.into_iter().map(|message| message.data).collect();
    assert_eq!(told, events_of(&world, &run).await);
    world.instagram.let_go("sofar.anna").await;
}

#[tokio::test]
async fn a_long_log_is_told_whole_whichever_part_of_it_is_kept() {
    let (world, replica) = World::with_replica().await;
    let run = held(&world, &replica, "t", "long.log.anna").await;
    let before = events_of(&world, &run).await.len() as i64;
    more_events(&world, &run, 1000, 300).await;
    let mut streams = Vec::new();
    for after in [0, 1, 99, 100, before + 500, before + 899, before + 999] {
        streams.push((after, replica.stream(&format!("/runs/{run}/events/stream?after={after}"), None).await));
    }
    for (after, stream) in &mut streams {
        for seq in *after + 1..=before + 1000 {
            assert_eq!(stream.next().await.unwrap().data["seq"], seq);
        }
    }
    // More than is kept, between two looks.
    more_events(&world, &run, 500, 1000).await;
    for (_, stream) in &mut streams {
        for seq in before + 1001..=before + 1500 {
            assert_eq!(stream.next().await.unwrap().data["seq"], seq);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_followed_is_said() {
    let (world, replica) = World::with_replica().await;
    world.scrape(&replica, "t", "wrong.anna").await;
    let run = run_of(&world, "t").await;
    for nobody in ["01a20178-8408-732e-a18d-da46eb031805", "none"] {
        for stream in ["stream", "ws"] {
            let asked = replica.ask(Method::GET, &format!("/api/v2/runs/{nobody}/events/{stream}"), None).await;
            // Without a run there is nothing to shake hands for; without a handshake nothing to look for.
            let expected = if stream == "ws" && nobody != "none" { 400 } else { 404 };
            assert_eq!(asked.status, expected, "{}", asked.text);
        }
    }
    for (query, field) in [("after=x", "after"), ("after=-1", "after"), ("before=1", "before"), ("follow=1", "follow")]
    {
        let asked = replica.ask(Method::GET, &format!("/api/v2/runs/{run}/events/stream?{query}"), None).await;
        assert_eq!(asked.status, 400, "{}", asked.text);
        let problem: Value = serde_json::from_str(&asked.text).unwrap();
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let url = format!("{}/api/v2/runs/{run}/events/stream", replica.address);
    for bad in ["x", "1.5", "-1", "7.end.end"] {
        let answer = EventStream::ask(&url, Some(bad)).await.unwrap().unwrap_err();
        assert_eq!(answer.status(), 400);
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["errors"][0]["location"], "header", "{problem}");
    }
}

#[tokio::test]
async fn one_stream_too_many_is_told_to_come_back() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_MAX_STREAMS", "2")]).await;
    let run = held(&world, &replica, "t", "limited.anna").await;
    let path = format!("/runs/{run}/events/stream");
    let one = replica.stream(&path, None).await;
    let _other = replica.stream("/runs/stream", None).await;
    let url = format!("{}/api/v2{path}", replica.address);
    let refused = EventStream::ask(&url, None).await.unwrap().unwrap_err();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "/api/v2/problems/too-many-streams", "{problem}");
    // Whoever goes makes room.
    drop(one);
    eventually("there is room", async || EventStream::ask(&url, None).await.unwrap().ok()).await;
    assert!(metric(&replica, "igt_streams_refused_total").await >= 1.0);
}

#[tokio::test]
async fn a_stream_on_which_nothing_happens_says_so() {
    let (world, replica) = World::with_replica().await;
    let run = held(&world, &replica, "t", "quiet.anna").await;
    let mut log = replica.stream(&format!("/runs/{run}/events/stream"), None).await;
    let mut board = replica.stream("/runs/stream", None).await;
    let opened = Instant::now();
    let told = events_of(&world, &run).await.len();
    for _ in 0..told {
        log.next().await.unwrap();
    }
    board.next().await.unwrap();
    let release = async {
        eventually("the time of a comment has passed", async || {
            (opened.elapsed() > Duration::from_secs(12)).then_some(())
        })
        .await;
        world.instagram.let_go("quiet.anna").await;
    };
    let (next, changed, ()) = tokio::join!(log.next(), board.next(), release);
    assert!(next.is_some() && changed.is_some());
    assert!(log.comments >= 1 && board.comments >= 1, "{} {}", log.comments, board.comments);
}

#[tokio::test]
async fn viewers_of_a_run_share_what_is_read() {
    let world = World::new().await;
    // No poll comes in between.
    let replica = world.replica(&[("IGT_POLL_MS", "60000")]).await;
    let run = held(&world, &replica, "t", "shared.anna").await;
    let told = events_of(&world, &run).await.len();
    let path = format!("/runs/{run}/events/stream");
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(replica.stream(&path, None).await);
    }
    for stream in &mut streams {
        for _ in 0..told {
            stream.next().await.unwrap();
        }
    }
    let read = async |of: &str| metric(&replica, &format!("igt_stream_reads_total{{of=\"{of}\"}}")).await;
    let (before, pages) = (read("run").await + read("log").await, read("page").await);
    assert!(before <= 4.0, "{before} reads for what was there");
    // One page, which is one event.
    world.instagram.hold("shared.anna", 1).await;
    for stream in &mut streams {
        assert_eq!(stream.next().await.unwrap().data["seq"], told as i64 + 1);
    }
    world.instagram.holds_one("shared.anna").await;
    let reads = read("run").await + read("log").await - before;
    assert!((2.0..=4.0).contains(&reads), "{reads} reads for one event");
    assert_eq!((read("page").await, pages), (0.0, 0.0));
    world.instagram.let_go("shared.anna").await;
}

#[tokio::test]
async fn without_listen_a_run_of_another_replica_is_told_by_polling() {
    let world = World::new().await;
    let worker = world.replica(&[]).await;
    let deaf =
        world.replica(&[("IGT_DB_POOLER", "transaction"), ("IGT_POLL_MS", "50"), ("IGT_CONCURRENCY", "0")]).await;
    let run = held(&world, &worker, "t", "polled.anna").await;
    let mut stream = deaf.stream(&format!("/runs/{run}/events/stream"), None).await;
    let mut board = deaf.stream("/runs/stream", None).await;
    assert_eq!(board.next().await.unwrap().data["state"], "running");
    world.instagram.let_go("polled.anna").await;
    assert_whole(&world, &run, &stream.rest().await).await;
    assert_eq!(board.next().await.unwrap().data["state"], "succeeded");
}

#[tokio::test]
async fn a_shutdown_sends_all_away_at_once_and_they_go_on_elsewhere() {
    let world = World::new().await;
    let (leaving, staying) = (world.replica(&BRISK).await, world.replica(&BRISK).await);
    let run = held(&world, &staying, "t", "sent.away.anna").await;
    let path = format!("/runs/{run}/events/stream");
    let mut log = leaving.stream(&path, None).await;
    let mut board = leaving.stream("/runs/stream", None).await;
    let told = events_of(&world, &run).await.len();
    for _ in 0..told {
        log.next().await.unwrap();
    }
    board.next().await.unwrap();
    let began = Instant::now();
    leaving.signal(Signal::SIGTERM);
    for stream in [&mut log, &mut board] {
        let last = stream.rest().await;
        assert_eq!(last.len(), 1, "{last:?}");
        assert_eq!(last[0].event, "reconnect");
    }
    assert_eq!(leaving.ended().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    let mut log = staying.stream(&path, log.last_id.as_deref()).await;
    world.instagram.let_go("sent.away.anna").await;
    assert_eq!(log.next().await.unwrap().data["seq"], told as i64 + 1);
}

/// Writes events behind the run's last, so many bytes long, as somebody would of whom no hint tells.
pub(super) async fn more_events(world: &World, run: &str, count: i64, bytes: i32) {
    sqlx::query(
        "with run as (update runs set last_seq = last_seq + $2 where run_id = $1::uuid returning run_id, last_seq)
         insert into events (run_id, seq, at, level, event_type, message)
         select run_id, last_seq - $2 + n, now(), 'debug', 'posts_fetched', repeat('x', $3)
         from run, generate_series(1, $2) n",
    )
    .bind(run)
    .bind(count)
    .bind(bytes)
    .execute(&world.database.pool)
    .await
    .unwrap();
}

/// A metric's value; 0 where it was never counted.
pub(super) async fn metric(replica: &Replica, name: &str) -> f64 {
    let text = replica.ask(Method::GET, "/metrics", None).await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0.0)
}
