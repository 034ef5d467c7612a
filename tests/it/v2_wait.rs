//! Waiting for a run of version 2: tags, and answers that come when there is something to tell.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ig_tracking::db::journal::{self, Transition};
use ig_tracking::db::runs::{Reason, RunState};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{Answer, Database, Replica, World, eventually};
use crate::schema::{claimed, entry};
use crate::v2::{body, get, get_with, post, problem};

/// A replica that only answers: what it starts stays as it is.
const CLERK: [(&str, &str); 1] = [("IGT_CONCURRENCY", "0")];

/// Asks for a run with a tag.
async fn known(replica: &Replica, path: &str, tag: &str) -> Answer {
    get_with(replica, path, "if-none-match", tag).await
}

fn assert_not_modified(answer: &Answer, tag: &str) {
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""));
    assert_eq!(answer.header("etag"), Some(tag));
}

#[tokio::test]
async fn a_tag_is_the_same_until_the_run_moves_and_on_every_replica() {
    let world = World::new().await;
    let (one, other) = (world.replica(&CLERK).await, world.replica(&CLERK).await);
    let run = claimed(&world.database.pool, "t").await;
    let path = format!("/runs/{}", run.run_id);
    let first = get(&one, &path).await;
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is a strong one");
    assert_eq!(get(&other, &path).await.text, first.text, "byte for byte");
    for known_as in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        assert_not_modified(&known(&other, &path, &known_as).await, &tag);
    }
    let told = body(&known(&one, &path, "\"x\"").await, 200);
    assert_eq!(told["latest_event"]["event_type"], "scrape_started", "by another tag it is not known");
    // A heartbeat is nothing to tell.
    sqlx::query("update runs set claimable_at = claimable_at + interval '1 s'")
        .execute(&world.database.pool)
        .await
        .unwrap();
    assert_not_modified(&known(&other, &path, &tag).await, &tag);

    let mut tags = vec![tag];
    let mut moves = async |what: &str| {
        let answer = known(&other, &path, tags.last().unwrap()).await;
        body(&answer, 200);
        let tag = answer.header("etag").unwrap().to_owned();
        assert!(!tags.contains(&tag), "{what} gives another tag");
        tags.push(tag);
    };
    journal::write(&world.database.pool, &[entry(&run, 1)]).await.unwrap();
    moves("an event").await;
    sqlx::query("update runs set cancel_requested_at = now()").execute(&world.database.pool).await.unwrap();
    moves("being asked to stop").await;
    let mut last = entry(&run, 2);
    last.transition = Transition::Finish(RunState::Failed, Some(Reason::Private));
    journal::write(&world.database.pool, &[last]).await.unwrap();
    moves("the end").await;
}

#[tokio::test]
async fn who_knows_a_run_is_told_when_it_moves_and_else_at_the_end_of_its_time() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let run = claimed(&world.database.pool, "t").await;
    let path = format!("/runs/{}", run.run_id);
    let tag = get(&replica, &path).await.header("etag").unwrap().to_owned();
    let began = Instant::now();
    let waiting = format!("{path}?wait=1");
    assert_not_modified(&known(&replica, &waiting, &tag).await, &tag);
    assert!(began.elapsed() >= Duration::from_secs(1));
    // Without a hint: whoever writes here sends none.
    let waiting = format!("{path}?wait=60");
    let (answer, _) = tokio::join!(known(&replica, &waiting, &tag), async {
        until_waited_for(&replica, 2).await;
        journal::write(&world.database.pool, &[entry(&run, 1)]).await.unwrap();
    });
    assert_eq!(body(&answer, 200)["events_count"], 2);
    assert!(began.elapsed() < Duration::from_secs(50));
    // What is not as it is known is told at once, also where nothing moves.
    assert_eq!(body(&known(&replica, &waiting, &tag).await, 200)["events_count"], 2);
    // Without a tag only its end is told, or how it stands when the time is over.
    let standing = body(&get(&replica, &format!("{path}?wait=1")).await, 200);
    assert_eq!((&standing["is_active"], &standing["events_count"]), (&json!(true), &json!(2)));
    problem(&get(&replica, "/runs/01a20178-8408-732e-a18d-da46eb031805?wait=60").await, 404, "not-found");
}

