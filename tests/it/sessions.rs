//! The sessions in docs/API.md: each command is run by a shell as it stands there, and what it prints has the form that stands
//! below it: the same JSON but for its values, the same words but for ids, times and numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::documents::fences::cut;
use crate::harness::machine::{project, run};
use crate::harness::{PROGRAM, Replica, World, eventually};

/// A command, and what the document has it print.
struct Step {
    command: String,
    prints: String,
}

/// The commands of version 1 and the operations endpoints, and those of version 2, in their order.
fn steps() -> [Vec<Step>; 2] {
    let text = std::fs::read_to_string(project("docs/API.md")).unwrap();
    let (version_1, version_2) = text.split_once("\n# Version 2\n").expect("docs/API.md tells of version 2");
    [version_1, version_2].map(steps_of)
}

fn steps_of(text: &str) -> Vec<Step> {
    let fences = cut(text).into_iter().filter(|fence| fence.language == "console");
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

/// A terminal at which the program and curl are as in the document.
struct Terminal {
    folder: PathBuf,
    database_url: String,
}

impl Terminal {
    fn new(world: &World) -> Self {
        let folder = std::env::temp_dir().join(format!("igt-it-programs-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(PROGRAM, folder.join("ig-tracking")).unwrap();
        // A person at a terminal sees no progress beside an answer, either.
        std::fs::write(folder.join(".curlrc"), "no-progress-meter\n").unwrap();
        Self { folder, database_url: world.database.url.clone() }
    }

    /// What the command prints.
    async fn prints(&self, command: &str, variables: &BTreeMap<&str, String>) -> String {
        let mut shell = Command::new("sh");
        let path = format!("{}:{}", self.folder.display(), std::env::var("PATH").unwrap());
        shell.current_dir(&self.folder).env("PATH", path).env("DATABASE_URL", &self.database_url);
        shell.env("CURL_HOME", &self.folder).env("no_proxy", "*").envs(variables);
        shell.args(["-c", &format!("set -u; {{ {command}\n}} 2>&1")]);
        // `grep` and `curl` may end otherwise than well; what they print says it.
        run(shell, "").await.stdout
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn every_session_of_version_2_in_the_documents_prints_what_stands_there() {
    let world = World::slow(Duration::from_millis(150)).await;
    let replica = world.replica(&[]).await;
    // What the demo has done by then.
    world.scrape(&replica, "demo-profile", "aurora.kitchen").await;
    world.scrape_reels(&replica, "demo-reel", "nordic.trails").await;
    let terminal = Terminal::new(&world);
    let mut variables = BTreeMap::from([("v2", format!("{}/api/v2", replica.address))]);
    let [_, steps] = steps();
    assert!(steps.len() > 35, "{} steps", steps.len());
    // Its run is under way for as long as it takes to be cancelled.
    world.instagram.hold("mia.draws", 0).await;
    for Step { command, prints } in steps {
        if command.starts_with("v2=") {
            continue;
        }
        if command.contains("/retry") {
            world.instagram.let_go("mia.draws").await;
        }
        // With a key made, nothing more is asked of it than what the document asks: it would be used.
        if !variables.contains_key("KEY") {
            variables.extend(known(&replica).await);
        }
        let printed = terminal.prints(&command, &variables).await;
        assert_eq!(form(&printed), form(&prints), "$ {command}\n{printed}\nstands as\n{prints}");
        if command.starts_with("ig-tracking keys create") {
            variables.insert("KEY", printed.lines().next().unwrap().to_owned());
        }
        if command.starts_with("ig-tracking keys revoke") {
            // It says within which time.
            eventually("the key is refused", async || {
                let asked = replica.http.get(format!("{}/api/v2/session", replica.address));
                let answer = asked.header("x-api-key", &variables["KEY"]).send().await.unwrap();
                (answer.status() == 401).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn every_session_of_version_1_in_the_documents_prints_what_stands_there() {
    let world = World::slow(Duration::ZERO).await;
    let replica = world.replica(&[]).await;
    let terminal = Terminal::new(&world);
    let variables = BTreeMap::from([("base", format!("{}/codvid-ai/ig-tracking", replica.address))]);
    let [steps, _] = steps();
    assert!(steps.len() > 35, "{} steps", steps.len());
    let mut before = Vec::new();
    for Step { command, prints } in steps {
        // Which series there are depends on all that was done before.
        if command.starts_with("base=") || command.contains("/metrics") {
            continue;
        }
        prepare(&world, &replica, &command, before.contains(&command)).await;
        let printed = terminal.prints(&command.replace("http://127.0.0.1:8080", &replica.address), &variables).await;
        let (now, then) = (form(&printed), form(&prints));
        // What an account does not tell is null, and which does not differs from day to day.
        let is_same = now.lines == then.lines
            && now.json.len() == then.json.len()
            && now.json.iter().zip(&then.json).all(|((path, kind), (known, as_known))| {
                path == known && (kind == as_known || [kind, as_known].contains(&&"null"))
            });
        assert!(is_same, "$ {command}\n{printed}\nstands as\n{prints}\n{now:#?}");
        before.push(command);
    }
}

/// Does what the reader of a session of version 1 has done before this command, or waits for.
async fn prepare(world: &World, replica: &Replica, command: &str, again: bool) {
    let begins = |request: &str| command.contains(&format!("$base/{request}"));
    if begins("force_scrape/aurora") && !again {
        world.instagram.hold("aurora.kitchen", 0).await;
    } else if begins("task_status/aurora") {
        world.instagram.let_go("aurora.kitchen").await;
        world.ended(replica, "aurora").await;
        world.ended(replica, "trails").await;
    } else if (begins("task_status/mia") && command.contains("jq") && !again) || begins("task_details/mia") {
        throttled(world, replica).await;
    } else if begins("task_status/bob") {
        world.scrape(replica, "bob", "missing.bob").await;
    } else if begins("cancel/aurora") && !again {
        world.instagram.hold("aurora.kitchen", 0).await;
        replica.post("/force_scrape/aurora").await.ok();
        world.instagram.holds_one("aurora.kitchen").await;
    } else if begins("cancel/aurora") {
        world.ended(replica, "aurora").await;
    }
}

/// Has Instagram throttle a run, and the guest's cool-down end for all others.
async fn throttled(world: &World, replica: &Replica) {
    replica.create("create_task", "mia", "throttled.90.mia").await;
    replica.post("/force_scrape/mia").await.ok();
    eventually("the throttle is waited for", async || {
        let status = replica.get("/task_status/mia").await.ok()["response"].clone();
        (status["latest_event"]["event_type"] == "rate_limited").then_some(())
    })
    .await;
    eventually("the guest cools, and then no more", async || {
        let warm = "update credentials set cooling_until = now() where cooling_until > now()";
        let done = sqlx::query(warm).execute(&world.database.pool).await.unwrap();
        (done.rows_affected() > 0).then_some(())
    })
    .await;
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
