//! The project's own clients, against a replica whose runs last as long as real ones: the Python module's tests, its
//! README to the letter, and the flow that needs nothing but curl.

use std::time::Duration;

use regex::Regex;
use tokio::process::Command;

use crate::documents::fences::cut;
use crate::harness::machine::{self, project};
use crate::harness::{Replica, World};

/// Waits end when they should, so that tests about waiting are not long.
const BRISK: [(&str, &str); 3] = [("IGT_POLL_MS", "50"), ("IGT_RETRY_BASE_MS", "10"), ("IGT_CONCURRENCY", "32")];

async fn stage() -> (World, Replica) {
    let world = World::slow(Duration::from_millis(150)).await;
    let replica = world.replica(&BRISK).await;
    (world, replica)
}

/// Python in the client's folder, for this replica.
fn python(replica: &Replica) -> Command {
    let mut python = machine::python();
    python.current_dir(project("clients/python")).env("IGT_URL", &replica.address).env("no_proxy", "*");
    python
}

#[tokio::test]
async fn the_python_client_passes_its_own_tests() {
    let (_world, replica) = stage().await;
    let mut tests = python(&replica);
    tests.args(["-W", "error::ResourceWarning", "-m", "unittest", "-v"]);
    let ran = machine::run(tests, "").await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("skipped") && ran.stderr.contains("test_basic"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_python_clients_readme_does_what_it_says() {
    let (_world, replica) = stage().await;
    let readme = std::fs::read_to_string(project("clients/python/README.md")).unwrap();
    let fences: Vec<_> = cut(&readme).into_iter().filter(|fence| fence.language != "sh").collect();
    assert_eq!(fences.len() % 2, 0, "each piece of Python is followed by what it prints");
    // One after the other in one session, as in a notebook; numbers and times differ.
    let number = Regex::new(r"\d+").unwrap();
    let mask = |text: &str| number.replace_all(text, "#").into_owned();
    let (mut session, mut expected) = (String::new(), String::new());
    for pair in fences.chunks(2) {
        assert_eq!((&*pair[0].language, &*pair[1].language), ("python", "text"));
        session += &pair[0].text;
        expected += &pair[1].text;
    }
    let printed = machine::run(python(&replica), &session).await.ok();
    assert_eq!(mask(&printed), mask(&expected), "{printed}");
}

#[tokio::test]
async fn the_curl_flow_shows_a_scrape_and_how_it_ended() {
    let (_world, replica) = stage().await;
    let scrape = async |arguments: [&str; 2]| {
        let mut shell = machine::shell_with_curl().await;
        shell.arg(project("clients/curl/scrape.sh")).args(arguments);
        shell.env("IGT_URL", &replica.address).env("IGT_POLL_SECONDS", "0.1").env("no_proxy", "*");
        machine::run(shell, "").await
    };
    let told = scrape(["curl.anna", "t"]).await.ok();
    let lines: Vec<_> = told.lines().collect();
    assert!(lines.len() >= 4 && lines[1..].contains(&"posts_fetched"), "{told}");
    assert!(lines.ends_with(&["scrape_completed", "t: completed"]), "{told}");

    let failed = scrape(["missing.curl", "m"]).await;
    assert_eq!((failed.code, failed.stdout.ends_with("scrape_failed\nm: failed\n")), (Some(1), true));

    let refused = scrape(["another.anna", "t"]).await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains(r#""result":false"#), "{}", refused.stderr);
}
