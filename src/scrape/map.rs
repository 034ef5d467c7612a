//! From what Instagram says to what the tables hold.

use crate::db::media::{NewMedia, NewNumbers, Tags};
use crate::db::profiles::NewProfile;
use crate::instagram::{Account, MediaKind, Post, ReelNumbers, caption};

impl From<&Account> for NewProfile {
    fn from(account: &Account) -> Self {
        Self {
            instagram_pk: account.pk,
            fbid: account.fbid.clone(),
            username: account.username.as_str().to_owned(),
            full_name: account.full_name.clone(),
            biography: account.biography.clone(),
            category: account.category.clone(),
            external_url: account.external_url.clone(),
            external_url_told: account.external_url_told,
            profile_pic_url: account.profile_pic_url.clone(),
            is_private: account.is_private,
            is_verified: account.is_verified,
            followers_count: account.followers,
            following_count: account.following,
            posts_count: account.posts,
        }
    }
}

impl From<&Post> for NewMedia {
    fn from(post: &Post) -> Self {
        Self {
            shortcode: post.code.as_str().to_owned(),
            instagram_pk: post.pk,
            kind: post.kind.map(MediaKind::as_str),
            is_reel: post.is_reel,
            is_pinned: Some(post.is_pinned),
            taken_at: post.taken_at,
            tags: tags(post.caption.as_deref().unwrap_or_default()),
            caption: post.caption.clone(),
            caption_told: post.caption_told,
            duration_seconds: post.duration_seconds,
            display_url: post.display_url.clone(),
        }
    }
}

/// What is kept of the names in a caption.
pub fn tags(text: &str) -> Tags {
    let mentions = caption::mentions(text);
    Tags {
        hashtags: caption::hashtags(text),
        mentions: mentions.into_iter().map(|name| name.as_str().to_owned()).collect(),
    }
}

impl From<&Post> for NewNumbers {
    fn from(post: &Post) -> Self {
        Self {
            shortcode: post.code.as_str().to_owned(),
            likes_count: post.likes,
            likes_hidden: post.likes_hidden,
            comments_count: post.comments,
            plays_count: post.plays,
            views_count: post.views,
        }
    }
}

impl From<&ReelNumbers> for NewNumbers {
    fn from(reel: &ReelNumbers) -> Self {
        Self {
            shortcode: reel.code.as_str().to_owned(),
            likes_count: reel.likes,
            likes_hidden: reel.likes_hidden,
            comments_count: reel.comments,
            plays_count: reel.plays,
            views_count: reel.views,
        }
    }
}
