//! What to do about a failure: wait and try again, or end with a reason.

use std::time::Duration;

use super::Policy;
use super::advice::{AskedAs, advice};
use crate::db::runs::Reason;
use crate::instagram::{Class, Failure, FailureKind};
use crate::pacing::{Refusal, Why as NoTurn};

/// No back-off is longer than this, unless the upstream asks for it.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// What becomes of a run that met a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Decision {
    /// It waits so long and is taken up again.
    Wait(Duration, Reason),
    /// It ends.
    End(Reason, Why),
}

/// Why a run does not wait and try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Waiting would change nothing.
    NoUse,
    /// It has waited for the same, in vain.
    WaitedInVain,
    /// Its attempts are spent.
    AttemptsSpent,
    /// The wait would last beyond its deadline.
    TooLate(Duration),
}

/// Where a run stands when it meets a failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// How many attempts in a row, this one included, have not brought it on.
    pub(super) tries: i32,
    /// Whether the run has waited for a failure of this kind before.
    pub(super) has_waited: bool,
    /// What is left of the run's time.
    pub(super) left: Duration,
}

/// Decides. `chance` is a number from 0 to 1 that spreads the retries of many runs.
pub(super) fn decide(failure: &Failure, run: Standing, policy: &Policy, chance: f64) -> Decision {
    let Standing { tries, has_waited, left } = run;
    let reason = reason_of(failure.kind);
    let delay = match failure.kind.class() {
        Class::Terminal | Class::Operator => return Decision::End(reason, Why::NoUse),
        // What the upstream asks for, and a little more so that not all come back in the same second.
        Class::Throttled => failure.retry_after.unwrap_or(policy.throttle_cooldown).mul_f64(1.0 + 0.1 * chance),
        // Exponential with full jitter, never sooner than the upstream asks for.
        Class::Transient => {
            let doubled = policy.retry_base.saturating_mul(1 << (tries - 1).clamp(0, 16));
            doubled.min(LONGEST_BACKOFF).mul_f64(chance).max(failure.retry_after.unwrap_or_default())
        }
    };
    let end = |why| Decision::End(final_reason(failure.kind), why);
    match () {
        () if failure.kind.may_be_a_wall() && has_waited => end(Why::WaitedInVain),
        () if tries >= policy.max_attempts => end(Why::AttemptsSpent),
        () if delay >= left => end(Why::TooLate(delay)),
        () => Decision::Wait(delay, reason),
    }
}

/// The end of a run by a failure, in a sentence for the person who has to mend it: what happened, why the run does not
/// go on, and what to do.
pub(super) fn last_word(failure: &Failure, tries: i32, why: Why, asked_as: AskedAs<'_>) -> String {
    let why = match why {
        Why::NoUse => String::new(),
        Why::WaitedInVain => "; waiting has not helped".to_owned(),
        Why::AttemptsSpent => format!("; it was tried {tries} times"),
        Why::TooLate(delay) => format!("; the next try, in {} s, would come after the run's deadline", delay.as_secs()),
    };
    format!("{failure}{why}; {}", advice(failure.kind, asked_as))
}

/// What becomes of a run whose next request has no turn, and why it is so in a sentence for a person.
pub(super) fn decide_without_turn(refusal: &Refusal, left: Duration, chance: f64) -> (Decision, String) {
    let reason = match &refusal.why {
        NoTurn::CircuitOpen | NoTurn::Unreadable => Reason::UpstreamUnavailable,
        NoTurn::Disabled(failure) => that_disables(failure).map_or(Reason::LoginRequired, reason_of),
        NoTurn::NoCredential => Reason::LoginRequired,
        NoTurn::Busy | NoTurn::Cooling(_) => Reason::RateLimited,
    };
    match refusal.wait {
        // Not all in the same second.
        Some(wait) => {
            let delay = wait + wait.min(Duration::from_secs(10)).mul_f64(0.1 * chance);
            if delay < left {
                return (Decision::Wait(delay, reason), refusal.to_string());
            }
            let message = format!(
                "{refusal}; its turn, in {} s, would come after the run's deadline; ask for fewer runs, or allow more time \
                 (IGT_RUN_DEADLINE_SECONDS)",
                delay.as_secs()
            );
            (Decision::End(reason, Why::TooLate(delay)), message)
        }
        None => {
            let advice = match (&refusal.why, refusal.credential.as_deref()) {
                (NoTurn::Disabled(failure), Some(name)) => {
                    let asked_as = AskedAs::of(refusal.source, name);
                    that_disables(failure).map_or_else(
                        || format!("put it back when it may be used again: ig-tracking credentials enable {name}"),
                        |kind| advice(kind, asked_as),
                    )
                }
                _ => format!("name one for source {} in IGT_CREDENTIALS", refusal.source.as_str()),
            };
            (Decision::End(reason, Why::NoUse), format!("{refusal}; {advice}"))
        }
    }
}

