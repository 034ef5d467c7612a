//! Clients that do not read: they hold up nobody else, and cost what is bounded.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::held;
use super::logs::{metric, more_events};
use crate::harness::{Replica, World, eventually};

/// So many do not read, of a log of so many bytes.
const SLOW: usize = 40;
const EVENTS: i64 = 2000;
const EVENT_BYTES: i32 = 4000;

/// What each may cost beside what the replica needs anyhow. All of the log for each would be 8 MiB.
const MIB_EACH: f64 = 1.5;

#[tokio::test]
async fn who_does_not_read_holds_up_nobody_and_costs_bounded_memory() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_POLL_MS", "20")]).await;
    let run = held(&world, &replica, "t", "slow.anna").await;
    let path = format!("/api/v2/runs/{run}/events/stream");
    let mut connections = Vec::new();
    for n in 0..SLOW {
        connections.push(open(&replica, &path, n % 2 == 0).await);
    }
    let path = format!("/runs/{run}/events/stream");
    let mut fast = replica.stream(&path, None).await;
    // What the fast one takes with it, everybody's own included.
    let before = memory_mib(&replica);
    for _ in 0..EVENTS / 100 {
        more_events(&world, &run, 100, EVENT_BYTES).await;
    }
    while fast.next().await.unwrap().data["seq"].as_i64().unwrap() < EVENTS {}
    let after = memory_mib(&replica);
    let allowed = 24.0 + MIB_EACH * SLOW as f64;
    assert!(after - before < allowed, "{SLOW} clients that do not read cost {:.1} MiB", after - before);
    assert_eq!(metric(&replica, "igt_streams{kind=\"log\"}").await, SLOW as f64 + 1.0);
    drop(connections);
    eventually("those that went are noticed", async || {
        (metric(&replica, "igt_streams{kind=\"log\"}").await <= 1.0).then_some(())
    })
    .await;
    world.instagram.let_go("slow.anna").await;
}

#[tokio::test]
async fn who_reads_nothing_of_what_is_sent_is_cut_off_in_time_and_gives_its_place_back() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_HEAD_SECONDS", "2"), ("IGT_POLL_MS", "20")]).await;
    let run = held(&world, &replica, "t", "deaf.anna").await;
    let unread = open(&replica, &format!("/api/v2/runs/{run}/events/stream"), false).await;
    let streams = async || metric(&replica, "igt_streams{kind=\"log\"}").await;
    assert_eq!(streams().await, 1.0);
    // More than the kernel takes for it.
    for _ in 0..EVENTS / 100 {
        more_events(&world, &run, 100, EVENT_BYTES).await;
    }
    eventually("it is let go of", async || (streams().await == 0.0).then_some(())).await;
    drop(unread);
    world.instagram.let_go("deaf.anna").await;
}

/// Asks, and reads nothing; some come late, and are behind from the beginning.
async fn open(replica: &Replica, path: &str, from_the_end: bool) -> TcpStream {
    let mut connection = replica.connect().await;
    let after = if from_the_end { "?after=3" } else { "" };
    let request = format!("GET {path}{after} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), connection.readable()).await.unwrap().unwrap();
    connection
}

fn memory_mib(replica: &Replica) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", replica.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<f64>().unwrap() / 1024.0
}
