//! The OpenAPI document of version 2 is what it was, and the service is what the document says.

mod examples;

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

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

/// The operations of a document: method, path, and what is said of it.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |found| (path, found)));
    operations.map(|(path, (method, operation))| (method.as_str(), path.as_str(), operation)).collect()
}

#[tokio::test]
async fn each_operation_has_a_name_of_its_own() {
    let (_world, replica) = World::with_replica().await;
    let document = fetched(&replica, "/openapi.json").await.json();
    let mut known = BTreeMap::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        let other = known.insert(name, (method, path));
        assert_eq!(other, None, "{method} {path} is called {name}, too");
    }
    assert!(known.len() > 40, "{known:?}");
}

/// The errors, the headers and the scope that the document names for an operation are those that it has.
#[tokio::test]
async fn an_operation_says_which_scope_it_needs_which_errors_it_has_and_which_headers_come() {
    let (_world, replica) = World::with_replica().await;
    let document = fetched(&replica, "/openapi.json").await.json();
    let response = |operation: &Value, status: &str| -> Value {
        let said = &operation["responses"][status];
        match said["$ref"].as_str() {
            Some(place) => document.pointer(place.strip_prefix('#').unwrap()).unwrap().clone(),
            None => said.clone(),
        }
    };
    let mut scopes = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let of_status = |status: &str| response(operation, status);
        let is_open = operation["security"] == json!([{}]);
        let scope = operation["x-required-scope"].as_str();
        assert_eq!(scope.is_none(), is_open, "{method} {path}");
        if let Some(scope) = scope {
            let words = format!("Needs the scope `{scope}`.");
            assert!(operation["description"].as_str().unwrap().ends_with(&words), "{method} {path}");
            scopes.insert(scope);
            assert!(of_status("401")["headers"]["WWW-Authenticate"].is_object(), "{method} {path}");
            assert!(of_status("429")["headers"]["RateLimit"].is_object(), "{method} {path}");
        }
        // Whoever looks with a key may look.
        let is_refused = method != "get" || scope == Some("admin") || path.ends_with("/ws");
        assert_eq!(of_status("403").is_object(), is_refused, "{method} {path}");
        for (status, header) in [("405", "Allow"), ("429", "Retry-After"), ("503", "Retry-After")] {
            let said = of_status(status);
            let is_there = said["headers"][header].is_object();
            assert!(is_there || (said.is_null() && status == "429"), "{method} {path} {status}");
        }
        for status in operation["responses"].as_object().unwrap().keys() {
            let is_there = of_status(status)["headers"]["X-Request-Id"].is_object();
            // Whose head is too large has made no request.
            assert_eq!(is_there, status != "431", "{method} {path} {status}");
        }
        assert!(of_status("431").is_object() && of_status("414").is_object(), "{method} {path}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let takes = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
        for status in ["200", "201", "202"].into_iter().filter(|status| of_status(status).is_object()) {
            let is_replayed = of_status(status)["headers"]["Idempotency-Replayed"].is_object();
            assert_eq!(is_replayed, takes("Idempotency-Key"), "{method} {path} {status}");
        }
        // The one that has more time than others.
        assert_eq!(takes("wait"), (method, path) == ("get", "/api/v2/runs/{run_id}"), "{method} {path}");
    }
    assert_eq!(scopes, BTreeSet::from(["admin", "read", "run"]));
}

#[tokio::test]
async fn a_query_that_an_operation_does_not_know_is_refused_by_each() {
    let (_world, replica) = World::with_replica().await;
    let document = fetched(&replica, "/openapi.json").await.json();
    let mut asked = 0;
    for (method, path, _) in operations(&document).into_iter().filter(|(_, path, _)| path.starts_with("/api/v2")) {
        let path = path.replace("{run_id}", "01a20178-8408-732e-a18d-da46eb031805").replace("{seq}", "1");
        let path = path.replace(['{', '}'], "");
        let method: Method = method.to_uppercase().parse().unwrap();
        let body = (method != Method::GET).then(|| "{}".to_owned());
        let answer = replica.ask(method.clone(), &format!("{path}?colour=red"), body).await;
        let problem = answer.problem(400, "invalid-request");
        let error = &problem["errors"][0];
        assert_eq!((&error["location"], &error["field"]), (&json!("query"), &json!("colour")), "{method} {path}");
        asked += 1;
    }
    assert!(asked > 40, "{asked}");
}

#[tokio::test]
async fn version_2_begins_with_what_it_has_each_at_its_address() {
    let (_world, replica) = World::with_replica().await;
    let of_version_1 = replica.get("/tasks").await;
    assert_eq!(of_version_1.header("link"), Some("</api/v2>; rel=\"successor-version\""));
    let index = fetched(&replica, "/api/v2").await.ok();
    assert_eq!((&index["name"], &index["version"]), (&json!("ig-tracking"), &json!(env!("CARGO_PKG_VERSION"))));
    let links = index["links"].as_object().unwrap();
    for address in links.values().map(|address| address.as_str().unwrap()) {
        let query = if address.ends_with("/stream") { "?follow=false" } else { "" };
        assert_eq!(fetched(&replica, &format!("{address}{query}")).await.status, 200, "{address}");
    }
    // Nothing that can be asked for without a parameter is left out.
    let document = fetched(&replica, "/openapi.json").await.json();
    let known: Vec<&Value> = links.values().collect();
    for (method, path, _) in operations(&document) {
        let is_told = method != "get" || path.contains('{') || !path.starts_with("/api/v2");
        assert!(is_told || known.contains(&&json!(path)), "{path}");
    }
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
