//! One attempt's use of a source, whichever it is.

use super::{
    Account, AccountRef, Cursor, Exchange, Failure, Page, Post, Profile, Reading, ReelNumbers, Shortcode, Source,
    Username,
};
use super::{graph, web};

/// Asks one thing after another of one source with one credential, and hands back what it read, or the failure by name.
#[derive(Debug)]
pub enum Visit {
    /// Of the web endpoints.
    Web(web::Visit),
    /// Of the official source.
    Graph(graph::Visit),
}

impl Visit {
    /// What is asked.
    pub fn source(&self) -> Source {
        match self {
            Self::Web(_) => Source::Web,
            Self::Graph(_) => Source::Graph,
        }
    }

    /// The account, and the first posts where the answer carried them.
    pub async fn account(&mut self, username: &Username) -> Result<Profile, Failure> {
        match self {
            Self::Web(visit) => visit.account(username).await,
            Self::Graph(visit) => visit.account(username).await,
        }
    }

    /// The account with this number, whatever it is called now. The official source knows no numbers.
    pub async fn account_by_id(&mut self, pk: i64, last_known: &Username) -> Result<Reading<Account>, Failure> {
        match self {
            Self::Web(visit) => visit.account_by_id(pk, last_known).await,
            Self::Graph(visit) => Err(visit.knows_no_numbers()),
        }
    }

    /// A page of the account's posts.
    pub async fn posts(&mut self, account: &AccountRef, after: Option<&Cursor>) -> Result<Page<Post>, Failure> {
        match self {
            Self::Web(visit) => visit.posts(account, after).await,
            Self::Graph(visit) => visit.posts(account, after).await,
        }
    }

    /// A page of the numbers of the account's reels.
    pub async fn reels(&mut self, account: &AccountRef, after: Option<&Cursor>) -> Result<Page<ReelNumbers>, Failure> {
        match self {
            Self::Web(visit) => visit.reels(account, after).await,
            Self::Graph(visit) => visit.reels(account, after).await,
        }
    }

    /// One post.
    pub async fn post(&mut self, code: &Shortcode) -> Result<Reading<Post>, Failure> {
        match self {
            Self::Web(visit) => visit.post(code).await,
            Self::Graph(visit) => visit.post(code).await,
        }
    }

    /// Whether a list goes on behind this cursor. One of the other source means nothing to this one.
    pub fn knows(&self, cursor: &Cursor) -> bool {
        match self {
            Self::Web(visit) => visit.knows(cursor),
            Self::Graph(visit) => visit.knows(cursor),
        }
    }

    /// The requests made since the last call, oldest first.
    pub fn take_exchanges(&mut self) -> Vec<Exchange> {
        match self {
            Self::Web(visit) => visit.take_exchanges(),
            Self::Graph(visit) => visit.take_exchanges(),
        }
    }

    /// Whether it asks as somebody and not as a guest.
    pub fn has_session(&self) -> bool {
        match self {
            Self::Web(visit) => visit.has_session(),
            Self::Graph(_) => true,
        }
    }
}
