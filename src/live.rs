//! What moves, told to whoever waits: one LISTEN connection a replica, a hundred NOTIFYs a second at most.
//!
//! A hint is only a hint. Whoever waits looks into the database when it is woken, and after a while also when it is
//! not: with no LISTEN at all (behind a transaction pooler, say) everything still works, only later.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::batcher::{Batcher, Limits, Work};
use crate::db::{Failure, Pool, RunId, notify};

/// How many hints a slow receiver may lag behind before it is told to look for itself.
const BACKLOG: usize = 1024;

/// How long to wait before LISTEN is tried again.
const RECONNECT_AFTER: Duration = Duration::from_secs(2);

/// How often a replica says something only to hear it.
const ECHO_EVERY: Duration = Duration::from_secs(5);

/// A LISTEN that has heard nothing for so long is deaf: its connection hangs, or leads to yesterday's primary, or
/// to a pooler that we were not told of.
const DEAF_AFTER: Duration = Duration::from_secs(12);

/// How many run ids go into one payload: 36 bytes each, with room to spare below Postgres's limit.
const IDS_PER_PAYLOAD: usize = 150;

/// The pause after a NOTIFY, in which hints gather for the next: a NOTIFY locks out every other one of the cluster until
/// it is committed, and nobody who waits for a hint notices so little.
const PAUSE: Duration = Duration::from_millis(10);

/// Hints in one NOTIFY, one NOTIFY at a time.
const HINTS: Limits = Limits { batch: 4096, under_way: 1, waiting: 16_384 };

/// What one hint says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Hint {
    /// A run may be claimed.
    #[serde(skip_serializing_if = "is_false")]
    claimable: bool,
    /// These runs have new events or a new state.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    moved: BTreeSet<RunId>,
    /// These runs were asked to stop.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    cancelled: BTreeSet<RunId>,
    /// A key or a session of the interface was made or revoked.
    #[serde(skip_serializing_if = "is_false")]
    keys: bool,
    /// Nothing happened; only to be heard.
    #[serde(skip_serializing_if = "is_false")]
    echo: bool,
    /// Which replica says so; it has told its own waiters already.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Uuid>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Sends hints and wakes those who wait for them.
#[derive(Clone)]
pub struct Live {
    hints: Batcher<Hints>,
    claimable: Arc<Notify>,
    moved: broadcast::Sender<RunId>,
    cancelled: broadcast::Sender<RunId>,
    stirred: watch::Sender<()>,
    /// Whom our own hints are from.
    own: Uuid,
    keys_changed: Arc<Notify>,
}

/// Tells every replica that a key or a session of the interface has changed; for commands that end right after it, too.
pub async fn tell_keys_changed(pool: &Pool) {
    if let Err(error) = notify::send(pool, &payloads(Hint { keys: true, ..Hint::default() })).await {
        tracing::debug!(%error, "a hint was not sent; replicas find the change by asking");
    }
}

impl Live {
    /// Begins to listen, until the token is cancelled.
    pub fn start(pool: Pool, stop: CancellationToken) -> Self {
        let own = Uuid::new_v4();
        let live = Self {
            hints: Batcher::new(Hints { pool: pool.clone(), own }, HINTS),
            claimable: Arc::new(Notify::new()),
            moved: broadcast::channel(BACKLOG).0,
            cancelled: broadcast::channel(BACKLOG).0,
            stirred: watch::Sender::new(()),
            own,
            keys_changed: Arc::new(Notify::new()),
        };
        if pool.can_listen() {
            tokio::spawn(stop.clone().run_until_cancelled_owned(live.clone().listen(pool)));
            tokio::spawn(stop.run_until_cancelled_owned(live.clone().echo()));
        } else {
            tracing::info!("behind a transaction pooler: hints are sent and not heard; waiters poll");
        }
        live
    }

    /// Tells every replica that a run may be claimed.
    pub fn announce_claimable(&self) {
        self.announce(Hint { claimable: true, ..Hint::default() });
    }

    /// Tells every replica that these runs have something new.
    pub fn announce_moved(&self, runs: impl IntoIterator<Item = RunId>) {
        let moved: BTreeSet<_> = runs.into_iter().collect();
        if !moved.is_empty() {
            self.announce(Hint { moved, ..Hint::default() });
        }
    }

    /// Tells every replica that this run was asked to stop.
    pub fn announce_cancelled(&self, run: RunId) {
        self.announce(Hint { claimable: true, cancelled: BTreeSet::from([run]), ..Hint::default() });
    }

    /// Wakes one waiter when a run may be claimed.
    pub fn claimable(&self) -> &Notify {
        &self.claimable
    }

    /// The runs that have something new. Subscribe before you look, then nothing falls in between.
    pub fn moved(&self) -> broadcast::Receiver<RunId> {
        self.moved.subscribe()
    }

    /// Changes whenever a run of any replica may have another state.
    pub fn stirred(&self) -> watch::Receiver<()> {
        self.stirred.subscribe()
    }

    /// The runs that were asked to stop.
    pub fn cancelled(&self) -> broadcast::Receiver<RunId> {
        self.cancelled.subscribe()
    }

    /// Wakes who keeps the keys when one may have changed.
    pub fn keys_changed(&self) -> &Notify {
        &self.keys_changed
    }

    /// A hint that is not sent (the database is away, and many wait already) is nothing lost: the others poll.
    ///
    /// Who watches a run here is told at once, and does not wait for the way round by the database.
    fn announce(&self, hint: Hint) {
        self.tell_watchers(&hint);
        self.hints.leave(hint);
    }

