//! The command line as a person, a script or a health check uses it.

use clap::Command;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Database, Replica, World, call};

#[tokio::test]
async fn the_help_of_every_command_tells_its_exit_codes() {
    let mut paths = vec![Vec::new()];
    commands(&ig_tracking::cli::command(), &mut Vec::new(), &mut paths);
    assert!(paths.len() >= 8, "{paths:?}");
    for path in paths {
        let name = format!("ig-tracking {}", path.join(" "));
        for flag in ["--help", "-h"] {
            let arguments: Vec<&str> = path.iter().map(String::as_str).chain([flag]).collect();
            let help = call(&arguments, &[]).finished().await;
            assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{name}");
            assert!(help.stdout.contains(&format!("Usage: {}", name.trim_end())), "{}", help.stdout);
            assert!(help.stdout.contains("Exit codes: 0"), "{}", help.stdout);
            assert!(help.stdout.lines().all(|line| line.chars().count() <= 110), "{}", help.stdout);
        }
    }
    let tail = call(&["runs", "tail", "--help"], &[]).finished().await.stdout;
    let tail = tail.split_whitespace().collect::<Vec<_>>().join(" ");
    for code in ["3 no such task or run", "4 the run failed", "5 it obtained a part", "6 it was cancelled"] {
        assert!(tail.contains(code), "{tail}");
    }
}

/// The paths of all commands that are not hidden.
fn commands(command: &Command, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        path.push(below.get_name().to_owned());
        paths.push(path.clone());
        commands(below, path, paths);
        path.pop();
    }
}

#[tokio::test]
async fn a_command_line_that_cannot_be_read_is_a_2() {
    for arguments in [&[][..], &["fly"], &["runs"], &["runs", "show"], &["serve", "--fly"], &["migrate", "twice"]] {
        let finished = call(arguments, &[]).finished().await;
        assert_eq!(finished.code, Some(2), "{arguments:?}: {finished:?}");
        assert!(finished.stderr.contains("Usage"), "{finished:?}");
    }
    let version = call(&["--version"], &[]).finished().await;
    assert_eq!(version.stdout, format!("ig-tracking {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn migrate_makes_the_schema_once_however_many_ask_for_it() {
    let database = Database::empty().await;
    let settings = [("DATABASE_URL", database.url.as_str())];
    let asked = (0..5).map(|_| call(&["migrate"], &settings).finished());
    for finished in futures_util::future::join_all(asked).await {
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stdout.contains("is up to date"), "{finished:?}");
    }
    let partitions = "select count(*) from pg_inherits where inhparent = 'events'::regclass";
    let partitions: i64 = sqlx::query_scalar(partitions).fetch_one(&database.pool).await.unwrap();
    assert!(partitions > 0);
    let again = call(&["migrate"], &settings).finished().await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("; 0 partitions made"), "{again:?}");
}

#[tokio::test]
async fn runs_show_tells_a_run_by_its_own_id_or_its_tasks() {
    let (world, replica) = World::with_replica().await;
    world.scrape(&replica, "t", "shown.anna").await;
    let run_id = run_of(&world.database.pool, "t").await;
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    let by_task = call(&["runs", "show", "t"], &settings).finished().await;
    let by_run = call(&["runs", "show", &run_id], &settings).finished().await;
    assert_eq!((by_task.code, &by_task.stdout), (Some(0), &by_run.stdout));
    for part in [&run_id, "t (profile of @shown.anna)", "succeeded", "scrape_completed", "requests to Instagram"] {
        assert!(by_task.stdout.contains(part), "no {part} in {}", by_task.stdout);
    }
    assert!(!by_task.stdout.contains('\u{1b}'));

    let whole = call(&["runs", "show", "t", "--json"], &settings).finished().await;
    let whole: Value = serde_json::from_str(&whole.stdout).unwrap();
    assert_eq!((&whole["run"]["run_id"], &whole["run"]["state"]), (&json!(run_id), &json!("succeeded")));
    assert_eq!(whole["events"][0]["event_type"], "scrape_started");
    assert_eq!(whole["events"].as_array().unwrap().len() as i64, whole["run"]["last_seq"]);
    assert_eq!(whole["exchanges"].as_array().unwrap().len() as i64, whole["run"]["last_exchange"]);
}

#[tokio::test]
async fn runs_show_of_a_task_that_never_ran_says_so() {
    let (world, replica) = World::with_replica().await;
    replica.create("create_task", "t", "shown.anna").await;
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    let words = call(&["runs", "show", "t"], &settings).finished().await;
    assert_eq!((words.code, words.stdout.as_str()), (Some(0), "task t has not run yet\n"));
    let whole = call(&["runs", "show", "t", "--json"], &settings).finished().await;
    let whole: Value = serde_json::from_str(&whole.stdout).unwrap();
    assert_eq!(whole, json!({"run": null, "events": [], "exchanges": []}));
}

