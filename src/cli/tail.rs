//! `runs tail`: a run's log as it is written, with a bar where there is a terminal.

use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Failed;
use super::runs::{Found, exit_code, find, line, nothing, say};
use crate::db::runs::{Run, RunState};
use crate::db::status::Event;
use crate::db::{self, Pool, RunId};
use crate::live::Live;

/// How often to look when no hint comes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows the run that the name leads to; a task that has not run yet is waited for.
pub(super) async fn tail(pool: &Pool, name: &str) -> Result<ExitCode, Failed> {
    let stop = CancellationToken::new();
    let _stop_listening = stop.clone().drop_guard();
    // Subscribed before the first look: nothing falls in between.
    let mut moved = Live::start(pool.clone(), stop).moved();
    let mut told = false;
    let run = loop {
        match find(pool, name).await? {
            Found::Run(run) => break run,
            Found::Nothing => return Ok(nothing(name)),
            Found::NeverRan(task_id) => {
                if !told {
                    eprintln!("task {task_id} has not run yet; waiting for its first run (Ctrl-C to stop)");
                    told = true;
                }
                hint(&mut moved, None).await;
            }
        }
    };
    say(&format!("run {} · {} of @{}", run.run_id, run.kind.as_str(), run.username))?;
    let ended = follow(pool, &mut moved, run.run_id).await?;
    let reason = ended.reason.map_or_else(String::new, |reason| format!(" ({})", reason.as_str()));
    say(&format!("{}{reason}", ended.state.as_str()))?;
    Ok(exit_code(ended.state))
}

/// Prints a run's events as they come, until it has ended.
pub(super) async fn follow(pool: &Pool, moved: &mut Receiver<RunId>, run_id: RunId) -> Result<Run, Failed> {
    let bar = Bar::new();
    let mut seen = 0;
    loop {
        let Some(run) = db::runs::find(pool, run_id).await? else {
            return Err(format!("run {run_id} is not there any more").into());
        };
        for event in db::status::events(pool, run_id, seen, run.last_seq).await? {
            bar.show(&event)?;
            seen = event.seq;
        }
        match run.state {
            RunState::Queued | RunState::Running | RunState::Waiting => hint(moved, Some(run_id)).await,
            RunState::Succeeded | RunState::Partial | RunState::Failed | RunState::Cancelled => {
                bar.clear();
                return Ok(run);
            }
        }
    }
}

/// Waits for a hint that the run moved, or for the next look.
pub(super) async fn hint(moved: &mut Receiver<RunId>, run_id: Option<RunId>) {
    let relevant = async {
        loop {
            match moved.recv().await {
                Ok(id) if run_id.is_none_or(|run_id| run_id == id) => return,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let _ = tokio::time::timeout(LOOK_EVERY, relevant).await;
}

/// The bar below the log: how much of what is known to be there has been read.
struct Bar(ProgressBar);

impl Bar {
    /// Hidden by itself where standard error is no terminal.
    fn new() -> Self {
        let bar = ProgressBar::new(1);
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:40}] {pos}/{len} {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn show(&self, event: &Event) -> std::io::Result<()> {
        self.0.suspend(|| say(&line(event)))?;
        let fields: Value = serde_json::from_str(&event.fields).unwrap_or_default();
        let field = |name: &str| fields.get(name).and_then(Value::as_u64);
        let progress = match event.event_type.as_str() {
            "posts_fetched" => {
                field("scraped_posts_count").zip(field("posts_count")).map(|progress| (progress, "posts"))
            }
            "processing_reels" | "reels_processed" => {
                field("done").zip(field("total")).map(|progress| (progress, "reels"))
            }
            _ => None,
        };
        if let Some(((done, total), what)) = progress {
            self.0.set_message(what);
            self.0.update(|bar| {
                bar.set_len(total);
                bar.set_pos(done);
            });
        }
        Ok(())
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}
