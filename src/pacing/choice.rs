//! With which credential an attempt asks: one that is ready, the one that rested longest.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{AHEAD, Pacing, Refusal, Why};
use crate::db::Failure;
use crate::db::credentials::{self, Standing};
use crate::instagram::Source;

/// How long it holds where the credentials stand, for a choice. Whoever chooses wrongly is refused by the gate.
const HOLDS: Duration = Duration::from_millis(250);

/// What an attempt may ask with.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// With this one.
    Use(Arc<str>, Source),
    /// With none for now, or with none until a person has mended something.
    None(Refusal),
}

/// The credentials that an attempt has tried: it asks with none of them again.
#[derive(Clone, Debug, Default)]
pub struct Tried(Vec<(Arc<str>, Ended)>);

/// How it went with a credential that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It had no turn.
    Refused,
    /// The source turned it away, or cannot serve the account.
    Failed,
}

impl Tried {
    /// This one had no turn; when its turn has come, an attempt may ask with it.
    pub fn refused(&mut self, credential: &Arc<str>) {
        self.0.push((Arc::clone(credential), Ended::Refused));
    }

    /// With this one it failed, and would again until something has changed.
    pub fn failed(&mut self, credential: &Arc<str>) {
        self.0.push((Arc::clone(credential), Ended::Failed));
    }

    fn ended(&self, credential: &str) -> Option<Ended> {
        self.0.iter().find(|(name, _)| **name == *credential).map(|(_, ended)| *ended)
    }
}

/// Where the credentials stood a moment ago, and when this replica last chose each.
#[derive(Default)]
pub(super) struct View {
    read: Option<(Instant, Arc<[Standing]>)>,
    chosen: HashMap<Arc<str>, Instant>,
}

impl View {
    /// Believes none of it any more.
    pub(super) fn doubt(&mut self) {
        self.read = None;
    }

    fn fresh(&self) -> Option<(Instant, Arc<[Standing]>)> {
        self.read.as_ref().filter(|(read_at, _)| read_at.elapsed() < HOLDS).cloned()
    }
}

impl Pacing {
    /// Whether there is a choice at all.
    pub(super) fn has_several(&self) -> bool {
        self.0.sources.of(Source::Web).chain(self.0.sources.of(Source::Graph)).nth(1).is_some()
    }

    /// The credential for an attempt on one of these sources, the first of them first; none of those that were tried.
    /// Where there is none, what stands in the way of the one that will be ready first, whether it was tried or not.
    pub async fn choose(&self, sources: &[Source], tried: &Tried) -> Result<Choice, Failure> {
        let began = Instant::now();
        let of = |source: Source| self.0.sources.of(source).map(move |name| (source, Arc::clone(name)));
        let all: Vec<(Source, Arc<str>)> = sources.iter().copied().flat_map(of).collect();
        let choice = match &all[..] {
            // The gate will say whether it may be used.
            [(source, only)] if tried.ended(only).is_none() => Choice::Use(Arc::clone(only), *source),
            [] | [_] => Choice::None(no_credential(sources)),
            several => loop {
                let (read_at, standings) = self.standings().await?;
                let choice = self.among(several, sources, tried, read_at, &standings);
                // By what was read before it might wait for long for one that was put back meanwhile, or pass it over for
                // another source.
                let is_of_the_first = matches!(&choice, Choice::Use(_, source) if *source == several[0].0);
                if is_of_the_first || read_at >= began {
                    break choice;
                }
                self.view().doubt();
            },
        };
        if let Choice::Use(name, _) = &choice {
            self.view().chosen.insert(Arc::clone(name), Instant::now());
        }
        Ok(choice)
    }

    /// The choice among several, by where they stood when that was read.
    fn among(
        &self,
        several: &[(Source, Arc<str>)],
        sources: &[Source],
        tried: &Tried,
        read_at: Instant,
        standings: &[Standing],
    ) -> Choice {
        let rested = |name: &Arc<str>, standing: &Standing| {
            let by_row = standing.rested_for.map_or(f64::MAX, |rested| rested + read_at.elapsed().as_secs_f64());
            let here = self.view().chosen.get(name).copied();
            here.map_or(by_row, |here| by_row.min(here.elapsed().as_secs_f64()))
        };
        let known: Vec<_> = several
            .iter()
            .filter_map(|(source, name)| {
                let standing = standings.iter().find(|standing| *standing.name == **name)?;
                let (rested, ended) = (rested(name, standing), tried.ended(name));
                Some(Candidate { source: *source, rested, ended, name, standing })
            })
            .collect();
        best(sources, &known).unwrap_or_else(|| Choice::None(no_credential(sources)))
    }

    /// What this replica keeps of them.
    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.0.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn standings(&self) -> Result<(Instant, Arc<[Standing]>), Failure> {
        let kept = self.view().fresh();
        if let Some(fresh) = kept {
            return Ok(fresh);
        }
        let names: Vec<&str> = self.0.kinds.keys().map(|name| &**name).collect();
        let read = (Instant::now(), Arc::from(credentials::standing(&self.0.pool, &names).await?));
        self.view().read = Some(read.clone());
        Ok(read)
    }
}

struct Candidate<'a> {
    source: Source,
    name: &'a Arc<str>,
    standing: &'a Standing,
    /// Seconds since it was last used or chosen.
    rested: f64,
    /// How it went in this attempt, where it was tried.
    ended: Option<Ended>,
}

