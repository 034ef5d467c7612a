//! Why there is no private server, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why a private Postgres could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable server programs anywhere.
    #[error(
        "no Postgres server (initdb, pg_ctl and postgres, version 14 or later) was found{}.\n\
         Do one of these:\n  \
         run `make setup`, which installs one;\n  \
         install your system's package (on Debian and Ubuntu: `apt-get install postgresql`);\n  \
         set PG_BIN_DIR to the folder that holds the three programs;\n  \
         set DATABASE_URL to a Postgres that already runs.",
        rejected(.0)
    )]
    NoBinaries(Vec<String>),

    /// The data were made by a version of which no programs are here.
    #[error(
        "the data in {} were made by Postgres {data}, but only {} is installed here. Install Postgres {data} (or name \
         its programs with PG_BIN_DIR), move the data with pg_upgrade, or choose another data folder to begin anew.",
        .folder.display(), versions(.found)
    )]
    OtherVersion {
        /// The data folder.
        folder: PathBuf,
        /// The major version that made the data.
        data: u32,
        /// The major versions that were found.
        found: Vec<u32>,
    },

    /// The server runs as another user than we, and that user is shut out by a folder's permissions.
    #[error(
        "Postgres refuses to run as root, so it runs as user `{user}`, who cannot get past {} (its permissions allow \
         no passage). Choose a data folder outside of it, or open it with `chmod o+x {}`.",
        .folder.display(), .folder.display()
    )]
    ShutOut {
        /// Who the server runs as.
        user: String,
        /// The folder that does not let it pass.
        folder: PathBuf,
    },

    /// Root, and nobody else to run as.
    #[error(
        "Postgres refuses to run as root, and this system has neither a user `postgres` nor a user `nobody` to run it \
         as. Add one (`useradd --system postgres`), or run this as an ordinary user."
    )]
    NoUser,

    /// The data are somebody else's.
    #[error("{} belongs to another user (uid {uid}). Run this as that user, or choose another data folder.", .folder.display())]
    OtherOwner {
        /// What belongs to somebody else.
        folder: PathBuf,
        /// Whose it is.
        uid: u32,
    },

    /// Something is there, and it is no Postgres data folder.
    #[error("{} is there but holds no Postgres data (no PG_VERSION). Move it away, or choose another data folder.", .0.display())]
    NotData(PathBuf),

    /// A file or folder of ours could not be made, read or written.
    #[error("cannot {what} {}: {source}. Check its permissions and the space on its disk, or choose another data folder.", .path.display())]
    Files {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The file system cannot lock.
    #[error(
        "cannot lock {}: {source}. The data folder must be on a file system that supports locks: choose one on a local \
         disk.", .path.display()
    )]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Another process holds a lock for longer than any start or stop should take.
    #[error(
        "waited {seconds} s for {}: another process is still starting or stopping this Postgres. See the log beside \
         it (`fuser {}` names the process); if it hangs, end it and try again.", .path.display(), .path.display()
    )]
    Busy {
        /// The lock's file.
        path: PathBuf,
        /// How long we waited.
        seconds: u64,
    },

    /// One of Postgres's own programs failed.
    #[error("{program} failed ({status}). It said:\n{said}\nIf the disk is full, make room; if not, see the log in {}.", .log.display())]
    Tool {
        /// Which program.
        program: PathBuf,
        /// How it ended.
        status: String,
        /// The end of what it said.
        said: String,
        /// Where the server's log is.
        log: PathBuf,
    },

    /// One of Postgres's own programs could not be run at all.
    #[error("cannot run {} as user `{user}`: {source}. Check that this user may read and run it and every folder above it.", .program.display())]
    Run {
        /// Which program.
        program: PathBuf,
        /// Who was to run it.
        user: String,
        /// What the system said.
        source: io::Error,
    },

    /// The watchdog did not come up.
    #[error("the watchdog that stops Postgres in the end did not come up ({}): {said}", .program.display())]
    Watchdog {
        /// The program that was to be the watchdog.
        program: PathBuf,
        /// What it said.
        said: String,
    },

    /// We do not know which program we are.
    #[error("cannot tell which program this is, and so cannot start its watchdog: {0}")]
    OwnProgram(#[source] io::Error),

    /// The server runs and does not get ready.
    #[error(
        "Postgres in {} runs but did not get ready within {seconds} s (it may be recovering after a crash). Try again in \
         a while; its log is in the folder `log` there.", .folder.display()
    )]
    NotReady {
        /// The data folder.
        folder: PathBuf,
        /// How long we waited.
        seconds: u64,
    },

    /// The server was ready, and a moment later it was not there.
    #[error("Postgres in {} started and ended at once; its log, in the folder `log` there, says why.", .0.display())]
    Ended(PathBuf),

    /// The server runs and does not stop.
    #[error("Postgres in {} did not stop within {seconds} s; its log is in the folder `log` there.", .folder.display())]
    NotStopped {
        /// The data folder.
        folder: PathBuf,
        /// How long we waited.
        seconds: u64,
    },

    /// A running server was joined that may lose what it has acknowledged.
    #[error(
        "the Postgres that runs in {} was started for tests (fsync is off) and may lose data. Stop the tests that use \
         it, or choose another data folder.", .0.display()
    )]
    NotDurable(PathBuf),

    /// The server is there and refuses us.
    #[error("the private Postgres is there but does not serve us: {0}")]
    Connect(#[source] sqlx::Error),
}

impl Error {
    /// Names the file or folder on which the system refused something.
    pub(super) fn files(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Files { what, path, source }
    }
}

fn rejected(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(" that can be used ({})", reasons.join("; ")) }
}

fn versions(found: &[u32]) -> String {
    found.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
