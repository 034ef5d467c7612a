//! The credentials that the sources are asked with, as the settings name them: a file of them, a cookie, or none.
//!
//! They are read at the start and live in the memory of the process. What rows, logs and answers tell is their names.

mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use crate::db::credentials::{Pace, Registered};
use crate::instagram::graph::{Graph, GraphConfig, GraphConfigError};
use crate::instagram::web::{Web, WebConfig, WebConfigError};
use crate::instagram::{Client, Source, Sources, is_on_this_machine};

pub use file::FileError;

/// The name of the credential of `IGT_WEB_COOKIE`.
pub const COOKIE: &str = "cookie";

/// The name under which the web source is asked without any session.
pub const GUEST: &str = "guest";

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody in particular: the address that asks.
    Guest,
    /// A signed-in browser.
    Session,
    /// A token of the official source.
    Token,
}

impl Kind {
    /// The name in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Session => "session",
            Self::Token => "token",
        }
    }

    /// What it is asked for.
    pub fn source(self) -> Source {
        match self {
            Self::Guest | Self::Session => Source::Web,
            Self::Token => Source::Graph,
        }
    }

    /// The pace that is polite towards the real source.
    fn polite(self) -> Pace {
        match self {
            Self::Guest => Pace { gap_ms: 10_000, jitter_ms: 10_000, budget: Some(30), window_seconds: 660.0 },
            Self::Session => Pace { gap_ms: 6_000, jitter_ms: 6_000, budget: Some(75), window_seconds: 660.0 },
            Self::Token => Pace { gap_ms: 1_000, jitter_ms: 1_000, budget: Some(200), window_seconds: 3_600.0 },
        }
    }
}

/// What was set of a pace; the rest is as the credential's kind has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceSettings {
    /// The least time between two requests, in milliseconds.
    pub gap_ms: Option<u32>,
    /// Up to so much is added to it, by chance, in milliseconds.
    pub jitter_ms: Option<u32>,
    /// How many requests at most fall into any window; 0 counts none.
    pub budget: Option<u32>,
    /// The length of the window, in seconds.
    pub window_seconds: Option<u32>,
}

impl PaceSettings {
    /// The pace of a kind. A source on this machine is an invented one, which nobody has to spare.
    fn of(self, kind: Kind, is_here: bool) -> Pace {
        let default = kind.polite();
        let unset = if is_here { Pace { window_seconds: default.window_seconds, ..Pace::NONE } } else { default };
        let whole = |set: Option<u32>| set.and_then(|number| i32::try_from(number).ok());
        Pace {
            gap_ms: whole(self.gap_ms).unwrap_or(unset.gap_ms),
            jitter_ms: whole(self.jitter_ms).unwrap_or(unset.jitter_ms),
            budget: whole(self.budget).map_or(unset.budget, |budget| (budget > 0).then_some(budget)),
            window_seconds: self.window_seconds.map_or(unset.window_seconds, f64::from),
        }
    }
}

/// A credential.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its name.
    pub name: Arc<str>,
    /// What is secret about it.
    pub secret: Secret,
    /// The proxy through which it is used; it may have a password.
    pub proxy: Option<SecretString>,
    /// What was set of its pace.
    pub pace: PaceSettings,
}

/// What makes a credential.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Nothing.
    Guest,
    /// A browser's session.
    Session {
        /// Its `Cookie` header.
        cookie: SecretString,
        /// The browser's `User-Agent`.
        user_agent: Option<String>,
    },
    /// A token of the official source.
    Token {
        /// The token.
        token: SecretString,
        /// The number of the business account that it belongs to.
        user_id: String,
    },
}

impl Credential {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.secret {
            Secret::Guest => Kind::Guest,
            Secret::Session { .. } => Kind::Session,
            Secret::Token { .. } => Kind::Token,
        }
    }
}

/// Where credentials come from, and what holds for all.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: Option<PathBuf>,
    /// How the web source is asked, with the cookie of `IGT_WEB_COOKIE` where it is set.
    pub web: WebConfig,
    /// The address of the official source.
    pub graph_url: String,
    /// What was set of the pace of `cookie` and `guest`.
    pub pace: PaceSettings,
}

