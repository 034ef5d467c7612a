//! One real Postgres for all tests, a database for each: copied from a migrated template, swept away by a later run.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use ig_tracking::db;
use ig_tracking::db::session::Way;
use ig_tracking::postgres::private::{Durability, Options, PrivatePostgres, default_data_dir};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::PROGRAM;

/// The server: the one of DATABASE_URL, or a private one that is fast and need not outlive a power cut.
struct Server {
    url: String,
    template: String,
    _private: Option<PrivatePostgres>,
}

static SERVER: OnceCell<Server> = OnceCell::const_new();

/// Names databases of this process apart.
pub(super) static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database of one test's own, with the schema in it.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}

impl Database {
    pub(crate) async fn fresh() -> Self {
        let server = server().await;
        let name = format!("igt_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        execute(&server.url, &format!("create database {name} template {}", server.template)).await;
        Self::at(&with_database(&server.url, &name)).await
    }

    /// A database without the schema.
    pub(crate) async fn empty() -> Self {
        let server = server().await;
        let name = format!("igt_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        execute(&server.url, &format!("create database {name}")).await;
        Self::at(&with_database(&server.url, &name)).await
    }

    /// The service's own way to it.
    pub(crate) fn as_the_service(&self) -> db::Pool {
        db::Pool::new(db::Line::new(PgConnectOptions::from_str(&self.url).unwrap(), Way::Direct), 4)
    }

    /// The same database as another role sees it.
    pub(crate) fn url_of(&self, role: &str) -> String {
        PgConnectOptions::from_str(&self.url).unwrap().username(role).to_url_lossy().to_string()
    }

    /// The address of another database on its server.
    pub(crate) fn url_in(&self, database: &str) -> String {
        with_database(&self.url, database)
    }

    /// One with an invented history, of which no run has its summary yet.
    pub(crate) async fn with_history(profiles: u32, days: u32) -> Self {
        const FILES: [&str; 4] = [
            include_str!("../../../bench/history/1_plan.sql"),
            include_str!("../../../bench/history/2_runs.sql"),
            include_str!("../../../bench/history/3_logs.sql"),
            include_str!("../../../bench/history/4_numbers.sql"),
        ];
        let database = Self::fresh().await;
        // A connection of its own: what is set for the history stays with it.
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        let settings = format!("set history.profiles = {profiles}; set history.days = {days}");
        sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await.unwrap();
        for file in FILES {
            sqlx::raw_sql(file).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        database
    }

    /// The one at this address.
    pub(crate) async fn at(url: &str) -> Self {
        let pool = PgPoolOptions::new().max_connections(4).connect(url).await.unwrap();
        Self { url: url.to_owned(), pool }
    }
}

async fn server() -> &'static Server {
    SERVER.get_or_init(begin).await
}

async fn begin() -> Server {
    let (url, private) = match std::env::var("DATABASE_URL") {
        Ok(url) if !url.is_empty() => (url, None),
        _ => {
            let server = private_server(&default_data_dir().join("test")).await;
            (server.url("postgres"), Some(server))
        }
    };
    sweep(&url).await;
    // The template belongs to this process: another's may have other migrations.
    let template = format!("igt_test_{}_template", std::process::id());
    execute(&url, &format!("create database {template}")).await;
    let mut connection = PgConnection::connect(&with_database(&url, &template)).await.unwrap();
    db::migrations::run(&mut connection).await.unwrap();
    db::partitions::ensure(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    Server { url, template, _private: private }
}

/// A private server of the tests' own.
pub(super) async fn private_server(data_dir: &Path) -> PrivatePostgres {
    let options = Options::new(data_dir).unwrap();
    let options = Options {
        watchdog: PathBuf::from(PROGRAM),
        durability: Durability::TestsOnly,
        max_connections: 500,
        ..options
    };
    PrivatePostgres::start_disposable(options).await.unwrap()
}

/// Drops the databases of test processes that have gone.
async fn sweep(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let databases: Vec<String> =
        sqlx::query_scalar("select datname from pg_database where datname like 'igt\\_test\\_%'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    for name in databases {
        let owner = name.split('_').nth(2).unwrap_or_default();
        if !Path::new(&format!("/proc/{owner}")).exists() {
            execute(url, &format!("drop database if exists {name} with (force)")).await;
        }
    }
}

async fn execute(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    // Names that this file made itself.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn with_database(url: &str, database: &str) -> String {
    PgConnectOptions::from_str(url).unwrap().database(database).to_url_lossy().to_string()
}
