//! The server itself: whether it answers, what it is started with, what stands in its way, how it is stopped.
//!
//! Whether it runs is asked of its socket, never of a file: files outlive what they tell of.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sqlx::{Connection, PgConnection};
use tokio::net::UnixStream;

use super::binaries::Binaries;
use super::folder::{Folder, SOCKET, ServerUser, remove_if_there};
use super::locks::GLANCE;
use super::tools::Tools;
use super::{Durability, Error, Options};
use crate::db;

/// How long a server may take to get ready: after a crash it first replays what it had logged.
pub(super) const GETS_READY: Duration = Duration::from_secs(300);
/// How long it may take to stop: it first writes all it holds in memory.
const STOPS: Duration = Duration::from_secs(300);
/// How long a connection to a socket on this machine may take.
const CONNECTS: Duration = Duration::from_secs(10);

pub(super) fn url(folder: &Folder, database: &str) -> String {
    let encode = |bytes| percent_encode(bytes, NON_ALPHANUMERIC);
    // Port and sslmode are said because PGPORT and PGSSLMODE would be heeded otherwise.
    format!(
        "postgres://postgres@localhost:5432/{}?host={}&sslmode=disable",
        encode(database.as_bytes()),
        encode(folder.socket_dir().as_os_str().as_bytes())
    )
}

/// Whether a server is there and ready. Waits for one that is still starting, recovering or stopping.
pub(super) async fn answers(folder: &Folder) -> Result<bool, Error> {
    let began = Instant::now();
    loop {
        match presence(folder).await? {
            Presence::Ready => return Ok(true),
            Presence::Absent => return Ok(false),
            Presence::Busy if began.elapsed() > GETS_READY => {
                return Err(Error::NotReady { folder: folder.root().to_owned(), seconds: GETS_READY.as_secs() });
            }
            Presence::Busy => tokio::time::sleep(GLANCE).await,
        }
    }
}

/// Makes the data if there are none, and starts the server on them.
///
/// `starting` is handed on to the programs that do it: if we are killed meanwhile, whoever comes next waits for them.
pub(super) async fn start(folder: &mut Folder, options: &Options, starting: &File) -> Result<(), Error> {
    let user = ServerUser::choose(folder)?;
    folder.lay_out(&user)?;
    let binaries = Binaries::find(&options.places, folder, &user).await?;
    let tools = Tools { folder, user: &user, binaries: &binaries, starting };
    if folder.data_version()?.is_none() {
        tools.make_data(options.durability).await?;
    }
    folder.write(&folder.settings(), &settings(folder, options))?;
    clear_the_way(folder).await?;
    tools.launch().await?;
    if answers(folder).await? {
        return Ok(());
    }
    Err(Error::Ended(folder.root().to_owned()))
}

/// Refuses a server that was started without fsync to whoever relies on it.
pub(super) async fn check_durability(folder: &Folder, wanted: Durability) -> Result<(), Error> {
    if wanted == Durability::TestsOnly {
        return Ok(());
    }
    let mut connection = PgConnection::connect(&url(folder, "postgres")).await.map_err(Error::Connect)?;
    let fsync = db::health::has_fsync(&mut connection).await.map_err(Error::Connect)?;
    connection.close().await.map_err(Error::Connect)?;
    if fsync { Ok(()) } else { Err(Error::NotDurable(folder.root().to_owned())) }
}

