//! What every source needs of HTTP and none has for itself: limits, addresses, waits, and errors in words.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Proxy, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};

use super::reader::shorten;
use super::secrets::Secrets;
use super::{Failure, FailureKind};

/// The most that is read of an answer's body.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// The most that an exchange keeps of it.
pub(super) const KEPT_LIMIT: usize = 256 * 1024;

/// The status with which a proxy asks for a user and a password; no source has it.
pub(super) const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;

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
pub(super) struct LineConfig<'a> {
    pub(super) base: &'a Url,
    pub(super) user_agent: HeaderValue,
    /// The longest that one request may take, from its start to the last byte of the answer.
    pub(super) timeout: Duration,
    /// The longest that making a connection may take.
    pub(super) connect_timeout: Duration,
    pub(super) proxy: Option<&'a SecretString>,
}

/// Why there is no client.
pub(super) enum LineError {
    /// What is wrong with the proxy's address. Never the address, which may have a password.
    Proxy(&'static str),
    Client(reqwest::Error),
}

/// The HTTP client of one credential, and what is to be known of its way. It follows no redirect: a secret goes to whom
/// it was meant for.
pub(super) struct Line {
    client: Client,
    timeout: Duration,
    /// Whose certificates stand on the way.
    certificates: Certificates,
    /// What an error or an answer of its proxy must not tell.
    pub(super) secrets: Secrets,
}

/// Whose certificates stand on the way to a source.
#[derive(Clone, Copy)]
enum Certificates {
    Source,
    Proxy,
    /// First the proxy's, and behind it the source's.
    Both,
}

impl Line {
    pub(super) fn new(config: LineConfig<'_>) -> Result<Self, LineError> {
        let proxy = config.proxy.map(|address| proxy(address.expose_secret())).transpose().map_err(LineError::Proxy)?;
        // One provider for the whole process; where it is there already, it is the one we want.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .user_agent(config.user_agent)
            .redirect(Policy::none())
            .timeout(config.timeout)
            .connect_timeout(config.connect_timeout);
        let is_https = config.base.scheme() == "https";
        // A proxy may be spoken to over TLS even where the source is not.
        let certificates = match &proxy {
            Some(proxy) if proxy.is_https && is_https => Certificates::Both,
            Some(proxy) if proxy.is_https => Certificates::Proxy,
            _ => Certificates::Source,
        };
        if !is_https && matches!(certificates, Certificates::Source) {
            // No certificate is ever looked at, so none has to be there.
            client = client.tls_certs_only([]);
        }
        let secrets;
        if let Some(given) = proxy {
            (client, secrets) = (client.proxy(given.proxy), given.secrets);
        } else if is_loopback(config.base) {
            (client, secrets) = (client.no_proxy(), Secrets::default());
        } else {
            secrets = of_the_environment();
        }
        let client = client.build().map_err(LineError::Client)?;
        Ok(Self { client, timeout: config.timeout, certificates, secrets })
    }

    /// A request that is to be sent.
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request and reads the answer's body, as far as either goes.
    pub(super) async fn receive(
        &self,
        endpoint: &'static str,
        request: RequestBuilder,
    ) -> (Option<Received>, Option<Failure>) {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return (None, Some(self.broken(endpoint, None, error))),
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
                Err(error) => return (Some(received), Some(self.broken(endpoint, Some(status), error))),
            }
        }
    }

    /// What a request met that came to no end; the status is that of an answer which had begun.
    fn broken(&self, endpoint: &'static str, status: Option<u16>, error: reqwest::Error) -> Failure {
        let (kind, message) = if error.is_timeout() {
            (FailureKind::TimedOut, format!("no whole answer within {}", in_seconds(self.timeout)))
        } else if status.is_some() {
            (FailureKind::TruncatedBody, format!("the answer broke off: {}", causes(error)))
        } else if let Some(problem) = certificate_problem(&error) {
            let whose = match self.certificates {
                Certificates::Proxy => "its proxy",
                Certificates::Both if is_of_the_tunnel(&error) => "its proxy",
                _ => "the source",
            };
            (FailureKind::CertificateRefused, format!("the certificate of {whose} is not accepted: {problem}"))
        } else if let Some(words) = proxys_refusal(&error) {
            (FailureKind::ProxyRefused, format!("its proxy does not let it through: {words}"))
        } else {
            (FailureKind::ConnectionFailed, causes(error))
        };
        Failure { status, ..no_answer(endpoint, kind, message) }
    }
}

/// A proxy that was given.
struct Given {
    proxy: Proxy,
    is_https: bool,
    secrets: Secrets,
}

fn proxy(address: &str) -> Result<Given, &'static str> {
    let url = Url::parse(address.trim()).map_err(|_| "is not an absolute address")?;
    if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") {
        return Err("is neither http, https nor socks5");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host");
    }
    let (is_https, secrets) = (url.scheme() == "https", Secrets::of_proxy(&url));
    // The error would show the address, and with it the password.
    Ok(Given { proxy: Proxy::all(url).map_err(|_| "cannot be used")?, is_https, secrets })
}

/// The passwords of the proxies that the environment names for all programs.
fn of_the_environment() -> Secrets {
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let addresses = names.into_iter().filter_map(|name| Url::parse(std::env::var(name).ok()?.trim()).ok());
    addresses.map(|address| Secrets::of_proxy(&address)).collect()
}

/// What came back, before anything is made of it.
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
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
    let words: Vec<String> = chain(&error).map(ToString::to_string).collect();
    shorten(&words.join(": "), 300)
}

/// An error and what it comes from.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |error: &&(dyn Error + 'static)| (*error).source())
}

/// What is wrong with a certificate, where that is what a connection failed by.
fn certificate_problem(error: &reqwest::Error) -> Option<String> {
    chain(error).find_map(|cause| match innermost(cause).downcast_ref()? {
        rustls::Error::InvalidCertificate(problem) => Some(shorten(&problem.to_string(), 200)),
        _ => None,
    })
}

/// What an error of input and output was made of, which it hides from its sources.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => innermost(inner),
        None => error,
    }
}

/// Whether a connection failed before there was a way through the proxy. The client gives these errors no type that has a
/// name: what they say is all that there is.
fn is_of_the_tunnel(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| cause.to_string().starts_with("tunnel error"))
}

/// The words with which a proxy refuses the user and password that it was given, where a connection failed by that.
fn proxys_refusal(error: &reqwest::Error) -> Option<String> {
    let refusals = ["proxy authorization required", "credentials not accepted"];
    let words = chain(error).map(ToString::to_string);
    words.into_iter().find(|words| refusals.iter().any(|refusal| words.ends_with(refusal)))
}

/// A time limit as a person reads it.
fn in_seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

#[cfg(test)]
mod tests;
