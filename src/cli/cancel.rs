//! `runs cancel`: stops a run with nothing but the database, and says what came of it.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::runs::{Found, find, nothing, say, time};
use super::tail::hint;
use super::{Failed, exit};
use crate::db::runs::{Run, RunState};
use crate::db::{self, Pool, RunId};
use crate::live::Live;
use crate::runs::{Cancellation, cancel_run};

/// How long the worker that has the run may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Cancels the run that the name leads to, and waits a while until it has ended.
pub(super) async fn cancel(pool: &Pool, name: &str) -> Result<ExitCode, Failed> {
    let run = match find(pool, name).await? {
        Found::Run(run) => run,
        Found::NeverRan(task_id) => return Err(format!("task {task_id} has not run yet: nothing to cancel").into()),
        Found::Nothing => return Ok(nothing(name)),
    };
    let which = format!("run {} of task {}", run.run_id, run.task_id);
    match (run.state, stop(pool, run.run_id).await?) {
        (RunState::Cancelled, _) => say(&format!("{which} was cancelled before"))?,
        (_, Cancellation::Ended(RunState::Cancelled)) => say(&format!("{which} cancelled; what was stored stays"))?,
        (_, Cancellation::Ended(state)) => {
            let more = format!("`ig-tracking runs show {}` tells how", run.run_id);
            return Err(format!("{which} has ended as {} and cannot be cancelled; {more}", state.as_str()).into());
        }
        (_, Cancellation::Stopping) => {
            say(&format!("{which} {}", still_in_hand(db::runs::find(pool, run.run_id).await?)))?;
            return Ok(ExitCode::from(exit::STILL_STOPPING));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks again and again, which is harmless: the hint may be lost, and a hand that has gone loses the run in the end.
async fn stop(pool: &Pool, run_id: RunId) -> Result<Cancellation, Failed> {
    let until = Instant::now() + PATIENCE;
    let silence = CancellationToken::new();
    let _silence = silence.clone().drop_guard();
    let live = Live::start(pool.clone(), silence);
    // Subscribed before the first request: the answer cannot fall in between.
    let mut moved = live.moved();
    loop {
        let cancellation = cancel_run(pool, &live, run_id).await?;
        if cancellation != Cancellation::Stopping || Instant::now() >= until {
            return Ok(cancellation);
        }
        hint(&mut moved, Some(run_id)).await;
    }
}

fn still_in_hand(run: Option<Run>) -> String {
    let worker = run.as_ref().and_then(|run| run.worker_id).map_or_else(String::new, |worker| format!(" ({worker})"));
    let lease_end = run.and_then(|run| run.claimable_at).map_or_else(String::new, |at| format!(" at {}", time(at)));
    format!(
        "was asked to stop; its worker{worker} has not answered yet. It ends at the latest when its lease passes{lease_end}: \
         by a free worker, or by this command, called again"
    )
}
