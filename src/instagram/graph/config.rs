//! The settings of one credential of the official source, checked once, with the name of the setting in every complaint.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::instagram::recording::Recording;
use crate::instagram::secrets::Secrets;
use crate::instagram::transport::{self, Line, LineConfig, LineError};
use crate::instagram::wire::Wire;

/// The version of the Graph API that this client was written for.
const VERSION: &str = "v26.0";

/// How to reach the official source, and as whom.
#[derive(Clone, Debug)]
pub struct GraphConfig {
    /// The API's address, such as `https://graph.facebook.com`: absolute, http or https, without a query.
    pub base_url: String,
    /// The version of the API, such as `v26.0`.
    pub version: String,
    /// The number of the professional Instagram account that asks (`ig-user-id`), which the token is for.
    pub user_id: String,
    /// The user's access token.
    pub token: SecretString,
    /// The longest that one request may take, from its start to the last byte of the answer.
    pub timeout: Duration,
    /// The longest that making a connection may take.
    pub connect_timeout: Duration,
    /// The proxy through which this credential asks: `http`, `https` or `socks5` (`socks5h` has it resolve names, too),
    /// with its user and password where it has some.
    pub proxy: Option<SecretString>,
}

impl GraphConfig {
    /// The settings for these credentials, all others as they are usual.
    pub fn new(user_id: impl Into<String>, token: SecretString) -> Self {
        Self {
            base_url: "https://graph.facebook.com".to_owned(),
            version: VERSION.to_owned(),
            user_id: user_id.into(),
            token,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            proxy: None,
        }
    }
}

