//! Credentials: one that is throttled rests for everybody, one that is challenged is taken out until a person puts it
//! back, another one goes on; and what is secret about them is told nowhere.

use std::path::PathBuf;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::harness::{World, call, event, event_types, eventually};
use crate::proxies::answering;

/// A file of credentials, gone when the test is.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn of(text: &str) -> Self {
        let name = format!("igt-it-credentials-{}-{}.toml", std::process::id(), rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    /// Sessions by these names and ids, each with the same pace.
    pub(crate) fn of_sessions(sessions: &[(&str, &str)], pace: &str) -> Self {
        let entry = |(name, id): &(&str, &str)| {
            format!("[[session]]\nname = \"{name}\"\ncookie = \"sessionid={id}; csrftoken=x\"\npace = {{ {pace} }}\n")
        };
        Self::of(&sessions.iter().map(entry).collect::<String>())
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An id that no other test's session has.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}{:x}", rand::random::<u64>())
}

/// A credential's row.
pub(crate) async fn row(pool: &PgPool, name: &str) -> Value {
    sqlx::query_scalar("select to_jsonb(c) from credentials c where name = $1")
        .bind(name)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// How many seconds a credential cools from its latest failure on.
async fn cools_for(pool: &PgPool, name: &str) -> u64 {
    let query =
        "select round(extract(epoch from cooling_until - last_failure_at))::bigint from credentials where name = $1";
    let seconds: i64 = sqlx::query_scalar(query).bind(name).fetch_one(pool).await.unwrap();
    seconds.try_into().unwrap()
}

#[tokio::test]
async fn a_throttled_credential_rests_for_all_replicas_and_another_one_goes_on_at_once() {
    let world = World::new().await;
    let (one, two) = (unique("one"), unique("two"));
    let file = File::of_sessions(&[("one", &one), ("two", &two)], "");
    let settings = [("IGT_CREDENTIALS", file.path())];
    let (replica, other) = (world.replica(&settings).await, world.replica(&settings).await);
    let fault = json!({"fault": "throttled", "times": 1, "retry_after_seconds": 3600});
    world.instagram.fault("cooled.anna", fault).await;
    let status = world.scrape(&replica, "t", "cooled.anna").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    let changed = event(&status, "credential_changed");
    assert_eq!((&changed["failure"], &changed["http_status"]), (&json!("throttled"), &json!(429)));
    assert!(!event_types(&status).contains(&"run_resumed"), "it went on at once");
    let (resting, working) = (changed["from"].as_str().unwrap(), changed["to"].as_str().unwrap());
    let row = row(&world.database.pool, resting).await;
    assert_eq!((&row["state"], &row["reason"]), (&json!("ready"), &json!("throttled")));

    for n in 0..4 {
        let username = format!("cooled.other{n}");
        assert_eq!(world.scrape(&other, &username, &username).await["status"], "completed");
    }
    let id = |name: &str| if name == "one" { one.clone() } else { two.clone() };
    assert_eq!(world.instagram.calls(&id(resting)).await.len(), 1, "nobody asks with it");
    assert!(world.instagram.calls(&id(working)).await.len() > 8);
    // Every request says with what it was asked.
    let told: Vec<(String, i64)> =
        sqlx::query_as("select credential, count(*) from run_exchanges group by credential order by count")
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    assert_eq!((told.len(), &told[0]), (2, &(resting.to_owned(), 1)));
}

#[tokio::test]
async fn a_throttle_of_the_web_source_lasts_no_shorter_than_the_setting_whatever_it_says() {
    let world = World::new().await;
    let file = File::of_sessions(&[("only", &unique("brief"))], "");
    let settings = [("IGT_CREDENTIALS", file.path()), ("IGT_THROTTLE_SECONDS", "900"), ("IGT_POLL_MS", "20")];
    let replica = world.replica(&settings).await;
    for (task, said) in [("brief", 1), ("long", 3600)] {
        let username = format!("{task}.anna");
        let fault = json!({"fault": "throttled", "times": 1, "retry_after_seconds": said});
        world.instagram.fault(&username, fault).await;
        replica.create("create_task", task, &username).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
        let waits = eventually("the run waits", async || {
            let status = replica.get(&format!("/task_status/{task}?logs_count=100")).await.ok()["response"].clone();
            event_types(&status).contains(&"rate_limited").then(|| event(&status, "rate_limited").clone())
        })
        .await;
        let least = u64::max(said, 900);
        let retry_after = waits["retry_after_s"].as_u64().unwrap();
        // Up to a tenth more, so that not all come back at once.
        assert!((least..=least + least / 10 + 1).contains(&retry_after), "{waits}");
        assert_eq!(cools_for(&world.database.pool, "only").await, least, "nobody else asks sooner, either");
        let enabled =
            call(&["credentials", "enable", "only"], &[("DATABASE_URL", &world.database.url)]).finished().await;
        assert_eq!(enabled.code, Some(0), "{enabled:?}");
    }
}

#[tokio::test]
async fn with_no_other_credential_all_runs_wait_and_say_until_when_and_it_costs_no_attempt() {
    let world = World::new().await;
    let id = unique("only");
    let file = File::of_sessions(&[("only", &id)], "");
    let settings = [("IGT_CREDENTIALS", file.path()), ("IGT_MAX_ATTEMPTS", "1"), ("IGT_POLL_MS", "20")];
    let (replica, other) = (world.replica(&settings).await, world.replica(&settings).await);
    let fault = json!({"fault": "throttled", "times": 1, "retry_after_seconds": 3600});
    world.instagram.fault("waits.anna", fault).await;
    let status = world.scrape(&replica, "t", "waits.anna").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!("rate_limited")), "{status:#}");

    // It was the other's only attempt, and it is not spent.
    for round in 0..3 {
        if round == 0 {
            other.create("create_task", "u", "waits.bert").await;
            other.post("/force_scrape/u").await.ok();
        } else {
            // As if the time had come, and the credential cooled yet.
            due(&world.database.pool, "u").await;
        }
        let waited = eventually("the run waits", async || {
            let status = replica.get("/task_status/u?logs_count=100").await.ok()["response"].clone();
            let waits = event_types(&status).into_iter().filter(|what| *what == "rate_limited").count();
            (waits == round + 1).then_some(status)
        })
        .await;
        let event = event(&waited, "rate_limited");
        assert_eq!((&event["credential"], &event["cause"]), (&json!("only"), &json!("cooling")), "{event}");
        assert!(event["message"].as_str().unwrap().contains("credential only cools (throttled)"), "{event}");
        assert!(event["retry_after_s"].as_u64().unwrap() > 3000 && event["resume_at"].is_string(), "{event}");
    }
    assert_eq!(world.instagram.calls(&id).await.len(), 1);

    let finished = call(&["credentials", "enable", "only"], &[("DATABASE_URL", &world.database.url)]).finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    due(&world.database.pool, "u").await;
    assert_eq!(world.ended(&replica, "u").await["status"], "completed");
}

