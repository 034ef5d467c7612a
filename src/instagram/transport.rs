//! What every source needs of HTTP and none has for itself: limits, addresses, waits, and errors in words.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use chrono::DateTime;
use reqwest::Url;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::reader::shorten;

/// The most that is read of an answer's body.
pub(super) const BODY_LIMIT: usize = 16 * 1024 * 1024;

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
pub(super) fn causes(error: reqwest::Error) -> String {
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
pub(super) fn in_seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}
