//! Clients that hang up at any moment of what they ask for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::oneshot::error::TryRecvError;

use super::dice::{Dice, setting};
use super::report::{Cost, record};
use crate::harness::{Replica, V1, World, assert_no_transaction_open, assert_sound, eventually};

/// Tasks that they all quarrel about.
const TASKS: usize = 16;

/// How many hang up at the same time.
const AT_ONCE: u64 = 24;

#[tokio::test]
async fn clients_that_hang_up_at_any_moment_leave_nothing_open_and_nothing_half_done() {
    let hangups = setting("IGT_HANGUPS", 1_000);
    let seed = setting("IGT_FAULT_SEED", 1);
    eprintln!("fault: {hangups} clients hang up, IGT_FAULT_SEED={seed}");
    let world = World::new().await;
    let replica = world.replica(&[("IGT_MAX_POSTS", "12"), ("IGT_LEASE_SECONDS", "5"), ("IGT_POLL_MS", "100")]).await;
    let address = replica.address.strip_prefix("http://").unwrap().to_owned();

    let rude = (0..AT_ONCE).map(|n| {
        let (address, mut dice) = (address.clone(), Dice::new(seed ^ (n << 32)));
        async move {
            for _ in 0..hangups.div_ceil(AT_ONCE) {
                hang_up(&address, &mut dice).await;
            }
        }
    });
    // Beside them one that waits for its answers.
    let (done, mut stop) = tokio::sync::oneshot::channel::<()>();
    let polite = async {
        let mut slowest = Duration::ZERO;
        let mut kept = 0_u64;
        while matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
            let asked = Instant::now();
            replica.create("create_task", &format!("kept-{kept}"), "polite.anna").await;
            slowest = slowest.max(asked.elapsed());
            kept += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (kept, slowest)
    };
    let all_rude = async {
        futures_util::future::join_all(rude).await;
        done.send(()).unwrap();
    };
    let ((kept, slowest_answer), ()) = tokio::join!(polite, all_rude);

    let over = Instant::now();
    let pool = &world.database.pool;
    let transactions_open = assert_no_transaction_open(pool, Duration::from_secs(60)).await;
    for n in 0..TASKS {
        // It lives again, whatever was the last word on it; its run, if it has one, ends; and all can begin anew.
        let (task, username) = (task(n), username(n));
        replica.create("create_task", &task, &username).await;
        eventually(&format!("{task} can be started"), async || {
            let answer = replica.post(&format!("/force_scrape/{task}")).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }
    let startable_after = over.elapsed();
    for n in 0..TASKS {
        world.ended(&replica, &task(n)).await;
    }
    eventually("all runs have ended", async || {
        let active: i64 =
            sqlx::query_scalar("select count(*) from runs where finished_at is null").fetch_one(pool).await.unwrap();
        (active == 0).then_some(())
    })
    .await;
    assert_sound(pool).await;
    assert_all_kept(&replica, &world, kept).await;
    let cost =
        Cost { startable_after, slowest_answer, slowest_own: None, answers: kept, refusals: 0, transactions_open };
    record("clients hang up at any moment of a write", hangups, cost);
}

/// Every task whose creation was acknowledged is there; a deletion that is acknowledged holds.
async fn assert_all_kept(replica: &Replica, world: &World, kept: u64) {
    let pool = &world.database.pool;
    let states: Vec<(String, String)> =
        sqlx::query_as("select task_id, state from tasks").fetch_all(pool).await.unwrap();
    let states: HashMap<String, String> = states.into_iter().collect();
    for n in 0..kept {
        assert_eq!(states.get(&format!("kept-{n}")).map(String::as_str), Some("active"), "kept-{n}");
    }
    for n in 0..TASKS {
        assert_eq!(states.get(&task(n)).map(String::as_str), Some("active"));
        replica.delete(&format!("/task/{}", task(n))).await.ok();
        replica.get(&format!("/task_details/{}", task(n))).await.error(404);
    }
}

fn task(n: usize) -> String {
    format!("rude-{n}")
}

fn username(n: usize) -> String {
    format!("rude.{n}")
}

/// One request that is not waited for: a part of it is sent, or all of it and then some microseconds pass.
async fn hang_up(address: &str, dice: &mut Dice) {
    let n = dice.below(TASKS);
    let (method, path, body) = match dice.below(4) {
        0 => ("POST", "/create_task".to_owned(), json!({"task_id": task(n), "username": username(n)}).to_string()),
        1 => ("DELETE", format!("/task/{}", task(n)), String::new()),
        _ => ("POST", format!("/force_scrape/{}", task(n)), String::new()),
    };
    let request = format!(
        "{method} {V1}{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // More of them than there are places to listen at may have to try again.
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    let sent = if dice.below(4) == 0 { dice.below(request.len()) } else { request.len() };
    let _ = stream.write_all(&request.as_bytes()[..sent]).await;
    if sent == request.len() {
        // A write takes a millisecond or a few: most of these fall into the middle of one.
        tokio::time::sleep(Duration::from_micros(dice.below(6_000) as u64)).await;
    }
    if dice.below(2) == 0 {
        let _ = stream.set_zero_linger();
    }
}