/// Stops the server, if one is there, and waits until it has gone.
pub(super) async fn stop(folder: &Folder) -> Result<(), Error> {
    let Some(pid) = postmaster(folder).await? else { return Ok(()) };
    // SIGINT is Postgres's fast shutdown: sessions are ended, what is committed is kept.
    if kill(pid, Signal::SIGINT).is_err() {
        return Ok(()); // It has gone in between.
    }
    let began = Instant::now();
    while folder.postmaster_pid().exists() && runs_on(pid, folder) {
        if began.elapsed() > STOPS {
            return Err(Error::NotStopped { folder: folder.root().to_owned(), seconds: STOPS.as_secs() });
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(())
}

enum Presence {
    Ready,
    Busy,
    Absent,
}

async fn presence(folder: &Folder) -> Result<Presence, Error> {
    // Asked beforehand, because a path that is still to be replaced by a shorter one cannot even be tried.
    if !folder.socket().exists() {
        return Ok(Presence::Absent);
    }
    let connecting = PgConnection::connect(&url(folder, "postgres"));
    match tokio::time::timeout(CONNECTS, connecting).await {
        Err(_) => Ok(Presence::Busy),
        Ok(Ok(connection)) => {
            // It has served its purpose; how it ends says nothing more.
            let _ = connection.close().await;
            Ok(Presence::Ready)
        }
        Ok(Err(sqlx::Error::Database(error))) => match error.code().as_deref() {
            // cannot_connect_now: it is starting, recovering or stopping.
            Some("57P03") => Ok(Presence::Busy),
            // too_many_connections: it serves others well.
            Some("53300") => Ok(Presence::Ready),
            _ => Err(Error::Connect(sqlx::Error::Database(error))),
        },
        Ok(Err(sqlx::Error::Io(error))) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(Presence::Absent),
            // It went while we were speaking with it, or too many are knocking.
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::WouldBlock => {
                Ok(Presence::Busy)
            }
            _ => Err(Error::Connect(sqlx::Error::Io(error))),
        },
        Ok(Err(error)) => Err(Error::Connect(error)),
    }
}

/// The process that listens on our socket, as the kernel names it; failing that, the one that works on our data.
async fn postmaster(folder: &Folder) -> Result<Option<Pid>, Error> {
    let noted = || noted_postmaster(folder).filter(|pid| works_on(*pid, folder) == Some(true));
    if !folder.socket().exists() {
        return Ok(noted());
    }
    match UnixStream::connect(folder.socket()).await {
        Ok(stream) => {
            let peer = stream.peer_cred().map_err(Error::files("ask who listens on", folder.socket()))?;
            Ok(peer.pid().filter(|pid| *pid > 1).map(Pid::from_raw))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(noted()),
        Err(error) => Err(Error::files("connect to", folder.socket())(error)),
    }
}

/// The process that Postgres noted, which may be long gone and its number another's.
fn noted_postmaster(folder: &Folder) -> Option<Pid> {
    let note = fs::read_to_string(folder.postmaster_pid()).ok()?;
    note.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

/// Whether a process works on our data: a postmaster's working folder is its data. `None` where the system keeps that
/// to itself (macOS).
fn works_on(pid: Pid, folder: &Folder) -> Option<bool> {
    fs::metadata("/proc/self/cwd").ok()?;
    // By what the folder is and not by its name, which another mount may call differently.
    let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let cwd = identity(&Path::new("/proc").join(pid.to_string()).join("cwd"));
    Some(cwd.is_some() && cwd == identity(&folder.data()))
}

fn runs_on(pid: Pid, folder: &Folder) -> bool {
    works_on(pid, folder).unwrap_or_else(|| kill(pid, None).is_ok())
}

/// Removes what a server that was killed, or a machine that lost its power, has left in the way of the next.
///
/// Postgres takes its own note for a living server when the process number has been given to another process of the
/// same user, as happens in a container after every restart.
async fn clear_the_way(folder: &Folder) -> Result<(), Error> {
    if let Some(pid) = noted_postmaster(folder) {
        match works_on(pid, folder) {
            // It lives and its socket has gone (swept away): nobody can reach it, so it makes room for the next.
            Some(true) => stop(folder).await?,
            Some(false) => {
                remove_if_there(&folder.postmaster_pid()).map_err(Error::files("remove", folder.postmaster_pid()))?;
            }
            None => return Ok(()), // Postgres has to judge by itself.
        }
    }
    for name in [SOCKET.to_owned(), format!("{SOCKET}.lock")] {
        let path = folder.socket_dir().join(name);
        remove_if_there(&path).map_err(Error::files("remove", &path))?;
    }
    Ok(())
}

/// What we say differently from initdb's own settings, which stay as they are in `data/postgresql.conf`.
fn settings(folder: &Folder, options: &Options) -> String {
    let socket_dir = quoted(&format!("\"{}\"", folder.socket_dir().to_string_lossy().replace('"', "\"\"")));
    let tests_only = match options.durability {
        Durability::Durable => "",
        Durability::TestsOnly => "fsync = off\nfull_page_writes = off\n",
    };
    format!(
        "# Written anew by ig-tracking at every start: put settings of your own into data/postgresql.auto.conf\n\
         # (ALTER SYSTEM), which is read after this file.\n\
         include 'data/postgresql.conf'\n\
         listen_addresses = ''\n\
         port = 5432\n\
         unix_socket_directories = {socket_dir}\n\
         unix_socket_permissions = 0700\n\
         max_connections = {max_connections}\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         # A file a day of the week, begun anew each week: the log stays bounded.\n\
         logging_collector = on\n\
         log_directory = '../log'\n\
         log_filename = 'postgres-%a.log'\n\
         log_rotation_age = 1d\n\
         log_rotation_size = 0\n\
         log_truncate_on_rotation = on\n\
         log_checkpoints = off\n\
         {tests_only}",
        max_connections = options.max_connections,
    )
}

/// A string in Postgres's settings.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_survives_quotes_and_backslashes() {
        assert_eq!(quoted(r"it's C:\x"), r"'it''s C:\\x'");
    }
}
