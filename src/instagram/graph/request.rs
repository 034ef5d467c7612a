//! One request: through the gate, over the wire, and told to both the gate and the exchanges, however it ends.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

use super::{Visit, classify, usage};
use crate::instagram::reader::{Notes, shorten};
use crate::instagram::recording::telling;
use crate::instagram::transport::{KEPT_LIMIT, Received, no_answer};
use crate::instagram::wire::{Outcome, Outgoing};
use crate::instagram::{Exchange, Failure, FailureKind, Heard, Reading, Unread};

/// How much is kept of what an answer said, in characters.
const SAID_LIMIT: usize = 300;

/// An answer that succeeded.
pub(super) struct Reply {
    pub(super) endpoint: &'static str,
    pub(super) status: u16,
    pub(super) json: Value,
}

impl Reply {
    /// The failure of an answer without the part that was asked for.
    pub(super) fn lacks(&self, part: &str) -> Failure {
        Failure {
            kind: FailureKind::UnexpectedShape,
            endpoint: self.endpoint,
            status: Some(self.status),
            message: format!("the answer has no readable {part}"),
            retry_after: None,
        }
    }
}

impl Visit {
    /// Asks for an expression and reads the answer. A request that the gate does not let through was not made: it
    /// leaves no exchange.
    pub(super) async fn ask<T: Send>(
        &mut self,
        endpoint: &'static str,
        expression: &str,
        read: impl FnOnce(&Reply, &Notes) -> Result<T, Failure> + Send,
    ) -> Result<Reading<T>, Failure> {
        self.gate.pass(endpoint).await?;
        let mut url = self.graph.node.clone();
        url.query_pairs_mut().append_pair("fields", expression);
        let outgoing = Outgoing { endpoint, url: &url, headers: self.headers(), form: None, wants_beginning: false };
        let Outcome { received, broken, duration } = self.graph.wire.send(outgoing).await;

        let (usage, unread_usage) =
            received.as_ref().map(|received| usage::usage(&received.headers)).unwrap_or_default();
        let notes = Notes::default();
        let classify = |received| classify::classify(endpoint, received, usage.as_ref());
        let result = match (&received, broken) {
            // A status that is no success says more than that the rest of the answer is missing.
            (Some(received), Some(broken)) if received.status >= 300 => Err(classify(received).err().unwrap_or(broken)),
            (_, Some(failure)) => Err(failure),
            (Some(received), None) => classify(received).and_then(|reply| read(&reply, &notes)),
            (None, None) => Err(no_answer(endpoint, FailureKind::ConnectionFailed, "no answer came".to_owned())),
        };
        let result =
            result.map_err(|failure| Failure { message: self.without_token(&failure.message, SAID_LIMIT), ..failure });
        let unread = notes.into_unread().into_iter().chain(unread_usage);
        let unread: Vec<Unread> =
            unread.map(|unread| Unread { found: self.without_token(&unread.found, SAID_LIMIT), ..unread }).collect();
        let failure = result.as_ref().err();
        self.remember(endpoint, &url, duration, received.as_ref(), failure, &unread);
        let heard = Heard {
            endpoint,
            failure: failure.map(|failure| failure.kind),
            retry_after: failure.and_then(|failure| failure.retry_after),
            usage,
        };
        self.gate.heard(heard).await;
        result.map(|value| Reading { value, unread })
    }

    fn headers(&self) -> HeaderMap {
        let accept = (ACCEPT, HeaderValue::from_static("application/json"));
        [accept, (AUTHORIZATION, self.graph.authorization.clone())].into_iter().collect()
    }

    fn remember(
        &mut self,
        endpoint: &'static str,
        url: &Url,
        duration: Duration,
        received: Option<&Received>,
        failure: Option<&Failure>,
        unread: &[Unread],
    ) {
        let body = received.filter(|received| !received.body.is_empty());
        let body = body.map(|received| self.kept(&received.body));
        self.exchanges.push(Exchange {
            endpoint,
            method: "GET",
            url: url.to_string(),
            status: received.map(|received| received.status),
            duration,
            bytes: received.map_or(0, |received| received.body.len() as u64),
            failure: failure.map(|failure| failure.kind.as_str()),
            has_unread: !unread.is_empty(),
            headers: received
                .map(|received| self.scrub_headers(telling(&received.headers, failure.is_some())))
                .unwrap_or_default(),
            body,
        });
    }

    /// What an answer said, fit to be kept: without the token, and not too long.
    fn without_token(&self, text: &str, limit: usize) -> String {
        shorten(self.scrub(text).trim(), limit)
    }

    fn scrub_headers(&self, headers: Vec<(String, String)>) -> Vec<(String, String)> {
        headers.into_iter().map(|(name, value)| (name, self.scrub(&value))).collect()
    }

    /// The beginning of a body, which stays byte for byte as it came where the token is not in it.
    fn kept(&self, body: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(body);
        let scrubbed = self.scrub(&text);
        let mut kept = if scrubbed == text { body.to_vec() } else { scrubbed.into_bytes() };
        kept.truncate(KEPT_LIMIT);
        kept
    }

    /// The source names a token that it refuses, and puts one into the addresses of further pages.
    fn scrub(&self, text: &str) -> String {
        self.graph.secrets.scrub(text)
    }
}
