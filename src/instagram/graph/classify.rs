//! From an answer to what it means: its content, or the failure by name.
//!
//! The source says why it refuses by a number. Its words are for a person, and its status says little.

use std::time::Duration;

use serde_json::Value;

use super::request::Reply;
use crate::instagram::lenient::parse;
use crate::instagram::transport::{PROXY_AUTHENTICATION_REQUIRED, Received, retry_after};
use crate::instagram::{Failure, FailureKind, Usage};

/// What is counted is counted over an hour that rolls on: after one, nothing of it is left.
const ROLLING_HOUR: Duration = Duration::from_secs(60 * 60);

/// How long a credential rests that was blocked for a breach of policy. A person has to look at it first.
const BLOCKED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The subcode of an account that is not to be found.
const NO_SUCH_BUSINESS: i64 = 2_207_013;

/// How much is read of each text in which an answer says something, in bytes: far more than is kept of it.
const LONGEST_WORD: usize = 64 * 1024;

/// Reads an answer that came in whole.
pub(super) fn classify(endpoint: &'static str, received: &Received, usage: Option<&Usage>) -> Result<Reply, Failure> {
    let status = received.status;
    let asked_to_wait = retry_after(&received.headers);
    let fail =
        |kind, message: String| Failure { kind, endpoint, status: Some(status), message, retry_after: asked_to_wait };
    if status == PROXY_AUTHENTICATION_REQUIRED {
        return Err(fail(FailureKind::ProxyRefused, "the proxy wants another user or password".to_owned()));
    }
    let text = String::from_utf8_lossy(&received.body);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let json = match parse(text) {
        Ok(json) => json,
        Err(_) if (300..400).contains(&status) => {
            return Err(fail(FailureKind::UnexpectedShape, "redirected, which this source never does".to_owned()));
        }
        Err(error) => {
            let (kind, message) = no_json(status, text, &error);
            return Err(fail(kind, message));
        }
    };
    if let Some(error) = json.get("error").filter(|error| !error.is_null()) {
        return Err(refused(endpoint, status, error, asked_to_wait, usage));
    }
    match status {
        200..300 => Ok(Reply { endpoint, status, json }),
        429 => Err(fail(FailureKind::Throttled, "too many requests, without a word".to_owned())),
        500.. => Err(fail(FailureKind::ServerError, "an error without a word".to_owned())),
        _ => Err(fail(FailureKind::UnexpectedShape, "neither data nor an error".to_owned())),
    }
}

/// What an answer is that is no JSON.
fn no_json(status: u16, text: &str, error: &serde_json::Error) -> (FailureKind, String) {
    let begins: String = text.chars().take(200).collect();
    let is_html = text.starts_with('<');
    match status {
        429 => (FailureKind::Throttled, format!("no JSON: {begins}")),
        500.. => (FailureKind::ServerError, format!("no JSON: {begins}")),
        // The source has no walls and no pages: something on the way answers in its place.
        200..300 if is_html => (FailureKind::ServerError, format!("HTML in the place of JSON: {begins}")),
        200..300 if error.is_eof() => (FailureKind::TruncatedBody, format!("the answer ends early: {error}")),
        _ => (FailureKind::UnexpectedShape, format!("the answer is not JSON: {error}")),
    }
}

/// The failure that the source names in its `error`.
fn refused(
    endpoint: &'static str,
    status: u16,
    error: &Value,
    asked_to_wait: Option<Duration>,
    usage: Option<&Usage>,
) -> Failure {
    let number = |key: &str| {
        let value = error.get(key)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    };
    let (code, subcode) = (number("code"), number("error_subcode"));
    let is_transient = error.get("is_transient") == Some(&Value::Bool(true));
    let kind = kind_of(code, subcode, is_transient, status);
    let retry_after = match kind {
        // The header counts in seconds and the usage in minutes, so the header is the more exact.
        FailureKind::Throttled => {
            asked_to_wait.or_else(|| usage.and_then(|usage| usage.regained_in)).or(Some(ROLLING_HOUR))
        }
        FailureKind::PolicyBlocked => asked_to_wait.max(Some(BLOCKED_FOR)),
        _ => asked_to_wait,
    };
    let mut message = what_was_said(error);
    if let Some(means) = meaning(kind, subcode) {
        message = format!("{message}; {means}");
    }
    Failure { kind, endpoint, status: Some(status), message, retry_after }
}

