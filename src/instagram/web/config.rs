//! The settings of the client, checked once, with the name of the setting in every complaint.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::endpoints::DocIds;
use crate::instagram::recording::Recording;
use crate::instagram::secrets::Secrets;
use crate::instagram::transport::{self, Line, LineConfig, LineError};
use crate::instagram::wire::Wire;

/// What published clients wait for after a 429.
pub const THROTTLE: Duration = Duration::from_secs(660);

/// How to reach Instagram's web endpoints.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// The site's address, such as `https://www.instagram.com`: absolute, http or https, without a query.
    pub base_url: String,
    /// The `Cookie` header of a browser's session: `sessionid=…; csrftoken=…; …`. `None` visits as a guest.
    pub cookie: Option<SecretString>,
    /// The browser's `User-Agent`; with a cookie it must be the one of the browser that the cookie is from.
    pub user_agent: String,
    /// Through which proxy it is asked, such as `socks5://user:password@host:1080`; `None` asks directly, or through what
    /// `HTTPS_PROXY` names.
    pub proxy: Option<SecretString>,
    /// The longest that one request may take, from its start to the last byte of the answer.
    pub timeout: Duration,
    /// The longest that making a connection may take.
    pub connect_timeout: Duration,
    /// How long a throttle lasts at least, whatever the answer says: who comes back sooner is throttled for longer.
    pub least_throttle: Duration,
    /// The numbers of the GraphQL documents.
    pub doc_ids: DocIds,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            base_url: "https://www.instagram.com".to_owned(),
            cookie: None,
            user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                         Chrome/141.0.0.0 Safari/537.36"
                .to_owned(),
            proxy: None,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            least_throttle: THROTTLE,
            doc_ids: DocIds::default(),
        }
    }
}