#[tokio::test]
async fn a_run_that_is_not_there_is_a_3() {
    let world = World::new().await;
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    for name in ["nobody", "01990000-0000-7000-8000-000000000000", "no such name", ""] {
        for command in ["show", "tail", "cancel"] {
            let finished = call(&["runs", command, name], &settings).finished().await;
            assert_eq!(finished.code, Some(3), "{finished:?}");
            assert!(finished.stderr.contains("DATABASE_URL"), "{finished:?}");
        }
    }
}

#[tokio::test]
async fn runs_tail_follows_a_run_from_before_its_start_to_its_end() {
    let (world, replica) = World::with_replica().await;
    replica.create("create_task", "t", "tailed.anna").await;
    world.instagram.hold("tailed.anna", 2).await;
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    let tail = call(&["runs", "tail", "t"], &settings);
    tail.warns("has not run yet").await;
    replica.post("/force_scrape/t").await.ok();
    tail.says("account_fetched").await;
    world.instagram.holds_one("tailed.anna").await;
    world.instagram.let_go("tailed.anna").await;
    let finished = tail.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let status = world.ended(&replica, "t").await;
    let told: Vec<&str> = finished.stdout.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let types: Vec<&str> = crate::harness::event_types(&status);
    assert_eq!(told.iter().filter(|word| types.contains(word)).copied().collect::<Vec<_>>(), types);
    assert!(finished.stdout.ends_with("succeeded\n"), "{}", finished.stdout);
    assert!(!finished.stdout.contains('\u{1b}') && !finished.stderr.contains('\u{1b}'), "{finished:?}");
}

#[tokio::test]
async fn runs_tail_ends_with_the_code_of_the_runs_end() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_MAX_ATTEMPTS", "1")]).await;
    world.scrape(&replica, "partial", "private.tailed").await;
    world.instagram.fault("mended.tailed", json!({"fault": "broken"})).await;
    world.scrape(&replica, "failed", "mended.tailed").await;
    cancelled(&world, &replica, "cancelled", "stopped.tailed").await;
    let tail = async |name: &str| {
        let finished = call(&["runs", "tail", name], &[("DATABASE_URL", world.database.url.as_str())]).finished().await;
        assert!(!finished.stdout.contains('\u{1b}') && !finished.stderr.contains('\u{1b}'), "{finished:?}");
        finished.code
    };
    let failed = run_of(&world.database.pool, "failed").await;
    for (name, code) in [("partial", 5), ("failed", 4), ("cancelled", 6), (&failed, 4)] {
        assert_eq!(tail(name).await, Some(code), "{name}");
    }
    // A task stands for its latest run.
    world.instagram.mend("mended.tailed").await;
    assert_eq!(world.scrape(&replica, "failed", "mended.tailed").await["status"], "completed");
    assert_eq!((tail("failed").await, tail(&failed).await), (Some(0), Some(4)));
}

async fn cancelled(world: &World, replica: &Replica, task: &str, username: &str) {
    world.instagram.hold(username, 1).await;
    replica.create("create_task", task, username).await;
    replica.post(&format!("/force_scrape/{task}")).await.ok();
    world.instagram.holds_one(username).await;
    replica.delete(&format!("/task/{task}")).await.ok();
    assert_eq!(world.ended(replica, task).await["status"], "cancelled");
    world.instagram.let_go(username).await;
}

#[tokio::test]
async fn a_health_check_asks_whether_the_service_is_ready() {
    let (_world, replica) = World::with_replica().await;
    let address = replica.address.strip_prefix("http://").unwrap().to_owned();
    let ready = call(&["healthcheck", "--bind", &address], &[]).finished().await;
    assert_eq!((ready.code, ready.stdout.as_str()), (Some(0), "ready\n"));
    // As the service's own container would ask it, with the service's own variable.
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    let ready = call(&["healthcheck"], &[("IGT_BIND", &everywhere)]).finished().await;
    assert_eq!(ready.code, Some(0), "{ready:?}");
    replica.kill().await;
    let gone = call(&["healthcheck"], &[("IGT_BIND", &address)]).finished().await;
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains(&address), "{gone:?}");
}

#[tokio::test]
async fn the_demo_scrapes_one_task_of_each_kind_and_ends() {
    let database = Database::fresh().await;
    let settings = [("DATABASE_URL", database.url.as_str()), ("IGT_BIND", "127.0.0.1:0")];
    for _ in 0..2 {
        let demo = call(&["demo", "--once", "--delay-ms", "0"], &settings).finished().await;
        assert_eq!(demo.code, Some(0), "{demo:?}");
        assert_eq!(demo.stdout.matches("→ succeeded").count(), 2, "{}", demo.stdout);
        assert!(!demo.stdout.contains('\u{1b}'), "{}", demo.stdout);
    }
    let runs: i64 = sqlx::query_scalar("select count(*) from runs where trigger = 'demo' and state = 'succeeded'")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(runs, 4);
}

async fn run_of(pool: &PgPool, task: &str) -> String {
    sqlx::query_scalar("select run_id::text from runs where task_id = $1 order by run_id desc limit 1")
        .bind(task)
        .fetch_one(pool)
        .await
        .unwrap()
}
