//! The official source: Business Discovery of the Graph API, asked with the token of a professional account.
//!
//! It tells of other professional accounts by their names. It knows neither their numbers nor whether they are
//! verified or private, no category and no length of a video, no plays, no list of reels and no look-up of one post.
//! Personal and private accounts it does not show at all. A count that an owner hides is left out.
//!
//! A [`Visit`] asks one thing after another, each request through its [`Gate`]. Begin at `find_account` in `account.rs`,
//! then `request.rs`.

mod account;
mod classify;
mod config;
mod cursor;
mod fields;
mod media;
mod request;
#[cfg(test)]
mod tests;
mod usage;

use std::fmt;
use std::sync::Arc;

pub use config::{GraphConfig, GraphConfigError};

use self::config::Settled;
use self::fields::Fields;
use super::{
    AccountRef, Cursor, Exchange, Failure, Gate, Page, Post, Profile, Reading, Recording, ReelNumbers, Secrets,
    Shortcode, Username,
};

/// One credential of the source and its HTTP client, shared by all visits.
#[derive(Clone)]
pub struct Graph(Arc<Settled>);

impl Graph {
    /// Checks the settings and makes the client. Asks nothing of the network.
    pub fn new(config: GraphConfig) -> Result<Self, GraphConfigError> {
        config::settle(config).map(|settled| Self(Arc::new(settled)))
    }

    /// One that asks nothing of the network, and is answered as a run was.
    pub fn recorded(recording: Arc<Recording>) -> Self {
        Self(Arc::new(config::recorded(recording)))
    }

    /// What is secret about it.
    pub fn secrets(&self) -> Secrets {
        self.0.secrets.clone()
    }

    /// Begins a run's use of the source. The gate is asked before every request, and hears how it ended.
    pub fn visit(&self, gate: Arc<dyn Gate>) -> Visit {
        Visit { graph: Arc::clone(&self.0), gate, fields: Fields::default(), reels: Vec::new(), exchanges: Vec::new() }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("node", &self.0.node.as_str()).finish_non_exhaustive()
    }
}

/// One run's use of the source. It holds what the source has refused, and the exchanges that it made.
///
/// A call that is dropped half-way leaves it as it was; only the exchange of the request that was cut is missing.
pub struct Visit {
    graph: Arc<Settled>,
    gate: Arc<dyn Gate>,
    /// The fields that are still asked for.
    fields: Fields,
    /// The reels that were read, and whose they are.
    reels: Vec<(Username, Post)>,
    exchanges: Vec<Exchange>,
}

impl Visit {
    /// The account, and its first page of media.
    ///
    /// [`FailureKind::NotDiscoverable`](super::FailureKind::NotDiscoverable) is all that the source says of an account
    /// that is not there, and of one that is personal.
    pub async fn account(&mut self, username: &Username) -> Result<Profile, Failure> {
        self.find_account(username).await
    }

    /// The failure of asking for an account by its number, which the source does not know.
    pub fn knows_no_numbers(&self) -> Failure {
        self.number_is_unknown()
    }

    /// A page of the account's media, the latest first; pinned ones stand where they belong in time.
    pub async fn posts(&mut self, account: &AccountRef, after: Option<&Cursor>) -> Result<Page<Post>, Failure> {
        self.list_posts(&account.username, after).await
    }

    /// A page of the numbers of the account's reels: a dozen or more, unless the list ends. The source tells no plays.
    ///
    /// Without a cursor it begins with those that this visit has read among the posts, which costs no request.
    pub async fn reels(&mut self, account: &AccountRef, after: Option<&Cursor>) -> Result<Page<ReelNumbers>, Failure> {
        self.list_reels(account, after).await
    }

    /// One reel that this visit has read. The source has no look-up of one post: for any other the failure is
    /// [`FailureKind::NotOffered`](super::FailureKind::NotOffered), which says nothing about the post.
    pub async fn post(&mut self, code: &Shortcode) -> Result<Reading<Post>, Failure> {
        self.find_post(code)
    }

    /// Whether a list goes on behind this cursor, which is one of this source.
    pub fn knows(&self, cursor: &Cursor) -> bool {
        cursor::Place::of(Some(cursor)) != cursor::Place::Start
    }

    /// The requests made since the last call, oldest first.
    pub fn take_exchanges(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.exchanges)
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exchanges = self.exchanges.len();
        f.debug_struct("Visit")
            .field("node", &self.graph.node.as_str())
            .field("exchanges", &exchanges)
            .finish_non_exhaustive()
    }
}
