//! To the database: the one that was named, or the private one.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;

use super::private::{self, PrivatePostgres};
use crate::config::{DatabaseSettings, Pooler};
use crate::db::session::Way;
use crate::db::{self, Line, Pool};

/// How long the database may be starting up when the service starts.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is tried meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// What else needs a connection while the pool is busy: the heartbeat and the question whether the database answers.
const RESERVED_CONNECTIONS: u32 = 2;

/// The database's name on the private server.
const PRIVATE_DATABASE: &str = "ig_tracking";

/// The oldest Postgres that the schema is for, as `server_version_num` has it.
const OLDEST_SERVER: i32 = 14_00_00;

/// The database, connected.
pub struct Database {
    /// Where statements run.
    pub pool: Pool,
    /// What the heartbeat and the watch run on, so that a busy pool cannot starve them.
    pub heartbeat_pool: Pool,
    line: Line,
    /// The private server, in use as long as this lives.
    private: Option<PrivatePostgres>,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The private server.
    #[error(transparent)]
    Private(#[from] private::Error),
    /// The address cannot be read.
    #[error("DATABASE_URL cannot be read: {0}; give postgres://user:password@host:5432/database")]
    Address(#[source] sqlx::Error),
    /// Nobody answers there, or not us.
    #[error("no connection to the database at {place}: {error}; check that it runs and that DATABASE_URL is right")]
    Unreachable {
        /// Host and database, without the password.
        place: String,
        /// What happened.
        error: sqlx::Error,
    },
    /// The server is too old.
    #[error("the database server is Postgres {}; this service needs 14 or newer", found / 10_000)]
    TooOld {
        /// Its `server_version_num`.
        found: i32,
    },
    /// The schema could not be brought up to date.
    #[error(
        "the database could not be migrated: {0}; it may have been made by another version of this program: use that \
         version, or another database"
    )]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Database {
    /// Connects; where no address is set, joins or starts the private server first.
    pub async fn connect(settings: &DatabaseSettings) -> Result<Self, ConnectError> {
        Self::connect_with(settings, async |options| PrivatePostgres::start(options).await).await
    }

    /// The same for rows that nobody would miss: a private server of another version is no obstacle.
    pub async fn connect_disposable(settings: &DatabaseSettings) -> Result<Self, ConnectError> {
        Self::connect_with(settings, async |options| PrivatePostgres::start_disposable(options).await).await
    }

    async fn connect_with(
        settings: &DatabaseSettings,
        start: impl AsyncFnOnce(private::Options) -> Result<PrivatePostgres, private::Error>,
    ) -> Result<Self, ConnectError> {
        let (url, private) = match &settings.database_url {
            Some(url) => (url.expose_secret().to_owned(), None),
            None => {
                let data_dir = settings.data_dir.clone().unwrap_or_else(private::default_data_dir);
                tracing::info!(data_dir = %data_dir.display(), "DATABASE_URL is not set: using a private Postgres");
                let server = start(private::Options::new(data_dir)?).await?;
                (server.database(PRIVATE_DATABASE).await?, Some(server))
            }
        };
        let options = PgConnectOptions::from_str(&url).map_err(ConnectError::Address)?.application_name("ig-tracking");
        let place = format!("{}/{}", options.get_host(), options.get_database().unwrap_or_default());
        let way = match settings.db_pooler {
            Pooler::None => Way::Direct,
            Pooler::Transaction => Way::Pooled,
        };
        let line = Line::new(options, way);
        let pool = Pool::new(line.clone(), settings.db_connections);
        let found = version_once_it_answers(&pool).await;
        let found = found.map_err(|error| ConnectError::Unreachable { place, error })?;
        if found < OLDEST_SERVER {
            return Err(ConnectError::TooOld { found });
        }
        Ok(Self { heartbeat_pool: pool.beside(RESERVED_CONNECTIONS), pool, line, private })
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<(), ConnectError> {
        let mut connection = self.line.connect().await.map_err(sqlx::migrate::MigrateError::Execute)?;
        Ok(db::migrations::run(&mut connection).await?)
    }

    /// Where the private server keeps its log, if it is one.
    pub fn private_server(&self) -> Option<&PrivatePostgres> {
        self.private.as_ref()
    }

    /// Gives all connections back; the private server last.
    pub async fn close(self) {
        self.heartbeat_pool.close().await;
        self.pool.close().await;
        drop(self.private);
    }
}

/// The server's version. A server that is just starting up is waited for.
async fn version_once_it_answers(pool: &Pool) -> sqlx::Result<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match db::health::server_version(pool).await {
            Err(error) if db::health::is_starting_up(&error) && Instant::now() < deadline => {
                tracing::debug!(%error, "the database does not answer yet; trying again");
                tokio::time::sleep(TRY_EVERY).await;
            }
            answer => return answer,
        }
    }
}