#[tokio::test]
async fn a_run_waits_for_the_credentials_that_cool_whichever_of_the_others_is_out() {
    let world = World::new().await;
    let ids = ["one", "two", "gone"].map(|name| (name, unique(name)));
    let file = File::of_sessions(&ids.each_ref().map(|(name, id)| (*name, id.as_str())), "");
    let replica = world.replica(&[("IGT_CREDENTIALS", file.path()), ("IGT_POLL_MS", "20")]).await;
    let command_line = async |words: &[&str]| {
        let finished = call(words, &[("DATABASE_URL", &world.database.url)]).finished().await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
    };
    command_line(&["credentials", "disable", "gone"]).await;
    let fault = json!({"fault": "throttled", "times": 2, "retry_after_seconds": 3600});
    world.instagram.fault("outlast.anna", fault).await;
    let waits = async |task: &str| {
        eventually("the run waits, or has ended", async || {
            let status = replica.get(&format!("/task_status/{task}?logs_count=100")).await.ok()["response"].clone();
            (event_types(&status).contains(&"rate_limited") || status["is_processing"] == false).then_some(status)
        })
        .await
    };
    // Both are throttled by one run, and another one finds both cooling.
    for (task, changes) in [("anna", 1), ("bert", 0)] {
        replica.create("create_task", task, &format!("outlast.{task}")).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
        let status = waits(task).await;
        assert_eq!((&status["is_processing"], &status["status"]), (&json!(true), &json!("processing")), "{status:#}");
        let changed = event_types(&status).into_iter().filter(|what| *what == "credential_changed").count();
        assert_eq!(changed, changes, "{status:#}");
        assert!(event(&status, "rate_limited")["retry_after_s"].as_u64().unwrap() > 3000, "{status:#}");
    }
    assert!(world.instagram.calls(&ids[2].1).await.is_empty(), "nobody asks with the one that is out");

    command_line(&["credentials", "enable", "two"]).await;
    for task in ["anna", "bert"] {
        due(&world.database.pool, task).await;
        assert_eq!(world.ended(&replica, task).await["status"], "completed");
    }
}

