//! The ways in which the official source says no: one object with numbers, whatever it is.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::faults::GraphFault;
use crate::sandbox::answers::{html_of, json_of};
use crate::sandbox::fault::{Fault, Rule};
use crate::sandbox::page;
use crate::sandbox::scene::Scene;

/// The answer for a request that meets one of the faults that leave nothing of the right answer.
pub(in crate::sandbox) fn refusal(scene: &Scene) -> Option<Response> {
    scene.rules.iter().find_map(refuse)
}

fn refuse(rule: &Rule) -> Option<Response> {
    let number = || i64::try_from(rule.number).unwrap_or(i64::MAX);
    let response = match rule.fault {
        Fault::NotFound | Fault::NullUser | Fault::Private => not_discoverable(),
        Fault::Throttled => throttled(4, rule.number),
        Fault::ServerError => error(StatusCode::INTERNAL_SERVER_ERROR, 2, 0, true, words(2)),
        Fault::Html => html_of(StatusCode::OK, page::login()),
        Fault::Verbose => error(StatusCode::BAD_REQUEST, 960, 0, false, &"no ".repeat(rule.mebibytes() / 3)),
        Fault::Graph(GraphFault::Throttled(code)) => throttled(code, rule.number),
        Fault::Graph(GraphFault::Refused(code, subcode)) => refused(code, subcode),
        Fault::Graph(GraphFault::Token) => refused(190, number()),
        Fault::Graph(GraphFault::Permission) => refused(number().clamp(200, 299), 0),
        Fault::Graph(GraphFault::Transient) => {
            error(StatusCode::BAD_REQUEST, 960, 0, true, "Request aborted. Please retry your request.")
        }
        _ => return None,
    };
    Some(response)
}

/// An error of this code and subcode; 0 is no subcode.
pub(super) fn refused(code: i64, subcode: i64) -> Response {
    let status = match code {
        190 | 102 => StatusCode::UNAUTHORIZED,
        3 | 10 | 200..=299 | 368 => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    };
    error(status, code, subcode, matches!(code, 1 | 2), words(code))
}

/// An error that says to wait. How long the usage says, in minutes; less than one minute, a header.
pub(super) fn throttled(code: i64, seconds: u64) -> Response {
    let mut response = error(StatusCode::FORBIDDEN, code, 0, true, words(code));
    if (1..60).contains(&seconds) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// No such account, or none that is shown.
pub(in crate::sandbox) fn not_discoverable() -> Response {
    refused(110, 2_207_013)
}

/// No bearer token came.
pub(super) fn no_token() -> Response {
    let words = "An access token is required to request this resource. Send it as Authorization: Bearer <token>.";
    error(StatusCode::UNAUTHORIZED, 190, 0, false, words)
}

/// The expression asks for what is not there.
pub(super) fn no_such_field(field: &str, node: &str) -> Response {
    let words = format!("(#100) Tried accessing nonexisting field ({field}) on node type ({node})");
    error(StatusCode::BAD_REQUEST, 100, 0, false, &words)
}

/// Something else about the request is wrong.
pub(super) fn invalid(what: &str) -> Response {
    error(StatusCode::BAD_REQUEST, 100, 0, false, &format!("(#100) {what}"))
}

fn error(status: StatusCode, code: i64, subcode: i64, is_transient: bool, message: &str) -> Response {
    let mut error = json!({
        "message": message,
        "type": if code == 190 || code == 102 { "OAuthException" } else { "IGApiException" },
        "code": code,
        "is_transient": is_transient,
        "fbtrace_id": format!("A{code}x{subcode}"),
    });
    if subcode != 0 {
        error["error_subcode"] = json!(subcode);
    }
    if subcode == 2_207_013 {
        error["error_user_title"] = json!("Cannot find User");
        error["error_user_msg"] = json!("The user with this username cannot be found.");
    }
    json_of(status, &json!({ "error": error }))
}

/// What the source says with a code.
fn words(code: i64) -> &'static str {
    match code {
        1 => "An unknown error occurred",
        2 => "Service temporarily unavailable",
        3 => "(#3) Application does not have the capability to make this API call.",
        4 => "(#4) Application request limit reached",
        10 => "(#10) Application does not have permission for this action",
        17 => "(#17) User request limit reached",
        32 => "(#32) Page request limit reached",
        100 => "(#100) Invalid parameter",
        102 => "Session key invalid or no longer valid",
        110 => "Invalid user id",
        190 => "Error validating access token",
        341 => "(#341) Application limit reached",
        368 => "(#368) The action attempted has been deemed abusive or is otherwise disallowed",
        613 => "(#613) Calls to this api have exceeded the rate limit.",
        80_002 => "(#80002) There have been too many calls to this Instagram account.",
        _ => "Permissions error",
    }
}