impl Candidate<'_> {
    /// Why it cannot be used at once, with the seconds until it can.
    fn hindrance(&self) -> Option<(Why, Option<f64>)> {
        let Standing { disabled, reason, cools_for, free_in, open_for, .. } = self.standing;
        let reason = || reason.clone().unwrap_or_default();
        match () {
            () if disabled.is_some() => Some((Why::Disabled(reason()), None)),
            () if *cools_for > 0.0 => Some((Why::Cooling(reason()), Some(*cools_for))),
            () if *open_for > AHEAD.as_secs_f64() => Some((Why::CircuitOpen, Some(*open_for))),
            () if *free_in > AHEAD.as_secs_f64() => Some((Why::Busy, Some(*free_in))),
            // It has come meanwhile.
            () if self.ended == Some(Ended::Refused) => Some((Why::Busy, Some(0.0))),
            () => None,
        }
    }
}

/// The one that rested longest of the first source that has one ready; where none is ready, what stands in the way of
/// the one that will be ready first.
fn best(sources: &[Source], candidates: &[Candidate<'_>]) -> Option<Choice> {
    for source in sources {
        let ready =
            candidates.iter().filter(|one| one.source == *source && one.ended.is_none() && one.hindrance().is_none());
        if let Some(best) = ready.max_by(|one, other| one.rested.total_cmp(&other.rested)) {
            return Some(Choice::Use(Arc::clone(best.name), best.source));
        }
    }
    let refused = candidates.iter().filter_map(|one| {
        let (why, wait) = one.hindrance()?;
        let wait = wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Some(Refusal { credential: Some(Arc::clone(one.name)), source: one.source, why, wait })
    });
    refused.min_by_key(|refusal| refusal.wait.unwrap_or(Duration::MAX)).map(Choice::None)
}

fn no_credential(sources: &[Source]) -> Refusal {
    let source = sources.first().copied().unwrap_or(Source::Web);
    Refusal { credential: None, source, why: Why::NoCredential, wait: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(cools_for: f64, free_in: f64, disabled: bool) -> Standing {
        Standing {
            name: String::new(),
            disabled: disabled.then(|| "challenge_required".to_owned()),
            reason: Some("throttled".to_owned()),
            cools_for,
            free_in,
            open_for: 0.0,
            rested_for: None,
        }
    }

    fn chosen(sources: &[Source], of: &[(&str, Source, f64, &Standing)]) -> (Option<String>, Option<Duration>) {
        chosen_after(&Tried::default(), sources, of)
    }

    fn chosen_after(
        tried: &Tried,
        sources: &[Source],
        of: &[(&str, Source, f64, &Standing)],
    ) -> (Option<String>, Option<Duration>) {
        let names: Vec<Arc<str>> = of.iter().map(|(name, ..)| Arc::from(*name)).collect();
        let candidates: Vec<_> = of
            .iter()
            .zip(&names)
            .map(|((_, source, rested, standing), name)| Candidate {
                source: *source,
                name,
                standing,
                rested: *rested,
                ended: tried.ended(name),
            })
            .collect();
        match best(sources, &candidates).unwrap() {
            Choice::Use(name, _) => (Some(name.to_string()), None),
            Choice::None(refusal) => (None, refusal.wait),
        }
    }

    #[test]
    fn the_one_that_rested_longest_is_chosen_among_those_that_are_ready() {
        let (ready, cooling, full) = (standing(0.0, 5.0, false), standing(9.0, 0.0, false), standing(0.0, 40.0, false));
        let out = standing(0.0, 0.0, true);
        let of = [
            ("a", Source::Web, 1.0, &ready),
            ("b", Source::Web, 7.0, &ready),
            ("c", Source::Web, 90.0, &cooling),
            ("d", Source::Web, 90.0, &full),
            ("e", Source::Web, 90.0, &out),
        ];
        assert_eq!(chosen(&[Source::Web], &of).0.unwrap(), "b");
        assert_eq!(chosen(&[Source::Web], &of[2..]), (None, Some(Duration::from_secs(9))));
        assert_eq!(chosen(&[Source::Web], &of[4..]), (None, None), "a person has to mend something");
    }

    #[test]
    fn what_was_tried_is_not_chosen_again_and_is_waited_for_where_it_will_be_ready() {
        let (ready, cooling, out) = (standing(0.0, 0.0, false), standing(9.0, 0.0, false), standing(0.0, 0.0, true));
        let of = |one, other| [("one", Source::Web, 90.0, one), ("other", Source::Web, 1.0, other)];
        let tried = |note: fn(&mut Tried, &Arc<str>), names: &[&str]| {
            let mut tried = Tried::default();
            names.iter().for_each(|name| note(&mut tried, &Arc::from(*name)));
            tried
        };
        let [refused, failed] = [Tried::refused, Tried::failed].map(|note| tried(note, &["one"]));
        assert_eq!(chosen_after(&refused, &[Source::Web], &of(&ready, &ready)).0.unwrap(), "other");
        // Nobody but a person puts the other one back, and the one only cools.
        for tried in [&refused, &failed] {
            let nine = Some(Duration::from_secs(9));
            assert_eq!(chosen_after(tried, &[Source::Web], &of(&cooling, &out)), (None, nine));
        }
        // Its turn has come while another one was tried; what failed for another reason than its turn would fail again.
        assert_eq!(chosen_after(&refused, &[Source::Web], &of(&ready, &out)), (None, Some(Duration::ZERO)));
        assert_eq!(chosen_after(&failed, &[Source::Web], &of(&ready, &out)), (None, None));
    }

    #[test]
    fn the_official_source_comes_first_where_it_is_ready() {
        let (ready, cooling) = (standing(0.0, 0.0, false), standing(9.0, 0.0, false));
        let both = [Source::Graph, Source::Web];
        let of = |graph| [("web", Source::Web, 90.0, &ready), ("graph", Source::Graph, 1.0, graph)];
        assert_eq!(chosen(&both, &of(&ready)).0.unwrap(), "graph");
        assert_eq!(chosen(&both, &of(&cooling)).0.unwrap(), "web");
    }
}
