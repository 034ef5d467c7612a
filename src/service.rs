//! Puts the service together; the order of start-up and of shutdown.
//!
//! Up: database, schema, partitions, hints, keys, source, runs, and the listener last, so that whoever can connect is
//! served. Down the other way round: no more requests, no more claims, runs in hand finish or are handed over, and the
//! database is let go of at the very end.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{ServeSettings, SettingsError};
use crate::credentials::Credentials;
use crate::db::{self, Pool};
use crate::http::{self, App, Shared};
use crate::keys::Keys;
use crate::live::Live;
use crate::maintenance;
use crate::pacing::Pacing;
use crate::postgres::private::Reviver;
use crate::postgres::{Availability, ConnectError, Database};
use crate::reading::Reading;
use crate::runs::Runs;
use crate::streams::{Streams, Terms};

/// How many runs that came from another cluster are looked after at a time.
const CHANGES_AT_ONCE: i64 = 10_000;

/// How often the histograms are drained when nobody asks for them.
const METRICS_UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// How long to wait before a private Postgres that is away is looked after again.
const REVIVE_EVERY: Duration = Duration::from_secs(1);

/// How many connections may wait to be taken.
const BACKLOG: u32 = 1024;

/// How long requests in flight may take at shutdown.
const HTTP_DRAIN: Duration = Duration::from_secs(10);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The database.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The rows of the credentials.
    #[error("the credentials could not be entered into the database: {0}")]
    Credentials(#[source] sqlx::Error),
    /// The keys of the interface.
    #[error("the keys of the interface could not be read: {0}")]
    Keys(#[source] sqlx::Error),
    /// The address.
    #[error("cannot listen on {address}: {error}; stop what listens there, or choose another IGT_BIND (--bind)")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
}

/// The running service.
pub struct Service {
    address: SocketAddr,
    database: Arc<Database>,
    runs: Runs,
    streams: Streams,
    grace: Duration,
    closing: CancellationToken,
    background: CancellationToken,
    server: JoinHandle<()>,
}

impl Service {
    /// Starts everything on a database that is connected.
    pub async fn start(
        settings: &ServeSettings,
        credentials: &Credentials,
        database: Arc<Database>,
        metrics: PrometheusHandle,
    ) -> Result<Self, ServiceError> {
        settings.http.check()?;
        // Taken now, so that a port in use is known at once, and listened on when there is somebody to answer.
        let (address, socket) = (settings.http.bind, reserve(settings.http.bind)?);
        database.migrate().await?;
        maintenance::make_partitions(&database.pool).await;
        forget_changes_to_come(&database.pool).await;

        let (closing, background) = (CancellationToken::new(), CancellationToken::new());
        let pool = database.pool.clone();
        let keep = maintenance::keep(pool.clone(), settings.retention.retention());
        tokio::spawn(background.clone().run_until_cancelled_owned(keep));
        tokio::spawn(background.clone().run_until_cancelled_owned(keep_metrics(metrics.clone())));
        let availability = Availability::default();
        let watch = availability.clone().watch(database.heartbeat_pool.clone());
        tokio::spawn(background.clone().run_until_cancelled_owned(watch));
        if let Some(server) = database.private_server() {
            let revive = keep_private_server(server.reviver(), availability.clone());
            tokio::spawn(background.clone().run_until_cancelled_owned(revive));
        }
        let live = Live::start(pool.clone(), background.clone());
        let default_rate = NonZeroU32::new(settings.http.rate_limit);
        let keys = Keys::begin(database.heartbeat_pool.clone(), live.clone(), default_rate).await;
        let (keys, keep_keys) = keys.map_err(ServiceError::Keys)?;
        settings.http.check_open(keys.any_made())?;
        if keys.any_made() && keys.live() == 0 && !settings.http.allow_anonymous {
            tracing::warn!("all keys are revoked or expired: nobody may do anything until one is made");
        }
        tokio::spawn(background.clone().run_until_cancelled_owned(keep_keys));
        let policy = settings.runs.policy(settings.source.cooldown());
        let max_posts = policy.max_posts;
        let terms = settings.source.terms();
        let pacing = Pacing::begin(pool.patient(policy.patience()), credentials, terms);
        let pacing = pacing.await.map_err(ServiceError::Credentials)?;
        let terms = Terms { places: settings.http.max_streams(), poll: policy.poll };
        let runs = Runs::begin(pool.clone(), database.heartbeat_pool.clone(), pacing, live.clone(), policy);
        let reading = Reading::new(pool.clone(), settings.http.log_cache_bytes(), http::RENDER);
        let renders = http::STREAM_RENDERS;
        let streams = Streams::begin(reading.clone(), pool.clone(), live, renders, terms, closing.clone());

        let app = App::new(Shared {
            reading,
            pool,
            runs: runs.clone(),
            streams: streams.clone(),
            gate: Arc::new(settings.http.gate(keys)),
            metrics,
            availability,
            closing: closing.clone(),
            v1_dates: settings.http.v1_dates(),
            max_posts,
        });
        let listener = socket.listen(BACKLOG).map_err(|error| ServiceError::Listen { address, error })?;
        let address = listener.local_addr().map_err(|error| ServiceError::Listen { address, error })?;
        let serve = http::serve(listener, http::router(app), settings.http.head_within(), closing.clone());
        let server = tokio::spawn(serve);
        tracing::info!(address = %format_args!("http://{address}"), "listening");
        Ok(Self { address, database, runs, streams, grace: settings.runs.grace(), closing, background, server })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its rows are.
    pub fn pool(&self) -> &Pool {
        &self.database.pool
    }

    /// Its runs.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Serves until `stop` resolves, then shuts down in order.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let Self { runs, streams, grace, closing, background, mut server, database, .. } = self;
        tokio::select! {
            () = stop => {}
            ended = &mut server => tracing::error!(?ended, "the listener ended by itself; shutting down"),
        }
        tracing::info!("shutting down");
        closing.cancel();
        let drain_http = async {
            if !server.is_finished() && tokio::time::timeout(HTTP_DRAIN, &mut server).await.is_err() {
                tracing::warn!("requests in flight did not finish in time; cutting them off");
                server.abort();
            }
        };
        tokio::join!(drain_http, streams.closed(), runs.close(grace));
        background.cancel();
        if let Ok(database) = Arc::try_unwrap(database) {
            database.close().await;
        }
        tracing::info!("stopped");
    }
}

/// Takes an address that is not listened on yet.
fn reserve(address: SocketAddr) -> Result<TcpSocket, ServiceError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let reserve = |socket: TcpSocket| {
        // A restart need not wait until the old connections are forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    socket.and_then(reserve).map_err(|error| ServiceError::Listen { address, error })
}

/// A private server has nobody else who would start it again when it dies.
async fn keep_private_server(server: Reviver, availability: Availability) {
    loop {
        availability.away().await;
        if let Err(error) = server.revive().await {
            tracing::error!(%error, "the private Postgres could not be started again; trying once more");
        }
        tokio::time::sleep(REVIVE_EVERY).await;
    }
}

/// After a dump was restored into another cluster, runs say that transactions to come have changed them. A board that
/// cannot be mended now tells them late, and is no reason not to start.
async fn forget_changes_to_come(pool: &Pool) {
    loop {
        match db::board::forget_changes_to_come(pool, CHANGES_AT_ONCE).await {
            Ok(0) => return,
            Ok(runs) => tracing::info!(runs, "these came from another cluster: they count as changed long ago"),
            Err(error) => return tracing::warn!(%error, "could not look for runs that came from another cluster"),
        }
    }
}

async fn keep_metrics(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(METRICS_UPKEEP_EVERY).await;
        metrics.run_upkeep();
    }
}