/// The name of a refusal. What the source calls transient is that, unless its number says more.
fn kind_of(code: Option<i64>, subcode: Option<i64>, is_transient: bool, status: u16) -> FailureKind {
    match code {
        Some(4 | 17 | 32 | 613 | 80_002 | 341) => FailureKind::Throttled,
        Some(368) => FailureKind::PolicyBlocked,
        Some(190 | 102) => FailureKind::TokenInvalid,
        Some(10 | 3 | 200..=299) => FailureKind::PermissionMissing,
        Some(1 | 2) => FailureKind::ServerError,
        _ if is_transient || status >= 500 => FailureKind::ServerError,
        Some(110) => FailureKind::NotDiscoverable,
        _ if subcode == Some(NO_SUCH_BUSINESS) => FailureKind::NotDiscoverable,
        Some(100) => FailureKind::FieldsRefused,
        _ if status == 429 => FailureKind::Throttled,
        _ => FailureKind::UnexpectedShape,
    }
}

/// What a refusal means beyond its own words.
fn meaning(kind: FailureKind, subcode: Option<i64>) -> Option<&'static str> {
    match (kind, subcode) {
        (FailureKind::NotDiscoverable, _) => Some(
            "there is no such account, or it is a personal one: the official source does not tell which, and shows \
             professional accounts only",
        ),
        (FailureKind::TokenInvalid, Some(458)) => Some("its person has removed the app"),
        (FailureKind::TokenInvalid, Some(459 | 464)) => {
            Some("its person has to sign in at www.facebook.com and do what is asked there")
        }
        (FailureKind::TokenInvalid, Some(460)) => Some("its person has changed the password"),
        (FailureKind::TokenInvalid, Some(463)) => Some("the token has expired"),
        (FailureKind::TokenInvalid, Some(467)) => Some("the token was taken back"),
        _ => None,
    }
}

/// What a refusal says in words, and the numbers by which Meta's documents and support know it.
fn what_was_said(error: &Value) -> String {
    let text = |key: &str| error.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let mut words: Vec<&str> = ["message", "error_user_title", "error_user_msg"].into_iter().filter_map(text).collect();
    words.dedup();
    let words: Vec<&str> = words.into_iter().map(|word| &word[..word.floor_char_boundary(LONGEST_WORD)]).collect();
    let words = if words.is_empty() { "no message".to_owned() } else { words.join("; ") };
    let number = |key: &str| error.get(key).filter(|value| !value.is_null()).map(in_short);
    let named = [("code", "code"), ("subcode", "error_subcode"), ("trace", "fbtrace_id")];
    let numbers = named.into_iter().filter_map(|(name, key)| Some(format!("{name} {}", number(key)?)));
    let numbers: Vec<String> = numbers.collect();
    // Numbers first: a long message is cut.
    if numbers.is_empty() { words } else { format!("[{}] {words}", numbers.join(", ")) }
}

