//! The table: each fault of the sandbox, and what becomes of a run that meets it as a guest and with a session.

/// A fault and what becomes of a run that meets it.
pub(super) struct Row {
    /// The fault's name, with its number where it takes one: what stands before the account's own name.
    pub(super) fault: &'static str,
    pub(super) guest: Outcome,
    pub(super) session: Outcome,
}

#[derive(Clone, Copy)]
pub(super) struct Outcome {
    /// State and reason.
    pub(super) end: (&'static str, Option<&'static str>),
    /// How many of the latest posts are stored.
    pub(super) posts: Posts,
    /// The requests that failed, in order, as `endpoint status failure`, of a profile run.
    pub(super) failed: &'static [&'static str],
    /// The events beyond those of a smooth run, of a profile run.
    pub(super) events: &'static [&'static str],
    /// Words that the last event's message must have.
    pub(super) says: &'static str,
    /// What becomes of the credential that it asked with.
    pub(super) credential: Credential,
}

/// What becomes of a credential by one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Credential {
    /// Nothing.
    Unharmed,
    /// One strike: what may be a wall or a throttle, and no second run has met it.
    Struck,
    /// It cools, or has cooled, by this failure.
    Cooled(&'static str),
    /// It was taken out by this failure.
    Disabled(&'static str),
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Posts {
    /// All that the setting allows and the account has.
    All,
    /// Exactly so many.
    Only(i64),
}

const fn smooth() -> Outcome {
    let (end, says) = (("completed", None), "completed in");
    Outcome { end, posts: Posts::All, failed: &[], events: &[], says, credential: Credential::Unharmed }
}

impl Outcome {
    /// All went well in the end.
    const fn after(failed: &'static [&'static str], events: &'static [&'static str]) -> Self {
        Self { failed, events, ..smooth() }
    }

    pub(super) const fn failed(reason: &'static str, failed: &'static [&'static str], says: &'static str) -> Self {
        Self { end: ("failed", Some(reason)), posts: Posts::Only(0), failed, says, ..smooth() }
    }

    const fn partial(reason: &'static str, posts: Posts, says: &'static str) -> Self {
        Self { end: ("partial", Some(reason)), posts, says, ..smooth() }
    }

    const fn with(self, failed: &'static [&'static str], events: &'static [&'static str]) -> Self {
        Self { failed, events, ..self }
    }
}

impl Row {
    /// What becomes of the guest that meets it, and of the session.
    const fn harms(self, guest: Credential, session: Credential) -> Self {
        let guest = Outcome { credential: guest, ..self.guest };
        Self { guest, session: Outcome { credential: session, ..self.session }, ..self }
    }
}

const fn both(fault: &'static str, outcome: Outcome) -> Row {
    Row { fault, guest: outcome, session: outcome }
}

use Credential::{Struck, Unharmed};

/// It rests for everybody.
const THROTTLED: Credential = Credential::Cooled("throttled");
/// A guest is nobody who could be taken out.
const RESTS: Credential = Credential::Cooled("challenge_required");
const CHALLENGED: Credential = Credential::Disabled("challenge_required");
const DEAD: Credential = Credential::Disabled("login_required");

/// Every answer of JSON is nested too deep to be read.
const fn too_deep(fault: &'static str) -> Row {
    Row {
        fault,
        guest: Outcome::partial("upstream_changed", Posts::Only(0), "recursion limit")
            .with(&["web_profile_info 200 unexpected_shape", "feed 200 unexpected_shape"], CHANGED),
        session: Outcome::partial("upstream_changed", Posts::Only(0), "recursion limit").with(
            &[
                "web_profile_info 200 unexpected_shape",
                "timeline 200 unexpected_shape",
                "timeline 200 unexpected_shape",
                "feed 200 unexpected_shape",
            ],
            CHANGED,
        ),
    }
}

const WAITED: &[&str] = &["rate_limited", "run_resumed"];
pub(super) const RETRIED: &[&str] = &["retry_scheduled", "run_resumed"];
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
const CHANGED: &[&str] = &["upstream_changed"];
const TOKEN_OR_COOKIE_WANTED: &str = "name a [[token]] in IGT_CREDENTIALS for professional accounts, or set IGT_WEB_COOKIE to \
                                      the cookie of a signed-in browser";
const COOKIE_DEAD: &str = "sign in again and set IGT_WEB_COOKIE to the fresh cookie";