/// Waits until a replica has looked after runs that are waited for so many times or more.
async fn until_waited_for(replica: &Replica, looks: u64) {
    let before = looks_of(replica).await.0;
    eventually("somebody waits", async || (looks_of(replica).await.0 >= before + looks).then_some(())).await;
}

/// How many looks at runs there were, and how many runs they were asked for.
async fn looks_of(replica: &Replica) -> (u64, u64) {
    let metrics = replica.http.get(format!("{}/metrics", replica.address)).send().await.unwrap().text().await.unwrap();
    let value = |name: &str| {
        let name = format!("igt_batch_requests_{name}{{work=\"view\"}} ");
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(&name))
            .map_or(0, |value| value.parse::<f64>().unwrap() as u64)
    };
    (value("count"), value("sum"))
}

#[tokio::test]
async fn an_end_is_told_to_those_who_wait_on_another_replica() {
    let world = World::new().await;
    let (worker, clerk) = (world.replica(&[]).await, world.replica(&CLERK).await);
    worker.create("create_task", "t", "v2waited").await;
    world.instagram.hold("v2waited", 1).await;
    let run = body(&post(&worker, "/tasks/t/runs").await, 202);
    world.instagram.holds_one("v2waited").await;
    let path = format!("/runs/{}?wait=60", run["run_id"].as_str().unwrap());
    let (ended, _) = tokio::join!(get(&clerk, &path), async {
        until_waited_for(&clerk, 1).await;
        world.instagram.let_go("v2waited").await;
    });
    let ended = body(&ended, 200);
    assert_eq!(
        (&ended["state"], &ended["latest_event"]["event_type"]),
        (&json!("succeeded"), &json!("scrape_completed"))
    );
    // One that has ended is told at once.
    assert_eq!(body(&get(&clerk, &path).await, 200), ended);
}

#[tokio::test]
async fn a_replica_that_shuts_down_answers_those_who_wait() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let run = claimed(&world.database.pool, "t").await;
    let at_once = format!("/runs/{}", run.run_id);
    let tag = get(&replica, &at_once).await.header("etag").unwrap().to_owned();
    let waiting = format!("{at_once}?wait=60");
    let began = Instant::now();
    let (standing, unmoved, ()) = tokio::join!(get(&replica, &waiting), known(&replica, &waiting, &tag), async {
        until_waited_for(&replica, 2).await;
        replica.signal(Signal::SIGTERM);
    });
    assert_eq!(body(&standing, 200)["is_active"], true);
    assert_not_modified(&unmoved, &tag);
    assert!(began.elapsed() < Duration::from_secs(50));
    assert_eq!(replica.ended().await, Some(0));
}

#[tokio::test]
async fn however_many_wait_for_a_run_it_is_looked_at_once_a_second() {
    const WAITERS: u64 = 200;
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let run = claimed(&world.database.pool, "t").await;
    let before = looks_of(&replica).await.1;
    let path = format!("/runs/{}?wait=4", run.run_id);
    let answers = join_all((0..WAITERS).map(|_| get(&replica, &path))).await;
    assert!(answers.iter().all(|answer| body(answer, 200)["is_active"] == true));
    let asked = looks_of(&replica).await.1 - before;
    // Each looks as it comes and as it goes; who looks in between is one for all.
    assert!((WAITERS * 2..WAITERS * 2 + 30).contains(&asked), "{asked} looks asked for");
}

#[tokio::test]
async fn those_who_wait_are_told_of_every_run_that_ends() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let mut runs = Vec::new();
    for n in 0..30 {
        runs.push(claimed(&world.database.pool, &format!("t{n}")).await);
    }
    let paths: Vec<_> = runs.iter().map(|run| format!("/runs/{}?wait=60", run.run_id)).collect();
    let waiting = join_all(paths.iter().flat_map(|path| [path, path]).map(|path| get(&replica, path)));
    let (answers, ()) = tokio::join!(waiting, async {
        until_waited_for(&replica, 3).await;
        for run in &runs {
            end(&world.database, run).await;
        }
    });
    for answer in &answers {
        assert_eq!(body(answer, 200)["state"], "succeeded");
    }
}

async fn end(database: &Database, run: &ig_tracking::db::runs::Claimed) {
    let mut last = entry(run, 1);
    last.transition = Transition::Finish(RunState::Succeeded, None);
    journal::write(&database.pool, &[last]).await.unwrap();
}
