//! The connections to the database: a statement is answered in time, or its connection is thrown away.
//!
//! The places are deadpool's, the connections sqlx's. sqlx's own pool pings whatever it is given back, with no limit of
//! time: a connection whose other end has gone without a word would keep its place for as long as TCP believes in it.

mod connections;
mod transaction;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{self, Object, PoolError, QueueMode, TimeoutType, Timeouts};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use sqlx::postgres::{PgListener, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Either, Execute, Executor, Postgres, SqlStr};

use super::session::Way;
use super::{Failure, health};
use connections::{Connections, Doubts};

pub use connections::Line;
pub use transaction::Transaction;

/// How long a statement may take, where its asker has named no other time; and all statements of a request together,
/// what they wait for included. Whatever the database does, a request is answered within 2 s.
const ANSWERS_WITHIN: Duration = Duration::from_millis(1800);

/// How long work that nobody waits for may wait for a place.
const PLACE_WITHIN: Duration = Duration::from_secs(10);

/// How long it may take in all until such work has a connection, made or asked for whether it lives.
const GOT_WITHIN: Duration = Duration::from_secs(20);

/// How long taking leave of the server may take.
const LEAVES_WITHIN: Duration = Duration::from_millis(500);

/// How long the connection that listens may take to be made.
const LISTENS_WITHIN: Duration = Duration::from_secs(5);

/// A bounded number of connections, shared by all clones. Statements run on it as on a connection; see [`Executor`].
#[derive(Clone)]
pub struct Pool {
    places: managed::Pool<Connections>,
    answers_within: Duration,
    /// When all is over, where somebody waits for the answer.
    until: Option<Instant>,
}

impl Pool {
    /// So many places, on which connections are made when they are asked for.
    pub fn new(line: Line, places: u32) -> Self {
        Self::with(Connections { line, doubts: Arc::new(Doubts::none()) }, places)
    }

    /// So many places beside these, for what must not wait for them. What one of the two learns, both know.
    pub fn beside(&self, places: u32) -> Self {
        let Connections { line, doubts } = self.places.manager();
        Self::with(Connections { line: line.clone(), doubts: Arc::clone(doubts) }, places)
    }

    fn with(connections: Connections, places: u32) -> Self {
        // The one used last comes first: its server process still has everything at hand, and the others sleep.
        let places = managed::Pool::builder(connections).max_size(places as usize).queue_mode(QueueMode::Lifo);
        let places = places.runtime(deadpool::Runtime::Tokio1).build();
        // The builder refuses nothing but time limits without a runtime.
        let places = places.unwrap_or_else(|error| unreachable!("{error}"));
        Self { places, answers_within: ANSWERS_WITHIN, until: None }
    }

    /// The same connections for one whose statements may take so long.
    #[must_use]
    pub fn patient(&self, answers_within: Duration) -> Self {
        Self { answers_within, ..self.clone() }
    }

    /// The same connections for a request that begins now: all that it asks, and waits for a place, is over in time.
    #[must_use]
    pub fn for_request(&self) -> Self {
        Self { until: Some(Instant::now() + ANSWERS_WITHIN), ..self.clone() }
    }

    /// How many connections are open, and how many of them rest.
    pub fn connections(&self) -> (usize, usize) {
        let status = self.places.status();
        (status.size, status.available)
    }

    /// Begins a transaction. Not for the future of a request, which may be dropped: what was begun is then undone.
    pub async fn begin(&self) -> sqlx::Result<Transaction> {
        Transaction::begin(self.connection().await?, self.line().way).await
    }

    /// Begins a transaction that reads, and all of whose statements see the same.
    pub async fn begin_snapshot(&self) -> sqlx::Result<Transaction> {
        Transaction::begin_snapshot(self.connection().await?, self.line().way).await
    }

    /// Does work that is worth nothing if it takes longer than a statement may: a whole transaction, say.
    pub async fn in_time<T>(&self, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        let done = tokio::time::timeout(self.left_of(self.answers_within), work).await;
        let done = done.unwrap_or_else(|_| Err(silence()));
        done.inspect_err(|error| self.places.manager().doubts.learn_from(error))
    }

