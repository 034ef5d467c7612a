//! What tests and people set on one account: faults, a gate that holds its answers, and the log of its requests.
//!
//! Up to 1,000 accounts may have controls at a time; the last 1,000 requests of each of 10,000 accounts are kept.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::instagram::{Shortcode, Username};

use super::answers::json_of;
use super::caller::SESSIONS;
use super::desk::Desk;
use super::endpoint::{self, ALL, Endpoint};
use super::fault::{self, Rule, names};
use super::graph::token::TOKENS;
use super::ledger::{Full, Gate, MAX_CONTROLLED, Standing};
use super::scene::Edits;

/// The longest delay that may be asked for, in milliseconds (one hour).
const LONGEST_DELAY_MS: u64 = 3_600_000;

/// The body of `PUT /sandbox/faults/{username}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultBody {
    fault: String,
    endpoint: Option<String>,
    #[serde(default)]
    after: u64,
    times: Option<u64>,
    number: Option<u64>,
    retry_after_seconds: Option<u64>,
    delay_ms: Option<u64>,
}

/// The body of `PUT /sandbox/gate/{username}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GateBody {
    endpoint: Option<String>,
    #[serde(default)]
    after: u64,
}

/// The body of `PUT /sandbox/names/{username}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NameBody {
    to: String,
    #[serde(default)]
    taken: bool,
}

/// The body of `PUT /sandbox/posts/{username}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PostsBody {
    #[serde(default)]
    gone: Vec<Shortcode>,
    #[serde(default)]
    captions: HashMap<Shortcode, Option<String>>,
}

/// A control that cannot be done, and what to do instead.
pub(super) struct Refused(String);

/// What a control answers.
pub(super) type Done = Result<Response, Refused>;

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        json_of(StatusCode::BAD_REQUEST, &json!({ "error": self.0 }))
    }
}

impl From<Full> for Refused {
    fn from(_: Full) -> Self {
        Self(format!(
            "{MAX_CONTROLLED} accounts have faults or gates already; DELETE /sandbox/faults/<username> or /sandbox/gate/<username> of one first"
        ))
    }
}

/// `GET /sandbox/faults`: the table of names.
pub(super) async fn table() -> Response {
    let sessions = SESSIONS.map(|(prefix, about)| json!({ "prefix": prefix, "about": about }));
    let tokens = TOKENS.map(|(prefix, about)| json!({ "prefix": prefix, "about": about }));
    let endpoints: Vec<&str> = endpoint::names().collect();
    json_of(
        StatusCode::OK,
        &json!({ "faults": names(), "endpoints": endpoints, "sessions": sessions, "tokens": tokens }),
    )
}

/// `GET /sandbox/faults/{username}`
pub(super) async fn faults(State(desk): State<Arc<Desk>>, Path(username): Path<String>) -> Done {
    let username = account(&desk, &username)?;
    Ok(faults_of(&desk, &username))
}

/// `PUT /sandbox/faults/{username}`: sets a fault, in the place of one for the same endpoints.
pub(super) async fn set_fault(State(desk): State<Arc<Desk>>, Path(username): Path<String>, body: Bytes) -> Done {
    let username = account(&desk, &username)?;
    let rule = rule(read(&body, "{\"fault\": \"throttled\", \"endpoint\": \"timeline\", \"times\": 1}")?)?;
    desk.ledger.set_fault(username.as_str(), rule)?;
    Ok(faults_of(&desk, &username))
}

/// `DELETE /sandbox/faults/{username}`: removes what was set; the fault of the name itself stays.
pub(super) async fn clear_faults(State(desk): State<Arc<Desk>>, Path(username): Path<String>) -> Done {
    let username = account(&desk, &username)?;
    let removed = desk.ledger.clear_faults(username.as_str());
    Ok(json_of(StatusCode::OK, &json!({ "username": username, "removed": removed })))
}

