//! What a person can do about a failure, by as whom it was asked: the end of a run's last word, and what is said where a
//! credential is lost and another one goes on.

use crate::credentials::COOKIE;
use crate::instagram::{Failure, FailureKind, Source};

/// What gives a guest more than the site shows to anybody; the official source first.
const MORE_THAN_A_GUEST: &str = "name a [[token]] in IGT_CREDENTIALS for professional accounts, or set IGT_WEB_COOKIE \
                                 to the cookie of a signed-in browser";

/// As whom a run asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedAs<'a> {
    /// As nobody in particular.
    Guest,
    /// With a session of this name.
    Session(&'a str),
    /// With a token of this name.
    Token(&'a str),
}

impl<'a> AskedAs<'a> {
    /// With this credential of a source, which is no guest.
    pub fn of(source: Source, name: &'a str) -> Self {
        match source {
            Source::Web => Self::Session(name),
            Source::Graph => Self::Token(name),
        }
    }

    /// The credential, where it is one that can be lost.
    fn name(self) -> Option<&'a str> {
        match self {
            Self::Guest => None,
            Self::Session(name) | Self::Token(name) => Some(name),
        }
    }

    /// Whether the credential is one of the file.
    fn is_in_the_file(self) -> bool {
        self.name().is_some_and(|name| name != COOKIE)
    }

    /// How its secret is renewed; how a guest gets one.
    fn renewed(self) -> &'static str {
        match self {
            Self::Guest => MORE_THAN_A_GUEST,
            Self::Session(COOKIE) => "sign in again and set IGT_WEB_COOKIE to the fresh cookie",
            Self::Session(_) => "sign in again, write the fresh secret into IGT_CREDENTIALS and restart",
            Self::Token(_) => "make a new token, write it into IGT_CREDENTIALS and restart",
        }
    }

    /// How it is put back.
    fn put_back(self) -> String {
        let back = |name| format!(", then put it back: ig-tracking credentials enable {name}");
        self.name().map(back).unwrap_or_default()
    }

    /// Whether this failure takes it out.
    pub(super) fn is_taken_out_by(self, kind: FailureKind) -> bool {
        self != Self::Guest && FailureKind::END_OF_A_CREDENTIAL.contains(&kind)
    }
}

/// What a person can do about a failure.
pub(super) fn advice(kind: FailureKind, asked_as: AskedAs<'_>) -> String {
    let put_back = || asked_as.put_back();
    let words = match kind {
        FailureKind::LoginRequired | FailureKind::TokenInvalid => {
            return format!("{}{}", asked_as.renewed(), put_back());
        }
        // It may as well be a throttle: nothing was taken out.
        FailureKind::PleaseWait | FailureKind::HtmlInsteadOfJson => asked_as.renewed(),
        FailureKind::ChallengeRequired | FailureKind::ConsentRequired => match asked_as {
            AskedAs::Guest => return format!("scrape again later, or {MORE_THAN_A_GUEST}"),
            AskedAs::Session(_) => {
                let words = "open Instagram in the browser of this session, do what it asks, and let the session rest until \
                             then";
                return format!("{words}{}", put_back());
            }
            AskedAs::Token(_) => return format!("{}{}", asked_as.renewed(), put_back()),
        },
        FailureKind::UserAgentMismatch => {
            let agent = match asked_as.name().filter(|_| asked_as.is_in_the_file()) {
                Some(name) => format!("write it as user_agent of {name} into IGT_CREDENTIALS"),
                None => "set IGT_WEB_USER_AGENT to it".to_owned(),
            };
            let words = "look up navigator.userAgent in the browser that the cookie is from";
            return format!("{words}, {agent} and restart{}", put_back());
        }
        FailureKind::PermissionMissing => {
            let words = "make a token with instagram_basic, instagram_manage_insights and pages_read_engagement, for an app \
                         that was granted them, write it into IGT_CREDENTIALS and restart";
            return format!("{words}{}", put_back());
        }
        FailureKind::PolicyBlocked => {
            let words = "read what the app's dashboard at developers.facebook.com says, and let the token rest until it is \
                         mended";
            return format!("{words}{}", put_back());
        }
        FailureKind::ProxyRefused => {
            let proxy = match asked_as.name().filter(|_| asked_as.is_in_the_file()) {
                Some(name) => format!("the proxy of {name} in IGT_CREDENTIALS"),
                None => "the proxy that HTTPS_PROXY names".to_owned(),
            };
            return format!("correct the user and the password of {proxy} and restart");
        }
        FailureKind::CertificateRefused => {
            "check that the address leads to who it should and that this machine's clock is right; an authority of your own \
             belongs among the system's root certificates"
        }
        FailureKind::Throttled => "scrape again later; where it happens often, ask for fewer runs",
        FailureKind::NotAsked | FailureKind::ServerError | FailureKind::TruncatedBody => "scrape again later",
        FailureKind::TimedOut | FailureKind::ConnectionFailed => {
            "scrape again later; where it stays, check this machine's network and the proxy"
        }
        FailureKind::EndpointBroken => match asked_as {
            AskedAs::Token(_) => "the source `web` can be asked for it",
            _ => "a [[token]] in IGT_CREDENTIALS reads it where it is a professional account",
        },
        FailureKind::NotFound => "it may have been renamed or deleted",
        FailureKind::NotDiscoverable => {
            "check the name; an account that is personal or private can be read by the source `web` alone"
        }
        FailureKind::NotOffered => "the source `web` can be asked for it",
        FailureKind::Private => "only a session that follows the account can read it",
        FailureKind::AgeRestricted => match asked_as {
            AskedAs::Guest => "an adult's session may see it: name one in IGT_CREDENTIALS, or set IGT_WEB_COOKIE",
            _ => "only an adult's session may see it",
        },
        FailureKind::GeoBlocked => {
            "there is nothing to do: Instagram does not show it in the country that this service asks from"
        }
        FailureKind::FieldsRefused => {
            "check the credential's user_id; where it is right, the official source has changed its fields"
        }
        FailureKind::CursorRefused => "scrape again: the list is then read from its beginning",
        FailureKind::Forbidden | FailureKind::UnexpectedShape => {
            "Instagram has changed: the kept answer shows how, and a newer version of this program may read it"
        }
    };
    words.to_owned()
}

