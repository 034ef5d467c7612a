//! The tokens: which are alive, and how much of what it may ask each has asked in the hour before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::faults::GraphFault;
use super::refusals;
use crate::sandbox::fault::Fault;
use crate::sandbox::scene::Scene;

/// How many calls an hour a token has where its name does not say.
const CALLS_AN_HOUR: u64 = 200;

/// How many tokens are remembered.
const MAX_TOKENS: usize = 1_000;

/// The beginnings of tokens that are not simply alive, and what such a token meets.
pub(in crate::sandbox) const TOKENS: [(&str, &str); 7] = [
    ("expired-", "code 190, subcode 463"),
    ("revoked-", "code 190, subcode 458"),
    ("checkpointed-", "code 190, subcode 459"),
    ("unpermitted-", "code 10"),
    ("blocked-", "code 368"),
    ("throttled-", "code 17, and a minute until access is regained"),
    ("budget-", "with a number, as budget-20-anna: so many calls in any hour and not 200; beyond it code 4"),
];

/// What a token meets before anything is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Live,
    /// No bearer token came.
    Missing,
    Refused(i64, i64),
    Throttled,
}

/// Who asks the official source.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Asker {
    kind: Kind,
    /// The account that the token is for.
    user_id: String,
    /// How much it has used up, with this call, in percent.
    percent: u64,
    /// Whether this call is one too many.
    is_beyond: bool,
    /// When the oldest call of the hour is an hour old, in minutes.
    regained_in: u64,
}

/// The calls of all tokens.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Tokens(Mutex<HashMap<String, Calls>>);

/// The calls of one token, as `GET /sandbox/tokens` tells of them.
#[derive(Debug, Default)]
struct Calls {
    /// How many it has made that were counted against what it may.
    calls: u64,
    /// How many were refused as too many.
    refused: u64,
    /// How many it may make in any hour.
    allowed: u64,
    /// When those of the last hour came.
    of_the_hour: VecDeque<DateTime<Utc>>,
}

impl Tokens {
    /// Counts a call.
    pub(super) fn arrive(&self, headers: &HeaderMap, user_id: &str, now: DateTime<Utc>) -> Asker {
        let user_id = user_id.to_owned();
        let Some(token) = shown(headers) else {
            return Asker { kind: Kind::Missing, user_id, percent: 0, is_beyond: false, regained_in: 0 };
        };
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS && !tokens.contains_key(token) {
            tokens.clear();
        }
        let calls = tokens.entry(token.to_owned()).or_default();
        calls.allowed = allowed(token);
        while calls.of_the_hour.front().is_some_and(|call| *call <= now - TimeDelta::hours(1)) {
            calls.of_the_hour.pop_front();
        }
        let is_beyond = calls.of_the_hour.len() as u64 >= calls.allowed;
        if is_beyond {
            calls.refused += 1;
        } else {
            calls.calls += 1;
            calls.of_the_hour.push_back(now);
        }
        let percent = calls.of_the_hour.len() as u64 * 100 / calls.allowed;
        let oldest = calls.of_the_hour.front().copied().unwrap_or(now);
        let left = (oldest + TimeDelta::hours(1) - now).num_seconds().max(0).unsigned_abs();
        let regained_in = left.div_ceil(60).max(1);
        Asker { kind: kind(token), user_id, percent, is_beyond, regained_in }
    }

    /// Every token and its calls.
    pub(in crate::sandbox) fn tell(&self) -> Value {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<&String> = tokens.keys().collect();
        names.sort();
        let of = |name: &String| {
            let calls = &tokens[name];
            json!({ "token": name, "calls": calls.calls, "refused": calls.refused, "allowed": calls.allowed })
        };
        json!({ "tokens": names.into_iter().map(of).collect::<Vec<Value>>() })
    }
}

/// The token that a request shows.
pub(super) fn shown(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Some(value.strip_prefix("Bearer ")?.trim()).filter(|token| !token.is_empty())
}

fn allowed(token: &str) -> u64 {
    let number = token.strip_prefix("budget-").and_then(|rest| rest.split('-').next()?.parse().ok());
    number.unwrap_or(CALLS_AN_HOUR).max(1)
}

fn kind(token: &str) -> Kind {
    match () {
        () if token.starts_with("expired-") => Kind::Refused(190, 463),
        () if token.starts_with("revoked-") => Kind::Refused(190, 458),
        () if token.starts_with("checkpointed-") => Kind::Refused(190, 459),
        () if token.starts_with("unpermitted-") => Kind::Refused(10, 0),
        () if token.starts_with("blocked-") => Kind::Refused(368, 0),
        () if token.starts_with("throttled-") => Kind::Throttled,
        () => Kind::Live,
    }
}

impl Asker {
    /// The answer for a call that is not looked at.
    pub(in crate::sandbox) fn turned_away(&self) -> Option<Response> {
        match self.kind {
            Kind::Missing => Some(refusals::no_token()),
            Kind::Refused(code, subcode) => Some(refusals::refused(code, subcode)),
            Kind::Throttled => Some(refusals::throttled(17, 0)),
            Kind::Live if self.is_beyond => Some(refusals::throttled(4, 0)),
            Kind::Live => None,
        }
    }

    /// Tells how much is used up, in both headers.
    pub(in crate::sandbox) fn tell_usage(&self, scene: &Scene, response: &mut Response) {
        if matches!(self.kind, Kind::Missing | Kind::Refused(..)) || scene.has(Fault::Graph(GraphFault::NoUsage)) {
            return;
        }
        let (app, business) = match scene.rule(Fault::Graph(GraphFault::OddUsage)) {
            Some(_) => ("plenty".to_owned(), "[7]".to_owned()),
            None => self.usage(scene),
        };
        for (name, value) in [("x-app-usage", app), ("x-business-use-case-usage", business)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
    }

    fn usage(&self, scene: &Scene) -> (String, String) {
        let wait = scene.rules.iter().find(|rule| rule.fault.is_throttle()).map(|rule| rule.number / 60);
        let told = scene.rule(Fault::Graph(GraphFault::Usage)).map(|rule| rule.number);
        let (percent, minutes) = match (self.kind, wait, told) {
            (Kind::Throttled, ..) => (100, 1),
            _ if self.is_beyond => (self.percent, self.regained_in),
            (_, Some(minutes), _) => (100, minutes),
            (_, None, Some(percent)) => (percent, 0),
            (_, None, None) => (self.percent, 0),
        };
        // What an answer costs in time is less than what it costs in calls.
        let figures = |of: u64| json!({ "call_count": of, "total_cputime": of * 3 / 10, "total_time": of / 2 });
        let mut business = figures(percent);
        business["type"] = json!("instagram");
        business["estimated_time_to_regain_access"] = json!(minutes);
        let mut by_user = serde_json::Map::new();
        by_user.insert(self.user_id.clone(), json!([business]));
        (figures(percent).to_string(), Value::Object(by_user).to_string())
    }
}
