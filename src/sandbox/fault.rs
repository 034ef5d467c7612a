//! The faults: one table that says which name brings which, and what it takes.
//!
//! An account called `<name>.<anything>` has the fault of that name; where a fault takes a number, it may stand
//! between: `slow.20.someone`. The same names serve the control endpoint (`control`).

use std::sync::LazyLock;

use serde::Serialize;

use super::endpoint::{ALL, Endpoint, GRAPHQL, JSON, LISTS, POSTS, WEB, WEB_JSON};
use super::graph::faults::{self, GraphFault};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// There is no such account.
    NotFound,
    /// 200 with `data.user: null`.
    NullUser,
    /// 429.
    Throttled,
    /// 401 "Please wait a few minutes".
    PleaseWait,
    /// The same, for guests only.
    GuestWall,
    /// The same, on pages beyond the number.
    WallAfter,
    /// 403 `login_required`.
    LoggedOut,
    /// 400 `checkpoint_required`.
    Challenged,
    /// 400 `feedback_required`.
    Feedback,
    /// 400 `geoblock_required`.
    GeoBlocked,
    /// 400 `consent_required`.
    Consent,
    /// The deterministic 400 of the old profile endpoint.
    AssetDeleted,
    /// 500.
    ServerError,
    /// 200 with HTML.
    Html,
    /// 302 to `/`.
    SentHome,
    /// The connection breaks in the middle of the body.
    Truncated,
    /// A whole answer whose JSON ends early.
    Cut,
    /// 403 with HTML on the endpoints that want tokens.
    Forbidden,
    /// 200 with `errors` and null data.
    StaleDocument,
    /// Only the last document id of each list is alive.
    RotatedDocument,
    /// 200 with `status: "fail"`.
    StatusFail,
    /// 400 `useragent mismatch`.
    Mismatch,
    /// 400 `challenge_required`.
    ProofWanted,
    /// 302 to the login page.
    SentToLogin,
    /// 302 to the page of a challenge.
    SentToProof,
    /// 200 with `status: "fail"` and the words of a throttle.
    ToldLimit,
    /// The page "Restricted profile", and nothing else of the account.
    RestrictedPage,
    /// 400 for every cursor of a list.
    CursorRefused,
    /// 200 with data and a `field_exception`.
    FieldException,
    /// Right answers, late.
    Slow,
    /// Posts for approved followers only.
    Private,
    /// `gating` and all counts 0.
    AgeGated,
    /// `is_regulated_c18` and all counts 0.
    Regulated,
    /// Counts under other names.
    Renamed,
    /// Counts are null.
    NullCounts,
    /// Counts are not there at all.
    AbsentCounts,
    /// Times, kinds and products of posts are not there at all.
    Untold,
    /// Captions are not there at all.
    NoCaptions,
    /// Captions of another type.
    OddCaptions,
    /// The link of the profile of another type.
    OddLinks,
    /// All likes hidden.
    HiddenLikes,
    /// A kind of post that nobody knows.
    UnknownKind,
    /// One post of each page is unreadable.
    Garbled,
    /// `user` is null in every post.
    Ownerless,
    /// The old profile endpoint has no posts, though there are some.
    EmptyEdges,
    /// No posts at all.
    Empty,
    /// From the third page on, the cursor of the first comes again.
    Looping,
    /// Each page begins with the last posts of the page before.
    Repeating,
    /// NUL in texts.
    Nul,
    /// Half surrogate pairs in texts.
    HalfPair,
    /// Bytes that are no text in texts.
    NoText,
    /// A text of so many MiB.
    LongText,
    /// 400 with a message of so many MiB.
    Verbose,
    /// Numbers that no column can hold.
    Beyond,
    /// Endless nesting in the place of a text.
    Deep,
    /// The same in a field that nobody reads.
    DeepAside,
    /// A body without end.
    Endless,
    /// One of the official source's own.
    Graph(GraphFault),
}

impl Fault {
    /// Whether it says that the caller asks too often.
    pub(super) fn is_throttle(self) -> bool {
        matches!(self, Self::Throttled | Self::Graph(GraphFault::Throttled(_)))
    }
}

