//! The pace that all replicas share: no credential is asked with more often than it may be, whoever dies and whoever is
//! started again; a source that fails again and again is left alone.

mod world;

use ig_tracking::db::RunId;
use ig_tracking::db::credentials::{Pace, Registered, register};
use ig_tracking::db::slots::{Breaker, Effect, Health, Verdict, Word, hear, take_slots};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::credentials::{File, unique};
use crate::harness::{Database, Replica, World, assert_sound, event_types, eventually};

/// No window of so many milliseconds holds more than the budget.
fn assert_within(calls: &[u64], budget: usize, window_ms: u64) {
    for (place, first) in calls.iter().enumerate().skip(budget) {
        let before = calls[place - budget];
        assert!(first - before >= window_ms, "{} requests within {} ms: {calls:?}", budget + 1, first - before);
    }
}

#[tokio::test]
async fn the_budget_holds_over_replicas_kills_and_restarts() {
    let world = World::new().await;
    let id = unique("paced");
    let file = File::of_sessions(&[("paced", &id)], "budget = 12, window_seconds = 2");
    let settings =
        [("IGT_CREDENTIALS", file.path()), ("IGT_LEASE_SECONDS", "2"), ("IGT_POLL_MS", "50"), ("IGT_MAX_POSTS", "24")];
    let mut replicas = [world.replica(&settings).await, world.replica(&settings).await];
    for n in 0..10 {
        let (replica, task) = (&replicas[n % 2], format!("budget{n}"));
        replica.create("create_task", &task, &format!("budget.{task}")).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
    }
    // The pace outlives who kept to it.
    for (place, after) in [(0, 8), (1, 20)] {
        eventually("some were asked", async || (world.instagram.calls(&id).await.len() >= after).then_some(())).await;
        let doomed = std::mem::replace(&mut replicas[place], world.replica(&settings).await);
        doomed.kill().await;
    }
    for n in 0..10 {
        let status = world.ended(&replicas[0], &format!("budget{n}")).await;
        assert_eq!(status["status"], "completed", "{status:#}");
    }
    let calls = world.instagram.calls(&id).await;
    assert!(calls.len() >= 24, "{calls:?}");
    assert_within(&calls, 12, 2_000);
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn requests_keep_the_gap_between_them_however_many_ask() {
    let world = World::new().await;
    let id = unique("gap");
    let file = File::of_sessions(&[("gap", &id)], "gap_ms = 150");
    let replica = world.replica(&[("IGT_CREDENTIALS", file.path()), ("IGT_MAX_POSTS", "12")]).await;
    for n in 0..6 {
        let task = format!("gap{n}");
        replica.create("create_task", &task, &format!("gap.{task}")).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
    }
    for n in 0..6 {
        assert_eq!(world.ended(&replica, &format!("gap{n}")).await["status"], "completed");
    }
    let calls = world.instagram.calls(&id).await;
    let took = calls.last().unwrap() - calls[0];
    let least = 150 * (calls.len() as u64 - 1);
    // A request may be late by as much as a slot is kept for it.
    assert!(took + 500 >= least, "{} requests in {took} ms", calls.len());
}

#[tokio::test]
async fn a_run_whose_turn_is_far_gives_its_hand_back_and_says_until_when() {
    let world = World::new().await;
    let id = unique("far");
    let file = File::of_sessions(&[("far", &id)], "budget = 1, window_seconds = 600");
    let replica = world.replica(&[("IGT_CREDENTIALS", file.path()), ("IGT_CONCURRENCY", "1")]).await;
    for task in ["first", "second"] {
        replica.create("create_task", task, &format!("far.{task}")).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
    }
    let mut waits = Vec::new();
    for task in ["first", "second"] {
        let status = eventually("the run waits", async || {
            let status = replica.get(&format!("/task_status/{task}?logs_count=100")).await.ok()["response"].clone();
            event_types(&status).contains(&"rate_limited").then_some(status)
        })
        .await;
        let event = crate::harness::event(&status, "rate_limited");
        assert_eq!((&event["cause"], &event["credential"]), (&json!("busy"), &json!("far")), "{event}");
        waits.push(event["retry_after_s"].as_u64().unwrap());
    }
    assert_eq!(world.instagram.calls(&id).await.len(), 1);
    // In the order of asking, one window after the other.
    waits.sort_unstable();
    assert!(waits[0] > 500 && waits[1] > waits[0] + 500, "{waits:?}");
}

#[tokio::test]
async fn a_source_that_fails_again_and_again_is_left_alone_and_asked_again_when_it_answers() {
    let world = World::new().await;
    let id = unique("storm");
    let file = File::of_sessions(&[("storm", &id)], "");
    let settings = [
        ("IGT_CREDENTIALS", file.path()),
        ("IGT_BREAKER_FAILURES", "6"),
        ("IGT_BREAKER_SECONDS", "2"),
        ("IGT_RETRY_BASE_MS", "1"),
        ("IGT_MAX_ATTEMPTS", "50"),
        ("IGT_CONCURRENCY", "4"),
        ("IGT_POLL_MS", "20"),
    ];
    let (replica, other) = (world.replica(&settings).await, world.replica(&settings).await);
    let names: Vec<String> = (0..8).map(|n| format!("storm.n{n}")).collect();
    for (n, username) in names.iter().enumerate() {
        world.instagram.fault(username, json!({"fault": "broken"})).await;
        let replica = if n % 2 == 0 { &replica } else { &other };
        replica.create("create_task", username, username).await;
        replica.post(&format!("/force_scrape/{username}")).await.ok();
    }
    let opened = async || -> i32 {
        let opened = "select opened from circuits where source = 'web'";
        sqlx::query_scalar(opened).fetch_one(&world.database.pool).await.unwrap()
    };
    eventually("one request found that nothing is well yet", async || (opened().await >= 2).then_some(())).await;
    // Six that opened it, those that were on their way, and one for each time that it was tried again.
    let asked = world.instagram.calls(&id).await.len();
    assert!(asked <= 6 + 8 + 4, "{asked} requests");
    let counted = async |replica: &Replica| {
        let text = replica.ask(reqwest::Method::GET, "/metrics", None).await.text;
        text.lines().filter(|line| line.starts_with("igt_circuit_opened_total{")).count()
    };
    assert!(counted(&replica).await + counted(&other).await > 0);
    for username in &names {
        world.instagram.mend(username).await;
    }
    for username in &names {
        let status = world.ended(&replica, username).await;
        assert_eq!(status["status"], "completed", "{status:#}");
    }
    assert_eq!(opened().await, 0, "closed by the first answer");
}

const BREAKER: Breaker = Breaker { failures: 3, seconds: 60.0 };

/// A database with one credential of each kind. A replica that starts finds or makes all the rows that it needs.
async fn registered(pace: Pace) -> PgPool {
    let pool = Database::fresh().await.pool;
    sqlx::query("truncate circuits").execute(&pool).await.unwrap();
    let of = |name, source, kind| Registered { name, source, kind, pace };
    let all = [of("g", "web", "guest"), of("s", "web", "session"), of("t", "graph", "token")];
    register(&pool, &all, 1.0).await.unwrap();
    pool
}

fn word(name: &str, run: u128) -> Word {
    Word {
        name: name.to_owned(),
        run: Some(RunId(Uuid::from_u128(run))),
        answered: false,
        source: Health::Answers,
        effect: Effect::None,
        cool_seconds: 60.0,
        failure: Some("please_wait"),
        usage: None,
        regained: None,
    }
}

async fn verdict(pool: &PgPool, name: &str) -> Verdict {
    take_slots(pool, &[(name, 0)], 30.0, 1.0).await.unwrap().remove(0).verdict
}

async fn cool_no_more(pool: &PgPool) {
    sqlx::query("update credentials set cooling_until = now()").execute(pool).await.unwrap();
}

#[tokio::test]
async fn what_the_source_says_is_used_up_slows_a_credential_and_then_stops_it_until_access_is_regained() {
    let pace = Pace { gap_ms: 1_000, jitter_ms: 0, budget: Some(200), window_seconds: 3_600.0 };
    let pool = registered(pace).await;
    let gap = async || {
        let taken = take_slots(&pool, &[("t", 0), ("t", 0)], 1_000.0, 1.0).await.unwrap();
        match (taken[0].verdict, taken[1].verdict) {
            (Verdict::Go(first), Verdict::Go(second)) => (second - first).round(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(gap().await, 1.0);
    let says = async |usage, regained| {
        let word = Word { usage: Some(usage), regained, failure: None, answered: true, ..word("t", 1) };
        hear(&pool, &[word], BREAKER).await.unwrap().remove(0)
    };
    assert!(!says(79.9, None).await.cooled);
    assert_eq!(gap().await, 1.0);
    assert!(!says(80.0, None).await.cooled);
    assert_eq!(gap().await, 36.0, "twice what would spread the budget over its window");
    assert!(says(95.0, Some(900.0)).await.cooled);
    let Verdict::Cooling(seconds) = verdict(&pool, "t").await else { panic!("it cools") };
    assert!((890.0..=900.0).contains(&seconds), "{seconds}");
    // The others are other credentials.
    assert!(matches!(verdict(&pool, "s").await, Verdict::Go(_)));
}

#[tokio::test]
async fn a_wall_cools_a_credential_when_two_runs_meet_it_in_a_row_and_takes_only_a_session_out() {
    let pool = registered(Pace::NONE).await;
    for (name, last) in [("s", "disabled"), ("g", "ready")] {
        let strike = async |run| {
            let word = Word { effect: Effect::Strike, ..word(name, run) };
            hear(&pool, &[word], BREAKER).await.unwrap().remove(0)
        };
        assert!(!strike(1).await.cooled && !strike(1).await.cooled, "one run alone is one account's word");
        let answered = Word { answered: true, failure: None, ..word(name, 2) };
        hear(&pool, &[answered], BREAKER).await.unwrap();
        assert!(!strike(2).await.cooled, "an answer made up for it");
        assert!(strike(3).await.cooled);
        assert!(!strike(4).await.cooled, "who was on the way when it began to cool tells nothing new");
        for run in 5..8 {
            cool_no_more(&pool).await;
            let change = strike(run).await;
            assert_eq!(change.disabled, run == 7 && last == "disabled", "{name} {run}");
            assert_eq!(change.cooled, !change.disabled, "{name} {run}");
        }
        let state: String = sqlx::query_scalar("select state from credentials where name = $1")
            .bind(name)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(state, last);
    }
    assert_eq!(verdict(&pool, "s").await, Verdict::Disabled);
}

#[tokio::test]
async fn a_circuit_opens_by_several_runs_lets_one_through_and_opens_for_longer_where_that_one_fails() {
    let pool = registered(Pace::NONE).await;
    let fails = async |run| {
        let word = Word { source: Health::Fails, failure: Some("server_error"), ..word("s", run) };
        hear(&pool, &[word], BREAKER).await.unwrap().remove(0).circuit
    };
    for _ in 0..9 {
        assert_eq!(fails(1).await, None, "one account alone is no outage");
    }
    assert_eq!((fails(2).await, fails(3).await.as_deref()), (None, Some("opened")));
    assert!(matches!(verdict(&pool, "s").await, Verdict::Open(_)));
    assert!(matches!(verdict(&pool, "g").await, Verdict::Open(_)), "whatever the credential");
    assert!(matches!(verdict(&pool, "t").await, Verdict::Go(_)), "the other source has its own");
    let time_passes = async || {
        sqlx::query("update circuits set open_until = now() where open_until is not null").execute(&pool).await.unwrap()
    };
    for opened in 2..4 {
        time_passes().await;
        let both = take_slots(&pool, &[("s", 0), ("g", 0)], 30.0, 1.0).await.unwrap();
        let gone = both.iter().filter(|slot| matches!(slot.verdict, Verdict::Go(_))).count();
        let held = both.iter().filter(|slot| matches!(slot.verdict, Verdict::HalfOpen(_))).count();
        assert_eq!((gone, held), (1, 1));
        assert_eq!(fails(4).await.as_deref(), Some("opened"));
        let Verdict::Open(seconds) = verdict(&pool, "s").await else { panic!("it is open") };
        assert_eq!(seconds.ceil(), 60.0 * f64::from(1 << (opened - 1)));
    }
    time_passes().await;
    assert!(matches!(verdict(&pool, "s").await, Verdict::Go(_)));
    let answered = Word { answered: true, failure: None, ..word("s", 5) };
    assert_eq!(hear(&pool, &[answered], BREAKER).await.unwrap().remove(0).circuit.as_deref(), Some("closed"));
    assert!(matches!(verdict(&pool, "g").await, Verdict::Go(_)));
}

#[tokio::test]
async fn a_request_that_did_not_reach_the_source_leaves_its_circuit_as_it_is_and_lets_another_one_see() {
    let pool = registered(Pace::NONE).await;
    let circuit = async || -> Value {
        let row = "select to_jsonb(b) - 'probe_until' from circuits b where source = 'web'";
        sqlx::query_scalar(row).fetch_one(&pool).await.unwrap()
    };
    let says = async |source, run| {
        let word = Word { source, failure: Some("any"), ..word("s", run) };
        hear(&pool, &[word], BREAKER).await.unwrap().remove(0).circuit
    };
    // On the way to an outage, while the circuit is open, and when one request is let through to see.
    for (failures, opens) in [(1, None), (2, None), (3, Some("opened"))] {
        assert_eq!(says(Health::Fails, failures).await.as_deref(), opens);
        let before = circuit().await;
        assert_eq!(before["failures"], json!(failures));
        assert_eq!(says(Health::Unknown, 9).await, None);
        assert_eq!(circuit().await, before);
    }
    assert!(matches!(verdict(&pool, "g").await, Verdict::Open(_)));
    sqlx::query("update circuits set open_until = now()").execute(&pool).await.unwrap();
    let before = circuit().await;
    assert!(matches!(verdict(&pool, "s").await, Verdict::Go(_)));
    assert!(matches!(verdict(&pool, "g").await, Verdict::HalfOpen(_)), "one sees");
    assert_eq!(says(Health::Unknown, 9).await, None);
    assert_eq!(circuit().await, before, "neither closed nor opened for longer");
    assert!(matches!(verdict(&pool, "g").await, Verdict::Go(_)), "its place is another's at once");
    assert_eq!(says(Health::Answers, 10).await.as_deref(), Some("closed"));
    let failures: i64 =
        sqlx::query_scalar("select failures from credentials where name = 's'").fetch_one(&pool).await.unwrap();
    assert_eq!(failures, 3, "the credential's own count has it not, either");
}

#[tokio::test]
async fn a_pace_that_is_changed_counts_the_slots_that_were_given_out_and_keeps_the_slack() {
    let pace = |budget, seconds| Pace { gap_ms: 1_000, jitter_ms: 0, budget: Some(budget), window_seconds: seconds };
    let pool = registered(pace(4, 600.0)).await;
    let taken = take_slots(&pool, &[("s", 0), ("s", 0), ("s", 0)], 30.0, 1.0).await.unwrap();
    assert!(taken.iter().all(|slot| matches!(slot.verdict, Verdict::Go(_))), "{taken:?}");
    // From the first and from the second of the three on: a window and the second that may pass on the way to the wire.
    for (budget, seconds, oldest) in [(3, 90.0, 1), (2, 120.0, 2)] {
        let credential = Registered { name: "s", source: "web", kind: "session", pace: pace(budget, seconds) };
        register(&pool, &[credential], 1.0).await.unwrap();
        let after: f64 = sqlx::query_scalar(
            "select extract(epoch from next_slot_at - slots[$1])::float8 from credentials where name = 's'",
        )
        .bind(oldest)
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(after.round(), seconds + 1.0, "{budget} in {seconds} s");
    }
}
