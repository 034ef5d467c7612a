//! What an answer is made from: the account, the moment, and the faults that meet this one request.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::fault::{Fault, Rule};
use super::growth::Numbers;
use super::posts::{Hidden, Kind, Post, Shelf};
use super::world::{Account, World};

/// One request's view of the world.
#[derive(Debug)]
pub(super) struct Scene {
    /// The world.
    pub(super) world: World,
    /// The account that was asked for.
    pub(super) account: Account,
    /// The moment of the answer.
    pub(super) now: DateTime<Utc>,
    /// The faults that meet this request.
    pub(super) rules: Vec<Rule>,
    /// What its owner did to its posts.
    pub(super) edits: Arc<Edits>,
    /// Whether the request came without a session.
    pub(super) is_guest: bool,
}

/// What an owner did to posts.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    /// The numbers of those that are deleted.
    pub(super) gone: HashSet<i64>,
    /// Captions in the place of others, by the posts' numbers.
    pub(super) captions: HashMap<i64, Option<String>>,
}

/// An account's counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Followers.
    pub(super) followers: i64,
    /// Accounts that it follows.
    pub(super) following: i64,
    /// Posts.
    pub(super) posts: i64,
}

impl Scene {
    /// Whether this fault meets the request.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.rule(fault).is_some()
    }

    /// The rule that brings this fault.
    pub(super) fn rule(&self, fault: Fault) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.fault == fault)
    }

    /// Whether the account is shown to adults only, and so not to us.
    pub(super) fn is_restricted(&self) -> bool {
        self.has(Fault::AgeGated) || self.has(Fault::Regulated)
    }

    /// The counts as the profile tells them.
    pub(super) fn counts(&self) -> Counts {
        if self.is_restricted() {
            return Counts { followers: 0, following: 0, posts: 0 };
        }
        let posts = if self.has(Fault::Empty) { 0 } else { self.all_posts().len() as i64 };
        Counts { followers: self.world.followers(&self.account, self.now), following: self.account.following, posts }
    }

    /// The posts that we may see.
    pub(super) fn shelf(&self) -> Shelf {
        let nothing = self.is_restricted() || self.has(Fault::Private) || self.has(Fault::Empty);
        if nothing { Shelf { pinned: Vec::new(), rest: Vec::new() } } else { self.all_posts() }
    }

    fn all_posts(&self) -> Shelf {
        self.world.shelf(&self.account, self.now).only(|pk| !self.edits.gone.contains(&pk))
    }

    /// Whether we may see the post of this number, which is one of the account's.
    pub(super) fn shows(&self, pk: i64) -> bool {
        self.shelf().len() > 0 && !self.edits.gone.contains(&pk)
    }

    /// The reels that we may see.
    pub(super) fn reels(&self) -> Shelf {
        self.shelf().only(|pk| self.world.kind(&self.account, pk) == Kind::Reel)
    }

    /// The posts that we may see in the order of time, pinned ones among the others.
    pub(super) fn by_time(&self) -> Shelf {
        let Shelf { pinned, mut rest } = self.shelf();
        rest.extend(pinned);
        rest.sort_unstable_by(|a, b| b.cmp(a));
        Shelf { pinned: Vec::new(), rest }
    }

    /// The post of this number.
    pub(super) fn post(&self, pk: i64, is_pinned: bool) -> Post {
        let mut post = self.world.post(&self.account, pk, is_pinned);
        if self.has(Fault::HiddenLikes) && post.hidden.is_none() {
            post.hidden = Some(if pk % 3 == 0 { Hidden::FakeThree } else { Hidden::MinusOne });
        }
        if let Some(caption) = self.edits.captions.get(&pk) {
            post.caption.clone_from(caption);
        }
        post
    }

    /// A post's numbers as the wire tells them: hidden likes are −1 or 3, and plays may be kept back.
    pub(super) fn numbers(&self, post: &Post) -> Numbers {
        let numbers = self.world.numbers(post, self.now);
        let likes = match post.hidden {
            None => numbers.likes,
            Some(Hidden::MinusOne) => -1,
            Some(Hidden::FakeThree) => 3,
        };
        let shown = |count: Option<i64>| count.filter(|_| !post.without_plays);
        Numbers { likes, plays: shown(numbers.plays), views: shown(numbers.views), ..numbers }
    }

    /// The username as the answer tells it; empty where this sandbox never heard it.
    pub(super) fn username(&self) -> &str {
        self.account.username.as_ref().map_or("", |name| name.as_str())
    }
}