/// A credential that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The web source's settings.
    #[error(transparent)]
    Web(#[from] WebConfigError),
    /// The official source's settings.
    #[error(transparent)]
    Graph(#[from] GraphConfigError),
}

/// All credentials, checked, with the clients made of them.
#[derive(Clone, Debug)]
pub struct Credentials {
    all: Vec<Credential>,
    sources: Sources,
    web_is_here: bool,
    graph_is_here: bool,
}

impl Credentials {
    /// Reads and checks them. Asks nothing of the network.
    pub fn gather(origin: &Origin) -> Result<Self, CredentialsError> {
        let file = origin.file.as_deref();
        let mut all = file.map_or_else(|| Ok(Vec::new()), file::read)?;
        if let Some(cookie) = origin.web.cookie.clone() {
            if let (Some(path), true) = (file, all.iter().any(|credential| &*credential.name == COOKIE)) {
                return Err(FileError::entry(
                    path,
                    "session \"cookie\"",
                    "name",
                    "is the name of the one of \
                    IGT_WEB_COOKIE, which is set as well; write another name, or unset IGT_WEB_COOKIE",
                )
                .into());
            }
            let secret = Secret::Session { cookie, user_agent: None };
            all.push(Credential { name: COOKIE.into(), secret, proxy: None, pace: origin.pace });
        }
        if !all.iter().any(|credential| credential.kind().source() == Source::Web) {
            all.push(Credential { name: GUEST.into(), secret: Secret::Guest, proxy: None, pace: origin.pace });
        }
        let clients: Result<Vec<_>, CredentialsError> =
            all.iter().map(|credential| client(credential, origin, file)).collect();
        Ok(Self {
            sources: Sources::new(clients?),
            web_is_here: is_on_this_machine(&origin.web.base_url),
            graph_is_here: is_on_this_machine(&origin.graph_url),
            all,
        })
    }

    /// The clients.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Each name, and what it is.
    pub fn kinds(&self) -> impl Iterator<Item = (&Arc<str>, Kind)> {
        self.all.iter().map(|credential| (&credential.name, credential.kind()))
    }

    /// What the table is to know of them.
    pub fn registered(&self) -> Vec<Registered<'_>> {
        let registered = |credential: &'_ Credential| {
            let kind = credential.kind();
            let is_here = if kind.source() == Source::Web { self.web_is_here } else { self.graph_is_here };
            (kind, credential.pace.of(kind, is_here))
        };
        self.all
            .iter()
            .map(|credential| {
                let (kind, pace) = registered(credential);
                Registered { name: &credential.name, source: kind.source().as_str(), kind: kind.as_str(), pace }
            })
            .collect()
    }
}

/// The client of a credential.
fn client(
    credential: &Credential,
    origin: &Origin,
    file: Option<&Path>,
) -> Result<(Arc<str>, Client), CredentialsError> {
    let base = WebConfig { cookie: None, proxy: credential.proxy.clone(), ..origin.web.clone() };
    let client = match &credential.secret {
        Secret::Guest => web(credential, base, file)?,
        Secret::Session { cookie, user_agent } => {
            let user_agent = user_agent.clone().unwrap_or(base.user_agent.clone());
            web(credential, WebConfig { cookie: Some(cookie.clone()), user_agent, ..base }, file)?
        }
        Secret::Token { token, user_id } => {
            let config = GraphConfig {
                base_url: origin.graph_url.clone(),
                proxy: credential.proxy.clone(),
                timeout: base.timeout,
                connect_timeout: base.connect_timeout,
                ..GraphConfig::new(user_id, token.clone())
            };
            graph(credential, config, file)?
        }
    };
    Ok((Arc::clone(&credential.name), client))
}