/// What is said where another credential goes on: what happened, and what to do where this one does not go on by itself.
pub fn on_losing(failure: &Failure, asked_as: AskedAs<'_>) -> String {
    let advice = || advice(failure.kind, asked_as);
    match asked_as.name() {
        Some(name) if asked_as.is_taken_out_by(failure.kind) => {
            format!("{failure}; credential {name} is taken out: {}", advice())
        }
        _ if failure.kind.is_on_the_way() => format!("{failure}; {}", advice()),
        _ => failure.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [FailureKind; 28] = [
        FailureKind::NotAsked,
        FailureKind::Throttled,
        FailureKind::PleaseWait,
        FailureKind::LoginRequired,
        FailureKind::ChallengeRequired,
        FailureKind::Forbidden,
        FailureKind::UserAgentMismatch,
        FailureKind::NotFound,
        FailureKind::Private,
        FailureKind::AgeRestricted,
        FailureKind::GeoBlocked,
        FailureKind::ConsentRequired,
        FailureKind::NotDiscoverable,
        FailureKind::NotOffered,
        FailureKind::TokenInvalid,
        FailureKind::PermissionMissing,
        FailureKind::PolicyBlocked,
        FailureKind::FieldsRefused,
        FailureKind::EndpointBroken,
        FailureKind::CursorRefused,
        FailureKind::UnexpectedShape,
        FailureKind::HtmlInsteadOfJson,
        FailureKind::ServerError,
        FailureKind::TruncatedBody,
        FailureKind::TimedOut,
        FailureKind::ConnectionFailed,
        FailureKind::CertificateRefused,
        FailureKind::ProxyRefused,
    ];

    #[test]
    fn a_token_is_never_told_of_cookies_and_what_is_taken_out_is_told_how_it_is_put_back() {
        for kind in ALL {
            let words = advice(kind, AskedAs::Token("main"));
            assert!(!words.contains("COOKIE") && !words.contains("sign in"), "{kind:?}: {words}");
            for asked_as in [AskedAs::Session("main"), AskedAs::Token("main"), AskedAs::Guest] {
                let is_taken_out = asked_as.is_taken_out_by(kind);
                let words = advice(kind, asked_as);
                assert_eq!(words.contains("ig-tracking credentials enable main"), is_taken_out, "{kind:?}: {words}");
            }
        }
    }

    #[test]
    fn a_guest_is_told_of_the_official_source_first() {
        for kind in [
            FailureKind::LoginRequired,
            FailureKind::PleaseWait,
            FailureKind::HtmlInsteadOfJson,
            FailureKind::ChallengeRequired,
            FailureKind::ConsentRequired,
        ] {
            let words = advice(kind, AskedAs::Guest);
            let (token, cookie) = (words.find("[[token]]").unwrap(), words.find("IGT_WEB_COOKIE").unwrap());
            assert!(token < cookie, "{words}");
        }
    }

    #[test]
    fn what_stands_in_the_file_is_mended_in_the_file() {
        for kind in [FailureKind::UserAgentMismatch, FailureKind::ProxyRefused] {
            let of = |name| advice(kind, AskedAs::Session(name));
            assert!(of("main").contains("of main") && of("main").contains("IGT_CREDENTIALS"), "{}", of("main"));
            assert!(!of(COOKIE).contains("IGT_CREDENTIALS"), "{}", of(COOKIE));
        }
    }

    #[test]
    fn who_goes_on_says_what_is_to_be_done_for_the_one_that_cannot() {
        let said = |kind, asked_as| {
            let message = "no".to_owned();
            let failure = Failure { kind, endpoint: "feed", status: Some(400), message, retry_after: None };
            on_losing(&failure, asked_as)
        };
        let session = AskedAs::Session("main");
        let lost = said(FailureKind::LoginRequired, session);
        assert!(lost.starts_with("feed answered 400: no; credential main is taken out: sign in again"), "{lost}");
        assert!(lost.ends_with("ig-tracking credentials enable main"), "{lost}");
        assert!(said(FailureKind::ProxyRefused, session).contains("the proxy of main in IGT_CREDENTIALS"));
        // It comes back by itself.
        assert_eq!(said(FailureKind::Throttled, session), "feed answered 400: no");
    }
}
