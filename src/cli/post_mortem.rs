//! `runs post-mortem`: why a run ended as it did, on one screen; or all that it left in one file.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::Failed;
use super::runs::{Found, find, nothing, say};
use crate::config::CourseSettings;
use crate::db::{self, Pool};
use crate::evidence::{Bundle, Evidence};
use crate::post_mortem::{self, PostMortem};

/// Of which run, and in which form.
#[derive(Args)]
pub(super) struct PostMortemSettings {
    /// The run, or a task, whose latest run is meant
    #[arg(value_name = "RUN|TASK")]
    of: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write all that the run left into one file (tar, zstd): its row, log, requests, answers and this. It has no secret
    /// in it, and personal data; only you can read it
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Write it over a file that is there
    #[arg(long, requires = "bundle")]
    force: bool,
    /// What a replay of the bundle depends on; the service's own, where its variables are set here, too.
    #[command(flatten)]
    course: CourseSettings,
}

/// Prints it, or writes the bundle.
pub(super) async fn post_mortem(pool: &Pool, settings: &PostMortemSettings) -> Result<ExitCode, Failed> {
    let run = match find(pool, &settings.of).await? {
        Found::Run(run) => run,
        Found::NeverRan(task_id) => {
            say(&format!("task {task_id} has not run yet"))?;
            return Ok(ExitCode::SUCCESS);
        }
        Found::Nothing => return Ok(nothing(&settings.of)),
    };
    let Some(found) = post_mortem::of(pool, run.run_id).await? else { return Ok(nothing(&settings.of)) };
    let json = serde_json::to_string_pretty(&found)?;
    match &settings.bundle {
        Some(file) => {
            let said = bundle(pool, &found, &json, file, settings).await?;
            say(&said)?;
        }
        None if settings.json => say(&json)?,
        None => say(&found.to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn bundle(
    pool: &Pool,
    found: &PostMortem,
    json: &str,
    file: &Path,
    settings: &PostMortemSettings,
) -> Result<String, Failed> {
    let evidence = Evidence::read(pool, found.run_id, settings.course.settings()).await?;
    let evidence = evidence.ok_or_else(|| format!("run {} is not there any more", found.run_id))?;
    let schema = db::migrations::applied(pool).await?;
    let mut bytes = Vec::new();
    Bundle { evidence: &evidence, schema, post_mortem: (&format!("{found}\n"), json) }.write(&mut bytes)?;
    write(file, &bytes, settings.force)?;
    let bodies = evidence.requests.iter().filter(|request| request.body.is_some()).count();
    Ok(format!(
        "{}: run {} with {} events, {} requests and {bodies} answers, {} bytes; `ig-tracking runs replay --bundle {}` plays it back",
        file.display(),
        found.run_id,
        evidence.events.len(),
        evidence.requests.len(),
        bytes.len(),
        file.display(),
    ))
}

/// Writes a file that only its owner can read.
fn write(file: &Path, bytes: &[u8], over: bool) -> Result<(), Failed> {
    if over && let Err(error) = fs::remove_file(file) {
        // One that is not there is no hindrance.
        if error.kind() != ErrorKind::NotFound {
            return Err(format!("{}: {error}", file.display()).into());
        }
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut out = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{} is there already; --force writes over it", file.display()),
        _ => format!("{}: {error}", file.display()),
    })?;
    out.write_all(bytes).and_then(|()| out.sync_all()).map_err(|error| {
        // Half a bundle is none.
        let _ = fs::remove_file(file);
        format!("{}: {error}", file.display()).into()
    })
}