/// A setting that cannot be used; each says which, and what to set instead.
#[derive(Debug, thiserror::Error)]
pub enum GraphConfigError {
    /// The address is none.
    #[error(
        "the official source's base_url is {url:?}, which {reason}; set an address such as https://graph.facebook.com"
    )]
    Address {
        /// What was set, without a password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The version is none.
    #[error("the official source's version is {0:?}; set one such as {VERSION}")]
    Version(String),
    /// The account that asks is not a number.
    #[error(
        "the credential's user_id is {0:?}, which is no number; set the id of the professional Instagram account that \
         the token is for: instagram_business_account.id in the answer to /me/accounts?fields=instagram_business_account"
    )]
    UserId(String),
    /// The token is empty or no header.
    #[error(
        "the credential's token {0}; set the user access token as the Graph API Explorer or your app's login gives it"
    )]
    Token(&'static str),
    /// The proxy's address is none.
    #[error("the credential's proxy {0}; set an address such as http://user:password@host:8080 or socks5://host:1080")]
    Proxy(&'static str),
    /// The HTTP client could not be made, as where the machine has no root certificates.
    #[error("the HTTP client cannot be made: {0}; install the system's root certificates (package ca-certificates)")]
    Client(reqwest::Error),
}

/// The settings as they are used, and the client made of them.
pub(super) struct Settled {
    pub(super) wire: Wire,
    /// The address of the account that asks: every request goes there.
    pub(super) node: Url,
    /// The token, and the password of the proxy.
    pub(super) secrets: Secrets,
    /// The header that carries the token.
    pub(super) authorization: HeaderValue,
}

pub(super) fn settle(config: GraphConfig) -> Result<Settled, GraphConfigError> {
    let base =
        transport::address(&config.base_url).map_err(|(url, reason)| GraphConfigError::Address { url, reason })?;
    check_version(&config.version)?;
    let is_number =
        (1..=32).contains(&config.user_id.len()) && config.user_id.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(GraphConfigError::UserId(config.user_id));
    }
    let authorization = authorization(&config.token)?;
    let line = Line::new(LineConfig {
        base: &base,
        user_agent: HeaderValue::from_static(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"))),
        timeout: config.timeout,
        connect_timeout: config.connect_timeout,
        proxy: config.proxy.as_ref(),
    })
    .map_err(|error| match error {
        LineError::Proxy(problem) => GraphConfigError::Proxy(problem),
        LineError::Client(error) => GraphConfigError::Client(error),
    })?;
    let mut node = base;
    let path = format!("{}/{}/{}", node.path().trim_end_matches('/'), config.version, config.user_id);
    node.set_path(&path);
    let secrets = Secrets::of([config.token.expose_secret()]).and(line.secrets.clone());
    Ok(Settled { wire: Wire::Network(line), node, secrets, authorization })
}

/// Settings that ask nothing of the network: a recording answers in its place.
pub(super) fn recorded(recording: Arc<Recording>) -> Settled {
    /// Where the answers were nobody knows any more; nobody is asked there.
    const NOWHERE: &str = "https://recording.invalid";
    #[expect(clippy::unwrap_used, reason = "the address is a constant, and a test uses it")]
    let node = recording.address().unwrap_or_else(|| Url::parse(NOWHERE).unwrap());
    let (secrets, authorization) = (Secrets::default(), HeaderValue::from_static("none"));
    Settled { wire: Wire::Recording(recording), node, secrets, authorization }
}

fn check_version(version: &str) -> Result<(), GraphConfigError> {
    let digits = |text: &str| (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = version.strip_prefix('v').and_then(|numbers| numbers.split_once('.'));
    match parts {
        Some((major, minor)) if digits(major) && digits(minor) => Ok(()),
        _ => Err(GraphConfigError::Version(version.to_owned())),
    }
}

fn authorization(token: &SecretString) -> Result<HeaderValue, GraphConfigError> {
    let token = token.expose_secret();
    if token.trim().is_empty() {
        return Err(GraphConfigError::Token("is empty"));
    }
    if token.contains(char::is_whitespace) {
        return Err(GraphConfigError::Token("has a space or a line break in it"));
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| GraphConfigError::Token("has characters that no header can hold"))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::super::Graph;
    use super::*;

    fn config() -> GraphConfig {
        let token = "hidden-word-token";
        GraphConfig { base_url: "http://127.0.0.1:1".to_owned(), ..GraphConfig::new("17841400000000001", token.into()) }
    }

    fn error(config: GraphConfig) -> String {
        Graph::new(config).unwrap_err().to_string()
    }

    #[test]
    fn every_complaint_names_the_setting_and_what_to_do() {
        for url in ["graph.facebook.com", "ftp://graph.facebook.com", "https://graph.facebook.com/?a=1", ""] {
            let message = error(GraphConfig { base_url: url.to_owned(), ..config() });
            assert!(message.contains("base_url") && message.contains("https://graph.facebook.com"), "{message}");
        }
        for version in ["26", "26.0", "v26", "v.0", "v26.0/me", "vx.0"] {
            let message = error(GraphConfig { version: version.to_owned(), ..config() });
            assert!(message.contains("version") && message.contains("v26.0"), "{message}");
        }
        for user_id in ["", "me", "178/accounts", "-5", &"1".repeat(33)] {
            let message = error(GraphConfig { user_id: user_id.to_owned(), ..config() });
            assert!(message.contains("user_id") && message.contains("instagram_business_account"), "{message}");
        }
        for token in ["", " ", "hidden-word token", "hidden-word\n", "hidden-word\u{7f}"] {
            let message = error(GraphConfig { token: token.into(), ..config() });
            assert!(message.contains("token") && !message.contains("hidden-word"), "{message}");
        }
        for proxy in ["", "host:8080", "ftp://me:hidden-word@host", "socks4://hidden-word@host"] {
            let message = error(GraphConfig { proxy: Some(proxy.into()), ..config() });
            assert!(message.contains("socks5://") && !message.contains("hidden-word"), "{message}");
        }
    }

    #[test]
    fn the_settings_do_not_show_the_token_or_the_proxy() {
        for proxy in
            ["http://me:hidden-word@127.0.0.1:1", "https://me:hidden-word@a.test", "socks5://me:hidden-word@a.test"]
        {
            let config = GraphConfig { proxy: Some(proxy.into()), ..config() };
            let graph = Graph::new(config.clone()).unwrap();
            let visit = graph.visit(std::sync::Arc::new(crate::instagram::Open));
            for text in [format!("{config:?}"), format!("{graph:?}"), format!("{visit:?}")] {
                assert!(!text.contains("hidden-word"), "{text}");
            }
        }
    }
}