/// The failure by which a credential was taken out; `None` where an operator did it.
fn that_disables(name: &str) -> Option<FailureKind> {
    FailureKind::END_OF_A_CREDENTIAL.into_iter().find(|kind| kind.as_str() == name)
}

/// The reason of a run that waits because of this failure, or ends by it.
fn reason_of(kind: FailureKind) -> Reason {
    match kind {
        FailureKind::NotAsked | FailureKind::Throttled | FailureKind::PleaseWait => Reason::RateLimited,
        // A person has to sign in anew to make a token that lives, or that may do more.
        FailureKind::LoginRequired | FailureKind::TokenInvalid | FailureKind::PermissionMissing => {
            Reason::LoginRequired
        }
        FailureKind::ChallengeRequired | FailureKind::ConsentRequired | FailureKind::PolicyBlocked => {
            Reason::ChallengeRequired
        }
        FailureKind::NotFound | FailureKind::NotDiscoverable => Reason::NotFound,
        FailureKind::Private => Reason::Private,
        FailureKind::AgeRestricted => Reason::AgeRestricted,
        FailureKind::GeoBlocked => Reason::GeoBlocked,
        FailureKind::Forbidden
        | FailureKind::UserAgentMismatch
        | FailureKind::UnexpectedShape
        | FailureKind::FieldsRefused => Reason::UpstreamChanged,
        FailureKind::EndpointBroken
        | FailureKind::NotOffered
        | FailureKind::CursorRefused
        | FailureKind::HtmlInsteadOfJson
        | FailureKind::ServerError
        | FailureKind::TruncatedBody
        | FailureKind::TimedOut
        | FailureKind::ConnectionFailed
        | FailureKind::CertificateRefused
        | FailureKind::ProxyRefused => Reason::UpstreamUnavailable,
    }
}