/// A row of the table: a name, and what an account of that name meets.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FaultName {
    /// The name: an account called `<name>.<anything>` meets it.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What the number in `<name>.<number>.<anything>` means, with its unit; `None` where it takes none.
    pub number: Option<&'static str>,
    /// The number where none is given.
    pub default_number: Option<u64>,
    /// The source that it belongs to alone: `graph`, the official one; else `web`, though the official one may meet it,
    /// too.
    pub source: &'static str,
    #[serde(skip)]
    pub(super) fault: Fault,
    #[serde(skip)]
    pub(super) endpoints: &'static [Endpoint],
    #[serde(skip)]
    pub(super) times: Times,
}

/// How often a fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// Always.
    Always,
    /// This often, all endpoints counted together.
    Together(u64),
    /// As often as the number says, each endpoint counted for itself.
    NumberForEach,
}

const fn row(name: &'static str, fault: Fault, endpoints: &'static [Endpoint], about: &'static str) -> FaultName {
    FaultName { name, about, number: None, default_number: None, source: "web", fault, endpoints, times: Times::Always }
}

impl FaultName {
    /// A row of the official source's own table.
    pub(super) const fn of_graph(
        name: &'static str,
        fault: Fault,
        endpoints: &'static [Endpoint],
        about: &'static str,
    ) -> Self {
        Self { source: "graph", ..row(name, fault, endpoints, about) }
    }

    pub(super) const fn number(self, meaning: &'static str, default: u64) -> Self {
        Self { number: Some(meaning), default_number: Some(default), ..self }
    }

    const fn times(self, times: Times) -> Self {
        Self { times, ..self }
    }
}

const RETRY_AFTER: &str = "Retry-After in seconds; 0 leaves the header out";

