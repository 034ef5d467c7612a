//! Slots: one statement at a time for all who ask, so that the rows that all want do not fight themselves.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{AHEAD, Pacing, SLACK};
use crate::batcher::{Batcher, Limits, Work};
use crate::db::slots::{Slot, Verdict, take_slots};
use crate::db::{Failure, Pool};

/// Requests in one statement at most; one statement under way.
const LIMITS: Limits = Limits { batch: 256, under_way: 1, waiting: 65_536 };

/// A request that comes so much after its slot lets it go and takes another one.
pub(super) const LATEST: Duration = Duration::from_millis(500);

/// How long it holds that a credential without a pace may be used: nothing is counted, so nobody is asked each time.
const HOLDS: Duration = Duration::from_millis(100);

/// A slot that is asked for.
pub(super) struct Wanted {
    credential: Arc<str>,
    /// Uses without a slot of their own, to be counted.
    used: i64,
}

/// Takes slots for many.
pub(super) struct Slots(Pool);

impl Slots {
    pub(super) fn batched(pool: Pool) -> Batcher<Self> {
        Batcher::new(Self(pool), LIMITS)
    }
}

impl Work for Slots {
    type Request = Wanted;
    type Answer = Slot;
    type Error = Failure;
    const NAME: &'static str = "slot";

    async fn answer(&self, wanted: &[Wanted]) -> Result<Vec<Slot>, Failure> {
        let wanted: Vec<_> = wanted.iter().map(|wanted| (&*wanted.credential, wanted.used)).collect();
        Ok(take_slots(&self.0, &wanted, AHEAD.as_secs_f64(), SLACK.as_secs_f64()).await?)
    }
}

/// What was said of credentials that have no pace.
#[derive(Default)]
pub(super) struct Kept(HashMap<Arc<str>, Free>);

struct Free {
    until: Instant,
    used: i64,
}

impl Kept {
    /// Uses a credential that is known to be free.
    fn take(&mut self, credential: &str) -> Option<Slot> {
        let free = self.0.get_mut(credential).filter(|free| Instant::now() < free.until)?;
        free.used += 1;
        Some(Slot { verdict: Verdict::Go(0.0), reason: None, paced: false, doubtful: false })
    }

    /// The uses that were not told of yet.
    fn take_used(&mut self, credential: &str) -> i64 {
        self.0.get_mut(credential).map_or(0, |free| std::mem::take(&mut free.used))
    }

    /// It is free from this moment on; who asked is counted.
    fn keep(&mut self, credential: &Arc<str>, asked: Instant) {
        let used = self.take_used(credential);
        self.0.insert(Arc::clone(credential), Free { until: asked + HOLDS, used });
    }

    /// Believes none of it any more.
    pub(super) fn doubt(&mut self) {
        let now = Instant::now();
        self.0.values_mut().for_each(|free| free.until = now);
    }
}

impl Pacing {
    /// Takes the credential's next slot, or is told why there is none.
    pub(super) async fn slot(&self, credential: &Arc<str>) -> Result<Slot, Failure> {
        let kept = || self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = kept().take(credential) {
            return Ok(slot);
        }
        let (asked, used) = (Instant::now(), kept().take_used(credential));
        let slot = self.0.slots.ask(Wanted { credential: Arc::clone(credential), used }).await?;
        // Where something went wrong of late it may be the one request that is let through to see.
        if matches!(slot.verdict, Verdict::Go(_)) && !slot.paced && !slot.doubtful {
            kept().keep(credential, asked);
        }
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_for_a_moment_is_counted_and_asked_for_again_where_it_is_doubted() {
        let (mut kept, guest) = (Kept::default(), Arc::from("guest"));
        assert_eq!(kept.take(&guest), None);
        kept.keep(&guest, Instant::now() + Duration::from_secs(60));
        assert!(kept.take(&guest).is_some() && kept.take(&guest).is_some());
        kept.doubt();
        assert_eq!(kept.take(&guest), None);
        assert_eq!((kept.take_used(&guest), kept.take_used(&guest)), (2, 0));
    }
}
