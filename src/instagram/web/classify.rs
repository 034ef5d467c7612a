//! From an answer to what it means: its content, or the failure by name.
//!
//! 429, 407 and 5xx are what they are. Beyond them the words of an answer count for more than its status: Instagram says the
//! same with 200, 400, 401 and 403.

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use serde_json::Value;

use super::page;
use super::request::{Reply, Wants};
use crate::instagram::lenient::parse;
use crate::instagram::transport::{PROXY_AUTHENTICATION_REQUIRED, Received, retry_after};
use crate::instagram::{Failure, FailureKind};

/// How much is read of each text in which an answer says something, in bytes: far more than is kept of it.
const LONGEST_WORD: usize = 64 * 1024;

/// Reads an answer that came in whole.
pub(super) fn classify(endpoint: &'static str, wants: Wants, received: &Received) -> Result<Reply, Failure> {
    let status = received.status;
    let text = String::from_utf8_lossy(&received.body);
    let fail = |kind, message: String| Failure {
        kind,
        endpoint,
        status: Some(status),
        message,
        retry_after: retry_after(&received.headers),
    };
    if (300..400).contains(&status) {
        let location = received.headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or("nowhere");
        return Err(fail(redirected(location), format!("redirected to {}", without_query(location))));
    }
    let json = json_of(&text, wants);
    let said = match &json {
        Some(Ok(json)) => what_was_said(json),
        Some(Err(_)) if !text.trim().is_empty() => text.chars().take(1000).collect(),
        _ => page::title(&text).unwrap_or_else(|| format!("{} bytes without a message", received.body.len())),
    };
    if status == 429 {
        return Err(fail(FailureKind::Throttled, said));
    }
    if status == PROXY_AUTHENTICATION_REQUIRED {
        return Err(fail(FailureKind::ProxyRefused, said));
    }
    if status >= 500 {
        return Err(fail(FailureKind::ServerError, said));
    }
    if let Some(Ok(json)) = &json
        && let Some(kind) = by_words(json, status)
    {
        return Err(fail(kind, said));
    }
    match (status, json) {
        (404, _) => Err(fail(FailureKind::NotFound, said)),
        (401, _) => Err(fail(FailureKind::PleaseWait, said)),
        (403, _) => Err(fail(FailureKind::Forbidden, said)),
        (200..300, Some(_)) if wants == Wants::Page => {
            Err(fail(FailureKind::UnexpectedShape, format!("no HTML in the place of a page: {said}")))
        }
        (200..300, None) if wants == Wants::Page && page::is_cut(&text) => {
            Err(fail(FailureKind::TruncatedBody, "the page ends early".to_owned()))
        }
        (200..300, None) if wants == Wants::Page => {
            Ok(Reply { endpoint, status, json: Value::Null, html: text.into_owned() })
        }
        (200..300, Some(Ok(json))) if json["status"] == "fail" => Err(fail(FailureKind::UnexpectedShape, said)),
        (200..300, Some(Ok(json))) => Ok(Reply { endpoint, status, json, html: String::new() }),
        (200..300, Some(Err(error))) if error.is_eof() => {
            Err(fail(FailureKind::TruncatedBody, format!("the answer ends early: {error}")))
        }
        (200..300, Some(Err(error))) => {
            let what = content_type(&received.headers);
            Err(fail(FailureKind::UnexpectedShape, format!("the answer ({what}) is not JSON: {error}")))
        }
        (200..300, None) => Err(fail(FailureKind::HtmlInsteadOfJson, format!("HTML in the place of JSON: {said}"))),
        _ => Err(fail(FailureKind::UnexpectedShape, said)),
    }
}

/// The JSON of an answer, or why it is none; `None` for HTML.
fn json_of(text: &str, wants: Wants) -> Option<Result<Value, serde_json::Error>> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    // A guard that some endpoints put before their JSON, so that no other site can run it.
    let text = text.strip_prefix("for (;;);").unwrap_or(text);
    let html = text.starts_with('<') || (wants == Wants::Page && text.is_empty());
    (!html).then(|| parse(text))
}

