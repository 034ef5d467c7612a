//! A reader's terminal, and the commands that a document has typed there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::process::Command;

use crate::documents::fences::cut;
use crate::harness::PROGRAM;
use crate::harness::machine::run;

/// A command, and what the document has it print.
pub(super) struct Step {
    pub(super) command: String,
    pub(super) prints: String,
}

/// The commands of a document, in their order.
pub(super) fn steps_of(text: &str) -> Vec<Step> {
    let fences = cut(text).into_iter().filter(|fence| fence.language == "console");
    let mut steps: Vec<Step> = Vec::new();
    for line in fences.flat_map(|fence| fence.text.lines().map(str::to_owned).collect::<Vec<_>>()) {
        match (line.split_once(' '), steps.last_mut()) {
            (Some(("$", command)), _) => steps.push(Step { command: command.to_owned(), prints: String::new() }),
            // A command that goes on in the next line.
            (Some((">", more)), Some(step)) => step.command.push_str(&format!("\n{more}")),
            (_, Some(step)) => step.prints.push_str(&format!("{line}\n")),
            (_, None) => panic!("{line:?} stands below no command"),
        }
    }
    steps
}

/// A terminal at which the program and curl are as in the document.
pub(super) struct Terminal {
    folder: PathBuf,
}

impl Terminal {
    pub(super) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("igt-it-programs-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(PROGRAM, folder.join("ig-tracking")).unwrap();
        // A person at a terminal sees no progress beside an answer, either.
        std::fs::write(folder.join(".curlrc"), "no-progress-meter\n").unwrap();
        Self { folder }
    }

    /// What the command prints.
    pub(super) async fn prints(&self, command: &str, variables: &BTreeMap<&str, String>) -> String {
        let mut shell = Command::new("sh");
        let path = format!("{}:{}", self.folder.display(), std::env::var("PATH").unwrap());
        shell.current_dir(&self.folder).env("PATH", path).env_remove("DATABASE_URL");
        shell.env("CURL_HOME", &self.folder).env("no_proxy", "*").envs(variables);
        shell.args(["-c", &format!("set -u; {{ {command}\n}} 2>&1")]);
        // `grep` and `curl` may end otherwise than well; what they print says it.
        run(shell, "").await.stdout
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