/// `GET /sandbox/gate/{username}`
pub(super) async fn gate(State(desk): State<Arc<Desk>>, Path(username): Path<String>) -> Done {
    let username = account(&desk, &username)?;
    Ok(gate_of(&desk, &username))
}

/// `PUT /sandbox/gate/{username}`: holds answers from now on, and lets go whoever an earlier gate held.
pub(super) async fn set_gate(State(desk): State<Arc<Desk>>, Path(username): Path<String>, body: Bytes) -> Done {
    let username = account(&desk, &username)?;
    let body =
        if body.is_empty() { GateBody::default() } else { read(&body, "{\"endpoint\": \"timeline\", \"after\": 1}")? };
    desk.ledger
        .set_gate(username.as_str(), Gate::new(endpoints(body.endpoint.as_deref())?.unwrap_or(ALL), body.after))?;
    Ok(gate_of(&desk, &username))
}

/// `DELETE /sandbox/gate/{username}`: lets go whoever is held.
pub(super) async fn open_gate(State(desk): State<Arc<Desk>>, Path(username): Path<String>) -> Done {
    let username = account(&desk, &username)?;
    let released = desk.ledger.open_gate(username.as_str());
    Ok(json_of(StatusCode::OK, &json!({ "username": username, "released": released })))
}

/// `PUT /sandbox/names/{username}`: the account bears another name from now on; faults, gates and the log go by the name.
pub(super) async fn rename(State(desk): State<Arc<Desk>>, Path(username): Path<String>, body: Bytes) -> Done {
    let from = account(&desk, &username)?;
    let body: NameBody = read(&body, "{\"to\": \"somebody\", \"taken\": false}")?;
    let to = Username::parse(&body.to).map_err(|error| Refused(format!("\"to\" cannot be used: {error}")))?;
    if to == from {
        return Err(Refused("\"to\" is the name that it has; give another one".to_owned()));
    }
    desk.rename(&from, &to, body.taken)?;
    Ok(json_of(StatusCode::OK, &json!({ "username": from, "to": to, "taken": body.taken })))
}

/// `PUT /sandbox/posts/{username}`: posts are deleted, and captions edited, in the place of what was before.
pub(super) async fn edit_posts(State(desk): State<Arc<Desk>>, Path(username): Path<String>, body: Bytes) -> Done {
    let username = account(&desk, &username)?;
    let body: PostsBody = read(&body, "{\"gone\": [\"CPv3UqsBFvg\"], \"captions\": {\"CPv3UqsBFvg\": \"new\"}}")?;
    let edits = Edits {
        gone: body.gone.iter().map(Shortcode::pk).collect(),
        captions: body.captions.into_iter().map(|(code, text)| (code.pk(), text)).collect(),
    };
    let (gone, captions) = (edits.gone.len(), edits.captions.len());
    desk.ledger.edit(username.as_str(), Some(edits))?;
    Ok(json_of(StatusCode::OK, &json!({ "username": username, "gone": gone, "captions": captions })))
}

/// `DELETE /sandbox/posts/{username}`: all posts are there again, as they were.
pub(super) async fn restore_posts(State(desk): State<Arc<Desk>>, Path(username): Path<String>) -> Done {
    let username = account(&desk, &username)?;
    desk.ledger.edit(username.as_str(), None)?;
    Ok(json_of(StatusCode::OK, &json!({ "username": username, "gone": 0, "captions": 0 })))
}

/// `GET /sandbox/requests/{username}`: the log, oldest first.
pub(super) async fn requests(State(desk): State<Arc<Desk>>, Path(username): Path<String>) -> Done {
    let username = account(&desk, &username)?;
    let (requests, total) = desk.ledger.requests(username.as_str());
    Ok(json_of(StatusCode::OK, &json!({ "username": username, "total": total, "requests": requests })))
}

