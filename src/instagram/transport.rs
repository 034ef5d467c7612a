//! What every source needs of HTTP and none has for itself: limits, addresses, waits, and errors in words.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};

use super::reader::shorten;
use super::{Failure, FailureKind};

/// The most that is read of an answer's body.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// The most that an exchange keeps of it.
pub(super) const KEPT_LIMIT: usize = 256 * 1024;

/// The longest wait that is believed, in seconds.
const LONGEST_WAIT: u64 = 7 * 24 * 60 * 60;

/// The address of an upstream, or why it is none: what to show of it, and what is wrong with it.
pub(super) fn address(text: &str) -> Result<Url, (String, &'static str)> {
    let refuse = |reason| (text.to_owned(), reason);
    let url = Url::parse(text.trim()).map_err(|_| refuse("is not an absolute address"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(("an address with a user or a password".to_owned(), "is not supported"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("is neither http nor https"));
    }
    if url.host().is_none() {
        return Err(refuse("names no host"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("has a query or a fragment"));
    }
    Ok(url)
}

/// Whether the address is of this machine.
pub(super) fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What an HTTP client is made of.
pub(super) struct ClientConfig<'a> {
    pub(super) base: &'a Url,
    pub(super) user_agent: HeaderValue,
    /// The longest that one request may take, from its start to the last byte of the answer.
    pub(super) timeout: Duration,
    /// The longest that making a connection may take.
    pub(super) connect_timeout: Duration,
    pub(super) proxy: Option<&'a SecretString>,
}

/// Why there is no client.
pub(super) enum ClientError {
    /// What is wrong with the proxy's address. Never the address, which may have a password.
    Proxy(&'static str),
    Client(reqwest::Error),
}

/// The client of one credential, and its proxy's password as it may stand in an error. It follows no redirect: a secret
/// goes to whom it was meant for.
pub(super) fn client(config: ClientConfig<'_>) -> Result<(Client, Option<SecretString>), ClientError> {
    let proxy = config.proxy.map(|address| proxy(address.expose_secret())).transpose().map_err(ClientError::Proxy)?;
    // One provider for the whole process; where it is there already, it is the one we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = Client::builder()
        .user_agent(config.user_agent)
        .redirect(Policy::none())
        .timeout(config.timeout)
        .connect_timeout(config.connect_timeout);
    // A proxy may be spoken to over TLS even where the source is not.
    let needs_certificates = config.base.scheme() == "https" || proxy.as_ref().is_some_and(|proxy| proxy.is_https);
    if !needs_certificates {
        // No certificate is ever looked at, so none has to be there.
        client = client.tls_certs_only([]);
    }
    let mut password = None;
    if let Some(given) = proxy {
        (client, password) = (client.proxy(given.proxy), given.password);
    } else if is_loopback(config.base) {
        client = client.no_proxy();
    }
    Ok((client.build().map_err(ClientError::Client)?, password))
}

/// A proxy that was given.
struct Given {
    proxy: Proxy,
    is_https: bool,
    password: Option<SecretString>,
}

fn proxy(address: &str) -> Result<Given, &'static str> {
    let url = Url::parse(address.trim()).map_err(|_| "is not an absolute address")?;
    if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") {
        return Err("is neither http, https nor socks5");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host");
    }
    let (is_https, password) = (url.scheme() == "https", url.password().map(SecretString::from));
    // The error would show the address, and with it the password.
    Ok(Given { proxy: Proxy::all(url).map_err(|_| "cannot be used")?, is_https, password })
}

/// What came back, before anything is made of it.
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Sends a request, which may take so long, and reads the answer's body, as far as either goes.
pub(super) async fn receive(
    endpoint: &'static str,
    request: RequestBuilder,
    timeout: Duration,
) -> (Option<Received>, Option<Failure>) {
    let broken = |status: Option<u16>, error: reqwest::Error| {
        let (kind, message) = if error.is_timeout() {
            (FailureKind::TimedOut, format!("no whole answer within {}", in_seconds(timeout)))
        } else if status.is_some() {
            (FailureKind::TruncatedBody, format!("the answer broke off: {}", causes(error)))
        } else {
            (FailureKind::ConnectionFailed, causes(error))
        };
        Failure { status, ..no_answer(endpoint, kind, message) }
    };
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return (None, Some(broken(None, error))),
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
            Err(error) => return (Some(received), Some(broken(Some(status), error))),
        }
    }
}

/// The failure of a request without an answer.
pub(super) fn no_answer(endpoint: &'static str, kind: FailureKind, message: String) -> Failure {
    Failure { kind, endpoint, status: None, message, retry_after: None }
}

/// The wait that the answer asks for: seconds, or a date. A date is measured from the answer's own `Date`, so that
/// a wrong clock on either side does not matter.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wait = text(RETRY_AFTER)?;
    if let Ok(seconds) = wait.parse::<u64>() {
        return Some(Duration::from_secs(seconds.min(LONGEST_WAIT)));
    }
    let until = DateTime::parse_from_rfc2822(wait).ok()?;
    let now = DateTime::parse_from_rfc2822(text(DATE)?).ok()?;
    // A date in the past asks for no wait.
    let wait = (until - now).to_std().unwrap_or_default();
    Some(wait.min(Duration::from_secs(LONGEST_WAIT)))
}

/// A transport error with its causes, without the address, which the exchange tells.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    shorten(&text, 300)
}

/// A time limit as a person reads it.
fn in_seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}
