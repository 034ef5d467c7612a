//! A world of accounts under faults, asked by replicas that die, with credentials of which some are no good: all ends as it
//! should, and no credential is asked with more often than it may be.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::assert_within;
use crate::credentials::{File, unique};
use crate::harness::{Answer, World, assert_sound, event_types, eventually};

/// How many requests of a credential may fall into any two seconds: fewer than the runs would make.
const BUDGET: usize = 15;

/// How many attempts in a row may bring a run no further.
const MAX_ATTEMPTS: i64 = 4;

/// A status, and its reason.
type End = (&'static str, Option<&'static str>);

/// What accounts of a name's beginning end as, each asked of a source.
const ENDS: [(&str, &str, End); 25] = [
    ("web", "", ("completed", None)),
    ("web", "flaky.1", ("completed", None)),
    ("web", "throttledonce.1", ("completed", None)),
    ("web", "ghosted", ("completed", None)),
    ("web", "asset", ("completed", None)),
    ("web", "hidden", ("completed", None)),
    ("web", "repeating", ("completed", None)),
    ("web", "missing", ("failed", Some("not_found"))),
    ("web", "private", ("partial", Some("private"))),
    ("web", "agegated", ("failed", Some("age_restricted"))),
    ("web", "broken", ("failed", Some("upstream_unavailable"))),
    ("web", "truncated", ("failed", Some("upstream_unavailable"))),
    ("web", "pleasewait", ("partial", Some("login_required"))),
    ("web", "html", ("failed", Some("login_required"))),
    ("web", "slow.1", ("completed", None)),
    ("web", "renamed", ("partial", Some("upstream_changed"))),
    ("graph", "", ("completed", None)),
    ("graph", "flaky.1", ("completed", None)),
    ("graph", "throttledonce.1", ("completed", None)),
    ("graph", "hidden", ("completed", None)),
    ("graph", "unknownfield", ("partial", Some("upstream_changed"))),
    ("graph", "personal", ("failed", Some("not_found"))),
    ("graph", "fieldlist", ("failed", Some("upstream_changed"))),
    ("graph", "transient", ("failed", Some("upstream_unavailable"))),
    ("auto", "personal", ("completed", None)),
];

/// Those that are well, of either source.
const WELL: [usize; 2] = [0, 16];

/// What would end the use of a credential that is no good.
const LOSSES: [&str; 3] = ["login_required", "challenge_required", "token_invalid"];

/// Half of them are well, the others meet what chance has for them.
fn one_of_the_world(n: usize, dice: &mut StdRng) -> (String, usize) {
    let well = WELL[usize::from(dice.random_bool(0.3))];
    let kind = if dice.random_bool(0.5) { well } else { dice.random_range(0..ENDS.len()) };
    let (source, beginning, _) = ENDS[kind];
    (format!("{beginning}.{source}{n}").trim_start_matches('.').to_owned(), kind)
}

/// The credentials of the world: five sessions and two tokens that are good, and one of each that is not.
struct Crew {
    good: BTreeMap<String, String>,
    bad: BTreeMap<&'static str, String>,
    file: File,
}

impl Crew {
    fn with_a_budget_of(budget: usize) -> Self {
        let good = ["a", "b", "c", "d", "e"].map(|name| (name.to_owned(), unique("world")));
        let tokens = ["official", "second"].map(|name| (name.to_owned(), unique("budget-100000-")));
        let bad = [("gone", unique("dead-")), ("stopped", unique("challenged-")), ("expired", unique("expired-"))];
        let pace = format!("pace = {{ budget = {budget}, window_seconds = 2 }}");
        let session = |name: &str, id: &str| {
            format!("[[session]]\nname = \"{name}\"\ncookie = \"sessionid={id}; csrftoken=x\"\n{pace}\n")
        };
        let token = |name: &str, token: &str| {
            format!("[[token]]\nname = \"{name}\"\ntoken = \"{token}\"\nuser_id = \"178414\"\n{pace}\n")
        };
        let sessions = good.iter().map(|(name, id)| session(name, id));
        let sessions = sessions.chain(bad[..2].iter().map(|(name, id)| session(name, id)));
        let official = tokens.iter().map(|(name, id)| token(name, id)).chain([token(bad[2].0, &bad[2].1)]);
        let file = File::of(&sessions.chain(official).collect::<String>());
        Self { good: good.into_iter().chain(tokens).collect(), bad: bad.into_iter().collect(), file }
    }
}

