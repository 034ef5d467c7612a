//! The endpoints: their short names, their paths, and the documents of the GraphQL endpoint.
//!
//! Instagram gives its documents new numbers every few weeks, so each has a list of them, the newest first.

use serde::{Deserialize, Serialize};

/// The short names, as exchanges, events and metrics show them.
pub(super) const PROFILE_INFO: &str = "web_profile_info";
pub(super) const PROFILE_PAGE: &str = "profile_page";
pub(super) const PROFILE_BY_ID: &str = "profile_by_id";
pub(super) const HOME_PAGE: &str = "home_page";
pub(super) const TIMELINE: &str = "timeline";
pub(super) const FEED: &str = "feed";
pub(super) const REELS_TAB: &str = "reels_tab";
pub(super) const CLIPS: &str = "clips_user";
pub(super) const POST: &str = "post";
pub(super) const POST_PAGE: &str = "post_page";
pub(super) const MEDIA_INFO: &str = "media_info";

pub(super) const GRAPHQL_PATH: &str = "/graphql/query";
pub(super) const PROFILE_INFO_PATH: &str = "/api/v1/users/web_profile_info/";
pub(super) const CLIPS_PATH: &str = "/api/v1/clips/user/";

/// How many items a page has, as Instagram's own site asks for them.
pub(super) const PAGE_SIZE: u32 = 12;

/// The numbers of the documents that the GraphQL endpoint is asked for; of each the first that is served is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocIds {
    /// `PolarisProfilePageContentQuery`: a profile by its number.
    pub profile: Vec<String>,
    /// `PolarisProfilePostsTabContentQuery_connection`: the posts of an account.
    pub posts: Vec<String>,
    /// `PolarisProfileReelsTabContentQuery_connection`: the reels of an account.
    pub reels: Vec<String>,
    /// `PolarisPostRootQuery`: one post.
    pub post: Vec<String>,
}

impl Default for DocIds {
    fn default() -> Self {
        let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Self {
            profile: list(&["27937681195819736", "28717443601247930", "28036671149327607"]),
            posts: list(&["29104886249145907", "28544666141895803"]),
            reels: list(&["29285972954340351"]),
            post: list(&["27128499623469141", "27830990013244856"]),
        }
    }
}

/// Why a list of numbers cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; give lists such as posts=29104886249145907,28544666141895803;reels=29285972954340351, of profile, posts, reels, post"
)]
pub struct DocIdsError(String);

impl std::str::FromStr for DocIds {
    type Err = DocIdsError;

    /// Reads `posts=1,2;reels=3`. What is given stands before the known numbers, which stay as fallbacks.
    fn from_str(text: &str) -> Result<Self, DocIdsError> {
        let mut all = Self::default();
        for list in text.split(';').map(str::trim).filter(|list| !list.is_empty()) {
            let (name, numbers) = list.split_once('=').ok_or_else(|| DocIdsError(format!("{list:?} has no =")))?;
            let known = match name.trim() {
                "profile" => &mut all.profile,
                "posts" => &mut all.posts,
                "reels" => &mut all.reels,
                "post" => &mut all.post,
                other => return Err(DocIdsError(format!("{other:?} is no document"))),
            };
            let numbers: Vec<String> = numbers.split(',').map(|number| number.trim().to_owned()).collect();
            let is_number =
                |number: &String| (1..=20).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
            if let Some(wrong) = numbers.iter().find(|number| !is_number(number)) {
                return Err(DocIdsError(format!("{wrong:?} is no number of a document")));
            }
            known.retain(|known| !numbers.contains(known));
            known.splice(0..0, numbers);
        }
        Ok(all)
    }
}

/// A document of the GraphQL endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Profile,
    Posts,
    Reels,
    Post,
}

impl Document {
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::Profile => PROFILE_BY_ID,
            Self::Posts => TIMELINE,
            Self::Reels => REELS_TAB,
            Self::Post => POST,
        }
    }

    /// The name by which the site itself asks for it.
    pub(super) fn friendly_name(self) -> &'static str {
        match self {
            Self::Profile => "PolarisProfilePageContentQuery",
            Self::Posts => "PolarisProfilePostsTabContentQuery_connection",
            Self::Reels => "PolarisProfileReelsTabContentQuery_connection",
            Self::Post => "PolarisPostRootQuery",
        }
    }

    pub(super) fn ids(self, all: &DocIds) -> &[String] {
        match self {
            Self::Profile => &all.profile,
            Self::Posts => &all.posts,
            Self::Reels => &all.reels,
            Self::Post => &all.post,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_set_come_before_the_known_ones_which_stay_as_fallbacks() {
        let known = DocIds::default();
        let set: DocIds = "posts = 1, 28544666141895803 ; reels=3;".parse().unwrap();
        assert_eq!(set.posts, ["1", "28544666141895803", "29104886249145907"]);
        assert_eq!(set.reels, ["3", "29285972954340351"]);
        assert_eq!((&set.profile, &set.post), (&known.profile, &known.post));
        assert_eq!("".parse::<DocIds>().unwrap(), known);
        for (text, why) in [
            ("1,2", "has no ="),
            ("timeline=1", "is no document"),
            ("posts=1,x", "is no number"),
            ("posts=", "is no number"),
        ] {
            let message = text.parse::<DocIds>().unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("give lists such as"), "{message}");
        }
    }
}
