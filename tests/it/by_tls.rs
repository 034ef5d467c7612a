//! Instagram as it is reached in truth: by TLS, and many requests at a time on one connection of HTTP/2.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::Value;

use crate::credentials::unique;
use crate::harness::{World, assert_sound};

#[tokio::test]
async fn by_tls_all_runs_share_a_connection_of_http_2_and_end_as_they_do_without() {
    const AT_A_TIME: usize = 40;
    let authority = std::env::temp_dir().join(format!("{}.pem", unique("igt-it-by-tls-")));
    let world = World::by_tls(&authority).await;
    assert!(world.instagram.url.starts_with("https://"), "{}", world.instagram.url);
    let trusted = [("SSL_CERT_FILE", authority.to_str().unwrap()), ("IGT_LOG", "info,h2=debug")];
    let replica = world.replica(&trusted).await;
    let posts = world.scrape(&replica, "posts", "tls.anna").await;
    let reels = world.scrape_reels(&replica, "reels", "tls.bella").await;
    assert_eq!(
        (&posts["status"], &reels["status"]),
        (&Value::from("completed"), &Value::from("completed")),
        "{posts:#}"
    );

    let tasks: Vec<_> = (0..AT_A_TIME).map(|n| format!("t{n}")).collect();
    let ended = join_all(tasks.iter().map(|task| world.scrape(&replica, task, "tls.carla"))).await;
    let statuses: BTreeSet<_> = ended.iter().map(|status| status["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, BTreeSet::from(["completed"]));
    assert_sound(&world.database.pool).await;

    let began = |line: &&Value| line["message"] == "binding client connection";
    assert_eq!(replica.log().iter().filter(began).count(), 1);
    std::fs::remove_file(authority).unwrap();
}

#[tokio::test]
async fn one_whose_authority_nobody_knows_is_not_asked_and_the_run_says_so() {
    let authority = std::env::temp_dir().join(format!("{}.pem", unique("igt-it-by-tls-")));
    let world = World::by_tls(&authority).await;
    let replica = world.replica(&[("IGT_MAX_ATTEMPTS", "1")]).await;
    let status = world.scrape(&replica, "t", "tls.dora").await;
    assert_eq!(status["status"], "failed", "{status:#}");
    assert!(status["latest_event"].to_string().contains("certificate"), "{status:#}");
    std::fs::remove_file(authority).unwrap();
}