/// `GET /sandbox/callers/{caller}`: when a session, a token, or `guest` asked.
pub(super) async fn callers(State(desk): State<Arc<Desk>>, Path(caller): Path<String>) -> Response {
    let calls = desk.callers.of(&caller);
    json_of(StatusCode::OK, &json!({ "caller": caller, "total": calls.total, "at_ms": calls.at_ms }))
}

/// The account of a control; its number leads to its name from now on, so that a control also meets requests by number.
fn account(desk: &Desk, text: &str) -> Result<Username, Refused> {
    let username = Username::parse(text).map_err(|error| Refused(error.to_string()))?;
    desk.bearer(&username);
    Ok(username)
}

fn read<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| Refused(format!("the body cannot be read: {error}; send JSON such as {example}")))
}

fn rule(body: FaultBody) -> Result<Rule, Refused> {
    let row = fault::named(&body.fault)
        .ok_or_else(|| Refused(format!("there is no fault {:?}; GET /sandbox/faults lists them", body.fault)))?;
    let number = body.number.or(body.retry_after_seconds);
    if body.number.is_some() && row.number.is_none() {
        return Err(Refused(format!("the fault {} takes no number; leave \"number\" out", row.name)));
    }
    if body.retry_after_seconds.is_some() && !row.fault.is_throttle() {
        return Err(Refused(format!("the fault {} sends no Retry-After; leave \"retry_after_seconds\" out", row.name)));
    }
    if body.times == Some(0) {
        return Err(Refused(
            "\"times\" is 0, so the fault would meet nobody; give 1 or more, or leave it out".to_owned(),
        ));
    }
    if body.delay_ms.is_some_and(|delay| delay > LONGEST_DELAY_MS) {
        return Err(Refused(format!("\"delay_ms\" is more than an hour; give at most {LONGEST_DELAY_MS}")));
    }
    let rule = Rule::new(row, number);
    Ok(Rule {
        endpoints: endpoints(body.endpoint.as_deref())?.unwrap_or(rule.endpoints),
        after: body.after,
        times: body.times.or(rule.times),
        delay_ms: body.delay_ms.unwrap_or(rule.delay_ms),
        ..rule
    })
}

fn endpoints(name: Option<&str>) -> Result<Option<&'static [Endpoint]>, Refused> {
    let Some(name) = name else { return Ok(None) };
    endpoint::named(name).map(Some).ok_or_else(|| {
        Refused(format!(
            "there is no endpoint {name:?}; name one of {}",
            endpoint::names().collect::<Vec<_>>().join(", ")
        ))
    })
}

fn faults_of(desk: &Desk, username: &Username) -> Response {
    let tell = |standing: &Standing, by_name: bool| {
        let rule = standing.rule;
        json!({
            "fault": rule.name,
            "endpoints": rule.endpoints.iter().map(|endpoint| endpoint.name()).collect::<Vec<_>>(),
            "after": rule.after,
            "times": rule.times,
            "number": rule.number,
            "delay_ms": rule.delay_ms,
            "fired": standing.fired,
            "by_name": by_name,
        })
    };
    let faults: Vec<Value> = desk.ledger.faults(username.as_str(), tell);
    json_of(StatusCode::OK, &json!({ "username": username, "faults": faults }))
}

