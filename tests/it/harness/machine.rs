//! Programs of the machine that tests run as a person would: python3 with its packages, curl, sh, schemathesis; and what its
//! kernel tells of processes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::Pid;
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

/// Schemathesis, where scripts/setup puts it.
pub(crate) fn schemathesis() -> Command {
    let mut command = python_with("schemathesis");
    command.args(["-m", "schemathesis.cli"]);
    command
}

/// Python with a package of scripts/setup's, and what comes with it.
pub(crate) fn python_with(package: &str) -> Command {
    let shared = PathBuf::from("/usr/local/lib/ig-tracking");
    let own = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")));
    let own = own.map(|folder| folder.join("ig-tracking"));
    let places = [Some(shared), own].into_iter().flatten().map(|folder| folder.join(package));
    let found = places.into_iter().find(|folder| folder.exists());
    let found =
        found.unwrap_or_else(|| panic!("{package} is not on this machine, and this test runs it; try `make setup`"));
    let mut command = python();
    command.env("PYTHONPATH", found);
    command
}

/// The state of a process, its parent, and what more Linux tells of it, a blank between two of them; nothing of one that is no more.
pub(crate) fn state_and_more(pid: Pid) -> Option<String> {
    let told = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // They follow the name, which may hold anything.
    Some(told.rsplit_once(") ")?.1.to_owned())
}

/// What a program said, and whether it ended well.
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Ran {
    /// The standard output of a program that ended well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a program of this machine to its end.
pub(crate) async fn run(mut command: Command, stdin: &str) -> Ran {
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
    Ran { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
}

/// A shell for scripts that call curl; a curl that is missing is said here, not in one of their lines.
pub(crate) async fn shell_with_curl() -> Command {
    let mut version = Command::new("curl");
    version.arg("--version");
    run(version, "").await.ok();
    Command::new("sh")
}
