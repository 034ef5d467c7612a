//! Words: how requests ended, and what follows from it for everybody.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::Pacing;
use super::effect::{effect, health, shows_that_it_is_good};
use crate::batcher::{Batcher, Limits, Work};
use crate::db::slots::{Breaker, Change, Effect, Health, Word, hear};
use crate::db::{Failure, Pool, RunId};
use crate::instagram::Heard;

/// Words in one statement at most; one statement under way.
const LIMITS: Limits = Limits { batch: 256, under_way: 1, waiting: 65_536 };

/// How long a word is tried to be told while the database is away.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest that a credential cools, whatever the source says.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Hears many.
pub(super) struct Words {
    pool: Pool,
    breaker: Breaker,
}

impl Words {
    pub(super) fn batched(pool: Pool, breaker: Breaker) -> Batcher<Self> {
        Batcher::new(Self { pool, breaker }, LIMITS)
    }
}

impl Work for Words {
    type Request = Word;
    type Answer = Change;
    type Error = Failure;
    const NAME: &'static str = "word";

    async fn answer(&self, words: &[Word]) -> Result<Vec<Change>, Failure> {
        Ok(hear(&self.pool, words, self.breaker).await?)
    }
}

impl Pacing {
    /// What there is to tell of a request's end; `None` where nobody has to know. An answer that is as it should be is
    /// news only where something went wrong of late.
    pub(super) fn word(&self, credential: &str, run: Option<RunId>, heard: &Heard, doubtful: bool) -> Option<Word> {
        let kind = self.kind(credential);
        let effect = heard.failure.map_or(Effect::None, |failure| effect(failure, kind));
        let source = health(heard.failure);
        if effect == Effect::None && source != Health::Fails && heard.usage.is_none() && !doubtful {
            return None;
        }
        let cools = heard.retry_after.unwrap_or(self.0.terms.cooldown).min(LONGEST_COOLDOWN);
        Some(Word {
            name: credential.to_owned(),
            run,
            answered: shows_that_it_is_good(heard.failure),
            source,
            effect,
            cool_seconds: cools.as_secs_f64(),
            failure: heard.failure.map(|failure| failure.as_str()),
            usage: heard.usage.map(|usage| usage.percent),
            regained: heard.usage.and_then(|usage| usage.regained_in).map(|time| time.as_secs_f64()),
        })
    }

    /// Tells everybody. It is done to its end whoever stops waiting for it.
    pub(super) async fn tell(&self, word: Word) {
        let pacing = self.clone();
        let told = tokio::spawn(async move { pacing.tell_until_told(word).await });
        // It panics in no case; and if it did, the next request would meet the same failure.
        let _ = told.await;
    }

    async fn tell_until_told(&self, word: Word) {
        let until = Instant::now() + TOLD_WITHIN;
        loop {
            match self.0.words.ask(word.clone()).await {
                Ok(change) => {
                    self.doubt();
                    return count(&word, &change);
                }
                Err(error) if Instant::now() < until && !error.is_of_the_statement() => {
                    tracing::debug!(%error, "a credential's state could not be written yet; trying again");
                }
                Err(error) => {
                    tracing::error!(credential = word.name, %error, "a credential's state could not be written");
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Believes nothing any more that was read before.
    fn doubt(&self) {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).doubt();
        self.view().doubt();
    }
}

fn count(word: &Word, change: &Change) {
    let (credential, source) = (word.name.as_str(), change.source.clone());
    let failure = word.failure.unwrap_or("usage");
    if change.cooled {
        metrics::counter!("igt_cooldowns_total", "source" => source.clone(), "reason" => failure).increment(1);
        tracing::warn!(credential, failure, seconds = word.regained.unwrap_or(word.cool_seconds), "credential cools");
    }
    if change.disabled {
        metrics::counter!("igt_credentials_disabled_total", "source" => source.clone(), "reason" => failure)
            .increment(1);
        tracing::error!(credential, failure, "credential taken out; an operator has to put it back");
    }
    match change.circuit.as_deref() {
        Some("opened") => {
            metrics::counter!("igt_circuit_opened_total", "source" => source.clone()).increment(1);
            tracing::error!(
                source,
                failure,
                "circuit opened: the source fails again and again, and nobody asks it for a while"
            );
        }
        Some(_) => tracing::info!(source, "circuit closed: the source answers again"),
        None => {}
    }
}
