//! A setting that makes no sense is refused at start, by name; every setting is listed in `.env.example`.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it settings` writes `.env.example` anew from the command line.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;

use clap::{Arg, Command};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::harness::{Finished, World, call, snapshot};

/// Where nobody listens: what gets as far as a database fails there, and says so.
const NOWHERE: &str = "postgres://me:hidden-word@127.0.0.1:1/nowhere";

/// Calls `serve` with these settings, and gives the words with which it refuses.
async fn refusal(settings: &[(&str, &str)]) -> Finished {
    let defaults = [("DATABASE_URL", NOWHERE), ("IGT_BIND", "127.0.0.1:0")];
    let finished = call(&["serve"], &[&defaults[..], settings].concat()).finished().await;
    assert!(matches!(finished.code, Some(1 | 2)), "{settings:?}: {finished:?}");
    assert!(!finished.stderr.contains("panicked"), "{settings:?}: {finished:?}");
    finished
}

#[tokio::test]
async fn a_number_out_of_range_is_refused_by_name() {
    for (variable, flag, below, above) in [
        ("IGT_DB_CONNECTIONS", "--db-connections", "1", "1001"),
        ("IGT_CONCURRENCY", "--concurrency", "-1", "20001"),
        ("IGT_LOG_CACHE_MB", "--log-cache-mb", "0", "65537"),
        ("IGT_LEASE_SECONDS", "--lease-seconds", "0", "3601"),
        ("IGT_GRACE_SECONDS", "--grace-seconds", "-1", "3601"),
        ("IGT_RUN_DEADLINE_SECONDS", "--run-deadline-seconds", "0", "604801"),
        ("IGT_MAX_ATTEMPTS", "--max-attempts", "0", "1001"),
        ("IGT_RETRY_BASE_MS", "--retry-base-ms", "0", "300001"),
        ("IGT_THROTTLE_SECONDS", "--throttle-seconds", "0", "86401"),
        ("IGT_POLL_MS", "--poll-ms", "9", "60001"),
        ("IGT_MAX_POSTS", "--max-posts", "0", "1001"),
        ("IGT_MAX_EVENTS", "--max-events", "19", "1000001"),
        ("IGT_WEB_TIMEOUT_SECONDS", "--web-timeout-seconds", "0", "601"),
        ("IGT_WEB_GAP_MS", "--web-gap-ms", "-1", "3600001"),
        ("IGT_WEB_JITTER_MS", "--web-jitter-ms", "-1", "3600001"),
        ("IGT_WEB_BUDGET", "--web-budget", "-1", "10001"),
        ("IGT_WEB_WINDOW_SECONDS", "--web-window-seconds", "0", "604801"),
        ("IGT_BREAKER_FAILURES", "--breaker-failures", "0", "10001"),
        ("IGT_BREAKER_SECONDS", "--breaker-seconds", "0", "901"),
        ("IGT_RATE_LIMIT", "--rate-limit", "-1", "100001"),
        ("IGT_SIGN_IN_FAILURES", "--sign-in-failures", "-1", "100001"),
        ("IGT_HEAD_SECONDS", "--head-seconds", "0", "3601"),
    ] {
        for value in [below, above, "many", "1.5", "99999999999999999999999"] {
            let finished = refusal(&[(variable, value)]).await;
            assert_eq!(finished.code, Some(2), "{variable}={value}: {finished:?}");
            assert!(finished.stderr.contains(flag) && finished.stderr.contains(value), "{finished:?}");
        }
    }
    for (variable, flag, values) in [
        ("IGT_SANDBOX_DELAY_MS", "--delay-ms", ["-1", "60001", "soon"]),
        ("IGT_SANDBOX_SEED", "--seed", ["-1", "1.5", "lucky"]),
        ("IGT_SANDBOX_BIND", "--bind", ["8090", "localhost", "127.0.0.1:x"]),
    ] {
        for value in values {
            let finished = call(&["sandbox"], &[(variable, value)]).finished().await;
            assert_eq!(finished.code, Some(2), "{variable}={value}: {finished:?}");
            assert!(finished.stderr.contains(flag), "{finished:?}");
        }
    }
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused_by_name() {
    for (variable, value, name) in [
        ("IGT_BIND", "8080", "--bind"),
        ("IGT_BIND", "localhost:8080", "--bind"),
        ("IGT_BIND", "127.0.0.1:99999", "--bind"),
        ("IGT_ALLOW_ANONYMOUS", "perhaps", "--allow-anonymous"),
        ("IGT_BEHIND_TLS", "sometimes", "--behind-tls"),
        ("IGT_CORS_ORIGINS", "app.example.com", "--cors-origins"),
        ("IGT_CORS_ORIGINS", "https://app.example.com/", "--cors-origins"),
        ("IGT_V1_DEPRECATION", "tomorrow", "--v1-deprecation"),
        ("IGT_V1_DEPRECATION", "2027-02-30", "--v1-deprecation"),
        ("IGT_V1_SUNSET", "31.12.2027", "--v1-sunset"),
        ("IGT_LOG_FORMAT", "xml", "--log-format"),
        ("IGT_LOG", "ig_tracking=loud", "IGT_LOG"),
        ("IGT_LOG", "loud", "IGT_LOG"),
        ("IGT_LOG", "info,verbose", "IGT_LOG"),
        ("IGT_WEB_URL", "instagram.com", "IGT_WEB_URL"),
        ("IGT_WEB_URL", "ftp://instagram.com", "IGT_WEB_URL"),
        ("IGT_WEB_URL", "https://instagram.com/?a=b", "IGT_WEB_URL"),
        ("IGT_GRAPH_URL", "graph.facebook.com", "--graph-url"),
        ("IGT_GRAPH_URL", "file:///etc/hosts", "--graph-url"),
        ("IGT_WEB_USER_AGENT", "two\nlines", "IGT_WEB_USER_AGENT"),
        ("IGT_CREDENTIALS", "/nowhere/credentials.toml", "IGT_CREDENTIALS"),
        ("IGT_WEB_COOKIE", "csrftoken=hidden-word", "IGT_WEB_COOKIE"),
        ("IGT_WEB_COOKIE", "sessionid=hidden-word\n", "IGT_WEB_COOKIE"),
    ] {
        let finished = refusal(&[(variable, value)]).await;
        assert!(finished.stderr.contains(name), "{variable}={value}: {finished:?}");
        assert!(!finished.stderr.contains("hidden-word"), "{finished:?}");
    }
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    let finished = refusal(&[("IGT_V1_DEPRECATION", "2027-06-02"), ("IGT_V1_SUNSET", "2027-06-01")]).await;
    assert!(finished.stderr.contains("IGT_V1_SUNSET") && finished.stderr.contains("IGT_V1_DEPRECATION"));
    // Whether a key protects it, the database says.
    let world = World::new().await;
    for bind in ["0.0.0.0:0", "[::]:0"] {
        let finished = refusal(&[("DATABASE_URL", &world.database.url), ("IGT_BIND", bind)]).await;
        assert!(finished.stderr.contains("IGT_BIND") && finished.stderr.contains("--allow-anonymous"), "{finished:?}");
    }
}

#[tokio::test]
async fn an_address_that_others_reach_is_listened_on_where_it_is_allowed() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_BIND", "0.0.0.0:0"), ("IGT_ALLOW_ANONYMOUS", "true")]).await;
    assert!(replica.address.starts_with("http://0.0.0.0:"), "{}", replica.address);
    assert_eq!(replica.get("/tasks").await.ok()["total"], 0);
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_setting() {
    let world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = refusal(&[("DATABASE_URL", &world.database.url), ("IGT_BIND", &address)]).await;
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains(&address) && finished.stderr.contains("IGT_BIND"), "{finished:?}");
    let finished = call(&["sandbox", "--bind", &address], &[]).finished().await;
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains(&address) && finished.stderr.contains("IGT_SANDBOX_BIND"), "{finished:?}");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_told_without_its_password() {
    for url in [
        NOWHERE,
        "postgres://me:hidden-word@host.invalid/db",
        "postgres://me:hidden-word@127.0.0.1:port/db",
        "postgres://me:hidden-word@[::/db",
        "mysql://me:hidden-word@127.0.0.1/db",
        "host=127.0.0.1 password=hidden-word",
        "hidden-word",
    ] {
        let finished = refusal(&[("DATABASE_URL", url)]).await;
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("DATABASE_URL"), "{url}: {finished:?}");
        assert!(!finished.stderr.contains("hidden-word"), "{finished:?}");
    }
    // A server that is there, and a database that is not.
    let world = World::new().await;
    let options: PgConnectOptions = world.database.url.parse().unwrap();
    let missing = options.database("nowhere").password("hidden-word").to_url_lossy().to_string();
    let finished = refusal(&[("DATABASE_URL", &missing)]).await;
    assert!(finished.stderr.contains("nowhere") && finished.stderr.contains("DATABASE_URL"), "{finished:?}");
    assert!(!finished.stderr.contains("hidden-word"), "{finished:?}");
}

