//! What to do about a failure: wait and try again, or end with a reason.

use std::time::Duration;

use super::Policy;
use crate::db::runs::Reason;
use crate::instagram::{Class, Failure, FailureKind};

/// No back-off is longer than this, unless the upstream asks for it.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// What becomes of a run that met a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Decision {
    /// It waits so long and is taken up again.
    Wait(Duration, Reason),
    /// It ends.
    End(Reason),
}

/// Decides, for a failure met in attempt number `attempt` with so much time left to the run's deadline. `chance` is
/// a number from 0 to 1 that spreads the retries of many runs.
pub(super) fn decide(failure: &Failure, attempt: i32, left: Duration, policy: &Policy, chance: f64) -> Decision {
    let reason = reason_of(failure.kind);
    let tries = policy.max_attempts.min(tries_of(failure.kind));
    let delay = match failure.kind.class() {
        Class::Terminal | Class::Operator => return Decision::End(reason),
        // What the upstream asks for, and a little more so that not all come back in the same second.
        Class::Throttled => failure.retry_after.unwrap_or(policy.throttle_cooldown).mul_f64(1.0 + 0.1 * chance),
        // Exponential with full jitter, never sooner than the upstream asks for.
        Class::Transient => {
            let doubled = policy.retry_base.saturating_mul(1 << (attempt - 1).clamp(0, 16));
            doubled.min(LONGEST_BACKOFF).mul_f64(chance).max(failure.retry_after.unwrap_or_default())
        }
    };
    if attempt >= tries || delay >= left {
        Decision::End(final_reason(failure.kind))
    } else {
        Decision::Wait(delay, reason)
    }
}

/// The reason of a run that waits because of this failure, or ends by it.
fn reason_of(kind: FailureKind) -> Reason {
    match kind {
        FailureKind::Throttled | FailureKind::PleaseWait => Reason::RateLimited,
        FailureKind::LoginRequired => Reason::LoginRequired,
        FailureKind::ChallengeRequired | FailureKind::ConsentRequired => Reason::ChallengeRequired,
        FailureKind::NotFound => Reason::NotFound,
        FailureKind::Private => Reason::Private,
        FailureKind::AgeRestricted => Reason::AgeRestricted,
        FailureKind::GeoBlocked => Reason::GeoBlocked,
        FailureKind::Forbidden | FailureKind::UnexpectedShape => Reason::UpstreamChanged,
        FailureKind::EndpointBroken
        | FailureKind::HtmlInsteadOfJson
        | FailureKind::ServerError
        | FailureKind::TruncatedBody
        | FailureKind::TimedOut
        | FailureKind::ConnectionFailed => Reason::UpstreamUnavailable,
    }
}

/// The reason once waiting has not helped: what looked like a throttle was a wall.
fn final_reason(kind: FailureKind) -> Reason {
    match kind {
        FailureKind::PleaseWait | FailureKind::HtmlInsteadOfJson => Reason::LoginRequired,
        kind => reason_of(kind),
    }
}

/// How many attempts a failure is worth: the two that may be a wall are tried once more and not again.
fn tries_of(kind: FailureKind) -> i32 {
    match kind {
        FailureKind::PleaseWait | FailureKind::HtmlInsteadOfJson => 2,
        _ => i32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn policy() -> Policy {
        Policy {
            concurrency: 1,
            lease: Duration::from_secs(30),
            deadline: HOUR,
            max_attempts: 4,
            retry_base: Duration::from_secs(2),
            throttle_cooldown: Duration::from_secs(660),
            poll: Duration::from_secs(1),
            max_posts: 60,
        }
    }

    fn failure(kind: FailureKind, retry_after: Option<u64>) -> Failure {
        Failure {
            kind,
            endpoint: "web_profile_info",
            status: Some(429),
            message: "no".to_owned(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    fn wait(seconds: f64, reason: Reason) -> Decision {
        Decision::Wait(Duration::from_secs_f64(seconds), reason)
    }

    #[test]
    fn a_throttle_waits_as_long_as_instagram_says_or_eleven_minutes() {
        let decide = |retry_after| decide(&failure(FailureKind::Throttled, retry_after), 1, HOUR, &policy(), 0.0);
        assert_eq!(decide(Some(7)), wait(7.0, Reason::RateLimited));
        assert_eq!(decide(None), wait(660.0, Reason::RateLimited));
    }

    #[test]
    fn a_passing_failure_backs_off_twice_as_long_each_time_up_to_five_minutes_and_never_too_soon() {
        let policy = Policy { max_attempts: 100, ..policy() };
        let failure_of = |retry_after| failure(FailureKind::ServerError, retry_after);
        let decide = |attempt, retry_after| decide(&failure_of(retry_after), attempt, HOUR, &policy, 1.0);
        assert_eq!(decide(1, None), wait(2.0, Reason::UpstreamUnavailable));
        assert_eq!(decide(3, None), wait(8.0, Reason::UpstreamUnavailable));
        assert_eq!(decide(60, None), wait(300.0, Reason::UpstreamUnavailable));
        assert_eq!(decide(1, Some(20)), wait(20.0, Reason::UpstreamUnavailable));
    }

    #[test]
    fn attempts_are_bounded_and_a_wait_beyond_the_deadline_is_not_begun() {
        let failure = failure(FailureKind::ServerError, None);
        let over = Decision::End(Reason::UpstreamUnavailable);
        assert_eq!(decide(&failure, 4, HOUR, &policy(), 1.0), over);
        assert_eq!(decide(&failure, 1, Duration::from_secs(1), &policy(), 1.0), over);
    }

    #[test]
    fn what_may_be_a_wall_is_tried_once_more_and_not_again() {
        for kind in [FailureKind::PleaseWait, FailureKind::HtmlInsteadOfJson] {
            assert!(matches!(decide(&failure(kind, None), 1, HOUR, &policy(), 0.5), Decision::Wait(..)));
            assert_eq!(decide(&failure(kind, None), 2, HOUR, &policy(), 0.5), Decision::End(Reason::LoginRequired));
        }
    }

    #[test]
    fn what_waiting_cannot_mend_ends_at_once() {
        for (kind, reason) in [
            (FailureKind::NotFound, Reason::NotFound),
            (FailureKind::ChallengeRequired, Reason::ChallengeRequired),
            (FailureKind::LoginRequired, Reason::LoginRequired),
            (FailureKind::AgeRestricted, Reason::AgeRestricted),
            (FailureKind::UnexpectedShape, Reason::UpstreamChanged),
        ] {
            assert_eq!(decide(&failure(kind, Some(1)), 1, HOUR, &policy(), 0.5), Decision::End(reason));
        }
    }
}