/// A number or a short text, as it stands.
fn in_short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use serde_json::json;

    use super::*;

    fn classified(status: u16, body: &Value, usage: Option<Usage>) -> Failure {
        let received = Received { status, headers: HeaderMap::new(), body: body.to_string().into_bytes() };
        classify("business_discovery", &received, usage.as_ref()).err().unwrap()
    }

    #[test]
    fn every_number_of_the_source_has_its_name() {
        use FailureKind::*;
        let of = |code: i64| json!({"error": {"message": "no", "type": "OAuthException", "code": code}});
        let with =
            |code: i64, subcode: i64| json!({"error": {"message": "no", "code": code, "error_subcode": subcode}});
        let mut cases: Vec<(u16, Value, FailureKind)> = Vec::new();
        cases.extend([4, 17, 32, 613, 80_002, 341].map(|code| (400, of(code), Throttled)));
        cases.extend([1, 2].map(|code| (400, of(code), ServerError)));
        cases.extend([10, 3, 200, 230, 299].map(|code| (403, of(code), PermissionMissing)));
        cases.extend([458, 459, 460, 463, 464, 467].map(|subcode| (400, with(190, subcode), TokenInvalid)));
        cases.extend([
            (400, of(190), TokenInvalid),
            (401, of(102), TokenInvalid),
            (400, with(102, 463), TokenInvalid),
            (400, of(368), PolicyBlocked),
            (400, of(100), FieldsRefused),
            (400, with(100, 33), FieldsRefused),
            (400, with(100, 2_207_013), NotDiscoverable),
            (400, with(110, 2_207_013), NotDiscoverable),
            (400, of(110), NotDiscoverable),
            (400, json!({"error": {"code": 960, "is_transient": true}}), ServerError),
            (400, json!({"error": {"code": 100, "is_transient": true}}), ServerError),
            (400, json!({"error": {"code": 4, "is_transient": true}}), Throttled),
            (400, json!({"error": {"code": "190"}}), TokenInvalid),
            (500, json!({}), ServerError),
            (503, of(960), ServerError),
            (400, of(960), UnexpectedShape),
            (200, of(17), Throttled),
            (400, json!({"error": {}}), UnexpectedShape),
            (400, json!({"error": "no"}), UnexpectedShape),
            (400, json!({}), UnexpectedShape),
            (429, json!({}), Throttled),
            (429, of(960), Throttled),
            (302, json!({}), UnexpectedShape),
        ]);
        for (status, body, kind) in cases {
            let failure = classified(status, &body, None);
            assert_eq!((failure.kind, failure.status), (kind, Some(status)), "{status} {body}");
        }
    }

    #[test]
    fn a_throttle_waits_as_the_usage_says_and_else_for_the_hour_that_is_counted() {
        let body = json!({"error": {"code": 4}});
        let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
        assert_eq!(classified(400, &body, None).retry_after, minutes(60));
        let usage = Usage { percent: 100.0, regained_in: minutes(7) };
        assert_eq!(classified(400, &body, Some(usage)).retry_after, minutes(7));
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "9".parse().unwrap());
        let received = Received { status: 400, headers, body: body.to_string().into_bytes() };
        let failure = classify("business_discovery", &received, Some(&usage)).err().unwrap();
        assert_eq!(failure.retry_after, Some(Duration::from_secs(9)));
        assert_eq!(classified(400, &json!({"error": {"code": 368}}), None).retry_after, minutes(24 * 60));
        assert_eq!(classified(400, &json!({"error": {"code": 1}}), None).retry_after, None);
    }

    #[test]
    fn a_refusal_says_its_numbers_and_what_they_mean() {
        let body = json!({"error": {"message": "Invalid user id", "type": "OAuthException", "code": 110,
            "error_subcode": 2_207_013, "error_user_title": "Cannot find User", "error_user_msg": "Not found",
            "fbtrace_id": "EJplcsCHuLu"}});
        let message = classified(400, &body, None).message;
        assert!(
            message.starts_with("[code 110, subcode 2207013, trace EJplcsCHuLu] Invalid user id; Cannot"),
            "{message}"
        );
        assert!(message.contains("or it is a personal one"), "{message}");
        let body = json!({"error": {"message": "Session has expired", "code": 190, "error_subcode": 463}});
        assert!(classified(400, &body, None).message.ends_with("the token has expired"));
    }
}
