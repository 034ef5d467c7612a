//! What a failure means for the credential that met it, and what it says of its source.
//!
//! The line runs between what the credential did and what the account is: an account that is gone, private, for adults
//! or not for this country says nothing of who asked, and neither does an answer that cannot be read. A guest is nobody
//! who could be taken out: what turns a guest away cools it at most.

use crate::credentials::Kind;
use crate::db::slots::{Effect, Health};
use crate::instagram::FailureKind;

/// What it means for the credential.
pub(super) fn effect(failure: FailureKind, kind: Kind) -> Effect {
    match failure {
        FailureKind::Throttled => Effect::Cool,
        FailureKind::PleaseWait | FailureKind::HtmlInsteadOfJson => Effect::Strike,
        FailureKind::ChallengeRequired if kind == Kind::Guest => Effect::Cool,
        // A page that is not for guests, or a country's law: the next account's may be.
        FailureKind::LoginRequired | FailureKind::ConsentRequired | FailureKind::UserAgentMismatch
            if kind == Kind::Guest =>
        {
            Effect::None
        }
        FailureKind::ChallengeRequired
        | FailureKind::LoginRequired
        | FailureKind::ConsentRequired
        | FailureKind::UserAgentMismatch
        | FailureKind::TokenInvalid
        | FailureKind::PermissionMissing
        | FailureKind::PolicyBlocked => Effect::Disable,
        FailureKind::NotAsked
        | FailureKind::Forbidden
        | FailureKind::NotFound
        | FailureKind::Private
        | FailureKind::AgeRestricted
        | FailureKind::GeoBlocked
        | FailureKind::NotDiscoverable
        | FailureKind::NotOffered
        | FailureKind::FieldsRefused
        | FailureKind::CursorRefused
        | FailureKind::EndpointBroken
        | FailureKind::UnexpectedShape
        | FailureKind::ServerError
        | FailureKind::TruncatedBody
        | FailureKind::TimedOut
        | FailureKind::ConnectionFailed
        | FailureKind::CertificateRefused
        | FailureKind::ProxyRefused => Effect::None,
    }
}

/// What a request's end says of the source. Of those that speak for an outage many in a row, over all credentials and
/// accounts, and nobody asks for a while.
pub(super) fn health(failure: Option<FailureKind>) -> Health {
    match failure {
        Some(
            FailureKind::ServerError
            | FailureKind::TruncatedBody
            | FailureKind::TimedOut
            | FailureKind::ConnectionFailed
            | FailureKind::HtmlInsteadOfJson,
        ) => Health::Fails,
        // It was not reached.
        Some(FailureKind::NotAsked | FailureKind::CertificateRefused | FailureKind::ProxyRefused) => Health::Unknown,
        _ => Health::Answers,
    }
}

/// Whether an answer that ended so shows that the credential is good.
pub(super) fn shows_that_it_is_good(failure: Option<FailureKind>) -> bool {
    failure.is_none_or(|failure| {
        matches!(
            failure,
            FailureKind::NotFound | FailureKind::NotDiscoverable | FailureKind::Private | FailureKind::AgeRestricted
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureKind::*;

    #[test]
    fn every_failure_has_its_effect_on_each_kind_of_credential() {
        for (failures, guest, session, token) in [
            (&[Throttled][..], Effect::Cool, Effect::Cool, Effect::Cool),
            (&[PleaseWait, HtmlInsteadOfJson], Effect::Strike, Effect::Strike, Effect::Strike),
            (&[ChallengeRequired], Effect::Cool, Effect::Disable, Effect::Disable),
            (&[LoginRequired, ConsentRequired, UserAgentMismatch], Effect::None, Effect::Disable, Effect::Disable),
            (
                &[NotAsked, Forbidden, NotFound, Private, AgeRestricted, GeoBlocked, EndpointBroken, UnexpectedShape],
                Effect::None,
                Effect::None,
                Effect::None,
            ),
            (&[ServerError, TruncatedBody, TimedOut, ConnectionFailed], Effect::None, Effect::None, Effect::None),
            (&[CertificateRefused, ProxyRefused], Effect::None, Effect::None, Effect::None),
            (&[NotDiscoverable, NotOffered, FieldsRefused, CursorRefused], Effect::None, Effect::None, Effect::None),
            (&[TokenInvalid, PermissionMissing, PolicyBlocked], Effect::Disable, Effect::Disable, Effect::Disable),
        ] {
            for failure in failures {
                assert_eq!(effect(*failure, Kind::Guest), guest, "{failure:?}");
                assert_eq!(effect(*failure, Kind::Session), session, "{failure:?}");
                assert_eq!(effect(*failure, Kind::Token), token, "{failure:?}");
                let ends = FailureKind::END_OF_A_CREDENTIAL.contains(failure);
                assert_eq!(session == Effect::Disable, ends, "{failure:?}");
            }
        }
    }

    #[test]
    fn what_is_no_outage_is_an_answer_unless_the_source_was_not_reached() {
        for failure in [ServerError, TruncatedBody, TimedOut, ConnectionFailed, HtmlInsteadOfJson] {
            assert_eq!(health(Some(failure)), Health::Fails, "{failure:?}");
        }
        for failure in [Throttled, NotFound, ChallengeRequired, Private, UnexpectedShape, Forbidden, PleaseWait] {
            assert_eq!(health(Some(failure)), Health::Answers, "{failure:?}");
        }
        assert_eq!(health(None), Health::Answers);
        for failure in [CertificateRefused, ProxyRefused] {
            // One credential's proxy must neither close the source to all nor open it.
            assert_eq!(health(Some(failure)), Health::Unknown, "{failure:?}");
            assert!(failure.is_on_the_way(), "{failure:?}");
        }
    }

    #[test]
    fn a_wall_shows_no_good_credential() {
        assert!(shows_that_it_is_good(None) && shows_that_it_is_good(Some(NotFound)));
        for failure in [
            PleaseWait,
            HtmlInsteadOfJson,
            Throttled,
            Forbidden,
            ServerError,
            UnexpectedShape,
            CertificateRefused,
            ProxyRefused,
        ] {
            assert!(!shows_that_it_is_good(Some(failure)), "{failure:?}");
        }
    }
}