/// A client of the web source. What is wrong with an entry of the file is said of the entry.
fn web(credential: &Credential, config: WebConfig, file: Option<&Path>) -> Result<Client, CredentialsError> {
    Web::new(config).map(Client::Web).map_err(|error| {
        let Some(path) = file.filter(|_| &*credential.name != COOKIE) else { return error.into() };
        let entry = format!("session \"{}\"", credential.name);
        let of_entry = |key, problem: String| CredentialsError::from(FileError::entry(path, &entry, key, problem));
        match error {
            WebConfigError::Cookie(problem) => of_entry(
                "cookie",
                format!("{problem}; copy the whole Cookie header of a signed-in browser: sessionid=…; csrftoken=…"),
            ),
            WebConfigError::UserAgent if credential.has_user_agent() => of_entry(
                "user_agent",
                "is empty or has characters that no header can hold; copy the browser's navigator.userAgent".to_owned(),
            ),
            WebConfigError::Proxy(problem) => of_entry("proxy", format!("{problem}; {}", file::PROXY)),
            other => other.into(),
        }
    })
}

/// A client of the official source.
fn graph(credential: &Credential, config: GraphConfig, file: Option<&Path>) -> Result<Client, CredentialsError> {
    Graph::new(config).map(Client::Graph).map_err(|error| {
        let Some(path) = file else { return error.into() };
        let entry = format!("token \"{}\"", credential.name);
        let of_entry = |key, problem: String| CredentialsError::from(FileError::entry(path, &entry, key, problem));
        match error {
            GraphConfigError::UserId(ref found) => of_entry(
                "user_id",
                format!(
                    "is {found:?}, which is no number; write the id of the professional Instagram account that the \
                     token is for"
                ),
            ),
            GraphConfigError::Token(problem) => {
                of_entry("token", format!("{problem}; write the user access token as your app's login gives it"))
            }
            GraphConfigError::Proxy(problem) => of_entry("proxy", format!("{problem}; {}", file::PROXY)),
            other => other.into(),
        }
    })
}

impl Credential {
    fn has_user_agent(&self) -> bool {
        matches!(self.secret, Secret::Session { user_agent: Some(_), .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(web_url: &str) -> Origin {
        let web = WebConfig { base_url: web_url.to_owned(), ..WebConfig::default() };
        let graph_url = "https://graph.facebook.com".to_owned();
        Origin { file: None, web, graph_url, pace: PaceSettings::default() }
    }

    fn paces(origin: &Origin) -> Vec<(String, Pace)> {
        let credentials = Credentials::gather(origin).unwrap();
        credentials.registered().into_iter().map(|one| (one.name.to_owned(), one.pace)).collect()
    }

    #[test]
    fn without_any_the_web_source_is_asked_as_a_guest_at_a_polite_pace() {
        let paces = paces(&origin("https://www.instagram.com"));
        assert_eq!(paces.len(), 1);
        assert_eq!(paces[0].0, "guest");
        assert!(paces[0].1.gap_ms >= 6_000 && paces[0].1.budget.is_some());
    }

    #[test]
    fn a_source_on_this_machine_has_no_pace_but_for_what_is_set() {
        for url in ["http://127.0.0.1:8090", "http://localhost:1", "http://[::1]:8090/"] {
            let Pace { gap_ms, jitter_ms, budget, .. } = paces(&origin(url))[0].1;
            assert_eq!((gap_ms, jitter_ms, budget), (0, 0, None), "{url}");
        }
        let pace = PaceSettings { budget: Some(5), window_seconds: Some(2), ..PaceSettings::default() };
        let set = paces(&Origin { pace, ..origin("http://127.0.0.1:8090") })[0].1;
        assert_eq!((set.gap_ms, set.budget, set.window_seconds), (0, Some(5), 2.0));
        let none = PaceSettings { budget: Some(0), ..PaceSettings::default() };
        assert_eq!(paces(&Origin { pace: none, ..origin("https://www.instagram.com") })[0].1.budget, None);
    }

    #[test]
    fn the_cookie_of_the_setting_is_a_credential_of_that_name() {
        let mut origin = origin("http://127.0.0.1:1");
        origin.web.cookie = Some("sessionid=hidden-word".into());
        let credentials = Credentials::gather(&origin).unwrap();
        assert_eq!(
            credentials.kinds().map(|(name, kind)| (&**name, kind)).collect::<Vec<_>>(),
            [("cookie", Kind::Session)]
        );
        assert!(!format!("{credentials:?}").contains("hidden-word"));
    }
}
