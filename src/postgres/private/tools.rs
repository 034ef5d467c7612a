//! Postgres's own programs at work: initdb makes the data, pg_ctl starts the server on them.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::binaries::Binaries;
use super::folder::{Folder, ServerUser, make_private, remove_if_there};
use super::locks::GLANCE;
use super::server::GETS_READY;
use super::{Durability, Error};

/// How long the processes of a server that was killed may linger.
const LINGERS: Duration = Duration::from_secs(30);
/// A log file above this is not kept on to.
const LARGE_LOG: u64 = 16 << 20;
/// How much of a log a message quotes.
const QUOTED: u64 = 2_000;

/// initdb and pg_ctl, run as the server's user in the data folder, so that every path they are given is short and
/// plain: pg_ctl passes them through a shell.
pub(super) struct Tools<'a> {
    pub(super) folder: &'a Folder,
    pub(super) user: &'a ServerUser,
    pub(super) binaries: &'a Binaries,
    pub(super) starting: &'a File,
}

impl Tools<'_> {
    /// Makes the data aside, and puts them in their place when they are whole.
    pub(super) async fn make_data(&self, durability: Durability) -> Result<(), Error> {
        let unfinished = self.folder.unfinished_data();
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(Error::files("remove", &unfinished))?;
        }
        make_private(&unfinished, self.user)?;
        let mut args = vec!["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D", "data.new"];
        if durability == Durability::TestsOnly {
            args.push("--no-sync");
        }
        if let Err(error) = self.run("initdb", &args).await {
            // What is left is of no use, and may be what fills the disk.
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        fs::rename(&unfinished, self.folder.data()).map_err(Error::files("rename", &unfinished))?;
        let sync = File::open(self.folder.root()).and_then(|root| root.sync_all());
        sync.map_err(Error::files("write", self.folder.root()))
    }

    /// Starts the server, and waits until it says that it is ready.
    pub(super) async fn launch(&self) -> Result<(), Error> {
        let seconds = GETS_READY.as_secs().to_string();
        let settings = "-c config_file=server.conf";
        let args = ["start", "-w", "-s", "-t", &seconds, "-D", "data", "-l", "log/start.log", "-o", settings];
        let began = Instant::now();
        loop {
            self.discard_old_logs()?;
            match self.run("pg_ctl", &args).await {
                // Processes of a killed server notice within moments that it has gone, and go too.
                Err(Error::Tool { said, .. }) if said.contains("shared memory block") && began.elapsed() < LINGERS => {
                    tokio::time::sleep(GLANCE * 10).await;
                }
                ended => return ended,
            }
        }
    }

    fn discard_old_logs(&self) -> Result<(), Error> {
        let log = self.folder.log();
        for entry in fs::read_dir(&log).map_err(Error::files("read", &log))?.flatten() {
            let large = entry.metadata().is_ok_and(|metadata| metadata.len() > LARGE_LOG);
            if large || entry.file_name() == "start.log" {
                remove_if_there(&entry.path()).map_err(Error::files("remove", entry.path()))?;
            }
        }
        Ok(())
    }

    async fn run(&self, name: &str, args: &[&str]) -> Result<(), Error> {
        let program = self.binaries.program(name);
        let mut command = Command::new(&program);
        // Nothing of our environment (there are secrets in it), and nothing of Postgres's own that would change it.
        command.env_clear().env("LC_ALL", "C");
        for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let starting = self.starting.try_clone().map_err(Error::files("open", self.folder.starting()))?;
        command.args(args).current_dir(self.folder.root()).stdin(starting).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C in the terminal is for us alone.
        command.process_group(0);
        self.user.run(&mut command);
        let output = command.output().await.map_err(|source| Error::Run {
            program: program.clone(),
            user: self.user.name().to_owned(),
            source,
        })?;
        if output.status.success() {
            return Ok(());
        }
        let log = if name == "pg_ctl" { self.end_of_log() } else { String::new() };
        let said = [&String::from_utf8_lossy(&output.stderr), log.as_str()].concat();
        Err(Error::Tool {
            program,
            status: output.status.to_string(),
            said: said.trim().to_owned(),
            log: self.folder.log(),
        })
    }

    /// The end of what the server said while it was starting.
    fn end_of_log(&self) -> String {
        let mut files: Vec<_> = fs::read_dir(self.folder.log()).into_iter().flatten().flatten().collect();
        files.sort_by_key(|entry| entry.metadata().and_then(|metadata| metadata.modified()).ok());
        files.iter().rev().take(2).rev().map(|entry| tail(&entry.path()).unwrap_or_default()).collect()
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(QUOTED)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
