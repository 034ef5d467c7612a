//! The table: each fault that the official source may meet, and what becomes of a run of source `graph`.

/// A fault and what becomes of a task of source `graph` that meets it.
pub(super) struct Row {
    pub(super) fault: &'static str,
    /// State and reason.
    pub(super) end: (&'static str, Option<&'static str>),
    /// The requests that failed, in order, as `endpoint status failure`.
    pub(super) failed: &'static [&'static str],
    /// The events beyond those of a smooth run.
    pub(super) events: &'static [&'static str],
    /// Words that the last event's message must have.
    pub(super) says: &'static str,
    pub(super) posts: Posts,
    pub(super) token: Token,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Posts {
    /// All that the setting allows and the account has.
    All,
    Only(i64),
}

/// What becomes of the token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token {
    Unharmed,
    /// It rested for a while.
    Cooled,
    /// It is slowed, by its usage.
    Slowed,
    Disabled(&'static str),
}

const fn smooth(fault: &'static str) -> Row {
    let end = ("completed", None);
    Row { fault, end, failed: &[], events: &[], says: "completed in", posts: Posts::All, token: Token::Unharmed }
}

const fn failed(fault: &'static str, reason: &'static str, failed: &'static [&'static str], says: &'static str) -> Row {
    Row { end: ("failed", Some(reason)), failed, says, posts: Posts::Only(0), ..smooth(fault) }
}

/// The account and its posts were read, and something of them could not be.
const fn drifted(fault: &'static str, events: &'static [&'static str], says: &'static str) -> Row {
    Row { end: ("partial", Some("upstream_changed")), events, says, ..smooth(fault) }
}

impl Row {
    const fn after(self, failed: &'static [&'static str], events: &'static [&'static str]) -> Self {
        Self { failed, events, ..self }
    }

    const fn token(self, token: Token) -> Self {
        Self { token, ..self }
    }
}

const RETRIED_TO_THE_LAST: &[&str] = &[
    "retry_scheduled",
    "run_resumed",
    "retry_scheduled",
    "run_resumed",
    "retry_scheduled",
    "run_resumed",
    "retry_scheduled",
    "run_resumed",
];
const WAITED: &[&str] = &["rate_limited", "run_resumed"];
const CHANGED: &str = "upstream_changed";
/// Met beyond the posts that are read as a rule.
pub(super) const LOOPING: &str = "looping";
const UNKNOWN: &str = "there is no such account, or it is a personal one";

/// A throttle that comes always: waited for once, with two attempts.
const fn throttled(fault: &'static str, says: &'static str) -> Row {
    failed(fault, "rate_limited", &["business_discovery 403 throttled"; 2], says)
        .after(&["business_discovery 403 throttled"; 2], WAITED)
        .token(Token::Cooled)
}

