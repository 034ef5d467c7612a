//! Programs of the machine that tests run as a person would: python3, curl, sh.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// A path below the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Python, that leaves no compiled files in the tree and speaks UTF-8.
pub(crate) fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUTF8", "1");
    command
}

/// Runs a program to its end and gives its standard output and how it ended; what it said on standard error is shown.
pub(crate) async fn run(command: Command, stdin: &str) -> (String, bool) {
    let (output, success, errors) = run_quietly(command, stdin).await;
    eprint!("{errors}");
    (output, success)
}

async fn run_quietly(mut command: Command, stdin: &str) -> (String, bool, String) {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => panic!("{name} is not on this machine, and this test runs it; try `make setup`"),
        _ => panic!("cannot run {name}: {error}"),
    });
    let mut input = child.stdin.take().unwrap();
    let everything = async {
        // A program that reads nothing may have closed it.
        let _ = input.write_all(stdin.as_bytes()).await;
        drop(input);
        child.wait_with_output().await.unwrap()
    };
    let output = tokio::time::timeout(PATIENCE, everything)
        .await
        .unwrap_or_else(|_| panic!("{name} did not end in {PATIENCE:?}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), output.status.success(), text(output.stderr))
}
