//! Every way in which a request to Instagram can fail, by name.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A request that brought no answer that can be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{endpoint} {}: {}", answered(*.kind, *.status), message.trim_end_matches('.'))]
pub struct Failure {
    /// What it was.
    pub kind: FailureKind,
    /// The endpoint that was asked.
    pub endpoint: &'static str,
    /// The HTTP status; `None` where no answer came.
    pub status: Option<u16>,
    /// What the answer said, in a sentence for a person; never a secret.
    pub message: String,
    /// How long the upstream asked us to wait.
    pub retry_after: Option<Duration>,
}

fn answered(kind: FailureKind, status: Option<u16>) -> String {
    match (kind, status) {
        (FailureKind::NotAsked, _) => "was not asked".to_owned(),
        (_, None) => "gave no answer".to_owned(),
        (_, Some(status)) => format!("answered {status}"),
    }
}

/// What a failure means for the run and for the session that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Passes by itself: try again soon, with back-off.
    Transient,
    /// We asked too often: wait as long as the upstream says.
    Throttled,
    /// Will not change by asking again.
    Terminal,
    /// A person has to mend something: a session, a setting, this program.
    Operator,
}

/// The names of all failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Its credential has no turn that is worth waiting for here: nothing was asked, and nothing is told of it.
    NotAsked,
    /// 429, or the same said in words.
    Throttled,
    /// 401 with `require_login`: a throttle, the guest gate or a revoked document; the wire does not say which.
    PleaseWait,
    /// The session is dead, or the page is not for guests.
    LoginRequired,
    /// Instagram asks a person to prove something (challenge, checkpoint, feedback).
    ChallengeRequired,
    /// The request's tokens are stale, or the document id was rotated.
    Forbidden,
    /// The user agent is not the one of the browser that the cookie is from.
    UserAgentMismatch,
    /// Two endpoints agree that there is no such account; or there is no such post.
    NotFound,
    /// The account's posts are for its followers only.
    Private,
    /// The account is shown to adults only, and not to us.
    AgeRestricted,
    /// The account is not shown in this country.
    GeoBlocked,
    /// Instagram asks the session's person for consent.
    ConsentRequired,
    /// The official source does not show the account: there is none, or it is a personal one. It does not say which.
    NotDiscoverable,
    /// The source has no way to ask for this.
    NotOffered,
    /// The token is none, has expired or was taken back.
    TokenInvalid,
    /// The token, or the app that it is of, may not ask this.
    PermissionMissing,
    /// Blocked for a breach of the platform's policies.
    PolicyBlocked,
    /// The source refuses the list of fields that it was asked for.
    FieldsRefused,
    /// The endpoint cannot serve this account, whoever asks: a deterministic 400, or a 404 for an account that is there.
    EndpointBroken,
    /// A list does not go on where an earlier page said: its cursor is not taken any more.
    CursorRefused,
    /// The answer is not of the shape that this version reads.
    UnexpectedShape,
    /// HTML where JSON was asked: a wall, a throttle or dead cookies.
    HtmlInsteadOfJson,
    /// 5xx, or the same said in words.
    ServerError,
    /// The body ended before it was whole.
    TruncatedBody,
    /// No answer within the time limit.
    TimedOut,
    /// No connection, or it broke.
    ConnectionFailed,
    /// Who answered at the other end, the source or the proxy before it, has shown a certificate that this machine does
    /// not accept.
    CertificateRefused,
    /// The proxy does not let it through: it wants another user or another password.
    ProxyRefused,
}

impl FailureKind {
    /// The name in events, exchanges and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::Throttled => "throttled",
            Self::PleaseWait => "please_wait",
            Self::LoginRequired => "login_required",
            Self::ChallengeRequired => "challenge_required",
            Self::Forbidden => "forbidden",
            Self::UserAgentMismatch => "user_agent_mismatch",
            Self::NotFound => "not_found",
            Self::Private => "private",
            Self::AgeRestricted => "age_restricted",
            Self::GeoBlocked => "geo_blocked",
            Self::ConsentRequired => "consent_required",
            Self::NotDiscoverable => "not_discoverable",
            Self::NotOffered => "not_offered",
            Self::TokenInvalid => "token_invalid",
            Self::PermissionMissing => "permission_missing",
            Self::PolicyBlocked => "policy_blocked",
            Self::FieldsRefused => "fields_refused",
            Self::EndpointBroken => "endpoint_broken",
            Self::CursorRefused => "cursor_refused",
            Self::UnexpectedShape => "unexpected_shape",
            Self::HtmlInsteadOfJson => "html_instead_of_json",
            Self::ServerError => "server_error",
            Self::TruncatedBody => "truncated_body",
            Self::TimedOut => "timed_out",
            Self::ConnectionFailed => "connection_failed",
            Self::CertificateRefused => "certificate_refused",
            Self::ProxyRefused => "proxy_refused",
        }
    }

    /// Those that end the use of the session or the token that met them, until a person has mended it.
    pub const END_OF_A_CREDENTIAL: [Self; 7] = [
        Self::LoginRequired,
        Self::ChallengeRequired,
        Self::ConsentRequired,
        Self::UserAgentMismatch,
        Self::TokenInvalid,
        Self::PermissionMissing,
        Self::PolicyBlocked,
    ];

    /// Whether it says that the credential's own way to the source is closed, and nothing of the source or the credential.
    pub fn is_on_the_way(self) -> bool {
        matches!(self, Self::CertificateRefused | Self::ProxyRefused)
    }

    /// Whether it may pass or may be a wall, and the wire does not say which: worth one more try and not two.
    pub fn may_be_a_wall(self) -> bool {
        matches!(self, Self::PleaseWait | Self::HtmlInsteadOfJson)
    }

    /// What it means for the run that met it.
    pub fn class(self) -> Class {
        match self {
            Self::NotAsked | Self::Throttled | Self::PleaseWait => Class::Throttled,
            Self::HtmlInsteadOfJson
            | Self::ServerError
            | Self::TruncatedBody
            | Self::TimedOut
            | Self::ConnectionFailed => Class::Transient,
            Self::NotFound
            | Self::Private
            | Self::AgeRestricted
            | Self::GeoBlocked
            | Self::NotDiscoverable
            | Self::NotOffered
            | Self::CursorRefused => Class::Terminal,
            Self::LoginRequired
            | Self::ChallengeRequired
            | Self::Forbidden
            | Self::UserAgentMismatch
            | Self::CertificateRefused
            | Self::ProxyRefused
            | Self::ConsentRequired
            | Self::TokenInvalid
            | Self::PermissionMissing
            | Self::PolicyBlocked
            | Self::FieldsRefused
            | Self::EndpointBroken
            | Self::UnexpectedShape => Class::Operator,
        }
    }
}