    /// Whether a connection of ours can hear what NOTIFY says.
    pub fn can_listen(&self) -> bool {
        self.line().way == Way::Direct
    }

    /// A connection of its own that hears what NOTIFY says on a channel.
    pub async fn listen(&self, channel: &str) -> sqlx::Result<PgListener> {
        let options = self.line().options.clone();
        let own = PgPoolOptions::new().max_connections(1).acquire_timeout(LISTENS_WITHIN).connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(channel).await?;
        Ok(listener)
    }

    /// Replaces every connection by a new one, each when it is next asked for: the server is no longer the primary.
    pub fn replace_all(&self) {
        self.places.manager().doubts.replace_all();
    }

    /// Whether nobody can get a connection any more.
    pub fn is_closed(&self) -> bool {
        self.places.is_closed()
    }

    /// Takes leave of the server on every connection that rests, and lets nobody have one any more.
    pub async fn close(&self) {
        let resting = self.places.retain(|_, _| false).removed;
        self.places.close();
        for connection in resting {
            // One that hangs is dropped, which is a leave as well.
            let _ = tokio::time::timeout(LEAVES_WITHIN, connection.raw.close()).await;
        }
    }

    fn line(&self) -> &Line {
        &self.places.manager().line
    }

    /// So much time, or what is left of it.
    fn left_of(&self, time: Duration) -> Duration {
        self.until.map_or(time, |until| until.saturating_duration_since(Instant::now()).min(time))
    }

    async fn connection(&self) -> sqlx::Result<Object<Connections>> {
        let timeouts = Timeouts { wait: Some(PLACE_WITHIN), create: Some(self.answers_within), recycle: None };
        let got = tokio::time::timeout(self.left_of(GOT_WITHIN), self.places.timeout_get(&timeouts)).await;
        got.map_err(|_| silence())?.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => sqlx::Error::PoolTimedOut,
            PoolError::Timeout(_) => silence(),
            PoolError::Closed => sqlx::Error::PoolClosed,
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => sqlx::Error::WorkerCrashed,
        })
    }

    /// Runs a statement to its very end: a row that comes before the commit is no answer yet.
    async fn run<'q>(&self, query: impl Execute<'q, Postgres> + 'q) -> sqlx::Result<Vec<Either<PgQueryResult, PgRow>>> {
        let mut object = self.connection().await?;
        // Whoever drops this future in the middle leaves it so, and the next one asks the connection to come to rest.
        object.is_at_rest = false;
        let way = self.line().way;
        let statement = way.alone(&mut object.raw, async |raw| raw.fetch_many(query).try_collect().await);
        let answered = self.in_time(statement).await;
        match &answered {
            Ok(_) => object.is_at_rest = true,
            // What the server refuses leaves the connection as good as it was, but for a transaction around it.
            Err(sqlx::Error::Database(error)) if way == Way::Direct && !health::is_of_the_server(error.as_ref()) => {}
            Err(_) => drop(Object::take(object)),
        }
        answered
    }
}

/// What is asked for a request in batches: all of it, the waiting for others included, is over in time.
pub async fn in_request_time<T>(asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(ANSWERS_WITHIN, asked).await.unwrap_or_else(|_| Err(silence().into()))
}

/// The error of a statement that had no answer in time.
fn silence() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the database did not answer in time"))
}

impl fmt::Debug for Pool {
    // The options hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.places.status()).finish_non_exhaustive()
    }
}

impl<'c> Executor<'c> for &'c Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let answer = async move { pool.run(query).await };
        answer.map_ok(|rows| stream::iter(rows.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        async move { Ok(pool.run(query).await?.into_iter().find_map(Either::right)) }.boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        let pool = self.clone();
        async move { pool.connection().await?.raw.prepare_with(sql, types).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'c: 'e,
    {
        let pool = self.clone();
        async move { pool.connection().await?.raw.describe(sql).await }.boxed()
    }
}