#[tokio::test]
async fn an_unknown_variable_of_ours_is_told_with_the_nearest_known_one() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_CONCURENCY", "4"), ("IGTX", "1"), ("IGT_SANDBOX_SEED", "1")]).await;
    let warnings = replica.troubles();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(
        (&warnings[0]["variable"], &warnings[0]["nearest"]),
        (&"IGT_CONCURENCY".into(), &"IGT_CONCURRENCY".into())
    );

    let sandbox = call(&["sandbox", "--bind", "127.0.0.1:0"], &[("IGT_SANDBOX_DELAY", "0")]);
    sandbox.warns("IGT_SANDBOX_DELAY_MS").await;
}

#[tokio::test]
async fn an_empty_variable_is_one_that_is_not_set() {
    let world = World::new().await;
    let mut variables = BTreeMap::new();
    list(&ig_tracking::cli::command(), &mut variables);
    // These say where the test is; all others are empty, as container files write what nobody has set.
    let own = ["DATABASE_URL", "IGT_BIND", "IGT_WEB_URL", "IGT_LOG_FORMAT", "IGT_DB_CONNECTIONS"];
    let empty: Vec<(&str, &str)> =
        variables.keys().filter(|name| !own.contains(&name.as_str())).map(|name| (name.as_str(), "")).collect();
    let replica = world.replica(&empty).await;
    assert_eq!(world.scrape(&replica, "t", "empty.settings.anna").await["status"], "completed");
    // The others, where a default serves as well.
    let finished =
        refusal(&[("IGT_LOG_FORMAT", ""), ("IGT_DB_CONNECTIONS", ""), ("IGT_BIND", ""), ("IGT_WEB_URL", "")]);
    let finished = finished.await;
    assert!(finished.stderr.contains("no connection to the database"), "{finished:?}");
    // Said on the command line, nothing is not nothing.
    let finished = call(&["serve", "--bind", ""], &[]).finished().await;
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("--bind"), "{finished:?}");
}

