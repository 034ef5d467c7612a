//! The words for where a run stands, why, and what asked for it; the checks of the table `runs` list the same.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum RunState {
    /// Accepted; no worker has it yet.
    Queued,
    /// A worker has it.
    Running,
    /// Backing off until a time.
    Waiting,
    /// All that was asked for was obtained.
    Succeeded,
    /// Some of what was asked for was obtained.
    Partial,
    /// Nothing was obtained.
    Failed,
    /// A client stopped it.
    Cancelled,
}

impl RunState {
    /// Every state, in the order of a run's life.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Running, Self::Waiting, Self::Succeeded, Self::Partial, Self::Failed, Self::Cancelled];

    /// Whether the task is busy with it.
    pub fn is_active(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Waiting => true,
            Self::Succeeded | Self::Partial | Self::Failed | Self::Cancelled => false,
        }
    }

    /// The name in the database, in metrics and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a run waits or did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Reason {
    /// Instagram said that we ask too often.
    RateLimited,
    /// Instagram wants a signed-in session, or the one we have is dead.
    LoginRequired,
    /// Instagram wants a person to prove or accept something.
    ChallengeRequired,
    /// There is no such account.
    NotFound,
    /// Its posts are for approved followers only.
    Private,
    /// It is shown to adults only.
    AgeRestricted,
    /// It is not shown in this country.
    GeoBlocked,
    /// The answer is no longer of the shape that this version reads.
    UpstreamChanged,
    /// Instagram could not be reached or did not answer properly.
    UpstreamUnavailable,
    /// The run took longer than it may.
    DeadlineExceeded,
    /// Its worker died in the last of its attempts.
    LeaseLost,
    /// A client asked to stop it.
    CancelledByClient,
    /// A fault of this program.
    InternalError,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::RateLimited,
        Self::LoginRequired,
        Self::ChallengeRequired,
        Self::NotFound,
        Self::Private,
        Self::AgeRestricted,
        Self::GeoBlocked,
        Self::UpstreamChanged,
        Self::UpstreamUnavailable,
        Self::DeadlineExceeded,
        Self::LeaseLost,
        Self::CancelledByClient,
        Self::InternalError,
    ];

    /// The name in the database, in metrics and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::LoginRequired => "login_required",
            Self::ChallengeRequired => "challenge_required",
            Self::NotFound => "not_found",
            Self::Private => "private",
            Self::AgeRestricted => "age_restricted",
            Self::GeoBlocked => "geo_blocked",
            Self::UpstreamChanged => "upstream_changed",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::LeaseLost => "lease_lost",
            Self::CancelledByClient => "cancelled_by_client",
            Self::InternalError => "internal_error",
        }
    }
}

/// What asked for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Trigger {
    /// A client's request.
    Api,
    /// The demo.
    Demo,
    /// A client's request to do an ended run anew.
    Retry,
}

impl Trigger {
    /// The name in the database and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Demo => "demo",
            Self::Retry => "retry",
        }
    }
}
