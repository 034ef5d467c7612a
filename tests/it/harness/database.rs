//! One real Postgres for all tests, a database for each: copied from a migrated template, swept away by a later run.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use ig_tracking::db;
use ig_tracking::postgres::private::{Durability, Options, PrivatePostgres, default_data_dir};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::{PROGRAM, eventually};

/// The server: the one of DATABASE_URL, or a private one that is fast and need not outlive a power cut.
struct Server {
    url: String,
    template: String,
    _private: Option<PrivatePostgres>,
}

static SERVER: OnceCell<Server> = OnceCell::const_new();

/// Names databases of this process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

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

/// A server of one test's own, which may be killed and started again.
pub(crate) struct MortalServer {
    data_dir: PathBuf,
    server: PrivatePostgres,
    pub(crate) database_url: String,
}

impl MortalServer {
    pub(crate) async fn start() -> Self {
        let owner = format!("{MORTAL}{}", std::process::id());
        let name = format!("{owner}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let home = default_data_dir();
        bury(&home);
        let data_dir = home.join(name);
        let server = private_server(&data_dir).await;
        let database_url = server.database("away").await.unwrap();
        Self { data_dir, server, database_url }
    }

    /// `kill -9` of every process of it, and waits until it is gone.
    pub(crate) async fn kill(&self) {
        let noted = std::fs::read_to_string(self.data_dir.join("data/postmaster.pid")).unwrap();
        let postmaster: i32 = noted.lines().next().unwrap().parse().unwrap();
        let mut connection = PgConnection::connect(&self.database_url).await.unwrap();
        let sessions: Vec<i32> =
            sqlx::query_scalar("select pid from pg_stat_activity").fetch_all(&mut connection).await.unwrap();
        kill(Pid::from_raw(postmaster), Signal::SIGKILL).unwrap();
        for pid in sessions {
            // Left alone they would answer for a moment longer; some have noticed already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let url = self.database_url.clone();
        eventually("the server is gone", async || PgConnection::connect(&url).await.is_err().then_some(())).await;
    }

    /// Starts it again on the same data.
    pub(crate) async fn revive(&mut self) {
        self.server = private_server(&self.data_dir).await;
    }

    /// Ends it and removes its data.
    pub(crate) async fn end(self) {
        let Self { data_dir, server, .. } = self;
        drop(server);
        // One that was killed leaves its note behind.
        let stopped = async || match std::fs::read_to_string(data_dir.join("data/postmaster.pid")) {
            Ok(noted) => {
                let pid = noted.lines().next()?.to_owned();
                (!Path::new("/proc").join(pid).exists()).then_some(())
            }
            Err(_) => Some(()),
        };
        eventually("the server stops", stopped).await;
        // Its watchdog may still have a word to write.
        eventually("its data are removed", async || std::fs::remove_dir_all(&data_dir).ok()).await;
    }
}

/// What the folders of mortal servers begin with, before the number of the process that they belong to.
const MORTAL: &str = "test-mortal-";

/// Removes what test processes left behind that have gone.
fn bury(home: &Path) {
    for folder in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(MORTAL).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            // Another test process may be burying it, too.
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

/// A private server of the tests' own.
async fn private_server(data_dir: &Path) -> PrivatePostgres {
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