/// The table. `GET /sandbox/faults` and the command's help are printed from it.
static TABLE: &[FaultName] = &[
    row("missing", Fault::NotFound, ALL, "no such account: 404 over REST and on the page, null data over GraphQL"),
    row(
        "ghosted",
        Fault::NotFound,
        &[Endpoint::WebProfileInfo],
        "404 on web_profile_info only; the page shows the account",
    ),
    row("nulluser", Fault::NullUser, ALL, "no such account, told as 200 with data.user null; the page is a 404"),
    row("private", Fault::Private, ALL, "posts for followers only: counts are told, pages are empty"),
    row("agegated", Fault::AgeGated, WEB, "shown to adults only: gating is set and all counts are 0"),
    row("regulated", Fault::Regulated, WEB, "is_regulated_c18 is set and all counts are 0"),
    row("geoblocked", Fault::GeoBlocked, WEB, "400 geoblock_required"),
    row("consent", Fault::Consent, WEB, "400 consent_required; the page redirects to /consent/"),
    row("throttled", Fault::Throttled, ALL, "429 with Retry-After, always").number(RETRY_AFTER, 60),
    row("throttledonce", Fault::Throttled, ALL, "429 once, then all is well")
        .number(RETRY_AFTER, 2)
        .times(Times::Together(1)),
    row(
        "pleasewait",
        Fault::PleaseWait,
        WEB_JSON,
        "401 \"Please wait a few minutes\" with require_login; the page answers",
    ),
    row("loginwall", Fault::PleaseWait, WEB, "401 with require_login; the page redirects to /accounts/login/"),
    row("guestwall", Fault::GuestWall, WEB, "a login wall for guests; with a session all is well"),
    row("wallafter", Fault::WallAfter, POSTS, "posts pages beyond the number meet a login wall").number("pages", 2),
    row("loggedout", Fault::LoggedOut, WEB, "403 login_required; the page redirects to /accounts/login/"),
    row("challenged", Fault::Challenged, WEB, "400 checkpoint_required; the page redirects to /challenge/"),
    row("feedback", Fault::Feedback, WEB_JSON, "400 feedback_required"),
    row("forbidden", Fault::Forbidden, GRAPHQL, "403 with HTML on GraphQL, always"),
    row("forbiddenonce", Fault::Forbidden, GRAPHQL, "403 with HTML on GraphQL once, then all is well")
        .times(Times::Together(1)),
    row("staledoc", Fault::StaleDocument, GRAPHQL, "200 with errors and null data for every document id"),
    row("rotateddoc", Fault::RotatedDocument, GRAPHQL, "only the last document id of each list is alive"),
    row(
        "asset",
        Fault::AssetDeleted,
        &[Endpoint::WebProfileInfo],
        "the deterministic 400 \"Asset asset://… deleted\" on web_profile_info",
    ),
    row("broken", Fault::ServerError, ALL, "500, always"),
    row("flaky", Fault::ServerError, ALL, "500 for the first requests of each endpoint, then all is well")
        .number("requests", 2)
        .times(Times::NumberForEach),
    row("html", Fault::Html, ALL, "200 with a login page where an answer was asked"),
    row("senthome", Fault::SentHome, WEB, "302 to /"),
    row("truncated", Fault::Truncated, ALL, "the connection breaks in the middle of the body"),
    row("cut", Fault::Cut, ALL, "a complete answer of 200 whose body ends in the middle"),
    row("failstatus", Fault::StatusFail, WEB_JSON, "200 with status \"fail\" and a message"),
    row("fieldexception", Fault::FieldException, GRAPHQL, "200 with data and a field_exception beside it"),
    row("mismatch", Fault::Mismatch, JSON, "400 \"useragent mismatch\""),
    row("proof", Fault::ProofWanted, JSON, "400 challenge_required"),
    row("sentlogin", Fault::SentToLogin, ALL, "302 to /accounts/login/"),
    row("sentproof", Fault::SentToProof, ALL, "302 to /challenge/"),
    row("toldlimit", Fault::ToldLimit, JSON, "200 with status \"fail\" and the words of a rate limit"),
    row(
        "restricted",
        Fault::RestrictedPage,
        &[Endpoint::WebProfileInfo, Endpoint::ProfilePage],
        "404 on web_profile_info; the page is \"Restricted profile\" and shows no account",
    ),
    row("lapsed", Fault::CursorRefused, LISTS, "400 \"Invalid cursor\" for every page but the first"),
    row("slow", Fault::Slow, ALL, "right answers, late").number("seconds", 5),
    row("renamed", Fault::Renamed, ALL, "counts stand under other names"),
    row("nulls", Fault::NullCounts, ALL, "every count is null"),
    row("norevealed", Fault::AbsentCounts, ALL, "counts are not in the answer at all"),
    row(
        "untold",
        Fault::Untold,
        WEB,
        "times and kinds of posts, and whether they are reels, are not in the answer at all",
    ),
    row("nocaptions", Fault::NoCaptions, WEB, "captions are not in the answer at all"),
    row("oddcaptions", Fault::OddCaptions, WEB, "captions are lists of numbers"),
    row("oddlinks", Fault::OddLinks, WEB, "the links of the profile are numbers"),
    row("hidden", Fault::HiddenLikes, ALL, "every post hides its likes (-1, or a fake 3)"),
    row("unknownkind", Fault::UnknownKind, ALL, "every third post is of a kind that nobody knows"),
    row("garbled", Fault::Garbled, LISTS, "the second post of each page is unreadable"),
    row("ownerless", Fault::Ownerless, WEB, "posts have user null and owner_id instead"),
    row(
        "emptyedges",
        Fault::EmptyEdges,
        &[Endpoint::WebProfileInfo],
        "web_profile_info has no edges, but has_next_page is true",
    ),
    row("empty", Fault::Empty, ALL, "an account without any post"),
    row(
        "looping",
        Fault::Looping,
        LISTS,
        "from the third page on (or at the end), the first page's cursor comes again",
    ),
    row("repeating", Fault::Repeating, LISTS, "each page begins with the last posts of the page before")
        .number("posts", 3),
    row("nul", Fault::Nul, ALL, "a NUL (\\u0000) in names, biographies and captions"),
    row("halfpair", Fault::HalfPair, ALL, "half a surrogate pair (\\ud83d) in names, biographies and captions"),
    row("notext", Fault::NoText, ALL, "bytes that are not UTF-8 in names, biographies and captions"),
    row("longtext", Fault::LongText, JSON, "a biography or a caption of each answer is very long").number("MiB", 10),
    row("verbose", Fault::Verbose, JSON, "400 with a very long message").number("MiB", 10),
    row("beyond", Fault::Beyond, ALL, "counts, and numbers of posts, beyond 63 bits, beyond 64 bits and 1e400"),
    row("deep", Fault::Deep, JSON, "JSON nested 100,000 deep in the place of biographies and captions"),
    row("deepaside", Fault::DeepAside, JSON, "JSON nested 100,000 deep in a field that is new"),
    row("endless", Fault::Endless, ALL, "a body that does not end"),
];

