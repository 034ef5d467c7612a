//! The program as a person calls it: one command, its words and its exit code.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{PATIENCE, PROGRAM, eventually};

/// A command that was called and need not have ended.
pub(crate) struct Called {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Calls the program with no other environment than the one given.
pub(crate) fn call(arguments: &[&str], variables: &[(&str, &str)]) -> Called {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (stdout, stderr) = (Arc::default(), Arc::default());
    let readers = [
        keep(child.stdout.take().unwrap(), Arc::clone(&stdout)),
        keep(child.stderr.take().unwrap(), Arc::clone(&stderr)),
    ];
    Called { child, stdout, stderr, readers }
}

fn keep(from: impl AsyncRead + Send + Unpin + 'static, to: Arc<Mutex<String>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = to.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    })
}

impl Called {
    /// Waits until these words are on standard output.
    pub(crate) async fn says(&self, words: &str) {
        eventually(&format!("{words:?} is said"), async || self.stdout.lock().unwrap().contains(words).then_some(()))
            .await;
    }

    /// What is on standard output so far.
    pub(crate) fn said(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// Waits until these words are on standard error.
    pub(crate) async fn warns(&self, words: &str) {
        eventually(&format!("{words:?} is said"), async || self.stderr.lock().unwrap().contains(words).then_some(()))
            .await;
    }

    /// Waits until it ends by itself.
    pub(crate) async fn finished(mut self) -> Finished {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let Ok(status) = ended else {
            panic!("it does not end: {} {}", self.stdout.lock().unwrap(), self.stderr.lock().unwrap())
        };
        for reader in self.readers {
            reader.await.unwrap();
        }
        let taken = |text: Arc<Mutex<String>>| std::mem::take(&mut *text.lock().unwrap());
        Finished { code: status.unwrap().code(), stdout: taken(self.stdout), stderr: taken(self.stderr) }
    }
}
