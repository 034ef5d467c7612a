//! What stands between a request and the wire: somebody who knows how often a credential may be used.

use std::fmt;
use std::future::ready;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Failure, FailureKind};

/// Lets the requests of one credential through at its pace, and hears how each ended.
pub trait Gate: fmt::Debug + Send + Sync {
    /// Waits for the request's turn. A failure, [`FailureKind::NotAsked`], says that it has none that is worth waiting
    /// for here; its `retry_after` says when there is one, and is `None` where a person has to mend something first.
    fn pass(&self, endpoint: &'static str) -> BoxFuture<'_, Result<(), Failure>>;

    /// Hears how a request ended that was let through.
    fn heard(&self, heard: Heard) -> BoxFuture<'_, ()>;
}

/// How a request ended, as far as the next one's turn depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The endpoint that was asked.
    pub endpoint: &'static str,
    /// How it failed, where it did.
    pub failure: Option<FailureKind>,
    /// How long the upstream asked us to wait.
    pub retry_after: Option<Duration>,
    /// How much of what the upstream allows is used up, where it said so.
    pub usage: Option<Usage>,
}

/// What the upstream says of how much it was asked. Absent is not zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// The highest of its percentages; from 100 on it refuses.
    pub percent: f64,
    /// When access is regained, where it was lost.
    pub regained_in: Option<Duration>,
}

/// A gate without a pace.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Gate for Open {
    fn pass(&self, _endpoint: &'static str) -> BoxFuture<'_, Result<(), Failure>> {
        ready(Ok(())).boxed()
    }

    fn heard(&self, _heard: Heard) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}
