//! One request: through the gate, over the wire, and told to both the gate and the exchanges, however it ends.

use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{Visit, classify, usage};
use crate::instagram::reader::{Notes, shorten};
use crate::instagram::transport::{BODY_LIMIT, KEPT_LIMIT, causes, in_seconds};
use crate::instagram::{Exchange, Failure, FailureKind, Heard, Reading, Unread};

/// What stands in the place of the token.
const REMOVED: &str = "[removed]";

/// What an address writes in another way than it is; the sign that tokens have beside letters and digits is `|`.
const IN_ADDRESSES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How much is kept of what an answer said, in characters.
const SAID_LIMIT: usize = 300;

/// What came back, before anything is made of it.
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

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
        let started = Instant::now();
        let (received, broken) = self.receive(endpoint, &url).await;
        let duration = started.elapsed();

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

    /// Sends the request and reads the answer's body, as far as either goes.
    async fn receive(&self, endpoint: &'static str, url: &Url) -> (Option<Received>, Option<Failure>) {
        let request = self.graph.client.get(url.clone()).header(ACCEPT, "application/json");
        let request = request.header(AUTHORIZATION, self.graph.authorization.clone());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return (None, Some(self.transport_failure(endpoint, None, error))),
        };
        let status = response.status().as_u16();
        let mut received = Received { status, headers: response.headers().clone(), body: Vec::new() };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if received.body.len() + chunk.len() > BODY_LIMIT => {
                    let message = format!("the answer is larger than {} MiB", BODY_LIMIT / 1024 / 1024);
                    let failure = no_answer(endpoint, FailureKind::UnexpectedShape, message);
                    return (Some(received), Some(Failure { status: Some(status), ..failure }));
                }
                Ok(Some(chunk)) => received.body.extend_from_slice(&chunk),
                Ok(None) => return (Some(received), None),
                Err(error) => {
                    let failure = self.transport_failure(endpoint, Some(status), error);
                    return (Some(received), Some(failure));
                }
            }
        }
    }

    fn transport_failure(&self, endpoint: &'static str, status: Option<u16>, error: reqwest::Error) -> Failure {
        let (kind, message) = if error.is_timeout() {
            (FailureKind::TimedOut, format!("no whole answer within {}", in_seconds(self.graph.timeout)))
        } else if status.is_some() {
            (FailureKind::TruncatedBody, format!("the answer broke off: {}", causes(error)))
        } else {
            (FailureKind::ConnectionFailed, causes(error))
        };
        Failure { status, ..no_answer(endpoint, kind, message) }
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
        let keep = failure.is_some() || !unread.is_empty();
        let body = received.filter(|received| keep && !received.body.is_empty());
        let body = body.map(|received| self.kept(&received.body));
        self.exchanges.push(Exchange {
            endpoint,
            method: "GET",
            url: url.to_string(),
            status: received.map(|received| received.status),
            duration,
            bytes: received.map_or(0, |received| received.body.len() as u64),
            failure: failure.map(|failure| failure.kind.as_str()),
            body,
        });
    }

    /// What an answer said, fit to be kept: without the token, and not too long.
    fn without_token(&self, text: &str, limit: usize) -> String {
        shorten(self.scrub(text).trim(), limit)
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
        let token = self.graph.token.expose_secret();
        let all_encoded = utf8_percent_encode(token, NON_ALPHANUMERIC).to_string();
        let encoded = utf8_percent_encode(token, IN_ADDRESSES).to_string();
        let lower_case = encoded.replace("%7C", "%7c");
        let forms = [token, &all_encoded, &encoded, &lower_case].into_iter();
        forms.fold(text.to_owned(), |text, form| if text.contains(form) { text.replace(form, REMOVED) } else { text })
    }
}

fn no_answer(endpoint: &'static str, kind: FailureKind, message: String) -> Failure {
    Failure { kind, endpoint, status: None, message, retry_after: None }
}