/// Both tables.
static NAMES: LazyLock<Vec<FaultName>> = LazyLock::new(|| [TABLE, faults::TABLE].concat());

/// All fault names, in the order of the tables: those of the web source, then those of the official one alone.
pub fn names() -> &'static [FaultName] {
    &NAMES
}

/// The row of a name.
pub(super) fn named(name: &str) -> Option<&'static FaultName> {
    names().iter().find(|row| row.name == name)
}

/// What goes wrong, where, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The name it was asked for by.
    pub(super) name: &'static str,
    /// What goes wrong.
    pub(super) fault: Fault,
    /// Where.
    pub(super) endpoints: &'static [Endpoint],
    /// How many matching requests are let through first.
    pub(super) after: u64,
    /// How many are met then; `None` for all.
    pub(super) times: Option<u64>,
    /// Whether each endpoint is counted for itself.
    pub(super) each: bool,
    /// The number that the fault takes; 0 where it takes none.
    pub(super) number: u64,
    /// How much longer a faulty answer takes, in milliseconds.
    pub(super) delay_ms: u64,
}

impl Rule {
    /// The rule of a row, with the row's number or another.
    pub(super) fn new(row: &'static FaultName, number: Option<u64>) -> Self {
        let number = number.or(row.default_number).unwrap_or(0);
        Self {
            name: row.name,
            fault: row.fault,
            endpoints: row.endpoints,
            after: 0,
            times: match row.times {
                Times::Always => None,
                Times::Together(times) => Some(times),
                Times::NumberForEach => Some(number),
            },
            each: row.times == Times::NumberForEach,
            number,
            // An hour at most, so that no sum of delays can overflow.
            delay_ms: if row.fault == Fault::Slow { number.min(3_600) * 1_000 } else { 0 },
        }
    }

    /// The number, where it is one of MiB, in bytes. A hundred at most: more tells nothing new.
    pub(super) fn mebibytes(&self) -> usize {
        self.number.min(100) as usize * 1024 * 1024
    }

    /// The rule that an account's own name brings.
    pub(super) fn of_username(username: &str) -> Option<Self> {
        let (name, rest) = username.split_once('.')?;
        let row = named(name)?;
        let number = rest.split_once('.').and_then(|(number, _)| number.parse().ok());
        Some(Self::new(row, number.filter(|_| row.number.is_some())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_brings_its_fault_only_with_the_delimiter() {
        assert_eq!(Rule::of_username("missing.anything").map(|rule| rule.fault), Some(Fault::NotFound));
        assert!(Rule::of_username("missing").is_none());
        assert!(Rule::of_username("missing_anything").is_none());
        assert!(Rule::of_username("someone.missing").is_none());
    }

    #[test]
    fn a_number_may_stand_between() {
        let number = |name| Rule::of_username(name).map(|rule| rule.number);
        assert_eq!(number("throttled.nasa"), Some(60));
        assert_eq!(number("throttled.5.nasa"), Some(5));
        assert_eq!(number("throttled.5"), Some(60), "a number alone is the rest of the name");
        assert_eq!(number("missing.5.nasa"), Some(0));
        assert_eq!(Rule::of_username("flaky.7.x").and_then(|rule| rule.times), Some(7));
        assert_eq!(Rule::of_username("slow.20.x").map(|rule| rule.delay_ms), Some(20_000));
    }

    #[test]
    fn names_are_unique_and_fit_a_username() {
        for (place, row) in names().iter().enumerate() {
            assert!(names()[..place].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(row.name.len() <= 16 && row.name.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", row.name);
            assert_eq!(row.number.is_some(), row.default_number.is_some(), "{}", row.name);
        }
    }
}