/// Makes a task's waiting run due.
async fn due(pool: &PgPool, task: &str) {
    let due = "update runs set claimable_at = now() where task_id = $1 and state = 'waiting'";
    assert_eq!(sqlx::query(due).bind(task).execute(pool).await.unwrap().rows_affected(), 1);
}

#[tokio::test]
async fn a_challenged_or_dead_session_is_taken_out_until_a_person_puts_it_back() {
    for (prefix, reason) in [("challenged-", "challenge_required"), ("dead-", "login_required")] {
        let world = World::new().await;
        let (bad, good) = (unique(prefix), unique("good"));
        let both = File::of_sessions(&[("bad", &bad), ("good", &good)], "");
        let replica = world.replica(&[("IGT_CREDENTIALS", both.path())]).await;
        // The one that rested longest is asked with, so that two runs try both.
        let mut changed = 0;
        for n in 0..2 {
            let username = format!("takenout{n}.{}", reason.split('_').next().unwrap());
            let status = world.scrape(&replica, &username, &username).await;
            assert_eq!(status["status"], "completed", "{status:#}");
            if event_types(&status).contains(&"credential_changed") {
                let event = event(&status, "credential_changed");
                assert_eq!((&event["failure"], &event["to"]), (&json!(reason), &json!("good")));
                let message = event["message"].as_str().unwrap();
                for words in ["credential bad is taken out", "credentials enable bad", "goes on with credential good"] {
                    assert!(message.contains(words), "{message}");
                }
                changed += 1;
            }
        }
        assert_eq!((changed, world.instagram.calls(&bad).await.len()), (1, 1));
        let stands = row(&world.database.pool, "bad").await;
        assert_eq!((&stands["state"], &stands["reason"]), (&json!("disabled"), &json!(reason)));
        // Its first request was its last, and is told all the same.
        assert!(stands["requests_total"] == 1 && stands["last_used_at"].is_string(), "{stands}");

        // Where there is no other, a run ends with the reason and says what to do, and asks nothing.
        let alone = File::of_sessions(&[("bad", &bad)], "");
        let lonely = world.replica(&[("IGT_CREDENTIALS", alone.path()), ("IGT_POLL_MS", "20")]).await;
        replica.kill().await;
        let status = world.scrape(&lonely, "t", "takenout.late").await;
        assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!(reason)));
        let message = event(&status, "scrape_failed")["message"].as_str().unwrap();
        assert!(message.contains("ig-tracking credentials enable bad"), "{message}");
        assert_eq!(world.instagram.calls(&bad).await.len(), 1);

        let settings = [("DATABASE_URL", world.database.url.as_str())];
        let enabled =
            call(&["credentials", "enable", "bad", "--reason", "signed in again"], &settings).finished().await;
        assert_eq!(enabled.code, Some(0), "{enabled:?}");
        assert_eq!(row(&world.database.pool, "bad").await["state"], "ready");
        world.scrape(&lonely, "t", "takenout.late").await;
        assert_eq!(world.instagram.calls(&bad).await.len(), 2, "it was asked again");
    }
}

