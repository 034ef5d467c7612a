//! With which credential an attempt asks, and whether another one can go on where it cannot.

use std::sync::Arc;

use super::Core;
use super::advice::AskedAs;
use crate::db::runs::Claimed;
use crate::db::tasks;
use crate::instagram::{Class, Failure, FailureKind, Source, Visit};
use crate::pacing::{Choice, Refusal, Tried, Turn};
use crate::scrape::Checkpoint;

/// One run takes out so many credentials at most: what they all met is probably the account's.
const MOST_LOST: u32 = 2;

/// An attempt's use of one credential.
pub(super) struct Asking {
    pub(super) visit: Visit,
    pub(super) turn: Arc<Turn>,
}

impl Asking {
    pub(super) fn credential(&self) -> &Arc<str> {
        self.turn.credential()
    }

    /// As whom it asks.
    pub(super) fn asked_as(&self) -> AskedAs<'_> {
        if self.visit.has_session() { AskedAs::of(self.visit.source(), self.credential()) } else { AskedAs::Guest }
    }
}

/// Why an attempt cannot go on with what it asks with.
#[derive(Clone, Debug)]
pub(super) enum Stuck {
    /// The source turned its credential away, or cannot serve the account.
    Failed(Failure),
    /// It has no turn.
    Refused(Refusal),
}

/// The sources that a run may ask, in this order.
fn sources_of(run: &Claimed) -> &'static [Source] {
    match run.source {
        tasks::Source::Auto => &[Source::Graph, Source::Web],
        tasks::Source::Web => &[Source::Web],
        tasks::Source::Graph => &[Source::Graph],
    }
}

/// Chooses a credential that was not tried in this attempt. The other way round of a failure that is the source's own:
/// what the official one does not offer, the other may.
pub(super) async fn choose(
    core: &Core,
    run: &Claimed,
    checkpoint: &Checkpoint,
    tried: &Tried,
    stuck: Option<&Stuck>,
) -> Result<Asking, Refusal> {
    let not_offered = matches!(stuck, Some(Stuck::Failed(failure)) if is_not_offered(failure));
    let sources = if not_offered { &[Source::Web][..] } else { sources_of(run) };
    let choice = loop {
        match core.pacing.choose(sources, tried).await {
            Ok(choice) => break choice,
            // The run's lease says how long this may go on.
            Err(error) => tracing::debug!(%error, "the credentials could not be read yet; trying again"),
        }
        tokio::time::sleep(core.policy.poll).await;
    };
    match choice {
        Choice::Use(credential, source) => {
            let turn = core.pacing.turn(&credential, source, Some(run.run_id));
            // Only what has a client is chosen.
            let client = core.pacing.sources().client(&credential);
            let visit = client.map(|client| client.visit(turn.clone(), checkpoint.asked_to_wait()));
            let nobody = || Refusal { credential: None, source, why: crate::pacing::Why::NoCredential, wait: None };
            visit.map(|visit| Asking { visit, turn }).ok_or_else(nobody)
        }
        Choice::None(refusal) => Err(refusal),
    }
}

/// Whether another credential can go on at once where this one cannot.
pub(super) fn another_may_go_on(stuck: &Stuck, run: &Claimed, asking: &Asking, checkpoint: &Checkpoint) -> bool {
    match stuck {
        Stuck::Refused(_) => true,
        Stuck::Failed(failure) => match failure.kind {
            FailureKind::Throttled => asking.visit.has_session(),
            kind if kind.is_on_the_way() => true,
            // The one that it takes out now is not counted yet.
            kind if asking.asked_as().is_taken_out_by(kind) => checkpoint.credentials_lost + 1 < MOST_LOST,
            _ => run.source == tasks::Source::Auto && asking.visit.source() == Source::Graph && is_not_offered(failure),
        },
    }
}

/// Whether the official source does not serve this account: a personal one, say.
fn is_not_offered(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::EndpointBroken | FailureKind::FieldsRefused)
        || failure.kind.class() == Class::Terminal
}
