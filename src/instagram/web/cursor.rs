//! Where a list goes on. A cursor names its endpoint, so that a run resumed elsewhere goes on at the same one.

use crate::instagram::{Cursor, Post};

/// The place that a cursor stands for. An empty text after the endpoint's name is the list's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing was read yet.
    Start,
    /// `/api/v1/feed/user/`, by `max_id`.
    Feed(Option<String>),
    /// The timeline's connection, by `after`.
    Timeline(Option<String>),
    /// `/api/v1/clips/user/`, by `max_id`.
    Clips(Option<String>),
    /// The connection of the reels tab, by `after`.
    Reels(Option<String>),
}

impl Place {
    pub(super) fn of(cursor: Option<&Cursor>) -> Self {
        let Some((endpoint, at)) = cursor.and_then(|cursor| cursor.0.split_once(':')) else { return Self::Start };
        let at = (!at.is_empty()).then(|| at.to_owned());
        match endpoint {
            "feed" => Self::Feed(at),
            "timeline" => Self::Timeline(at),
            "clips" => Self::Clips(at),
            "reels" => Self::Reels(at),
            _ => Self::Start,
        }
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        let (endpoint, at) = match self {
            Self::Start => return None,
            Self::Feed(at) => ("feed", at),
            Self::Timeline(at) => ("timeline", at),
            Self::Clips(at) => ("clips", at),
            Self::Reels(at) => ("reels", at),
        };
        Some(Cursor(format!("{endpoint}:{}", at.as_deref().unwrap_or_default())))
    }

    /// What to ask for after this place; the same place again is the end, not a page.
    pub(super) fn unless(self, asked: &Self) -> Option<Cursor> {
        if self == *asked { None } else { self.cursor() }
    }
}

/// Which list of posts goes on after those that came beside the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onward {
    Feed,
    Timeline,
}

impl Onward {
    /// The cursor behind these posts.
    pub(super) fn after(self, posts: &[Post], owner: i64) -> Cursor {
        let at = after_last(posts, owner);
        let place = match self {
            Self::Feed => Place::Feed(at),
            Self::Timeline => Place::Timeline(at),
        };
        // Only the start has no cursor.
        place.cursor().unwrap_or(Cursor(String::new()))
    }
}

/// The id of the last post in time, by which both lists go on. Pinned posts stand first and out of order.
pub(super) fn after_last(posts: &[Post], owner: i64) -> Option<String> {
    let last = posts.iter().rev().find(|post| !post.is_pinned)?;
    Some(format!("{}_{owner}", last.pk))
}

/// Whether a cursor's text is a post's id, which every list of posts understands.
pub(super) fn is_media_id(at: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    at.split_once('_').is_some_and(|(pk, owner)| digits(pk) && digits(owner))
}
