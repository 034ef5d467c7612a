//! The OpenAPI document of version 2 is what it was, and the service is what the document says.

use crate::harness::machine::{project, run, schemathesis};
use crate::harness::{Answer, Browser, Replica, World, make_key, snapshot};

async fn fetched(replica: &Replica, path: &str) -> Answer {
    replica.ask(reqwest::Method::GET, path, None).await
}

#[tokio::test]
async fn the_document_changes_only_where_somebody_meant_it_to() {
    let (_world, replica) = World::with_replica().await;
    let document = fetched(&replica, "/openapi.json").await;
    assert_eq!(document.json()["openapi"], "3.1.0");
    snapshot(
        "the document has changed; UPDATE_GOLDEN=1 takes the change over",
        &project("tests/document/openapi.json"),
        &document.text,
    );
}

/// Every route by every check: odd input, missing input, wrong methods, answers that are not as documented, and chains of
/// requests in which one takes up what another gave.
#[tokio::test]
async fn schemathesis_finds_nothing_that_is_not_as_documented() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_SIGN_IN_FAILURES", "0")]).await;
    // The examples of the document name these.
    world.scrape(&replica, "nasa-daily", "nasa").await;
    world.scrape_reels(&replica, "reels", "nasa").await;
    // It sees, too, that nothing is answered without a key.
    let key = make_key(&world, "schemathesis", "admin", &[]).await;
    // A folder of its own for what it keeps of a run: the next one begins anew.
    let folder = std::env::temp_dir().join(format!("schemathesis-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    for file in ["hooks.py", "schemathesis.toml"] {
        std::fs::copy(project("tests/document").join(file), folder.join(file)).unwrap();
    }
    let mut command = schemathesis();
    command.current_dir(&folder);
    command.args([
        "--config-file",
        "schemathesis.toml",
        "run",
        "--checks",
        "all",
        "--max-examples",
        "30",
        "--seed",
        "6",
    ]);
    command.env("KEY_ID", key.split('_').nth(1).unwrap()).args(["--header", &format!("Authorization: Bearer {key}")]);
    // Python 3.11 parses wrongly on two threads at once.
    command.args(["--no-color", "--workers", "1"]).arg(format!("{}/openapi.json", replica.address));
    let said = run(command, "").await;
    std::fs::remove_dir_all(&folder).unwrap();
    let said = said.ok();
    let paths = fetched(&replica, "/openapi.json").await.json()["paths"].clone();
    let operations: usize = paths.as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert!(operations > 10);
    assert!(said.contains(&format!("Tested: {operations}")), "{said}");
}

#[tokio::test]
async fn the_page_is_served_whole_out_of_the_program() {
    let (_world, replica) = World::with_replica().await;
    let page = fetched(&replica, "/docs").await;
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    let part = regex::Regex::new(r#"(?:src|href)="([^"]+)""#).unwrap();
    let parts: Vec<_> = part.captures_iter(&page.text).map(|found| found[1].to_owned()).collect();
    assert!(parts.len() >= 4, "{}", page.text);
    for part in parts {
        assert!(!part.contains("//"), "{part} is elsewhere");
        let found = fetched(&replica, &format!("/docs/{}", part.trim_start_matches("./"))).await;
        assert_eq!(found.status, 200, "{part}");
    }
    assert_eq!(fetched(&replica, "/docs/none.js").await.status, 404);
}

/// In a browser: every operation is shown, one is tried out and answers, and nothing is asked of another machine.
#[tokio::test]
async fn the_page_works_in_a_browser_and_asks_nobody_else() {
    let (world, replica) = World::with_replica().await;
    world.scrape(&replica, "nasa-daily", "nasa").await;
    let mut browser = Browser::at(&format!("{}/docs", replica.address)).await;
    let document = fetched(&replica, "/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    let operations: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
    browser.until(&format!("document.querySelectorAll('.opblock').length == {operations}")).await;
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let shown = format!("!!document.querySelector('.opblock-{method} [data-path=\"{path}\"]')");
            assert_eq!(browser.worth(&shown).await, true, "{method} {path}");
        }
    }
    // As a person does: open it, and have it executed.
    let list = "[...document.querySelectorAll('.opblock-get')].find(block => block.querySelector('[data-path=\"/api/v2/tasks\"]'))";
    browser.worth(&format!("{list}.querySelector('.opblock-summary-control').click()")).await;
    browser.until(&format!("!!{list}.querySelector('.execute')")).await;
    browser.worth(&format!("{list}.querySelector('.execute').click()")).await;
    let answer = browser.until(&format!("{list}.querySelector('.live-responses-table .response')?.innerText")).await;
    let answer = answer.as_str().unwrap();
    assert!(answer.starts_with("200") && answer.contains("nasa-daily"), "{answer}");
    if let Some(path) = std::env::var_os("KEEP_PICTURE") {
        std::fs::write(path, browser.picture().await).unwrap();
    }
    assert!(browser.asked().iter().any(|address| address.contains("/api/v2/tasks")), "{:#?}", browser.asked());
    let own = format!("{}/", replica.address);
    let elsewhere: Vec<&String> =
        browser.asked().iter().filter(|asked| !asked.starts_with(&own) && !asked.starts_with("data:")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    assert!(browser.complaints().is_empty(), "{:#?}", browser.complaints());
}
