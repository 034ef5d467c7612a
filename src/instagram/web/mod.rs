//! The client of Instagram's web endpoints, the ones that its own site uses; as a guest or with a browser's session.
//!
//! A [`Visit`] asks one thing after another and hands back what it read, or the failure by name. It takes at once the
//! second opinions that the wire asks for; waiting and trying again later is the caller's. Begin at `find_account` in
//! `profile.rs`, then `request.rs`.

mod classify;
mod config;
mod cursor;
mod endpoints;
mod graphql;
mod page;
mod profile;
mod reels;
mod request;
mod secrets;
#[cfg(test)]
mod tests;
mod timeline;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

pub use config::{THROTTLE, WebConfig, WebConfigError};
pub use endpoints::{DocIds, DocIdsError};

use self::config::Settled;
use self::cursor::Onward;
use self::page::Tokens;
use self::secrets::Cookies;
use super::{
    Account, AccountRef, Cursor, Exchange, Failure, FailureKind, Gate, Page, Post, Profile, Reading, Recording,
    ReelNumbers, Secrets, Shortcode, Unread, Username,
};

/// The source: one HTTP client, shared by all visits.
#[derive(Clone)]
pub struct Web(Arc<Settled>);

impl Web {
    /// Checks the settings and makes the client. Asks nothing of the network.
    pub fn new(config: WebConfig) -> Result<Self, WebConfigError> {
        config::settle(config).map(|settled| Self(Arc::new(settled)))
    }

    /// One that asks nothing of the network, and is answered as a run was, as a guest or with a session.
    pub fn recorded(recording: Arc<Recording>, has_session: bool, doc_ids: DocIds) -> Self {
        Self(Arc::new(config::recorded(recording, has_session, doc_ids)))
    }

    /// Whether it is asked with a session and not as a guest.
    pub fn has_session(&self) -> bool {
        Cookies::of(self.0.cookie.as_ref()).has_session()
    }

    /// What is secret about it.
    pub fn secrets(&self) -> Secrets {
        Cookies::of(self.0.cookie.as_ref()).secrets().and(self.0.secrets.clone())
    }

    /// Begins a run's use of the source, each request through the gate.
    pub fn visit(&self, gate: Arc<dyn Gate>) -> Visit {
        self.visit_avoiding(gate, [])
    }

    /// The same for a run that has waited before: an endpoint that asked it to is not asked where another can answer.
    pub fn visit_avoiding<'a>(&self, gate: Arc<dyn Gate>, asked_to_wait: impl IntoIterator<Item = &'a str>) -> Visit {
        let asked_to_wait: HashSet<String> = asked_to_wait.into_iter().map(str::to_owned).collect();
        Visit {
            web: Arc::clone(&self.0),
            gate,
            cookies: Cookies::of(self.0.cookie.as_ref()),
            claim: None,
            tokens: None,
            refreshed: false,
            stale: HashSet::new(),
            has_waited: !asked_to_wait.is_empty(),
            asked_to_wait,
            looked_up: None,
            exchanges: Vec::new(),
        }
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (base, session) = (self.0.base.as_str(), self.0.cookie.is_some());
        f.debug_struct("Web").field("base", &base).field("session", &session).finish_non_exhaustive()
    }
}

/// The account whose lists are asked for. Here, unlike in an [`AccountRef`], its number is always known.
#[derive(Clone)]
struct Owner {
    pk: i64,
    username: Username,
}

/// One run's use of the source. It holds the run's tokens, and the exchanges that it made.
///
/// A call that is dropped half-way leaves it as it was; only the exchange of the request that was cut is missing.
pub struct Visit {
    web: Arc<Settled>,
    gate: Arc<dyn Gate>,
    cookies: Cookies,
    /// `x-ig-set-www-claim`, to be echoed.
    claim: Option<String>,
    tokens: Option<Tokens>,
    /// Whether the tokens were refreshed already: once a visit is enough to tell stale tokens from a closed door.
    refreshed: bool,
    /// Numbers of documents that are no longer served.
    stale: HashSet<String>,
    /// Endpoints that asked us to wait. The wire does not say why, so the next call turns to another where it can.
    asked_to_wait: HashSet<String>,
    /// Whether the run has waited already because an endpoint asked it to: then the next that asks is passed over.
    has_waited: bool,
    /// The account that was looked up because it came without its number.
    looked_up: Option<Owner>,
    exchanges: Vec<Exchange>,
}