pub(super) static TABLE: &[Row] = &[
    both(
        "missing",
        Outcome::failed(
            "not_found",
            &["web_profile_info 404 not_found", "profile_page 404 not_found"],
            "User not found",
        ),
    ),
    both(
        "nulluser",
        Outcome::failed(
            "not_found",
            &["web_profile_info 200 not_found", "profile_page 404 not_found"],
            "data.user is null",
        ),
    ),
    // One endpoint's word is not enough, and the other's is.
    both("ghosted", Outcome::after(&["web_profile_info 404 not_found"], CHANGED)),
    both("asset", Outcome::after(&["web_profile_info 400 endpoint_broken"], CHANGED)),
    both("private", Outcome::partial("private", Posts::Only(0), "followers only; only a session that follows it")),
    both(
        "agegated",
        Outcome::failed("age_restricted", &["web_profile_info 200 age_restricted"], "shown to adults only"),
    ),
    both(
        "regulated",
        Outcome::failed("age_restricted", &["web_profile_info 200 age_restricted"], "shown to adults only"),
    ),
    both("geoblocked", Outcome::failed("geo_blocked", &["web_profile_info 400 geo_blocked"], "there is nothing to do")),
    Row {
        fault: "consent",
        guest: Outcome::failed("challenge_required", &["web_profile_info 400 consent_required"], "scrape again later"),
        session: Outcome::failed(
            "challenge_required",
            &["web_profile_info 400 consent_required"],
            "open Instagram in the browser",
        ),
    }
    .harms(Unharmed, Credential::Disabled("consent_required")),
    both(
        "throttled.1",
        Outcome {
            events: &[
                "rate_limited",
                "run_resumed",
                "rate_limited",
                "run_resumed",
                "rate_limited",
                "run_resumed",
                "rate_limited",
                "run_resumed",
            ],
            ..Outcome::failed(
                "rate_limited",
                &["web_profile_info 429 throttled"; 5],
                "it was tried 5 times; scrape again later",
            )
        },
    )
    .harms(THROTTLED, THROTTLED),
    both("throttledonce.1", Outcome::after(&["web_profile_info 429 throttled"], WAITED)).harms(THROTTLED, THROTTLED),
    // Asked to wait: one wait, then another endpoint, and no loop.
    Row {
        fault: "pleasewait",
        guest: Outcome::partial("login_required", Posts::Only(0), TOKEN_OR_COOKIE_WANTED)
            .with(&["web_profile_info 401 please_wait", "feed 401 please_wait"], WAITED),
        session: Outcome::partial("login_required", Posts::Only(0), COOKIE_DEAD)
            .with(&["web_profile_info 401 please_wait", "timeline 401 please_wait", "feed 401 please_wait"], WAITED),
    }
    .harms(Struck, Struck),
    Row {
        fault: "loginwall",
        guest: Outcome {
            events: WAITED,
            ..Outcome::failed(
                "login_required",
                &["web_profile_info 401 please_wait", "profile_page 302 login_required"],
                TOKEN_OR_COOKIE_WANTED,
            )
        },
        session: Outcome {
            events: WAITED,
            ..Outcome::failed(
                "login_required",
                &["web_profile_info 401 please_wait", "profile_page 302 login_required"],
                COOKIE_DEAD,
            )
        },
    }
    .harms(Struck, DEAD),
    Row {
        fault: "guestwall",
        guest: Outcome {
            events: WAITED,
            ..Outcome::failed(
                "login_required",
                &["web_profile_info 401 please_wait", "profile_page 302 login_required"],
                TOKEN_OR_COOKIE_WANTED,
            )
        },
        session: smooth(),
    }
    .harms(Struck, Unharmed),
    // No other endpoint can go on from there: the same one is asked once more, and what was read stays.
    Row {
        fault: "wallafter.2",
        guest: Outcome::partial("login_required", Posts::Only(24), TOKEN_OR_COOKIE_WANTED)
            .with(&["feed 401 please_wait"; 2], WAITED),
        session: Outcome::partial("login_required", Posts::Only(24), COOKIE_DEAD)
            .with(&["timeline 401 please_wait"; 2], WAITED),
    }
    .harms(Struck, Struck),
    Row {
        fault: "loggedout",
        guest: Outcome::failed("login_required", &["web_profile_info 403 login_required"], TOKEN_OR_COOKIE_WANTED),
        session: Outcome::failed("login_required", &["web_profile_info 403 login_required"], COOKIE_DEAD),
    }
    .harms(Unharmed, DEAD),
    // A session that is challenged is asked for nothing more.
    Row {
        fault: "challenged",
        guest: Outcome::failed(
            "challenge_required",
            &["web_profile_info 400 challenge_required"],
            "scrape again later",
        ),
        session: Outcome::failed(
            "challenge_required",
            &["web_profile_info 400 challenge_required"],
            "let the session rest",
        ),
    }
    .harms(RESTS, CHALLENGED),
    Row {
        fault: "feedback",
        guest: Outcome::failed(
            "challenge_required",
            &["web_profile_info 400 challenge_required"],
            "scrape again later",
        ),
        session: Outcome::failed(
            "challenge_required",
            &["web_profile_info 400 challenge_required"],
            "let the session rest",
        ),
    }
    .harms(RESTS, CHALLENGED),
    // A guest asks no document of GraphQL for a profile; a session refreshes its tokens once and turns to the feed.
    Row { fault: "forbidden", guest: smooth(), session: Outcome::after(&["timeline 403 forbidden"; 3], CHANGED) },
    Row { fault: "forbiddenonce", guest: smooth(), session: Outcome::after(&["timeline 403 forbidden"], &[]) },
    Row { fault: "staledoc", guest: smooth(), session: Outcome::after(&["timeline 200 unexpected_shape"; 2], CHANGED) },
    Row { fault: "rotateddoc", guest: smooth(), session: Outcome::after(&["timeline 200 unexpected_shape"], CHANGED) },
    both(
        "broken",
        Outcome {
            events: RETRIED_TO_THE_LAST,
            ..Outcome::failed(
                "upstream_unavailable",
                &["web_profile_info 500 server_error"; 5],
                "5 times; scrape again later",
            )
        },
    ),
    Row {
        fault: "flaky.1",
        guest: Outcome::after(
            &["web_profile_info 500 server_error", "feed 500 server_error"],
            &["retry_scheduled", "run_resumed", "retry_scheduled", "run_resumed"],
        ),
        session: Outcome::after(
            &["web_profile_info 500 server_error", "profile_page 500 server_error", "timeline 500 server_error"],
            &["retry_scheduled", "run_resumed", "retry_scheduled", "run_resumed", "retry_scheduled", "run_resumed"],
        ),
    },
    // A wall or a throttle: once more, and not again.
    Row {
        fault: "html",
        guest: Outcome {
            events: RETRIED,
            ..Outcome::failed(
                "login_required",
                &["web_profile_info 200 html_instead_of_json"; 2],
                TOKEN_OR_COOKIE_WANTED,
            )
        },
        session: Outcome {
            events: RETRIED,
            ..Outcome::failed("login_required", &["web_profile_info 200 html_instead_of_json"; 2], COOKIE_DEAD)
        },
    }
    .harms(Struck, Struck),
    Row {
        fault: "senthome",
        guest: Outcome {
            events: RETRIED,
            ..Outcome::failed(
                "login_required",
                &["web_profile_info 302 html_instead_of_json"; 2],
                TOKEN_OR_COOKIE_WANTED,
            )
        },
        session: Outcome {
            events: RETRIED,
            ..Outcome::failed("login_required", &["web_profile_info 302 html_instead_of_json"; 2], COOKIE_DEAD)
        },
    }
    .harms(Struck, Struck),
    both(
        "truncated",
        Outcome {
            events: RETRIED_TO_THE_LAST,
            ..Outcome::failed(
                "upstream_unavailable",
                &["web_profile_info 200 truncated_body"; 5],
                "the answer broke off",
            )
        },
    ),
    both(
        "cut",
        Outcome {
            events: RETRIED_TO_THE_LAST,
            ..Outcome::failed(
                "upstream_unavailable",
                &["web_profile_info 200 truncated_body"; 5],
                "the answer ends early",
            )
        },
    ),
    both(
        "failstatus",
        Outcome {
            events: RETRIED_TO_THE_LAST,
            ..Outcome::failed(
                "upstream_unavailable",
                &["web_profile_info 200 server_error"; 5],
                "there was a problem with your request",
            )
        },
    ),
    both(
        "toldlimit",
        Outcome {
            events: &[
                "rate_limited",
                "run_resumed",
                "rate_limited",
                "run_resumed",
                "rate_limited",
                "run_resumed",
                "rate_limited",
                "run_resumed",
            ],
            ..Outcome::failed("rate_limited", &["web_profile_info 200 throttled"; 5], "rate limit exceeded")
        },
    )
    .harms(THROTTLED, THROTTLED),
    Row {
        fault: "mismatch",
        guest: Outcome::failed(
            "upstream_changed",
            &["web_profile_info 400 user_agent_mismatch"],
            "set IGT_WEB_USER_AGENT to it and restart",
        ),
        session: Outcome::failed(
            "upstream_changed",
            &["web_profile_info 400 user_agent_mismatch"],
            "then put it back: ig-tracking credentials enable cookie",
        ),
    }
    .harms(Unharmed, Credential::Disabled("user_agent_mismatch")),
    both(
        "proof",
        Outcome::failed("challenge_required", &["web_profile_info 400 challenge_required"], "challenge_required"),
    )
    .harms(RESTS, CHALLENGED),
    Row {
        fault: "sentlogin",
        guest: Outcome::failed("login_required", &["web_profile_info 302 login_required"], TOKEN_OR_COOKIE_WANTED),
        session: Outcome::failed("login_required", &["web_profile_info 302 login_required"], COOKIE_DEAD),
    }
    .harms(Unharmed, DEAD),
    both(
        "sentproof",
        Outcome::failed(
            "challenge_required",
            &["web_profile_info 302 challenge_required"],
            "redirected to /challenge/",
        ),
    )
    .harms(RESTS, CHALLENGED),
    // The other endpoint's word is another one, and counts.
    both(
        "restricted",
        Outcome::failed(
            "age_restricted",
            &["web_profile_info 404 not_found", "profile_page 200 age_restricted"],
            "Restricted profile",
        ),
    ),
    // Begun anew once, and no loop; what was read stays, once.
    Row {
        fault: "lapsed",
        guest: Outcome::partial("upstream_unavailable", Posts::Only(12), "Invalid cursor")
            .with(&["feed 400 cursor_refused"; 2], &["list_restarted"]),
        session: Outcome::partial("upstream_unavailable", Posts::Only(12), "Invalid cursor")
            .with(&["timeline 400 cursor_refused"; 2], &["list_restarted"]),
    },
    // Late, and in time.
    both("slow.1", smooth()),
    Row {
        fault: "fieldexception",
        guest: smooth(),
        session: Outcome::partial("upstream_changed", Posts::All, "errors beside its data").with(&[], CHANGED),
    },
    both("renamed", Outcome::partial("upstream_changed", Posts::All, "edge_followed_by.count").with(&[], CHANGED)),
    both("norevealed", Outcome::partial("upstream_changed", Posts::All, "edge_followed_by.count").with(&[], CHANGED)),
    both(
        "untold",
        Outcome::partial("upstream_changed", Posts::All, "product_type").with(&[], &["upstream_changed"; 5]),
    ),
    both("nocaptions", Outcome::partial("upstream_changed", Posts::All, "caption").with(&[], &["upstream_changed"; 2])),
    both(
        "oddcaptions",
        Outcome::partial("upstream_changed", Posts::All, "caption").with(&[], &["upstream_changed"; 2]),
    ),
    both("oddlinks", Outcome::partial("upstream_changed", Posts::All, "bio_links").with(&[], &["upstream_changed"; 2])),
    both("nulls", smooth()),
    both("hidden", smooth()),
    both("ownerless", smooth()),
    both("emptyedges", smooth()),
    both("repeating", smooth()),
    both("empty", Outcome { posts: Posts::Only(0), ..smooth() }),
    both("looping", Outcome::partial("upstream_unavailable", Posts::Only(36), "led round in a circle after 36 of ")),
    both(
        "unknownkind",
        Outcome::partial("upstream_changed", Posts::All, "media_type").with(&[], &["upstream_changed"; 2]),
    ),
    // What no column can hold is replaced or cut, and costs nothing else.
    both("nul", smooth()),
    both("halfpair", smooth()),
    both("notext", smooth()),
    both("longtext.1", smooth()),
    // The account's page serves where its endpoint cannot be read; of the posts there is no such other word.
    Row {
        fault: "verbose.1",
        guest: Outcome::partial("upstream_changed", Posts::Only(0), "no no no")
            .with(&["web_profile_info 400 unexpected_shape", "feed 400 unexpected_shape"], CHANGED),
        session: Outcome::partial("upstream_changed", Posts::Only(0), "no no no").with(
            &[
                "web_profile_info 400 unexpected_shape",
                "timeline 400 unexpected_shape",
                "timeline 400 unexpected_shape",
                "feed 400 unexpected_shape",
            ],
            CHANGED,
        ),
    },
    too_deep("deep"),
    too_deep("deepaside"),
    both(
        "endless",
        Outcome::failed(
            "upstream_changed",
            &["web_profile_info 200 unexpected_shape", "profile_page 200 unexpected_shape"],
            "larger than 16 MiB",
        ),
    ),
    both(
        "beyond",
        Outcome::partial("upstream_changed", Posts::All, "edge_followed_by.count").with(&[], &["upstream_changed"; 12]),
    ),
    both(
        "garbled",
        Outcome::partial("upstream_changed", Posts::All, "could not be read at").with(&[], &["upstream_changed"; 4]),
    ),
];

/// Whether it tells something of the session that meets it: no other run can use that as if nothing had been.
pub(crate) fn is_of_the_session(fault: &str) -> bool {
    let row = TABLE.iter().find(|row| row.fault.split('.').next() == fault.split('.').next());
    row.is_some_and(|row| row.session.credential != Unharmed)
}