#[tokio::test]
async fn an_account_that_challenges_every_session_costs_a_run_two_of_them_and_no_more() {
    let world = World::new().await;
    let ids = ["one", "two", "three"].map(|name| (name, unique(name)));
    let file = File::of_sessions(&ids.each_ref().map(|(name, id)| (*name, id.as_str())), "");
    let replica = world.replica(&[("IGT_CREDENTIALS", file.path())]).await;
    let status = world.scrape(&replica, "t", "challenged.everybody").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!("challenge_required")), "{status:#}");
    assert_eq!(event_types(&status), ["scrape_started", "credential_changed", "scrape_failed"]);
    let mut disabled = 0;
    for (name, id) in &ids {
        let out = row(&world.database.pool, name).await["state"] == "disabled";
        assert_eq!(world.instagram.calls(id).await.len(), usize::from(out), "{name}");
        disabled += usize::from(out);
    }
    assert_eq!(disabled, 2);
    // The third is as good as before.
    assert_eq!(world.scrape(&replica, "u", "unchallenged.anna").await["status"], "completed");
}

#[tokio::test]
async fn an_accounts_own_wall_takes_no_guest_out() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_THROTTLE_SECONDS", "1"), ("IGT_RETRY_BASE_MS", "5")]).await;
    for fault in ["loginwall", "loggedout", "consent", "challenged", "html"] {
        let status = world.scrape(&replica, fault, &format!("{fault}.walled")).await;
        assert_eq!(status["status"], "failed", "{status:#}");
        assert_eq!(row(&world.database.pool, "guest").await["state"], "ready", "{fault}");
    }
    assert_eq!(world.scrape(&replica, "t", "unwalled.anna").await["status"], "completed");
    assert_eq!(row(&world.database.pool, "guest").await["strikes"], 0, "an answer makes up for them");
}

