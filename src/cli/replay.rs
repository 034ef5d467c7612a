//! `runs replay`: a run's last attempt once more, over what it was answered then.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::runs::{Found, exit_code, find, nothing, say};
use super::{Failed, exit};
use crate::config::CourseSettings;
use crate::db::Pool;
use crate::db::runs::RunState;
use crate::evidence::Evidence;
use crate::replay::{self, Outcome};

/// Its exit codes beyond 0, for the help.
pub(super) const CODES: &str = " · 3 no such task or run · 4 it would fail · 5 it would obtain a part · 9 what is kept does \
                                not suffice to say · 10 it would wait";

/// Which run, and in which form.
#[derive(Args)]
pub(super) struct ReplaySettings {
    /// The run, or a task, whose latest run is meant
    #[arg(value_name = "RUN|TASK", required_unless_present = "bundle")]
    of: Option<String>,
    /// A bundle of `runs post-mortem`, in the place of a database; the settings are those in it
    #[arg(long, value_name = "FILE", conflicts_with = "of")]
    pub(super) bundle: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// What a run's course depends on; the service's own, where its variables are set here, too.
    #[command(flatten)]
    course: CourseSettings,
}

/// Plays a run of the database.
pub(super) async fn of_run(pool: &Pool, settings: &ReplaySettings) -> Result<ExitCode, Failed> {
    let name = settings.of.as_deref().unwrap_or_default();
    let run = match find(pool, name).await? {
        Found::Run(run) => run,
        Found::NeverRan(task_id) => return Err(format!("task {task_id} has not run yet: nothing to play back").into()),
        Found::Nothing => return Ok(nothing(name)),
    };
    let evidence = Evidence::read(pool, run.run_id, settings.course.settings()).await?;
    let evidence = evidence.ok_or_else(|| format!("run {} is not there any more", run.run_id))?;
    play(&evidence, settings.json).await
}

/// Plays the run of a bundle.
pub(super) async fn of_bundle(file: &Path, settings: &ReplaySettings) -> Result<ExitCode, Failed> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let opened = File::open(file).map_err(|error| named(&error))?;
    let evidence = Evidence::of_bundle(BufReader::new(opened)).map_err(|error| named(&error))?;
    play(&evidence, settings.json).await
}

async fn play(evidence: &Evidence, json: bool) -> Result<ExitCode, Failed> {
    let played = match replay::play(evidence).await {
        Ok(played) => played,
        Err(error) => {
            eprintln!("ig-tracking: {error}");
            return Ok(ExitCode::from(exit::NOT_PLAYED_OUT));
        }
    };
    say(&if json { serde_json::to_string_pretty(&played)? } else { played.to_string() })?;
    Ok(match played.now {
        Outcome::RecordingEnds(_) => ExitCode::from(exit::NOT_PLAYED_OUT),
        Outcome::Ends(stand) if stand.state == RunState::Waiting => ExitCode::from(exit::RUN_WAITS),
        Outcome::Ends(stand) => exit_code(stand.state),
    })
}
