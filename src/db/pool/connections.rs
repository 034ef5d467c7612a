//! Which connections are made, and which of them are still good.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use super::super::health;
use super::super::session::Way;

/// How long a connection may rest before it is asked whether it still lives.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How long it may take to say so.
const PONG_WITHIN: Duration = Duration::from_millis(500);

/// How the database is reached.
#[derive(Clone)]
pub struct Line {
    pub(super) options: PgConnectOptions,
    pub(super) way: Way,
}

impl Line {
    /// To this server, this way.
    pub fn new(options: PgConnectOptions, way: Way) -> Self {
        let options = match way {
            Way::Direct => options,
            // A pooler refuses what it cannot keep for a client; floats have been exact without it since Postgres 12.
            Way::Pooled => options.extra_float_digits(None),
        };
        Self { options, way }
    }

    /// A connection of one's own, outside the pool.
    pub async fn connect(&self) -> sqlx::Result<PgConnection> {
        self.options.connect().await
    }
}

/// Makes connections, and decides which of them are still good.
pub(super) struct Connections {
    pub(super) line: Line,
    pub(super) doubts: Arc<Doubts>,
}

/// What makes connections suspect that look well.
pub(super) struct Doubts(Mutex<Since>);

#[derive(Clone, Copy)]
struct Since {
    /// Those made before this are replaced: they may lead to a server that is no longer the primary.
    replaced: Instant,
    /// Those not used since are asked first: another one broke.
    broken: Instant,
}

impl Manager for Connections {
    type Type = Connection;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<Connection> {
        let mut raw = self.line.connect().await?;
        self.line.way.introduce(&mut raw).await?;
        let takes_writes = self.line.way.alone(&mut raw, async |raw| health::takes_writes(raw).await).await?;
        if takes_writes { Ok(Connection { raw, is_at_rest: true }) } else { Err(health::read_only()) }
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let since = self.doubts.get();
        if metrics.created < since.replaced {
            return Err(RecycleError::message("made before the primary changed"));
        }
        if !connection.is_at_rest && self.line.way == Way::Pooled {
            return Err(RecycleError::message("left in the middle of a transaction"));
        }
        let used = metrics.recycled.unwrap_or(metrics.created);
        if connection.is_at_rest && used >= since.broken && used.elapsed() < TRUSTED_FOR {
            return Ok(());
        }
        match tokio::time::timeout(PONG_WITHIN, connection.raw.ping()).await {
            Ok(pong) => Ok(pong?),
            Err(_) => {
                // Nobody should have to find out one by one that they are all silent.
                self.doubts.replace_all();
                Err(RecycleError::message("silent"))
            }
        }
    }
}

/// A connection in its place.
pub(super) struct Connection {
    pub(super) raw: PgConnection,
    /// Whether its last statement was heard to its end.
    pub(super) is_at_rest: bool,
}

impl Doubts {
    pub(super) fn none() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Since { replaced: now, broken: now }))
    }

    fn get(&self) -> Since {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Since)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn learn_from(&self, error: &sqlx::Error) {
        if health::is_read_only(error) {
            self.replace_all();
        } else if health::is_away(error) {
            self.change(|since| since.broken = Instant::now());
        }
    }

    pub(super) fn replace_all(&self) {
        self.change(|since| since.replaced = Instant::now());
    }
}
