//! Who may use the interface: all keys and sessions in memory, so that no request asks the database for its own.
//!
//! One task a replica asks once a second whether anything has changed, and at once where a hint says so or where a
//! request shows what is not known yet. While the database is away, what is known holds until it expires.

mod limit;
mod text;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq as _;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::db::audit::Author;
use crate::db::keys::{self, Revoked, Scope, Version};
use crate::db::{Pool, browsers};
use crate::live::{self, Live};
use limit::KeyLimit;

pub use limit::{Allowance, Attempts, WINDOW_SECONDS};
pub use text::{FreshKey, KeyText, KeyTextError, PREFIX, Sha256Hash, random_secret, sha256};

/// How often the database is asked whether anything has changed.
const EVERY: Duration = Duration::from_secs(1);

/// How soon it may be asked again where somebody wants to know at once: strangers who show invented keys cost no more.
const NO_SOONER_THAN: Duration = Duration::from_millis(100);

/// How long a request waits for that.
const WAITS: Duration = Duration::from_millis(1500);

/// How often the use of a key is noted.
const NOTES_EVERY: Duration = Duration::from_secs(60);

/// How long a browser stays signed in.
pub const SESSION_SECONDS: u32 = 12 * 3600;

/// So many sessions are known at a time, the latest of all.
const MAX_SESSIONS: i64 = 10_000;

/// How often sessions that have ended are removed.
const SWEEPS_EVERY: Duration = Duration::from_secs(3600);

/// A longer time than this is as good as no end; the clock could not count it.
const FOR_EVER: f64 = 366.0 * 24.0 * 3600.0 * 100.0;

/// The keys and sessions, as this replica knows them.
#[derive(Clone)]
pub struct Keys(Arc<Shared>);

struct Shared {
    pool: Pool,
    known: watch::Sender<Known>,
    /// Somebody wants to know at once.
    asked: Notify,
    /// The limit of a key that has none of its own.
    default_rate: Option<NonZeroU32>,
    /// Since when times of use are counted.
    epoch: Instant,
}

/// What is known, and as of when.
struct Known {
    /// The statement that says so began then.
    as_of: Instant,
    version: Version,
    keys: HashMap<Box<str>, Arc<Key>>,
    sessions: HashMap<Sha256Hash, Session>,
}

/// A key that is not revoked.
pub struct Key {
    /// Its id.
    pub key_id: Box<str>,
    /// What it is for.
    pub name: Box<str>,
    /// What it allows.
    pub scope: Scope,
    secret_sha256: Sha256Hash,
    expires: Option<Instant>,
    limit: Option<Arc<KeyLimit>>,
    used: Arc<Used>,
}

/// What has to outlive a renewal of what is known of a key.
#[derive(Default)]
struct Used {
    /// Cancelled when it is not taken any more.
    refused: CancellationToken,
    /// When it was last used, and when that was last noted: milliseconds since the epoch, 0 for never.
    at: AtomicU64,
    noted: AtomicU64,
}

struct Session {
    key: Arc<Key>,
    expires: Option<Instant>,
    /// Cancelled when it has ended.
    ended: CancellationToken,
}

/// For how long what was shown holds, for whoever goes on after the request was let in.
#[derive(Clone)]
pub struct Hold {
    refused: Vec<CancellationToken>,
    expires: Option<Instant>,
}

impl Hold {
    /// Resolves when it holds no more.
    pub async fn over(self) {
        let refused = self.refused.iter().map(|refused| Box::pin(refused.cancelled()));
        let expired = async {
            match self.expires {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = futures_util::future::select_all(refused) => {}
            () = expired => {}
        }
    }
}

impl Key {
    /// For how long it holds.
    pub fn hold(&self) -> Hold {
        Hold { refused: vec![self.used.refused.clone()], expires: self.expires }
    }
}

/// Why something that was shown opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not known, or its secret is another.
    Unknown,
    /// Its time is over.
    Expired,
}

