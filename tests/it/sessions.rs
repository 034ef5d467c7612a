//! The sessions of version 2 in docs/API.md: each command is run by a shell as it stands there, and what it prints has the
//! form that stands below it: the same JSON but for its values, the same words but for ids, times and numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::documents::fences::cut;
use crate::harness::machine::{project, run};
use crate::harness::{PROGRAM, Replica, World};

/// A command, and what the document has it print.
struct Step {
    command: String,
    prints: String,
}

/// The commands of version 2, in their order.
fn steps() -> Vec<Step> {
    let text = std::fs::read_to_string(project("docs/API.md")).unwrap();
    let (_, version_2) = text.split_once("\n# Version 2\n").expect("docs/API.md tells of version 2");
    let fences = cut(version_2).into_iter().filter(|fence| fence.language == "console");
    let mut steps: Vec<Step> = Vec::new();
    for line in fences.flat_map(|fence| fence.text.lines().map(str::to_owned).collect::<Vec<_>>()) {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), prints: String::new() }),
            (None, Some(step)) => step.prints.push_str(&format!("{line}\n")),
            (None, None) => panic!("{line:?} stands below no command"),
        }
    }
    steps
}

#[tokio::test]
async fn every_session_of_version_2_in_the_documents_prints_what_stands_there() {
    let world = World::slow(Duration::from_millis(150)).await;
    let replica = world.replica(&[]).await;
    // What the demo has done by then.
    world.scrape(&replica, "demo-profile", "aurora.kitchen").await;
    world.scrape_reels(&replica, "demo-reel", "nordic.trails").await;
    let programs = std::env::temp_dir().join(format!("igt-it-programs-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(PROGRAM, programs.join("ig-tracking")).unwrap();
    // A person at a terminal sees no progress beside an answer, either.
    std::fs::write(programs.join(".curlrc"), "no-progress-meter\n").unwrap();
    let mut variables = BTreeMap::from([("v2", format!("{}/api/v2", replica.address))]);
    let steps = steps();
    assert!(steps.len() > 25, "{} steps", steps.len());
    for Step { command, prints } in steps {
        if command.starts_with("v2=") {
            continue;
        }
        // With a key made, nothing more is asked of it than what the document asks: it would be used.
        if !variables.contains_key("KEY") {
            variables.extend(known(&replica).await);
        }
        let mut shell = Command::new("sh");
        let path = std::env::var("PATH").unwrap();
        shell.env("PATH", format!("{}:{path}", programs.display())).env("DATABASE_URL", &world.database.url);
        shell
            .env("CURL_HOME", &programs)
            .env("no_proxy", "*")
            .envs(&variables)
            .args(["-c", &format!("set -u; {{ {command}\n}} 2>&1")]);
        let printed = run(shell, "").await;
        // `grep` and `curl` may end otherwise than well; what they print says it.
        assert_eq!(form(&printed.stdout), form(&prints), "$ {command}\n{}\nstands as\n{prints}", printed.stdout);
        if command.starts_with("ig-tracking keys create") {
            variables.insert("KEY", printed.stdout.lines().next().unwrap().to_owned());
        }
    }
    std::fs::remove_dir_all(programs).unwrap();
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

/// The form of what was printed.
#[derive(Debug, PartialEq)]
struct Form {
    /// Lines without what differs from one time to the next.
    lines: Vec<String>,
    /// Of JSON every path, with the type of what stands there.
    json: BTreeMap<String, &'static str>,
}

fn form(printed: &str) -> Form {
    let printed = printed.replace('\r', "");
    let printed = printed.as_str();
    // An answer with its head has a blank line before its body.
    let (head, body) = match printed.split_once("\n\n") {
        Some((head, body)) if head.starts_with("HTTP/") => (head, body),
        _ => ("", printed),
    };
    let mut form = Form { lines: head.lines().map(without_values).collect(), json: BTreeMap::new() };
    match serde_json::from_str(body.trim()) {
        Ok(json @ (Value::Object(_) | Value::Array(_))) => paths(&json, "", &mut form.json),
        _ => {
            for line in body.trim_end().lines() {
                let (name, json) =
                    line.split_once('{').map_or((line, None), |(name, rest)| (name, Some(format!("{{{rest}"))));
                match json.and_then(|json| serde_json::from_str::<Value>(&json).ok()) {
                    Some(json) => paths(&json, name, &mut form.json),
                    None => form.lines.push(without_values(line)),
                }
            }
            // How many there are of the same is chance.
            form.lines.dedup();
        }
    }
    form
}

fn paths(value: &Value, path: &str, into: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(items) => {
            items.iter().for_each(|item| paths(item, &format!("{path}[]"), into));
            "a list"
        }
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| paths(value, &format!("{path}.{key}"), into));
            "an object"
        }
    };
    into.insert(path.to_owned(), kind);
}

fn without_values(line: &str) -> String {
    let values = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
        (r"igt_\S+", "<key>"),
        (r"\bkey [a-z0-9]{12}\b|revoke [a-z0-9]{12}\b", "key <id>"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "<time>"),
        (r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d{4} [0-9:]+ GMT", "<date>"),
        (r#""\d+-[0-9a-f]+""#, "<tag>"),
        (r"\bW[A-Za-z0-9_-]{3,}", "<cursor>"),
        (r"\d+(\.\d+)?", "0"),
    ];
    values
        .into_iter()
        .fold(line.to_owned(), |line, (value, name)| Regex::new(value).unwrap().replace_all(&line, name).into_owned())
}
