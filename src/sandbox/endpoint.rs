//! The endpoints that the sandbox speaks, by the names that faults, gates and the request log use.

/// One endpoint of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    /// `GET /api/v1/users/web_profile_info/`
    WebProfileInfo,
    /// `GET /{username}/`
    ProfilePage,
    /// `POST /graphql/query`, `PolarisProfilePageContentQuery`
    ProfileById,
    /// `POST /graphql/query`, `PolarisProfilePostsTabContentQuery_connection`
    Timeline,
    /// `GET /api/v1/feed/user/{pk}/`
    Feed,
    /// `POST /graphql/query`, `PolarisProfileReelsTabContentQuery_connection`
    ReelsTab,
    /// `POST /api/v1/clips/user/`
    ClipsUser,
    /// `POST /graphql/query`, `PolarisPostRootQuery`
    Post,
    /// `GET /p/{code}/` and `GET /reel/{code}/`
    PostPage,
    /// `GET /api/v1/media/{pk}/info/`
    MediaInfo,
    /// `GET /v26.0/{ig-user-id}`: an account, with or without a page of its media
    BusinessDiscovery,
    /// The same for a page of its media alone
    BusinessDiscoveryMedia,
}

use Endpoint::{
    BusinessDiscovery, BusinessDiscoveryMedia, ClipsUser, Feed, MediaInfo, Post, PostPage, ProfileById, ProfilePage,
    ReelsTab, Timeline, WebProfileInfo,
};

/// All endpoints.
pub(super) const ALL: &[Endpoint] = &[
    WebProfileInfo,
    ProfilePage,
    ProfileById,
    Timeline,
    Feed,
    ReelsTab,
    ClipsUser,
    Post,
    PostPage,
    MediaInfo,
    BusinessDiscovery,
    BusinessDiscoveryMedia,
];
/// Those of the web site.
pub(super) const WEB: &[Endpoint] =
    &[WebProfileInfo, ProfilePage, ProfileById, Timeline, Feed, ReelsTab, ClipsUser, Post, PostPage, MediaInfo];
/// Those of the official source.
pub(super) const DISCOVERY: &[Endpoint] = &[BusinessDiscovery, BusinessDiscoveryMedia];
/// Those that answer with JSON.
pub(super) const JSON: &[Endpoint] = &[
    WebProfileInfo,
    ProfileById,
    Timeline,
    Feed,
    ReelsTab,
    ClipsUser,
    Post,
    MediaInfo,
    BusinessDiscovery,
    BusinessDiscoveryMedia,
];
/// Those of the web site that answer with JSON.
pub(super) const WEB_JSON: &[Endpoint] =
    &[WebProfileInfo, ProfileById, Timeline, Feed, ReelsTab, ClipsUser, Post, MediaInfo];
/// Those behind `/graphql/query`.
pub(super) const GRAPHQL: &[Endpoint] = &[ProfileById, Timeline, ReelsTab, Post];
/// Those that page through posts.
pub(super) const POSTS: &[Endpoint] = &[Timeline, Feed];
/// Those that page through posts or reels.
pub(super) const LISTS: &[Endpoint] = &[Timeline, Feed, ReelsTab, ClipsUser, BusinessDiscoveryMedia];

/// Names for several endpoints at once.
const GROUPS: [(&str, &[Endpoint]); 8] = [
    ("all", ALL),
    ("web", WEB),
    ("official", DISCOVERY),
    ("graphql", GRAPHQL),
    ("profile", &[WebProfileInfo, ProfilePage, ProfileById]),
    ("posts", POSTS),
    ("reels", &[ReelsTab, ClipsUser]),
    ("media", &[Post, PostPage, MediaInfo]),
];

impl Endpoint {
    /// The name in controls and in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            WebProfileInfo => "web_profile_info",
            ProfilePage => "profile_page",
            ProfileById => "profile_by_id",
            Timeline => "timeline",
            Feed => "feed",
            ReelsTab => "reels_tab",
            ClipsUser => "clips_user",
            Post => "post",
            PostPage => "post_page",
            MediaInfo => "media_info",
            BusinessDiscovery => "business_discovery",
            BusinessDiscoveryMedia => "business_discovery_media",
        }
    }

    /// Whether it is a page for people, HTML and not JSON.
    pub(super) fn is_page(self) -> bool {
        matches!(self, ProfilePage | PostPage)
    }

    /// Whether it is of the official source and not of the web site.
    pub(super) fn is_official(self) -> bool {
        DISCOVERY.contains(&self)
    }

    /// Whether it lies behind `/graphql/query`.
    pub(super) fn is_graphql(self) -> bool {
        GRAPHQL.contains(&self)
    }

    /// The HTTP method.
    pub(super) fn method(self) -> &'static str {
        if self.is_graphql() || self == ClipsUser { "POST" } else { "GET" }
    }
}

/// The endpoints that a name stands for: one, or a group.
pub(super) fn named(name: &str) -> Option<&'static [Endpoint]> {
    let one = ALL.iter().find(|endpoint| endpoint.name() == name).map(std::slice::from_ref);
    one.or_else(|| GROUPS.iter().find(|(group, _)| *group == name).map(|(_, endpoints)| *endpoints))
}

/// All names that [`named`] knows.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|endpoint| endpoint.name()).chain(GROUPS.iter().map(|(name, _)| *name))
}