#[tokio::test]
async fn the_command_line_lists_checks_and_sets_credentials() {
    let world = World::new().await;
    let (live, dead) = (unique("live"), unique("dead-"));
    let file = File::of_sessions(&[("live", &live), ("gone", &dead)], "budget = 9, window_seconds = 60");
    let settings = [
        ("DATABASE_URL", world.database.url.as_str()),
        ("IGT_CREDENTIALS", file.path()),
        ("IGT_WEB_URL", world.instagram.url.as_str()),
    ];
    let ask = async |arguments: &[&str]| call(&[&["credentials"], arguments].concat(), &settings).finished().await;
    let empty = ask(&["list"]).await;
    assert!(empty.code == Some(0) && empty.stdout.contains("with any credential yet"), "{empty:?}");

    let checked = ask(&["check", "live", "--username", "checked.anna"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("live can be used: @checked.anna has"), "{checked:?}");
    let rows: i64 =
        sqlx::query_scalar("select count(*) from credentials").fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(rows, 1, "who checks one enters no other");
    let checked = ask(&["check", "gone"]).await;
    assert_eq!(checked.code, Some(8), "{checked:?}");
    assert!(checked.stdout.contains("gone cannot be used") && checked.stdout.contains("login_required"), "{checked:?}");
    // It was taken out, and a second look asks nothing.
    let checked = ask(&["check", "gone"]).await;
    assert!(checked.stdout.contains("is disabled (login_required)"), "{checked:?}");
    assert_eq!(world.instagram.calls(&dead).await.len(), 1);

    let listed = ask(&["list"]).await.stdout;
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{listed}"));
    for part in ["web", "session", "ready", "1 of 9 in 60 s"] {
        assert!(line("live").contains(part), "{listed}");
    }
    assert!(line("gone").contains("disabled") && line("gone").contains("login_required"), "{listed}");
    let disabled = ask(&["disable", "live", "--reason", "on holiday"]).await;
    assert!(disabled.code == Some(0) && disabled.stdout.contains("credentials enable live"), "{disabled:?}");
    let rows: Value = serde_json::from_str(&ask(&["list", "--json"]).await.stdout).unwrap();
    let (gone, live_row) = (&rows[0], &rows[1]);
    assert_eq!(
        (&gone["name"], &gone["state"], &gone["requests_total"]),
        (&json!("gone"), &json!("disabled"), &json!(1))
    );
    assert_eq!((&live_row["reason"], &live_row["note"]), (&json!("operator"), &json!("on holiday")));
    assert_eq!(ask(&["enable", "live"]).await.code, Some(0));

    for arguments in [&["check", "nobody"][..], &["enable", "nobody"], &["disable", "nobody"]] {
        let finished = ask(arguments).await;
        assert_eq!(finished.code, Some(3), "{finished:?}");
        assert!(finished.stderr.contains("nobody"), "{finished:?}");
    }
    assert!(!listed.contains(&live) && !listed.contains(&dead));
}

#[tokio::test]
async fn what_a_check_meets_counts_as_for_a_run_under_the_same_settings() {
    let world = World::new().await;
    let file = File::of_sessions(&[("busy", &unique("throttled-"))], "");
    let settings = [
        ("DATABASE_URL", world.database.url.as_str()),
        ("IGT_CREDENTIALS", file.path()),
        ("IGT_WEB_URL", world.instagram.url.as_str()),
        ("IGT_THROTTLE_SECONDS", "1800"),
    ];
    let checked = call(&["credentials", "check", "busy"], &settings).finished().await;
    assert_eq!(checked.code, Some(8), "{checked:?}");
    assert_eq!(cools_for(&world.database.pool, "busy").await, 1800);
}

#[tokio::test]
async fn what_is_secret_about_credentials_is_told_nowhere() {
    let world = World::new().await;
    let id = unique("planted-session-");
    // As Instagram writes ids of sessions; who answers repeats this one as it is written, as it is meant, and twice written.
    let echo = answering("400 No", |head| {
        let cookie = head.lines().find(|line| line.starts_with("cookie")).unwrap_or_default();
        let said = format!("no to {cookie} {} {}", cookie.replace("%3A", ":"), cookie.replace('%', "%25"));
        json!({"status": "fail", "message": said}).to_string()
    })
    .await;
    let text = format!(
        "[[session]]\nname = \"live\"\ncookie = \"sessionid={id}; csrftoken=planted-csrf; mid=planted-mid\"\n\
         [[session]]\nname = \"cut\"\ncookie = \"sessionid=planted-other; csrftoken=planted-csrf\"\n\
         proxy = \"http://planted-user:planted-password@127.0.0.1:1\"\n\
         [[session]]\nname = \"socks\"\ncookie = \"sessionid=planted-third\"\n\
         proxy = \"socks5://planted-user:planted-password@127.0.0.1:1\"\n\
         [[session]]\nname = \"echoed\"\ncookie = \"ds_user_id=1789123; sessionid=1789123%3Aplanted-echo%3A2\"\n\
         proxy = \"http://{echo}\"\n\
         [[token]]\nname = \"official\"\ntoken = \"planted-token\"\nuser_id = \"178414\"\n"
    );
    let file = File::of(&text);
    let settings = [
        ("IGT_CREDENTIALS", file.path()),
        ("IGT_GRAPH_URL", world.instagram.url.as_str()),
        ("IGT_LOG", "debug"),
        ("IGT_BREAKER_FAILURES", "10000"),
        ("IGT_RETRY_BASE_MS", "5"),
        ("IGT_THROTTLE_SECONDS", "1"),
        ("IGT_POLL_MS", "20"),
    ];
    let replica = world.replica(&settings).await;
    let mut told = Vec::new();
    for name in ["plain", "missing", "verbose.1", "garbled", "html", "truncated", "forbidden", "flaky.1", "challenged"]
    {
        for source in ["web", "graph"] {
            let (task, username) = (format!("{name}-{source}"), format!("{name}.planted.{source}"));
            let body = json!({"task_id": task, "username": username, "source": source});
            replica.post_json("/create_task", &body).await.ok();
            replica.post(&format!("/force_scrape/{task}")).await.ok();
            told.push(world.ended(&replica, &task).await.to_string());
            told.push(replica.get(&format!("/task_details/{task}")).await.text);
        }
    }
    let failed: i64 = sqlx::query_scalar("select count(*) from run_exchanges where failure = 'connection_failed'")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert!(failed > 0, "the proxies were met");
    told.push(replica.get("/tasks").await.text);
    told.push(replica.ask(reqwest::Method::GET, "/metrics", None).await.text);
    told.extend(replica.lines());
    let all = everything(&world.database.pool).await;
    assert!(all.iter().any(|text| text.contains("sessionid=[removed]")), "the echo was met and is kept");
    told.extend(all);
    for arguments in [
        &["credentials", "list", "--json"][..],
        &["runs", "show", "challenged-web", "--json"],
        &["credentials", "check", "cut"],
    ] {
        let settings = [
            ("DATABASE_URL", world.database.url.as_str()),
            ("IGT_CREDENTIALS", file.path()),
            ("IGT_WEB_URL", world.instagram.url.as_str()),
            ("IGT_GRAPH_URL", world.instagram.url.as_str()),
        ];
        let finished = call(arguments, &settings).finished().await;
        told.push(format!("{}{}", finished.stdout, finished.stderr));
    }
    // What keeps it from starting tells none of it, either.
    for (from, to) in [
        ("mid=planted-mid\"", "mid=planted-mid"),
        ("cookie = \"sessionid=planted-third\"", "cookie = [\"planted-third\"]"),
        ("user_id = \"178414\"", "user_id = \"planted-token\""),
        ("socks5://", "gopher://"),
        ("name = \"socks\"", "\"planted-session-x y\" = 1"),
        ("sessionid=planted-other", "sessionid=planted-other\\n"),
    ] {
        assert!(text.contains(from), "{from}");
        let broken = File::of(&text.replace(from, to));
        let settings = [("IGT_CREDENTIALS", broken.path()), ("DATABASE_URL", "postgres://127.0.0.1:1/nowhere")];
        let finished = call(&["serve"], &settings).finished().await;
        assert_eq!(finished.code, Some(1), "{to}: {finished:?}");
        assert!(finished.stderr.contains(broken.path()), "{to}: {finished:?}");
        told.push(finished.stderr);
    }
    for text in told {
        assert!(!text.contains("planted-"), "{}", &text[text.find("planted-").unwrap().saturating_sub(200)..]);
    }
}

/// Every row of every table as text, and the kept bodies as they were answered.
pub(crate) async fn everything(pool: &PgPool) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut all = Vec::new();
    for table in tables {
        let rows = format!("select t::text from {table} t");
        all.extend(sqlx::query_scalar::<_, String>(AssertSqlSafe(rows)).fetch_all(pool).await.unwrap());
    }
    let bodies: Vec<Vec<u8>> =
        sqlx::query_scalar("select body from run_exchanges where body is not null").fetch_all(pool).await.unwrap();
    all.extend(bodies.iter().map(|body| String::from_utf8_lossy(&zstd::decode_all(&body[..]).unwrap()).into_owned()));
    all
}

