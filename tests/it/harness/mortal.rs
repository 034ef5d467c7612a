//! A server of one test's own, which may be stopped in every way there is, paused, copied and started again.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;

use ig_tracking::postgres::private::{PrivatePostgres, default_data_dir};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::database::{NEXT, private_server};
use super::{eventually, machine};

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

    /// A server and a standby that follows it: the first is stopped for a moment and its data are copied.
    pub(crate) async fn pair() -> (Self, Self) {
        let mut primary = Self::start().await;
        let owner = std::fs::metadata(primary.data_dir.join("data")).unwrap();
        primary.stop(Signal::SIGINT).await;
        let data_dir = PathBuf::from(format!("{}-standby", primary.data_dir.display()));
        std::fs::create_dir(&data_dir).unwrap();
        std::fs::set_permissions(&data_dir, std::fs::metadata(&primary.data_dir).unwrap().permissions()).unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(primary.data_dir.join("data")).arg(&data_dir);
        machine::run(copy, "").await.ok();
        primary.revive().await;

        let options: sqlx::postgres::PgConnectOptions = primary.database_url.parse().unwrap();
        let follows = format!("primary_conninfo = 'host={} user=postgres'\n", options.get_socket().unwrap().display());
        for (name, text) in [("postgresql.auto.conf", follows.as_str()), ("standby.signal", "")] {
            let path = data_dir.join("data").join(name);
            std::fs::write(&path, text).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let server = private_server(&data_dir).await;
        let database_url = server.url("away");
        (primary, Self { data_dir, server, database_url })
    }

    /// `kill -9` of every process of it, and waits until it is gone.
    pub(crate) async fn kill(&self) {
        for pid in self.processes() {
            // Left alone, sessions would answer for a moment longer; some have noticed already.
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.gone().await;
    }

    /// Tells it to stop (SIGINT: at once, in good order; SIGQUIT: at once, leaving the rest to the next start), and
    /// waits until it is gone.
    pub(crate) async fn stop(&self, how: Signal) {
        let postmaster = self.processes()[0];
        kill(postmaster, how).unwrap();
        // It answers no more long before its last word is written.
        let process = Path::new("/proc").join(postmaster.to_string());
        eventually("the server has stopped", async || (!process.exists()).then_some(())).await;
        self.gone().await;
    }

    async fn gone(&self) {
        let url = self.database_url.clone();
        eventually("the server is gone", async || PgConnection::connect(&url).await.is_err().then_some(())).await;
    }

    /// Pauses all of it for as long as the answer lives: nothing breaks, and nothing answers.
    pub(crate) async fn freeze(&self) -> Frozen {
        // A shell holds it by a pipe, so that it goes on whatever becomes of us.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"kill -STOP "$@"; echo; read _; kill -CONT "$@""#, "sh"]);
        shell.args(self.processes().iter().map(ToString::to_string));
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut told).await.unwrap();
        Frozen(shell)
    }

    /// Its processes, the first of them first: it can make no more where it is stopped before the others.
    fn processes(&self) -> Vec<Pid> {
        let noted = std::fs::read_to_string(self.data_dir.join("data/postmaster.pid")).unwrap();
        let postmaster: i32 = noted.lines().next().unwrap().parse().unwrap();
        let children = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let parent: i32 = machine::state_and_more(Pid::from_raw(pid))?.split(' ').nth(1)?.parse().ok()?;
            (parent == postmaster).then_some(pid)
        });
        std::iter::once(postmaster).chain(children).map(Pid::from_raw).collect()
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

/// A server that is paused; it goes on when this is dropped.
pub(crate) struct Frozen(Child);

impl Frozen {
    /// Lets it go on, and waits until it does.
    pub(crate) async fn thaw(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().await.unwrap();
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