fn gate_of(desk: &Desk, username: &Username) -> Response {
    let gate = desk.ledger.gate(username.as_str(), |gate| {
        json!({
            "endpoints": gate.endpoints.iter().map(|endpoint| endpoint.name()).collect::<Vec<_>>(),
            "after": gate.after,
            "seen": gate.seen,
            "held": gate.held(),
        })
    });
    let held = gate.as_ref().map_or(json!(0), |gate| gate["held"].clone());
    json_of(StatusCode::OK, &json!({ "username": username, "held": held, "gate": gate }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, NOW, sandbox};
    use super::*;

    #[tokio::test]
    async fn a_fault_is_set_for_some_requests_and_removed() {
        let router = sandbox(NOW);
        let body =
            json!({ "fault": "throttled", "endpoint": "timeline", "after": 1, "times": 1, "retry_after_seconds": 7 });
        let set = testing::control(&router, "PUT", "/sandbox/faults/someone", body).await;
        assert_eq!(set.json()["faults"][0]["endpoints"], json!(["timeline"]));
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let answer = testing::timeline(&router, "someone", None).await;
            statuses.push((
                answer.status.as_u16(),
                answer.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned()),
            ));
        }
        assert_eq!(statuses, [(200, None), (429, Some("7".to_owned())), (200, None)]);
        assert_eq!(testing::profile(&router, "someone").await.status, StatusCode::OK);

        testing::control(&router, "PUT", "/sandbox/faults/someone", json!({ "fault": "broken" })).await;
        assert_eq!(testing::profile(&router, "someone").await.status, StatusCode::INTERNAL_SERVER_ERROR);
        let removed = testing::control(&router, "DELETE", "/sandbox/faults/someone", Value::Null).await;
        assert_eq!(removed.json()["removed"], 2);
        assert_eq!(testing::profile(&router, "someone").await.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_log_tells_every_request_in_its_order() {
        let router = sandbox(NOW);
        testing::profile(&router, "someone").await;
        let page = testing::timeline(&router, "Someone", None).await.json();
        let connection = "xdt_api__v1__feed__user_timeline_graphql_connection";
        let end = page["data"][connection]["page_info"]["end_cursor"].as_str().unwrap();
        testing::timeline(&router, "someone", Some(end)).await;
        let log = testing::control(&router, "GET", "/sandbox/requests/someone", Value::Null).await.json();
        assert_eq!(log["total"], 3);
        assert_eq!(
            log["requests"],
            json!([
                { "order": 1, "endpoint": "web_profile_info", "method": "GET", "status": 200, "cursor": null, "session": false },
                { "order": 2, "endpoint": "timeline", "method": "POST", "status": 200, "cursor": null, "session": true },
                { "order": 3, "endpoint": "timeline", "method": "POST", "status": 200, "cursor": end, "session": true },
            ])
        );
    }

    #[tokio::test]
    async fn a_gate_holds_answers_until_it_is_opened_and_counts_who_goes_away() {
        let router = sandbox(NOW);
        let path = "/sandbox/gate/someone";
        testing::control(&router, "PUT", path, json!({ "endpoint": "timeline", "after": 1 })).await;
        assert_eq!(testing::timeline(&router, "someone", None).await.status, StatusCode::OK, "the first passes");
        let wait_for = async |count: u64| {
            while testing::control(&router, "GET", path, Value::Null).await.json()["held"] != count {
                tokio::task::yield_now().await;
            }
        };
        let ask = || {
            let router = router.clone();
            tokio::spawn(async move { testing::timeline(&router, "someone", None).await.status })
        };
        let (first, second) = (ask(), ask());
        wait_for(2).await;
        assert_eq!(testing::profile(&router, "someone").await.status, StatusCode::OK, "other endpoints pass");
        second.abort();
        wait_for(1).await;
        // A new gate lets go who waited before the old one, and holds the next.
        testing::control(&router, "PUT", path, Value::Null).await;
        assert_eq!(first.await.unwrap(), StatusCode::OK);
        let third = ask();
        wait_for(1).await;
        let opened = testing::control(&router, "DELETE", path, Value::Null).await;
        assert_eq!(opened.json()["released"], 1);
        assert_eq!(third.await.unwrap(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_control_that_cannot_be_done_says_what_to_do() {
        let router = sandbox(NOW);
        for (path, body, hint) in [
            ("/sandbox/faults/some%20body", json!({ "fault": "broken" }), "letters, digits"),
            ("/sandbox/faults/a", json!({ "fault": "nonsense" }), "GET /sandbox/faults"),
            ("/sandbox/faults/a", json!({ "fault": "broken", "endpoint": "x" }), "web_profile_info"),
            ("/sandbox/faults/a", json!({ "fault": "broken", "times": 0 }), "1 or more"),
            ("/sandbox/faults/a", json!({ "fault": "broken", "number": 3 }), "takes no number"),
            ("/sandbox/faults/a", json!({ "fault": "broken", "retry_after_seconds": 3 }), "Retry-After"),
            ("/sandbox/faults/a", json!({ "fault": "slow", "delay_ms": 1u64 << 60 }), "at most"),
            ("/sandbox/faults/a", json!({ "wrong": 1 }), "send JSON such as"),
            ("/sandbox/gate/a", json!({ "after": -1 }), "send JSON such as"),
            ("/sandbox/names/a", json!({ "to": "a" }), "give another one"),
            ("/sandbox/names/a", json!({ "to": "no name" }), "letters, digits"),
            ("/sandbox/posts/a", json!({ "gone": ["no code"] }), "send JSON such as"),
        ] {
            let answer = testing::control(&router, "PUT", path, body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert!(answer.json()["error"].as_str().unwrap().contains(hint), "{}", answer.text);
        }
    }

    #[tokio::test]
    async fn the_table_and_the_fault_of_a_name_can_be_read() {
        let router = sandbox(NOW);
        let table = testing::control(&router, "GET", "/sandbox/faults", Value::Null).await.json();
        assert_eq!(table["faults"].as_array().unwrap().len(), names().len());
        let own = testing::control(&router, "GET", "/sandbox/faults/throttled.9.x", Value::Null).await.json();
        assert_eq!((&own["faults"][0]["number"], &own["faults"][0]["by_name"]), (&json!(9), &json!(true)));
        let health = testing::control(&router, "GET", "/healthz", Value::Null).await;
        assert_eq!(health.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn an_account_bears_another_name_and_keeps_its_number() {
        let router = sandbox(NOW);
        let pk = testing::pk(&router, "someone").await;
        testing::control(&router, "PUT", "/sandbox/names/someone", json!({ "to": "someone.else" })).await;
        assert_eq!(testing::profile(&router, "someone").await.status, StatusCode::NOT_FOUND);
        assert_eq!(testing::pk(&router, "someone.else").await, pk);
        let by_pk = testing::graphql(
            &router,
            "PolarisProfilePageContentQuery",
            "27937681195819736",
            json!({ "id": pk.to_string() }),
            None,
        );
        assert_eq!(by_pk.await.json()["data"]["user"]["username"], "someone.else");
        testing::control(&router, "PUT", "/sandbox/names/someone", json!({ "to": "someone.else", "taken": true }))
            .await;
        assert_ne!(testing::pk(&router, "someone").await, pk, "somebody else has the name");
        assert_eq!(testing::pk(&router, "someone.else").await, pk);
    }

    #[tokio::test]
    async fn posts_are_deleted_and_captions_edited_until_they_are_restored() {
        let router = sandbox(NOW);
        let pk = testing::pk(&router, "someone").await;
        let feed =
            async || testing::get(&router, &format!("/api/v1/feed/user/{pk}/"), None).await.json()["items"].take();
        let before = feed().await;
        let code = |place: usize| before[place]["code"].as_str().unwrap().to_owned();
        let edits = json!({ "gone": [code(5)], "captions": { (code(6)): "another", (code(7)): null } });
        testing::control(&router, "PUT", "/sandbox/posts/someone", edits).await;
        let after = feed().await;
        assert!(!after.to_string().contains(&code(5)));
        assert_eq!((&after[5]["caption"]["text"], &after[6]["caption"]), (&json!("another"), &Value::Null));
        let page = testing::get(&router, &format!("/p/{}/", code(5)), None).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        testing::control(&router, "DELETE", "/sandbox/posts/someone", Value::Null).await;
        assert_eq!(feed().await, before);
    }
}
