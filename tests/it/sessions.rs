//! The sessions in the documents: each command is run by a shell as it stands there, and what it prints has the form that
//! stands below it: the same JSON but for its values, the same words but for ids, times and numbers.

mod form;
mod readme;
mod terminal;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use self::form::form;
use self::terminal::{Step, Terminal, steps_of};
use crate::harness::machine::project;
use crate::harness::{Replica, V1, World, eventually};

/// The commands of version 1 and the operations endpoints, and those of version 2, in their order.
fn steps() -> [Vec<Step>; 2] {
    let text = std::fs::read_to_string(project("docs/API.md")).unwrap();
    let (version_1, version_2) = text.split_once("\n# Version 2\n").expect("docs/API.md tells of version 2");
    [version_1, version_2].map(steps_of)
}

#[tokio::test]
async fn every_session_of_version_2_in_the_documents_prints_what_stands_there() {
    let world = World::slow(Duration::from_millis(150)).await;
    let replica = world.replica(&[]).await;
    // What the demo has done by then.
    world.scrape(&replica, "demo-profile", "aurora.kitchen").await;
    world.scrape_reels(&replica, "demo-reel", "nordic.trails").await;
    let terminal = Terminal::new();
    let mut variables =
        BTreeMap::from([("DATABASE_URL", world.database.url.clone()), ("v2", format!("{}/api/v2", replica.address))]);
    let [_, steps] = steps();
    assert!(steps.len() > 35, "{} steps", steps.len());
    // Its run is under way for as long as it takes to be cancelled.
    world.instagram.hold("mia.draws", 0).await;
    for Step { command, prints } in steps {
        if command.starts_with("v2=") {
            continue;
        }
        if command.contains("/retry") {
            world.instagram.let_go("mia.draws").await;
        }
        // With a key made, nothing more is asked of it than what the document asks: it would be used.
        if !variables.contains_key("KEY") {
            variables.extend(known(&replica).await);
        }
        let printed = terminal.prints(&command, &variables).await;
        assert_eq!(form(&printed), form(&prints), "$ {command}\n{printed}\nstands as\n{prints}");
        if command.starts_with("ig-tracking keys create") {
            variables.insert("KEY", printed.lines().next().unwrap().to_owned());
        }
        if command.starts_with("ig-tracking keys revoke") {
            // It says within which time.
            eventually("the key is refused", async || {
                let asked = replica.http.get(format!("{}/api/v2/session", replica.address));
                let answer = asked.header("x-api-key", &variables["KEY"]).send().await.unwrap();
                (answer.status() == 401).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn every_session_of_version_1_in_the_documents_prints_what_stands_there() {
    let world = World::slow(Duration::ZERO).await;
    let replica = world.replica(&[]).await;
    let terminal = Terminal::new();
    let variables =
        BTreeMap::from([("DATABASE_URL", world.database.url.clone()), ("base", format!("{}{V1}", replica.address))]);
    let [steps, _] = steps();
    assert!(steps.len() > 35, "{} steps", steps.len());
    let mut before = Vec::new();
    for Step { command, prints } in steps {
        // Which series there are depends on all that was done before.
        if command.starts_with("base=") || command.contains("/metrics") {
            continue;
        }
        prepare(&world, &replica, &command, before.contains(&command)).await;
        let printed = terminal.prints(&command.replace("http://127.0.0.1:8080", &replica.address), &variables).await;
        let (now, then) = (form(&printed), form(&prints));
        assert!(now.is_like(&then), "$ {command}\n{printed}\nstands as\n{prints}\n{now:#?}");
        before.push(command);
    }
}

/// Does what the reader of a session of version 1 has done before this command, or waits for.
async fn prepare(world: &World, replica: &Replica, command: &str, again: bool) {
    let begins = |request: &str| command.contains(&format!("$base/{request}"));
    if begins("force_scrape/aurora") && !again {
        world.instagram.hold("aurora.kitchen", 0).await;
    } else if begins("task_status/aurora") {
        world.instagram.let_go("aurora.kitchen").await;
        world.ended(replica, "aurora").await;
        world.ended(replica, "trails").await;
    } else if (begins("task_status/mia") && command.contains("jq") && !again) || begins("task_details/mia") {
        throttled(world, replica).await;
    } else if begins("task_status/bob") {
        world.scrape(replica, "bob", "missing.bob").await;
    } else if begins("cancel/aurora") && !again {
        world.instagram.hold("aurora.kitchen", 0).await;
        replica.post("/force_scrape/aurora").await.ok();
        world.instagram.holds_one("aurora.kitchen").await;
    } else if begins("cancel/aurora") {
        world.ended(replica, "aurora").await;
    }
}

/// Has Instagram throttle a run, and the guest's cool-down end for all others.
async fn throttled(world: &World, replica: &Replica) {
    replica.create("create_task", "mia", "throttled.90.mia").await;
    replica.post("/force_scrape/mia").await.ok();
    eventually("the throttle is waited for", async || {
        let status = replica.get("/task_status/mia").await.ok()["response"].clone();
        (status["latest_event"]["event_type"] == "rate_limited").then_some(())
    })
    .await;
    eventually("the guest cools, and then no more", async || {
        let warm = "update credentials set cooling_until = now() where cooling_until > now()";
        let done = sqlx::query(warm).execute(&world.database.pool).await.unwrap();
        (done.rows_affected() > 0).then_some(())
    })
    .await;
}

/// What the reader of a session has taken from what was printed before.
async fn known(replica: &Replica) -> Vec<(&'static str, String)> {
    let mut known = Vec::new();
    let reels = replica.v2_get("/profiles/nordic.trails/reels?limit=1").await;
    known.extend(reels["items"][0]["shortcode"].as_str().map(|code| ("code", code.to_owned())));
    let task = replica.v2(Method::GET, "/tasks/mia", None).await;
    let task: Value = serde_json::from_str(&task.text).unwrap();
    if let Some(run) = task["latest_run"]["run_id"].as_str() {
        let tag = replica.v2(Method::GET, &format!("/runs/{run}"), None).await;
        known.extend(tag.header("etag").map(|tag| ("tag", tag.to_owned())));
        known.push(("run", run.to_owned()));
    }
    known
}