#[tokio::test]
async fn a_task_names_its_source_and_one_that_nothing_can_ask_ends_and_says_what_to_do() {
    let (world, replica) = World::with_replica().await;
    for (task, source) in [("a", "auto"), ("w", "web"), ("g", "graph")] {
        let body = json!({"task_id": task, "username": format!("sourced.{task}"), "source": source});
        replica.post_json("/create_task", &body).await.ok();
        replica.post(&format!("/force_scrape/{task}")).await.ok();
    }
    for task in ["a", "w"] {
        assert_eq!(world.ended(&replica, task).await["status"], "completed", "{task}");
    }
    let status = world.ended(&replica, "g").await;
    let message = event(&status, "scrape_failed")["message"].as_str().unwrap();
    assert!(message.contains("source graph") && message.contains("IGT_CREDENTIALS"), "{message}");
    // Named again without a source, a task keeps the one that it has.
    replica.create("create_task", "g", "sourced.g").await;
    let kept: String = sqlx::query_scalar("select source from tasks where task_id = 'g'")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(kept, "graph");
    for source in [json!("instagram"), json!(7), json!(["web"])] {
        let answer = replica.post_json("/create_task", &json!({"username": "sourced.x", "source": source})).await;
        assert!(answer.error(400).contains("auto, web or graph"));
    }
}