/// A setting as `.env.example` lists it.
#[derive(Debug, PartialEq)]
struct Listed {
    heading: String,
    help: String,
    default: String,
}

#[test]
fn every_setting_is_listed_in_the_example_file_with_its_default() {
    let mut variables = BTreeMap::new();
    let order = list(&ig_tracking::cli::command(), &mut variables);
    let mut text = String::from(
        "# Every environment variable that the command line reads, with its default; uncomment what you change. An empty\n\
         # variable counts as one that is not set. Each has a flag, too: see --help of the command. Where the programs of\n\
         # Postgres are not found by themselves, PG_BIN_DIR names their folder.\n",
    );
    let mut heading = "";
    for name in &order {
        let listed = &variables[name];
        if listed.heading != heading {
            heading = &listed.heading;
            text.push_str(&format!("\n# === {heading} ===\n"));
        }
        text.push('\n');
        for line in wrapped(&listed.help, 117) {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str(&format!("#{name}={}\n", listed.default));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    snapshot("UPDATE_GOLDEN=1 writes it anew", &path, &text);
}

/// The settings of a command and all below it by their variables, and these in the order of the command line. A
/// variable that several commands read has one default.
fn list(command: &Command, variables: &mut BTreeMap<String, Listed>) -> Vec<String> {
    let mut order = Vec::new();
    for arg in command.get_arguments() {
        let Some(name) = arg.get_env() else { continue };
        let name = name.to_str().unwrap().to_owned();
        let listed = listed(arg);
        if let Some(known) = variables.get(&name) {
            assert_eq!(known.default, listed.default, "{name} has two defaults");
            continue;
        }
        variables.insert(name.clone(), listed);
        order.push(name);
    }
    order.extend(command.get_subcommands().flat_map(|below| list(below, variables)));
    order
}

fn listed(arg: &Arg) -> Listed {
    let defaults: Vec<&str> = arg.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
    Listed {
        heading: arg.get_help_heading().unwrap_or_default().to_owned(),
        help: arg.get_help().unwrap().to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        default: defaults.join(","),
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push_str(&format!(" {word}"));
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