/// The reason once waiting has not helped: what looked like a throttle was a wall.
fn final_reason(kind: FailureKind) -> Reason {
    match kind {
        FailureKind::PleaseWait | FailureKind::HtmlInsteadOfJson => Reason::LoginRequired,
        kind => reason_of(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instagram::Source;

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
            refreshed_posts: 60,
            full_scan_every: 10,
            max_events: 10_000,
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

    fn at(tries: i32) -> Standing {
        Standing { tries, has_waited: false, left: HOUR }
    }

    fn wait(seconds: f64, reason: Reason) -> Decision {
        Decision::Wait(Duration::from_secs_f64(seconds), reason)
    }

    #[test]
    fn a_throttle_waits_as_long_as_instagram_says_or_eleven_minutes() {
        let decide = |retry_after| decide(&failure(FailureKind::Throttled, retry_after), at(1), &policy(), 0.0);
        assert_eq!(decide(Some(7)), wait(7.0, Reason::RateLimited));
        assert_eq!(decide(None), wait(660.0, Reason::RateLimited));
    }

    #[test]
    fn a_passing_failure_backs_off_twice_as_long_each_time_up_to_five_minutes_and_never_too_soon() {
        let policy = Policy { max_attempts: 100, ..policy() };
        let failure_of = |retry_after| failure(FailureKind::ServerError, retry_after);
        let decide = |attempt, retry_after| decide(&failure_of(retry_after), at(attempt), &policy, 1.0);
        assert_eq!(decide(1, None), wait(2.0, Reason::UpstreamUnavailable));
        assert_eq!(decide(3, None), wait(8.0, Reason::UpstreamUnavailable));
        assert_eq!(decide(60, None), wait(300.0, Reason::UpstreamUnavailable));
        assert_eq!(decide(1, Some(20)), wait(20.0, Reason::UpstreamUnavailable));
    }

    #[test]
    fn attempts_are_bounded_and_a_wait_beyond_the_deadline_is_not_begun() {
        let failure = failure(FailureKind::ServerError, None);
        let over = |why| Decision::End(Reason::UpstreamUnavailable, why);
        assert_eq!(decide(&failure, at(4), &policy(), 1.0), over(Why::AttemptsSpent));
        let late = Standing { left: Duration::from_secs(1), ..at(1) };
        assert_eq!(decide(&failure, late, &policy(), 1.0), over(Why::TooLate(Duration::from_secs(2))));
    }

    #[test]
    fn what_may_be_a_wall_is_tried_once_more_and_not_again() {
        for kind in [FailureKind::PleaseWait, FailureKind::HtmlInsteadOfJson] {
            // Whatever the run has waited for before, this is the first time that it meets this.
            assert!(matches!(decide(&failure(kind, None), at(3), &policy(), 0.5), Decision::Wait(..)));
            let again = Standing { has_waited: true, ..at(2) };
            let over = Decision::End(Reason::LoginRequired, Why::WaitedInVain);
            assert_eq!(decide(&failure(kind, None), again, &policy(), 0.5), over);
        }
        for kind in [FailureKind::Throttled, FailureKind::ServerError] {
            let again = Standing { has_waited: true, ..at(2) };
            assert!(matches!(decide(&failure(kind, None), again, &policy(), 0.5), Decision::Wait(..)));
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
            (FailureKind::NotDiscoverable, Reason::NotFound),
            (FailureKind::NotOffered, Reason::UpstreamUnavailable),
            (FailureKind::TokenInvalid, Reason::LoginRequired),
            (FailureKind::PermissionMissing, Reason::LoginRequired),
            (FailureKind::PolicyBlocked, Reason::ChallengeRequired),
            (FailureKind::FieldsRefused, Reason::UpstreamChanged),
            (FailureKind::UserAgentMismatch, Reason::UpstreamChanged),
            (FailureKind::CertificateRefused, Reason::UpstreamUnavailable),
            (FailureKind::ProxyRefused, Reason::UpstreamUnavailable),
        ] {
            assert_eq!(decide(&failure(kind, Some(1)), at(1), &policy(), 0.5), Decision::End(reason, Why::NoUse));
        }
    }

    #[test]
    fn a_run_without_a_turn_waits_for_it_or_ends_and_says_what_to_do() {
        let decide = |why, wait: Option<u64>| {
            let (credential, wait) = (Some("main".into()), wait.map(Duration::from_secs));
            decide_without_turn(&Refusal { credential, source: Source::Web, why, wait }, HOUR, 0.0)
        };
        for (why, reason) in [
            (NoTurn::Busy, Reason::RateLimited),
            (NoTurn::Cooling("throttled".to_owned()), Reason::RateLimited),
            (NoTurn::CircuitOpen, Reason::UpstreamUnavailable),
        ] {
            assert_eq!(decide(why.clone(), Some(40)).0, wait(40.0, reason), "{why:?}");
            let (late, words) = decide(why, Some(3600));
            assert_eq!(late, Decision::End(reason, Why::TooLate(HOUR)));
            assert!(words.contains("in 3600 s"), "{words}");
        }
        for (failure, reason) in [
            ("challenge_required", Reason::ChallengeRequired),
            ("consent_required", Reason::ChallengeRequired),
            ("login_required", Reason::LoginRequired),
            ("token_invalid", Reason::LoginRequired),
            ("permission_missing", Reason::LoginRequired),
            ("policy_blocked", Reason::ChallengeRequired),
            ("user_agent_mismatch", Reason::UpstreamChanged),
            ("operator", Reason::LoginRequired),
        ] {
            let (end, words) = decide(NoTurn::Disabled(failure.to_owned()), None);
            assert_eq!(end, Decision::End(reason, Why::NoUse));
            assert!(words.contains(failure) && words.contains("ig-tracking credentials enable main"), "{words}");
        }
        assert!(decide(NoTurn::NoCredential, None).1.contains("IGT_CREDENTIALS"));
    }

    #[test]
    fn the_last_word_says_what_happened_why_it_is_the_last_and_what_to_do() {
        let word = |kind, why, asked_as| last_word(&failure(kind, None), 2, why, asked_as);
        assert_eq!(
            word(FailureKind::PleaseWait, Why::WaitedInVain, AskedAs::Session("cookie")),
            "web_profile_info answered 429: no; waiting has not helped; sign in again and set IGT_WEB_COOKIE to the fresh \
             cookie"
        );
        assert_eq!(
            word(FailureKind::ServerError, Why::AttemptsSpent, AskedAs::Guest),
            "web_profile_info answered 429: no; it was tried 2 times; scrape again later"
        );
        let late = word(FailureKind::Throttled, Why::TooLate(HOUR), AskedAs::Guest);
        assert!(late.contains("in 3600 s, would come after the run's deadline; scrape again later"), "{late}");
    }
}