    fn tell_watchers(&self, hint: &Hint) {
        // A send fails where nobody listens: then nobody waits.
        for run in &hint.moved {
            let _ = self.moved.send(*run);
        }
        if hint.claimable || !hint.moved.is_empty() {
            self.stirred.send_replace(());
        }
    }

    fn deliver(&self, hint: &Hint) {
        if hint.from != Some(self.own) {
            self.tell_watchers(hint);
        }
        if hint.claimable {
            self.claimable.notify_one();
        }
        for run in &hint.cancelled {
            let _ = self.cancelled.send(*run);
        }
        if hint.keys {
            self.keys_changed.notify_one();
        }
    }

    async fn listen(self, pool: Pool) {
        let mut was_heard = true;
        while !pool.is_closed() {
            let Err(error) = self.listen_once(&pool, &mut was_heard).await;
            metrics::gauge!("igt_listening").set(0.0);
            // Once an outage, not once a try.
            match std::mem::take(&mut was_heard) {
                true => tracing::warn!(%error, "LISTEN was lost, refused or deaf; waiters poll until it is back"),
                false => tracing::debug!(%error, "still no LISTEN; waiters poll"),
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }

    /// Listens until that ends, and notes when something is heard.
    async fn listen_once(&self, pool: &Pool, was_heard: &mut bool) -> sqlx::Result<Infallible> {
        let mut listener = pool.listen(notify::CHANNEL).await?;
        // Whatever was said while nobody listened: look once.
        self.claimable.notify_one();
        loop {
            let heard = tokio::time::timeout(DEAF_AFTER, listener.try_recv()).await;
            let heard = heard.map_err(|_| std::io::Error::new(ErrorKind::TimedOut, "nothing is heard on it"))??;
            // Its connection was lost.
            let Some(notification) = heard else { return Err(std::io::Error::from(ErrorKind::ConnectionReset).into()) };
            *was_heard = true;
            metrics::gauge!("igt_listening").set(1.0);
            match serde_json::from_str(notification.payload()) {
                Ok(hint) => self.deliver(&hint),
                Err(error) => tracing::warn!(%error, "a hint that this version cannot read was passed over"),
            }
        }
    }

    async fn echo(self) {
        loop {
            self.announce(Hint { echo: true, ..Hint::default() });
            tokio::time::sleep(ECHO_EVERY).await;
        }
    }
}

/// Sends one NOTIFY after another; what arrives while one is under way, or shortly after, goes with the next.
struct Hints {
    pool: Pool,
    own: Uuid,
}

impl Work for Hints {
    type Request = Hint;
    type Answer = ();
    type Error = Failure;
    const NAME: &'static str = "notify";
    const PAUSE: Duration = PAUSE;

    async fn answer(&self, hints: &[Hint]) -> Result<Vec<()>, Failure> {
        let mut all = Hint { from: Some(self.own), ..Hint::default() };
        for hint in hints {
            all.claimable |= hint.claimable;
            all.moved.extend(&hint.moved);
            all.cancelled.extend(&hint.cancelled);
            all.keys |= hint.keys;
            all.echo |= hint.echo;
        }
        if let Err(error) = notify::send(&self.pool, &payloads(all)).await {
            tracing::debug!(%error, "a hint was not sent; whoever waits for it polls");
        }
        Ok(vec![(); hints.len()])
    }
}

fn payloads(hint: Hint) -> Vec<String> {
    let (moved, from): (Vec<_>, _) = (hint.moved.iter().copied().collect(), hint.from);
    let mut hints = vec![Hint { moved: BTreeSet::new(), ..hint }];
    for ids in moved.chunks(IDS_PER_PAYLOAD) {
        match hints.as_mut_slice() {
            [only] if only.moved.is_empty() && only.cancelled.is_empty() => only.moved.extend(ids),
            _ => hints.push(Hint { moved: ids.iter().copied().collect(), from, ..Hint::default() }),
        }
    }
    // Serialising booleans and ids into a string cannot fail.
    hints.iter().filter_map(|hint| serde_json::to_string(hint).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_sent_once_in_payloads_that_postgres_takes() {
        let moved: BTreeSet<_> = (0..1000).map(|_| RunId(uuid::Uuid::now_v7())).collect();
        let cancelled = BTreeSet::from([RunId(uuid::Uuid::now_v7())]);
        let from = Some(Uuid::new_v4());
        let hint =
            Hint { claimable: true, moved: moved.clone(), cancelled: cancelled.clone(), keys: true, echo: true, from };
        let payloads = payloads(hint);
        assert!(payloads.iter().all(|payload| payload.len() < notify::MAX_PAYLOAD));
        let mut got = Hint::default();
        for payload in &payloads {
            let hint: Hint = serde_json::from_str(payload).unwrap();
            got.claimable |= hint.claimable;
            got.moved.extend(hint.moved);
            got.cancelled.extend(hint.cancelled);
            got.keys |= hint.keys;
            got.echo |= hint.echo;
            assert_eq!(hint.from, from);
        }
        assert_eq!(got, Hint { claimable: true, moved, cancelled, keys: true, echo: true, from: None });
    }

    #[test]
    fn what_a_later_version_says_beside_it_is_passed_over() {
        let hint: Hint = serde_json::from_str(r#"{"claimable": true, "weather": ["rain"]}"#).unwrap();
        assert_eq!(hint, Hint { claimable: true, ..Hint::default() });
    }

    #[test]
    fn a_small_hint_is_one_payload() {
        let hint = Hint { moved: BTreeSet::from([RunId(uuid::Uuid::now_v7())]), ..Hint::default() };
        assert_eq!(payloads(hint).len(), 1);
    }
}
