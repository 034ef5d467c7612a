//! A private Postgres: started for whoever has set no `DATABASE_URL`, shared by all who name the same data folder, and
//! stopped when the last of them has gone, however it went.
//!
//! Nothing here counts processes: who uses the server, who starts it and who watches it are locks that the kernel gives
//! back with the process that held them. `start` is the story; `folder`, `locks`, `watchdog`, `server`, `tools` and
//! `binaries` are its rooms.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Postgres;
use sqlx::migrate::MigrateDatabase;

mod binaries;
mod error;
mod folder;
mod locks;
mod server;
mod tools;
mod watchdog;

pub use binaries::Places;
pub use error::Error;
pub use watchdog::watchdog;

use folder::Folder;

/// How long a newcomer waits for a server that is being stopped, or for another who is starting one.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a private server is started with. Who joins a running server takes it as it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds the data, the log and the locks. Made if it is not there.
    pub data_dir: PathBuf,
    /// The program that answers to `postgres-watchdog --data-dir DIR` by running [`watchdog()`]: `ig-tracking` itself.
    pub watchdog: PathBuf,
    /// Whether what is committed must outlive a machine that loses its power.
    pub durability: Durability,
    /// Postgres's own `max_connections`, over all processes that share the server.
    pub max_connections: u32,
    /// Where initdb, pg_ctl and postgres are looked for.
    pub places: Places,
}

impl Options {
    /// A durable server in `data_dir`, watched by the program that is running now.
    pub fn new(data_dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Ok(Self {
            data_dir: data_dir.into(),
            watchdog: std::env::current_exe().map_err(Error::OwnProgram)?,
            durability: Durability::Durable,
            max_connections: 100,
            places: Places::from_environment(),
        })
    }
}

/// Whether what is committed must outlive a machine that loses its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Postgres's own way: a commit is on the disk before it is acknowledged.
    Durable,
    /// Fast; a commit outlives the server, and not the machine (`fsync` and `full_page_writes` off): for tests only.
    TestsOnly,
}

/// A private server in use. It runs at least as long as this lives; dropping it gives it up, and the last to do so on
/// a data folder has it stopped.
#[derive(Debug)]
pub struct PrivatePostgres {
    folder: Folder,
    options: Options,
    /// Shared among all users; the watchdog waits for it to be free.
    _in_use: File,
}

impl PrivatePostgres {
    /// Joins the server of `options.data_dir`, or starts it (and makes its data first) where none runs.
    ///
    /// Returns when the server answers. Safe to call from several processes at the same moment.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let folder = Folder::open(&options.data_dir)?;
        let in_use = locks::shared(&folder.in_use(), PATIENCE).await?;
        let starting = locks::exclusive(&folder.starting(), PATIENCE).await?;
        // Again, now that nobody else settles where the socket is.
        let mut folder = Folder::at(folder.root())?;
        // The watchdog before the server: killed between the two, we would leave a server that nobody stops.
        watchdog::ensure(&folder, &options.watchdog).await?;
        if !server::answers(&folder).await? {
            server::start(&mut folder, &options, &starting).await?;
        }
        server::check_durability(&folder, options.durability).await?;
        Ok(Self { folder, options, _in_use: in_use })
    }

    /// The same for data that nobody would miss: where those that are there belong to a version of Postgres that is not
    /// here, a folder beside them is used, named by the newest version that is.
    pub async fn start_disposable(options: Options) -> Result<Self, Error> {
        let found = match Self::start(options.clone()).await {
            Err(Error::OtherVersion { found, .. }) => found,
            settled => return settled,
        };
        let mut beside = options.data_dir.clone().into_os_string();
        beside.push(format!("-{}", found.last().copied().unwrap_or_default()));
        Self::start(Options { data_dir: beside.into(), ..options }).await
    }

    /// The folder that holds the data, the log and the locks.
    pub fn data_dir(&self) -> &Path {
        self.folder.root()
    }

    /// The connection string of a database on this server, by its Unix socket.
    pub fn url(&self, database: &str) -> String {
        server::url(&self.folder, database)
    }

    /// The connection string of a database on this server, which is made first if it is not there.
    pub async fn database(&self, name: &str) -> Result<String, Error> {
        let url = self.url(name);
        if !Postgres::database_exists(&url).await.map_err(Error::Connect)? {
            // Another process may have made it in between: it is there, which is all that was asked for.
            if let Err(error) = Postgres::create_database(&url).await
                && !Postgres::database_exists(&url).await.map_err(Error::Connect)?
            {
                return Err(Error::Connect(error));
            }
        }
        Ok(url)
    }

    /// What brings the server back that died under its users. It needs no hold of its own: who has this has one.
    pub fn reviver(&self) -> Reviver {
        Reviver(self.options.clone())
    }

    /// The folder of the server's log files.
    pub fn log_dir(&self) -> PathBuf {
        self.folder.log()
    }
}

/// Starts the server again, see [`PrivatePostgres::reviver`].
#[derive(Debug)]
pub struct Reviver(Options);

impl Reviver {
    /// Starts the server if it does not run. Whichever of its users comes first does it; the others find it there.
    pub async fn revive(&self) -> Result<(), Error> {
        PrivatePostgres::start(self.0.clone()).await.map(drop)
    }
}

/// Whether a private server was ever started in this folder.
pub fn has_data(data_dir: &Path) -> bool {
    data_dir.join("data").is_dir()
}

/// The data folder of whoever names none: `/var/lib/ig-tracking` for root, else `$XDG_DATA_HOME/ig-tracking` or
/// `~/.local/share/ig-tracking`.
pub fn default_data_dir() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/ig-tracking");
    }
    // The XDG rules: a relative path counts as none.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("ig-tracking")
}