/// A setting that cannot be used; each says which, and what to set instead.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// The address is none.
    #[error(
        "IGT_WEB_URL is {url:?}, which {reason}; set an address such as https://www.instagram.com or http://127.0.0.1:4000"
    )]
    Address {
        /// What was set, without a password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The cookie is no header, or has no session in it.
    #[error(
        "IGT_WEB_COOKIE (--web-cookie) {0}; copy the whole Cookie header of a signed-in browser: sessionid=…; csrftoken=…"
    )]
    Cookie(&'static str),
    /// The user agent is no header.
    #[error(
        "IGT_WEB_USER_AGENT (--web-user-agent) is empty or has characters that no header can hold; copy the browser's \
         navigator.userAgent"
    )]
    UserAgent,
    /// The proxy is none.
    #[error("the proxy {0}; give http://, https:// or socks5://, with user:password@ where it wants them")]
    Proxy(&'static str),
    /// A document has no number.
    #[error("the list of numbers of the document {0} is empty; leave it out to use the known ones")]
    DocIds(&'static str),
    /// The HTTP client could not be made, as where the machine has no root certificates.
    #[error("the HTTP client cannot be made: {0}; install the system's root certificates (package ca-certificates)")]
    Client(reqwest::Error),
}

/// The settings as they are used, and the client made of them.
pub(super) struct Settled {
    pub(super) wire: Wire,
    pub(super) base: Url,
    pub(super) cookie: Option<SecretString>,
    /// What an error or an answer of its proxy must not tell.
    pub(super) secrets: Secrets,
    pub(super) least_throttle: Duration,
    pub(super) doc_ids: DocIds,
}

pub(super) fn settle(config: WebConfig) -> Result<Settled, WebConfigError> {
    let base = transport::address(&config.base_url).map_err(|(url, reason)| WebConfigError::Address { url, reason })?;
    let agent = HeaderValue::from_str(&config.user_agent).map_err(|_| WebConfigError::UserAgent)?;
    if agent.is_empty() {
        return Err(WebConfigError::UserAgent);
    }
    check_cookie(config.cookie.as_ref())?;
    check_documents(&config.doc_ids)?;
    let line = Line::new(LineConfig {
        base: &base,
        user_agent: agent,
        timeout: config.timeout,
        connect_timeout: config.connect_timeout,
        proxy: config.proxy.as_ref(),
    })
    .map_err(|error| match error {
        LineError::Proxy(problem) => WebConfigError::Proxy(problem),
        LineError::Client(error) => WebConfigError::Client(error),
    })?;
    let WebConfig { cookie, least_throttle, doc_ids, .. } = config;
    let secrets = line.secrets.clone();
    Ok(Settled { wire: Wire::Network(line), base, cookie, secrets, least_throttle, doc_ids })
}

/// Settings that ask nothing of the network: a recording answers in its place, as a guest or as whoever was signed in.
pub(super) fn recorded(recording: Arc<Recording>, has_session: bool, doc_ids: DocIds) -> Settled {
    /// Where the answers were nobody knows any more; nobody is asked there.
    const NOWHERE: &str = "https://recording.invalid";
    /// Shorter than anything that is looked for as a secret.
    const SIGNED_IN: &str = "sessionid=1";
    let mut base = recording.address();
    if let Some(base) = &mut base {
        base.set_path("");
    }
    #[expect(clippy::unwrap_used, reason = "the address is a constant, and a test uses it")]
    let base = base.unwrap_or_else(|| Url::parse(NOWHERE).unwrap());
    let cookie = has_session.then(|| SIGNED_IN.into());
    let (wire, secrets) = (Wire::Recording(recording), Secrets::default());
    Settled { wire, base, cookie, secrets, least_throttle: THROTTLE, doc_ids }
}

fn check_cookie(cookie: Option<&SecretString>) -> Result<(), WebConfigError> {
    let Some(cookie) = cookie.map(ExposeSecret::expose_secret) else { return Ok(()) };
    if HeaderValue::from_str(cookie).is_err() {
        return Err(WebConfigError::Cookie("has characters that no header can hold"));
    }
    let has = |name: &str| {
        cookie.split(';').any(|pair| {
            pair.trim().split_once('=').is_some_and(|(key, value)| key.trim() == name && !value.trim().is_empty())
        })
    };
    // The csrf token may be missing: the site sets one with its first answer.
    if has("sessionid") { Ok(()) } else { Err(WebConfigError::Cookie("has no sessionid")) }
}

fn check_documents(ids: &DocIds) -> Result<(), WebConfigError> {
    let lists = [("profile", &ids.profile), ("posts", &ids.posts), ("reels", &ids.reels), ("post", &ids.post)];
    match lists.into_iter().find(|(_, ids)| ids.is_empty()) {
        Some((name, _)) => Err(WebConfigError::DocIds(name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Web;
    use super::*;
    use crate::instagram::Open;

    fn error(config: WebConfig) -> String {
        Web::new(config).unwrap_err().to_string()
    }

    #[test]
    fn every_complaint_names_the_setting_and_what_to_do() {
        for url in ["instagram.com", "ftp://instagram.com", "https://www.instagram.com/?a=1", "", "data:text"] {
            let message = error(WebConfig { base_url: url.to_owned(), ..WebConfig::default() });
            assert!(message.contains("IGT_WEB_URL") && message.contains("https://www.instagram.com"), "{message}");
        }
        let url = "https://me:hidden-word@www.instagram.com".to_owned();
        assert!(!error(WebConfig { base_url: url, ..WebConfig::default() }).contains("hidden-word"));
        for cookie in ["csrftoken=hidden-word", "sessionid=; hidden-word=1", "sessionid=hidden-word;\n csrftoken=1"] {
            let message = error(WebConfig { cookie: Some(cookie.into()), ..WebConfig::default() });
            assert!(message.contains("sessionid=") && !message.contains("hidden-word"), "{message}");
        }
        assert!(
            error(WebConfig { user_agent: "a\nb".to_owned(), ..WebConfig::default() }).contains("IGT_WEB_USER_AGENT")
        );
        for proxy in ["ftp://me:hidden-word@host:1", "hidden-word", "http://", "socks4://me:hidden-word@host"] {
            let message = error(WebConfig { proxy: Some(proxy.into()), ..WebConfig::default() });
            assert!(message.contains("socks5://") && !message.contains("hidden-word"), "{message}");
        }
        let doc_ids = DocIds { posts: Vec::new(), ..DocIds::default() };
        assert!(error(WebConfig { doc_ids, ..WebConfig::default() }).contains("posts"));
    }

    #[test]
    fn the_settings_do_not_show_the_cookie() {
        let cookie = "sessionid=hidden-word; csrftoken=other-word";
        let proxy = Some("socks5://me:proxy-word@127.0.0.1:1".into());
        let base_url = "http://127.0.0.1:1".to_owned();
        let config = WebConfig { cookie: Some(cookie.into()), base_url, proxy, ..WebConfig::default() };
        let web = Web::new(config.clone()).unwrap();
        for text in [format!("{config:?}"), format!("{web:?}"), format!("{:?}", web.visit(Arc::new(Open)))] {
            let told = ["hidden-word", "other-word", "proxy-word"].into_iter().any(|word| text.contains(word));
            assert!(!told, "{text}");
        }
    }
}