fn redirected(location: &str) -> FailureKind {
    let path = without_query(location);
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => path,
    };
    let any = |parts: &[&str]| parts.iter().any(|part| path.contains(part));
    match path {
        _ if any(&["/accounts/login"]) => FailureKind::LoginRequired,
        _ if any(&["/challenge", "/checkpoint", "/accounts/suspended"]) => FailureKind::ChallengeRequired,
        _ if any(&["/consent", "/terms/unblock"]) => FailureKind::ConsentRequired,
        "" | "/" => FailureKind::HtmlInsteadOfJson,
        _ => FailureKind::UnexpectedShape,
    }
}

fn without_query(location: &str) -> &str {
    location.split(['?', '#']).next().unwrap_or_default()
}

/// The failure that the words of an answer name; `None` where they name none.
fn by_words(json: &Value, status: u16) -> Option<FailureKind> {
    let failed = status >= 400 || json["status"] == "fail" || json["status"] == "ko";
    if !failed {
        // Words in an answer that succeeded are somebody's biography, not ours to judge.
        return None;
    }
    let said = what_was_said(json).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let challenge = json.get("checkpoint_url").is_some() || json["type"] == "CHALLENGE_REDIRECTION";
    let kind = if challenge || says(&["checkpoint_required", "challenge_required", "feedback_required"]) {
        FailureKind::ChallengeRequired
    } else if says(&["login_required", "logged out"]) {
        FailureKind::LoginRequired
    } else if says(&["geoblock_required"]) {
        FailureKind::GeoBlocked
    } else if says(&["consent_required"]) {
        FailureKind::ConsentRequired
    } else if says(&["rate limit", "too many requests"]) {
        FailureKind::Throttled
    } else if says(&["wait a few minutes"]) || json["require_login"] == true {
        FailureKind::PleaseWait
    } else if says(&["asset://"]) && says(&["deleted"]) {
        FailureKind::EndpointBroken
    } else if says(&["invalid cursor", "invalid max_id", "cursor has expired"]) {
        FailureKind::CursorRefused
    } else if says(&["useragent mismatch"]) {
        FailureKind::UserAgentMismatch
    } else if says(&["csrf"]) {
        FailureKind::Forbidden
    } else if says(&["not authorized to view", "private account", "account is private"]) {
        FailureKind::Private
    } else if says(&["restricted", "18 years"]) {
        FailureKind::AgeRestricted
    } else if says(&["user not found", "media not found", "has been deleted"]) {
        FailureKind::NotFound
    } else if says(&["an error occurred", "problem with your request"]) {
        FailureKind::ServerError
    } else {
        return None;
    };
    Some(kind)
}

/// Everything an answer says in words, joined for a person.
pub(super) fn what_was_said(json: &Value) -> String {
    let mut words: Vec<&str> =
        ["message", "error_type", "error_title", "error_body", "feedback_title", "feedback_message", "type"]
            .into_iter()
            .filter_map(|key| json.get(key)?.as_str())
            .collect();
    collect_texts(json.get("errors"), &mut words);
    collect_texts(json.get("message").filter(|message| !message.is_string()), &mut words);
    words.retain(|word| !word.trim().is_empty());
    words.dedup();
    let words = words.into_iter().map(|word| &word[..word.floor_char_boundary(LONGEST_WORD)]).collect::<Vec<_>>();
    if words.is_empty() { "no message".to_owned() } else { words.join("; ") }
}

/// The texts under `errors`, which comes as a list of objects and as an object of lists.
fn collect_texts<'a>(value: Option<&'a Value>, words: &mut Vec<&'a str>) {
    const ENOUGH: usize = 8;
    match value {
        Some(Value::String(text)) if words.len() < ENOUGH => words.push(text),
        Some(Value::Array(items)) => items.iter().for_each(|item| collect_texts(Some(item), words)),
        Some(Value::Object(map)) => match map.get("message") {
            Some(message) => collect_texts(Some(message), words),
            None => map.values().for_each(|item| collect_texts(Some(item), words)),
        },
        _ => {}
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("of no type")
}