impl Visit {
    /// The account, and the first posts where the answer carried them (`web_profile_info`, then the profile's page).
    ///
    /// [`FailureKind::NotFound`] is said only where both agree. An account for adults is a failure and has no numbers.
    pub async fn account(&mut self, username: &Username) -> Result<Profile, Failure> {
        self.find_account(username).await.map(|found| found.profile)
    }

    /// The account with this number, which stays when it is renamed (its document); its handle is told anew. `last_known`
    /// is the handle that it had.
    ///
    /// # Errors
    ///
    /// [`FailureKind::NotFound`] where nobody has the number.
    pub async fn account_by_id(&mut self, pk: i64, last_known: &Username) -> Result<Reading<Account>, Failure> {
        self.find_by_id(pk, last_known).await
    }

    /// A page of the account's posts, pinned ones first, then the latest (the timeline's connection with a session,
    /// `feed` without one or where the connection is out of order).
    pub async fn posts(&mut self, account: &AccountRef, after: Option<&Cursor>) -> Result<Page<Post>, Failure> {
        let owner = self.owner(account).await?;
        self.list_posts(&owner, after).await
    }

    /// A page of the numbers of the account's reels (the reels tab with a session, else `clips_user`).
    pub async fn reels(&mut self, account: &AccountRef, after: Option<&Cursor>) -> Result<Page<ReelNumbers>, Failure> {
        let owner = self.owner(account).await?;
        self.list_reels(&owner, after).await
    }

    /// One post (its document; then `media_info` with a session, or the post's page without one).
    pub async fn post(&mut self, code: &Shortcode) -> Result<Reading<Post>, Failure> {
        self.find_post(code).await
    }

    /// Whether a list goes on behind this cursor, which is one of this source.
    pub fn knows(&self, cursor: &Cursor) -> bool {
        cursor::Place::of(Some(cursor)) != cursor::Place::Start
    }

    /// The requests made since the last call, oldest first.
    pub fn take_exchanges(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.exchanges)
    }

    /// Whether it asks with a session and not as a guest.
    pub fn has_session(&self) -> bool {
        self.cookies.has_session()
    }

    /// The account with its number. One that another source told of without it is looked up, once a visit.
    async fn owner(&mut self, account: &AccountRef) -> Result<Owner, Failure> {
        if let Some(pk) = account.pk {
            return Ok(Owner { pk, username: account.username.clone() });
        }
        if let Some(owner) = self.looked_up.as_ref().filter(|owner| owner.username == account.username) {
            return Ok(owner.clone());
        }
        let found = self.find_account(&account.username).await?;
        let owner = Owner { pk: found.pk, username: account.username.clone() };
        self.looked_up = Some(owner.clone());
        Ok(owner)
    }

    /// Where posts go on behind those that came with the account.
    fn onward(&self) -> Onward {
        if self.has_session() { Onward::Timeline } else { Onward::Feed }
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exchanges = self.exchanges.len();
        f.debug_struct("Visit")
            .field("session", &self.has_session())
            .field("exchanges", &exchanges)
            .finish_non_exhaustive()
    }
}

impl Visit {
    /// Whether another endpoint is to be asked at once. One that asks to wait is first given its wait, once a run.
    fn turns_to_another(&self, failure: FailureKind) -> bool {
        other_endpoint_may_know(failure) || (failure == FailureKind::PleaseWait && self.has_waited)
    }
}

/// Whether the failure may be one of the endpoint alone, and not of the session or the hour. "Not found" is one
/// endpoint's word, too.
fn other_endpoint_may_know(kind: FailureKind) -> bool {
    use FailureKind::{EndpointBroken, Forbidden, NotFound, UnexpectedShape};
    matches!(kind, UnexpectedShape | Forbidden | EndpointBroken | NotFound)
}

/// The news that another endpoint had to answer: a fallback that nobody notices hides that the first one is gone.
fn fell_back(failure: &Failure) -> Unread {
    Unread {
        path: failure.endpoint.to_owned(),
        expected: "an answer of this endpoint",
        found: failure.message.clone(),
        is_loss: false,
    }
}
