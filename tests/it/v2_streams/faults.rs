//! What replicas, connections and clients go through, and what clients are told all the same.

use std::collections::{HashMap, HashSet};

use nix::sys::signal::Signal;

use super::{BRISK, assert_whole, held};
use crate::harness::{Doors, Follower, Proxy, Replica, Started, World, assert_sound, eventually};

/// A replica behind a proxy of its own.
async fn behind_a_proxy(world: &World) -> (Proxy, Replica) {
    let proxy = Proxy::before(&world.database.url).await;
    let replica = Started::new(&proxy.url(&world.database.url), &world.instagram.url, &BRISK).listening().await;
    (proxy, replica)
}

async fn lease(world: &World, task: &str) -> i64 {
    let query = "select lease from runs where task_id = $1 order by run_id desc limit 1";
    sqlx::query_scalar(query).bind(task).fetch_one(&world.database.pool).await.unwrap()
}

/// Lets the request go that is held, and waits until the next one is.
async fn one_more(world: &World, username: &str) {
    world.instagram.hold(username, 0).await;
    world.instagram.holds_one(username).await;
}

#[tokio::test]
async fn each_event_is_told_once_across_kills_restarts_hand_overs_and_lost_connections() {
    let world = World::new().await;
    let (killed, surviving) = (behind_a_proxy(&world).await, behind_a_proxy(&world).await);
    let doors = Doors::of([&killed.1, &surviving.1]);
    let run = held(&world, &killed.1, "t", "everlasting.anna").await;
    let path = format!("/runs/{run}/events");
    let mut followers = Vec::new();
    for door in 0..4 {
        followers.push(Follower::of_events(&doors, &format!("{path}/stream"), door));
        followers.push(Follower::of_socket(&doors, &format!("{path}/ws"), door));
    }
    let all_told = async |seq: usize| {
        eventually("all were told what there is", async || {
            followers.iter().all(|follower| follower.told().iter().any(|told| told.data["seq"] == seq)).then_some(())
        })
        .await;
    };
    all_told(1).await;

    // No hint reaches them any more.
    assert_eq!((killed.0.cut_listeners(), surviving.0.cut_listeners()), (1, 1));
    one_more(&world, "everlasting.anna").await;
    // The one that works it is gone.
    doors.remove(&killed.1.address);
    killed.1.kill().await;
    eventually("another has it", async || (lease(&world, "t").await == 2).then_some(())).await;
    all_told(4).await;
    let heir = behind_a_proxy(&world).await;
    doors.add(&heir.1);
    one_more(&world, "everlasting.anna").await;
    // The one that works it now is told to stop.
    let address = surviving.1.address.clone();
    surviving.1.signal(Signal::SIGTERM);
    assert_eq!(surviving.1.ended().await, Some(0));
    doors.remove(&address);
    eventually("it was handed over", async || (lease(&world, "t").await == 3).then_some(())).await;
    // Its connections break, and for a while there are none.
    heir.0.refuse();
    heir.0.cut();
    world.instagram.let_go("everlasting.anna").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    heir.0.mend();

    for follower in followers {
        assert_whole(&world, &run, &follower.ended().await).await;
    }
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn the_boards_last_word_of_each_run_is_its_end_and_no_word_comes_twice() {
    let world = World::new().await;
    let (killed, surviving) = (behind_a_proxy(&world).await, behind_a_proxy(&world).await);
    let doors = Doors::of([&killed.1, &surviving.1]);
    let followers: Vec<_> = (0..3).map(|door| Follower::of_events(&doors, "/runs/stream", door)).collect();
    let follower_of_failures = Follower::of_events(&doors, "/runs/stream?state=failed&kind=profile", 0);

    let replica = &surviving.1;
    let usernames: Vec<_> = (0..30).map(|n| format!("{}board.{n}", if n % 5 == 0 { "missing." } else { "" })).collect();
    for (n, username) in usernames.iter().enumerate() {
        replica.create("create_task", &format!("t{n}"), username).await;
    }
    for n in 0..10 {
        replica.post(&format!("/force_scrape/t{n}")).await.ok();
    }
    // Somebody's transaction takes its number, and time.
    let mut late = world.database.pool.begin().await.unwrap();
    sqlx::query("update tasks set updated_at = now() where task_id = 't1'").execute(&mut *late).await.unwrap();
    for n in 10..20 {
        killed.1.post(&format!("/force_scrape/t{n}")).await.ok();
    }
    doors.remove(&killed.1.address);
    killed.1.kill().await;
    late.commit().await.unwrap();
    let heir = behind_a_proxy(&world).await;
    doors.add(&heir.1);
    for n in 20..30 {
        heir.1.post(&format!("/force_scrape/t{n}")).await.ok();
    }
    surviving.0.cut_listeners();
    let address = surviving.1.address.clone();
    surviving.1.signal(Signal::SIGTERM);
    assert_eq!(surviving.1.ended().await, Some(0));
    doors.remove(&address);
    heir.0.cut();

    let ends: HashMap<String, String> = eventually("all runs have ended", async || {
        let runs: Vec<(String, String, bool)> =
            sqlx::query_as("select run_id::text, state, finished_at is not null from runs")
                .fetch_all(&world.database.pool)
                .await
                .unwrap();
        runs.iter().all(|run| run.2).then(|| runs.into_iter().map(|run| (run.0, run.1)).collect())
    })
    .await;
    assert_eq!(ends.len(), 30);
    for follower in followers {
        let last_words = eventually("the last word of each run is told", async || {
            let mut last_words = HashMap::new();
            for told in follower.told().iter().filter(|told| told.event == "message") {
                let word = |key: &str| told.data[key].as_str().unwrap().to_owned();
                last_words.insert(word("run_id"), word("state"));
            }
            (last_words == ends).then_some(last_words)
        })
        .await;
        assert_eq!(last_words, ends);
        let told = follower.told();
        assert!(told.iter().all(|told| ["message", "reconnect"].contains(&told.event.as_str())), "{told:?}");
        let messages: Vec<_> = told.iter().filter(|told| told.event == "message").collect();
        let distinct: HashSet<_> = messages.iter().map(|told| told.id.clone()).collect();
        assert_eq!(distinct.len(), messages.len(), "{messages:#?}");
        let of_ends = messages.iter().filter(|told| !told.data["finished_at"].is_null()).count();
        assert_eq!(of_ends, 30, "an end is told once");
    }
    let failed: HashSet<_> = ends.iter().filter(|(_, state)| *state == "failed").map(|(run, _)| run.clone()).collect();
    assert_eq!(failed.len(), 6);
    eventually("the failures are told", async || {
        let told = follower_of_failures.told();
        let told: Vec<_> = told.iter().filter(|told| told.event == "message").collect();
        assert!(told.iter().all(|told| told.data["state"] == "failed"), "{told:?}");
        let runs: HashSet<_> = told.iter().map(|told| told.data["run_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(runs.len(), told.len());
        (runs == failed).then_some(())
    })
    .await;
}