const fn broken(fault: &'static str, requests: &'static [&'static str; 5], says: &'static str) -> Row {
    failed(fault, "upstream_unavailable", requests, says).after(requests, RETRIED_TO_THE_LAST)
}

pub(super) static TABLE: &[Row] = &[
    throttled("appthrottled.1", "Application request limit reached"),
    throttled("userthrottled.1", "User request limit reached"),
    throttled("pagethrottled.1", "Page request limit reached"),
    throttled("callthrottled.1", "exceeded the rate limit"),
    throttled("bizthrottled.1", "too many calls to this Instagram account"),
    throttled("applimit.1", "Application limit reached"),
    throttled("throttled.1", "[code 4"),
    smooth("throttledonce.1").after(&["business_discovery 403 throttled"], WAITED).token(Token::Cooled),
    broken("unknownerror", &["business_discovery 400 server_error"; 5], "An unknown error occurred"),
    broken("serviceerror", &["business_discovery 400 server_error"; 5], "it was tried 5 times"),
    broken("transient", &["business_discovery 400 server_error"; 5], "Please retry your request"),
    failed(
        "policyblock",
        "challenge_required",
        &["business_discovery 403 policy_blocked"],
        "let the token rest until it is mended, then put it back: ig-tracking credentials enable official",
    )
    .token(Token::Disabled("policy_blocked")),
    failed(
        "badtoken",
        "login_required",
        &["business_discovery 401 token_invalid"],
        "the token has expired; make a new token, write it into IGT_CREDENTIALS and restart, then put it back: ig-tracking \
         credentials enable official",
    )
    .token(Token::Disabled("token_invalid")),
    failed("badsession", "login_required", &["business_discovery 401 token_invalid"], "make a new token")
        .token(Token::Disabled("token_invalid")),
    failed(
        "denied",
        "login_required",
        &["business_discovery 403 permission_missing"],
        "make a token with instagram_basic",
    )
    .token(Token::Disabled("permission_missing")),
    failed("incapable", "login_required", &["business_discovery 403 permission_missing"], "does not have the capability")
        .token(Token::Disabled("permission_missing")),
    failed("notgranted.299", "login_required", &["business_discovery 403 permission_missing"], "[code 299")
        .token(Token::Disabled("permission_missing")),
    failed("personal", "not_found", &["business_discovery 400 not_discoverable"], UNKNOWN),
    failed("undiscovered", "not_found", &["business_discovery 400 not_discoverable"], UNKNOWN),
    failed("fieldlist", "upstream_changed", &["business_discovery 400 fields_refused"; 2], "check the credential's user_id"),
    drifted("optionalfields", &[CHANGED; 6], "business_discovery.name")
        .after(&["business_discovery 400 fields_refused"], &[CHANGED; 6]),
    drifted("unknownfield", &[CHANGED], "view_count").after(&["business_discovery 400 fields_refused"], &[CHANGED]),
    drifted("captionrefused", &[CHANGED], "data[].caption").after(&["business_discovery 400 fields_refused"], &[CHANGED]),
    // Begun anew once, and no loop; what was read stays, once.
    Row {
        end: ("partial", Some("upstream_unavailable")),
        failed: &["business_discovery_media 400 cursor_refused"; 2],
        events: &["list_restarted"],
        says: "The cursor is no longer valid",
        posts: Posts::Only(25),
        ..smooth("stalecursor")
    },
    drifted("retyped", &[CHANGED; 9], "business_discovery.followers_count"),
    drifted("dropped", &[CHANGED; 3], "business_discovery.followers_count"),
    smooth("usage.90").token(Token::Slowed),
    smooth("nousage"),
    smooth("oddusage").after(&[], &[CHANGED; 2]),
    // Those that it shares with the web source.
    failed("missing", "not_found", &["business_discovery 400 not_discoverable"], UNKNOWN),
    failed("private", "not_found", &["business_discovery 400 not_discoverable"], "can be read by the source `web` alone"),
    failed("nulluser", "not_found", &["business_discovery 400 not_discoverable"], UNKNOWN),
    broken("broken", &["business_discovery 500 server_error"; 5], "it was tried 5 times"),
    smooth("flaky.1").after(
        &["business_discovery 500 server_error", "business_discovery_media 500 server_error"],
        &["retry_scheduled", "run_resumed", "retry_scheduled", "run_resumed"],
    ),
    broken("html", &["business_discovery 200 server_error"; 5], "HTML in the place of JSON"),
    broken("truncated", &["business_discovery 200 truncated_body"; 5], "the answer broke off"),
    broken("cut", &["business_discovery 200 truncated_body"; 5], "the answer ends early"),
    smooth("slow.1"),
    failed("verbose.1", "upstream_changed", &["business_discovery 400 unexpected_shape"], "no no no"),
    failed("deep", "upstream_changed", &["business_discovery 200 unexpected_shape"], "recursion limit"),
    failed("deepaside", "upstream_changed", &["business_discovery 200 unexpected_shape"], "recursion limit"),
    failed("endless", "upstream_changed", &["business_discovery 200 unexpected_shape"], "larger than 16 MiB"),
    smooth("hidden"),
    // What a post's owner hides is left out, too: of posts that tell no counts none is missed.
    smooth("nulls"),
    drifted("renamed", &[CHANGED; 2], "business_discovery.followers_count, business_discovery.media_count"),
    drifted("norevealed", &[CHANGED; 2], "business_discovery.followers_count, business_discovery.media_count"),
    drifted("beyond", &[CHANGED; 6], "business_discovery.media.data[].view_count"),
    drifted("garbled", &[CHANGED; 3], "business_discovery.media.data[].shortcode"),
    drifted("unknownkind", &[CHANGED], "business_discovery.media.data[].media_type"),
    Row {
        end: ("partial", Some("upstream_unavailable")),
        failed: &["business_discovery_media 400 cursor_refused"; 2],
        events: &["list_restarted"],
        says: "Invalid cursor",
        posts: Posts::Only(25),
        ..smooth("lapsed")
    },
    Row {
        end: ("partial", Some("upstream_unavailable")),
        says: "led round in a circle after 75 of ",
        posts: Posts::Only(75),
        ..smooth(LOOPING)
    },
    Row { posts: Posts::Only(0), ..smooth("empty") },
    smooth("repeating"),
    smooth("nul"),
    smooth("halfpair"),
    smooth("notext"),
    smooth("longtext.1"),
    // What only a browser meets.
    smooth("loginwall"),
    smooth("challenged"),
    smooth("agegated"),
];