impl Keys {
    /// Reads all keys and keeps them up to date until the future that comes with them is dropped. Where they cannot be read
    /// there is no service: it would have to let in everybody, or nobody.
    pub async fn begin(
        pool: Pool,
        live: Live,
        default_rate: Option<NonZeroU32>,
    ) -> sqlx::Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let as_of = Instant::now();
        let version = keys::version(&pool).await?;
        let known = Known { as_of, version, keys: HashMap::new(), sessions: HashMap::new() };
        let keys = Self(Arc::new(Shared {
            known: watch::Sender::new(known),
            asked: Notify::new(),
            default_rate,
            epoch: Instant::now(),
            pool,
        }));
        keys.read(as_of, version).await?;
        Ok((keys.clone(), keys.keep(live)))
    }

    /// No keys, of a database that is never asked.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        let line = crate::db::Line::new(sqlx::postgres::PgConnectOptions::new(), crate::db::session::Way::Direct);
        let (as_of, version) = (Instant::now(), Version { version: 0, any_made: false });
        let known = Known { as_of, version, keys: HashMap::new(), sessions: HashMap::new() };
        Self(Arc::new(Shared {
            pool: Pool::new(line, 1),
            known: watch::Sender::new(known),
            asked: Notify::new(),
            default_rate: None,
            epoch: as_of,
        }))
    }

    /// Whether any key was ever made. Then, and for ever, a request has to show one.
    pub fn any_made(&self) -> bool {
        self.0.known.borrow().version.any_made
    }

    /// How many keys there are that are not revoked and have not expired.
    pub fn live(&self) -> usize {
        self.0.known.borrow().keys.values().filter(|key| !is_over(key.expires)).count()
    }

    /// The key that was shown. Hashes are compared in constant time, and also where the id is unknown.
    pub fn find(&self, shown: &KeyText<'_>) -> Result<Arc<Key>, Refused> {
        let known = self.0.known.borrow();
        let key = known.keys.get(shown.key_id);
        let expected = key.map_or(&[0; 32], |key| &key.secret_sha256);
        let is_right = bool::from(expected.ct_eq(&shown.secret_sha256));
        match key.filter(|_| is_right) {
            None => Err(Refused::Unknown),
            Some(key) if is_over(key.expires) => Err(Refused::Expired),
            Some(key) => Ok(Arc::clone(key)),
        }
    }

    /// Whether there is a key of this id, whatever its secret.
    pub fn knows(&self, shown: &KeyText<'_>) -> bool {
        self.0.known.borrow().keys.contains_key(shown.key_id)
    }

    /// The key of the session that was shown, and for how long the session holds.
    pub fn session(&self, token_sha256: &Sha256Hash) -> Result<(Arc<Key>, Hold), Refused> {
        let known = self.0.known.borrow();
        let session = known.sessions.get(token_sha256).ok_or(Refused::Unknown)?;
        if is_over(session.expires) || is_over(session.key.expires) {
            return Err(Refused::Expired);
        }
        let refused = vec![session.ended.clone(), session.key.used.refused.clone()];
        let expires = [session.expires, session.key.expires].into_iter().flatten().min();
        Ok((Arc::clone(&session.key), Hold { refused, expires }))
    }

    /// Waits until what is known is not older than this call. `false` where the database does not say.
    pub async fn renewed(&self) -> bool {
        let since = Instant::now();
        let mut known = self.0.known.subscribe();
        self.0.asked.notify_one();
        tokio::time::timeout(WAITS, known.wait_for(|known| known.as_of >= since)).await.is_ok_and(|known| known.is_ok())
    }

    /// Counts a request with this key, and notes when it was. `None` where the key has no limit.
    pub fn count(&self, key: &Key) -> Option<Allowance> {
        key.used.at.store(self.now(), Ordering::Relaxed);
        key.limit.as_ref().map(|limit| limit.count())
    }

    /// Signs a browser in: what its cookie is to hold. `None` where the key is not there any more.
    pub async fn sign_in(&self, pool: &Pool, key: &Key) -> sqlx::Result<Option<String>> {
        let token = random_secret();
        let begun = browsers::begin(pool, &sha256(&token), &key.key_id, f64::from(SESSION_SECONDS)).await?;
        self.changed().await;
        Ok(begun.then_some(token))
    }

    /// Signs it out.
    pub async fn sign_out(&self, pool: &Pool, token_sha256: &Sha256Hash) -> sqlx::Result<()> {
        browsers::end(pool, token_sha256).await?;
        self.changed().await;
        Ok(())
    }

    /// Revokes the key of this id, on every replica.
    pub async fn revoke(&self, pool: &Pool, key_id: &str, author: &Author) -> sqlx::Result<Option<Revoked>> {
        let revoked = keys::revoke(pool, key_id, false, author).await?;
        self.changed().await;
        Ok(revoked)
    }

    /// Tells the other replicas, and waits until this one knows.
    async fn changed(&self) {
        let pool = self.0.pool.clone();
        // Whoever asked may hang up; the others are to be told all the same.
        tokio::spawn(async move { live::tell_keys_changed(&pool).await });
        self.renewed().await;
    }

    async fn keep(self, live: Live) {
        // Apart: whoever is in the way of a note holds up no revocation.
        tokio::join!(self.watch(live), self.note_uses());
    }

    async fn watch(&self, live: Live) {
        let (mut was_known, mut swept) = (true, Instant::now());
        loop {
            match self.look().await {
                Ok(()) if !std::mem::replace(&mut was_known, true) => tracing::info!("keys are known again"),
                Ok(()) => {}
                // Once an outage, not once a try.
                Err(error) if std::mem::take(&mut was_known) => {
                    tracing::warn!(%error, "keys could not be read; those that are known hold until they expire");
                }
                Err(error) => tracing::debug!(%error, "keys can still not be read"),
            }
            if swept.elapsed() >= SWEEPS_EVERY {
                swept = Instant::now();
                if let Err(error) = browsers::sweep(&self.0.pool).await {
                    tracing::debug!(%error, "sessions that have ended could not be removed");
                }
            }
            tokio::time::sleep(NO_SOONER_THAN).await;
            tokio::select! {
                () = tokio::time::sleep(EVERY - NO_SOONER_THAN) => {}
                () = self.0.asked.notified() => {}
                () = live.keys_changed().notified() => {}
            }
        }
    }

    /// Asks whether anything has changed, and reads it if so.
    async fn look(&self) -> sqlx::Result<()> {
        let as_of = Instant::now();
        let version = keys::version(&self.0.pool).await?;
        if version == self.0.known.borrow().version {
            self.0.known.send_modify(|known| known.as_of = as_of);
            return Ok(());
        }
        self.read(as_of, version).await
    }

    /// Reads everything. The version is older than what is read: if that changed in between, it is read once more.
    async fn read(&self, as_of: Instant, version: Version) -> sqlx::Result<()> {
        let read = keys::not_revoked(&self.0.pool).await?;
        let sessions = browsers::live(&self.0.pool, MAX_SESSIONS).await?;
        self.0.known.send_modify(|known| {
            let keys: HashMap<_, _> = read.into_iter().filter_map(|key| self.key(key, as_of, known)).collect();
            let sessions: HashMap<_, _> =
                sessions.into_iter().filter_map(|session| session_of(session, &keys, as_of, known)).collect();
            let before = std::mem::replace(known, Known { as_of, version, keys, sessions });
            for (key_id, key) in before.keys {
                if known.keys.get(&key_id).is_none_or(|now| !Arc::ptr_eq(&now.used, &key.used) || is_over(now.expires))
                {
                    key.used.refused.cancel();
                }
            }
            for (token, session) in before.sessions {
                if !known.sessions.contains_key(&token) {
                    session.ended.cancel();
                }
            }
        });
        Ok(())
    }

    /// A key as it was read; what of it goes on is what it was before.
    fn key(&self, key: keys::Known, as_of: Instant, before: &Known) -> Option<(Box<str>, Arc<Key>)> {
        let rate = key.rate_limit.and_then(|rate| NonZeroU32::new(u32::try_from(rate).ok()?)).or(self.0.default_rate);
        let secret_sha256 = key.secret_sha256.try_into().ok()?;
        let before = before.keys.get(key.key_id.as_str()).filter(|before| before.secret_sha256 == secret_sha256);
        let limit = before.and_then(|before| before.limit.clone()).filter(|limit| Some(limit.rate()) == rate);
        let key_id: Box<str> = key.key_id.into();
        let known = Key {
            key_id: key_id.clone(),
            name: key.name.into(),
            scope: key.scope,
            secret_sha256,
            expires: end(as_of, key.expires_in_seconds),
            limit: limit.or_else(|| rate.map(|rate| Arc::new(KeyLimit::new(rate)))),
            used: before.map(|before| Arc::clone(&before.used)).unwrap_or_default(),
        };
        Some((key_id, Arc::new(known)))
    }

    async fn note_uses(&self) {
        loop {
            self.note_use().await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Notes the use of keys where that was not done in the last minute: all of them in one statement.
    async fn note_use(&self) {
        let now = self.now();
        let every = NOTES_EVERY.as_millis() as u64;
        let due: Vec<Arc<Key>> = {
            let known = self.0.known.borrow();
            let is_due = |key: &&Arc<Key>| {
                let (at, noted) = (key.used.at.load(Ordering::Relaxed), key.used.noted.load(Ordering::Relaxed));
                at > noted && (noted == 0 || now >= noted + every)
            };
            known.keys.values().filter(is_due).cloned().collect()
        };
        if due.is_empty() {
            return;
        }
        let times: Vec<u64> = due.iter().map(|key| key.used.at.load(Ordering::Relaxed)).collect();
        let ids: Vec<&str> = due.iter().map(|key| &*key.key_id).collect();
        let ages: Vec<f64> = times.iter().map(|at| now.saturating_sub(*at) as f64 / 1000.0).collect();
        match keys::note_use(&self.0.pool, &ids, &ages).await {
            Ok(()) => due.iter().for_each(|key| key.used.noted.store(now, Ordering::Relaxed)),
            Err(error) => tracing::debug!(%error, "the use of keys could not be noted; trying again"),
        }
    }

    /// Milliseconds since the epoch, never 0.
    fn now(&self) -> u64 {
        u64::try_from(self.0.epoch.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

fn session_of(
    session: browsers::Session,
    keys: &HashMap<Box<str>, Arc<Key>>,
    as_of: Instant,
    before: &Known,
) -> Option<(Sha256Hash, Session)> {
    let token = session.token_sha256.try_into().ok()?;
    let key = Arc::clone(keys.get(session.key_id.as_str())?);
    let ended = before.sessions.get(&token).map(|before| before.ended.clone()).unwrap_or_default();
    Some((token, Session { key, expires: end(as_of, Some(session.expires_in_seconds)), ended }))
}

/// The end of what lasts so many seconds from now on; `None` where it has none.
fn end(now: Instant, seconds: Option<f64>) -> Option<Instant> {
    let seconds = seconds?;
    // What is over before the clock began is over.
    Some(now.checked_add(Duration::from_secs_f64(seconds.clamp(0.0, FOR_EVER))).unwrap_or(now))
}

fn is_over(end: Option<Instant>) -> bool {
    end.is_some_and(|end| Instant::now() >= end)
}