#[tokio::test]
async fn a_world_of_200_accounts_under_faults_ends_as_it_should_and_no_credential_is_overspent() {
    let seed = std::env::var("IGT_WORLD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("the world of seed {seed}; again: IGT_WORLD_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let world = World::new().await;
    let crew = Crew::with_a_budget_of(BUDGET);
    let settings = [
        ("IGT_CREDENTIALS", crew.file.path()),
        ("IGT_CONCURRENCY", "5"),
        ("IGT_LEASE_SECONDS", "5"),
        ("IGT_POLL_MS", "50"),
        ("IGT_RETRY_BASE_MS", "20"),
        ("IGT_THROTTLE_SECONDS", "1"),
        // Accounts that are broken for good are tried to the last, when all others have ended; that is no outage.
        ("IGT_BREAKER_FAILURES", "10000"),
        ("IGT_MAX_ATTEMPTS", &MAX_ATTEMPTS.to_string()),
        ("IGT_MAX_POSTS", "24"),
    ];
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(world.replica(&settings).await);
    }
    let accounts: Vec<(String, usize)> = (0..200).map(|n| one_of_the_world(n, &mut dice)).collect();
    let start = async |(n, (username, kind)): (usize, &(String, usize))| {
        let replica = &replicas[n % 3];
        let body = json!({"task_id": username, "username": username, "source": ENDS[*kind].0});
        // Whoever is told to try again in a moment does.
        let done = async |answer: Answer| (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer.status);
        let created = async || done(replica.post_json("/create_task", &body).await).await;
        assert_eq!(eventually("the task is created", created).await, StatusCode::OK, "{username}");
        let started = async || done(replica.post(&format!("/force_scrape/{username}")).await).await;
        // A start that was not answered may have been made all the same.
        let status = eventually("the scrape is started", started).await;
        assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&status), "{username}: {status}");
    };
    // A few at a time, so that none waits for the others longer than a request may.
    stream::iter(accounts.iter().enumerate()).for_each_concurrent(4, start).await;
    // Two of three die in the middle of it (`kill -9`), and are started again.
    for (place, share) in [(0, 40), (1, 90)] {
        let ended = "select count(*) from runs where finished_at is not null";
        eventually("some have ended", async || {
            let ended: i64 = sqlx::query_scalar(ended).fetch_one(&world.database.pool).await.unwrap();
            (ended >= share).then_some(())
        })
        .await;
        let doomed = std::mem::replace(&mut replicas[place], world.replica(&settings).await);
        doomed.kill().await;
    }
    for (username, kind) in &accounts {
        let status: Value = world.ended(&replicas[2], username).await;
        if has_lost_two(&world, username, &status).await || has_lost_its_worker_last(&status) {
            continue;
        }
        let end = (status["status"].as_str().unwrap(), status["reason"].as_str());
        assert_eq!(end, ENDS[*kind].2, "{username}: {:?}\n{status:#}", event_types(&status));
    }
    let unfinished = "select count(*) from runs where finished_at is null";
    let unfinished: i64 = sqlx::query_scalar(unfinished).fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(unfinished, 0, "each task has its one run, and that has ended");
    let mut reached = 0;
    for (name, id) in &crew.good {
        let calls = world.instagram.calls(id).await;
        assert!(!calls.is_empty(), "{name} was used");
        assert_within(&calls, BUDGET, 2_000);
        // As many as may be, as soon as they may be: it was the budget that held it back.
        reached += usize::from(calls.windows(BUDGET).any(|some| some[BUDGET - 1] - some[0] < 3_000));
    }
    assert!(reached > 0, "no credential had its budget to keep to");
    for id in crew.bad.values() {
        // Whoever was on its way when the first was turned away may come after it.
        let calls = world.instagram.calls(id).await;
        assert!((1..=36).contains(&calls.len()), "{} requests with a credential that is no good", calls.len());
        assert_within(&calls, BUDGET, 2_000);
    }
    let out: Vec<String> =
        sqlx::query_scalar("select name || ' ' || reason from credentials where state = 'disabled' order by name")
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(out, ["expired token_invalid", "gone login_required", "stopped challenge_required"]);
    assert_sound(&world.database.pool).await;
}

/// Whether the worker of its last attempt was among those that died: then it ends for that, as far as it has come.
fn has_lost_its_worker_last(status: &Value) -> bool {
    let after = |event: &Value| event["after"] == "lost_worker" && event["attempt"] == MAX_ATTEMPTS + 1;
    status["reason"] == "lease_lost" && status["logs"].as_array().unwrap().iter().any(after)
}

/// Whether the run met two credentials that are no good: then it ends, since it may take out no third.
async fn has_lost_two(world: &World, task: &str, status: &Value) -> bool {
    let last = status["logs"].as_array().unwrap().last().unwrap();
    if !last["failure"].as_str().is_some_and(|failure| LOSSES.contains(&failure)) {
        return false;
    }
    let lost = "select (checkpoint->>'credentials_lost')::int from runs where task_id = $1";
    let before: Option<i32> = sqlx::query_scalar(lost).bind(task).fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(before, Some(1), "{task}: {status:#}");
    true
}
