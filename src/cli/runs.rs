//! `migrate`, `runs show`, and what the commands on runs share.

use std::io::Write as _;
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;

use super::{Failed, cancel, exit, post_mortem, replay, tail};
use crate::config::DatabaseSettings;
use crate::db::exchanges::Exchange;
use crate::db::journal::Level;
use crate::db::runs::{Run, RunState};
use crate::db::status::Event;
use crate::db::{self, Pool, RunId, TaskId};
use crate::postgres::{Database, private};

/// All exit codes beyond those of every command, for the help.
pub(super) const EXIT_CODES: &str = " · 3 no such task or run · 4 the run failed · 5 it obtained a part · \
                                     6 it was cancelled · 7 it was asked to stop and has not yet · \
                                     9 its recording does not suffice · 10 it would wait";

/// Those of `tail`.
const TAIL_CODES: &str = " · 3 no such task or run · 4 the run failed · 5 it obtained a part · 6 it was cancelled";

/// Those of `cancel`.
const CANCEL_CODES: &str = " · 3 no such task or run · 7 it was asked to stop and has not yet";

/// What can be done about runs.
#[derive(Subcommand)]
pub(super) enum RunsCommand {
    /// Follow a task's latest run, live, to its end; the exit code says how it ended
    #[command(after_help = super::exit_codes("0 the run succeeded", TAIL_CODES))]
    Tail {
        /// The task, or a run of it
        #[arg(value_name = "TASK|RUN")]
        of: String,
    },
    /// Show a run: where it stands, its whole log, its requests to Instagram
    #[command(after_help = super::exit_codes("0 done", " · 3 no such task or run"))]
    Show {
        /// The run, or a task, whose latest run is meant
        #[arg(value_name = "RUN|TASK")]
        of: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Print the kept body of the answer to this request (its number in the list), and nothing else
        #[arg(long, value_name = "REQUEST", conflicts_with = "json")]
        body: Option<i64>,
    },
    /// Say on one screen why a run ended as it did, or what keeps it, and what to do
    #[command(after_help = super::exit_codes("0 done", " · 3 no such task or run"))]
    PostMortem(Box<post_mortem::PostMortemSettings>),
    /// Play the last attempt of a run back over its recorded answers, and show what it would say now beside what it said
    /// then. Nothing is asked of Instagram, and nothing is written
    #[command(after_help = super::exit_codes("0 it would succeed now", replay::CODES))]
    Replay(Box<replay::ReplaySettings>),
    /// Stop a run, wherever it stands; what it stored stays. One that has ended otherwise is an error
    #[command(after_help = super::exit_codes("0 it is cancelled, now or before", CANCEL_CODES))]
    Cancel {
        /// The run, or a task, whose latest run is meant
        #[arg(value_name = "RUN|TASK")]
        of: String,
    },
}

/// The service's database, for commands that make nothing: no server where there is none, no schema in a database that
/// has none.
pub(super) async fn open(settings: &DatabaseSettings) -> Result<Database, Failed> {
    if settings.database_url.is_none() {
        let data_dir = settings.data_dir.clone().unwrap_or_else(private::default_data_dir);
        if !private::has_data(&data_dir) {
            return Err(format!(
                "there is no database under {}; set DATABASE_URL, or --data-dir to the service's",
                data_dir.display()
            )
            .into());
        }
    }
    let database = Database::connect(settings).await?;
    if !db::migrations::has_schema(&database.pool).await? {
        return Err("this database has no schema of ig-tracking; is DATABASE_URL (or --data-dir) the service's?".into());
    }
    Ok(database)
}

/// Does what was asked.
pub(super) async fn run(command: RunsCommand, settings: &DatabaseSettings) -> Result<ExitCode, Failed> {
    if let RunsCommand::Replay(replay) = &command
        && let Some(bundle) = &replay.bundle
    {
        return replay::of_bundle(bundle, replay).await;
    }
    let database = open(settings).await?;
    let done = match command {
        RunsCommand::Tail { of } => tail::tail(&database.pool, &of).await,
        RunsCommand::Show { of, body: Some(seq), .. } => body(&database.pool, &of, seq).await,
        RunsCommand::Show { of, json, body: None } => show(&database.pool, &of, json).await,
        RunsCommand::PostMortem(settings) => post_mortem::post_mortem(&database.pool, &settings).await,
        RunsCommand::Replay(settings) => replay::of_run(&database.pool, &settings).await,
        RunsCommand::Cancel { of } => cancel::cancel(&database.pool, &of).await,
    };
    database.close().await;
    done
}

/// Brings the schema up to date.
pub(super) async fn migrate(settings: &DatabaseSettings) -> Result<ExitCode, Failed> {
    let database = Database::connect(settings).await?;
    database.migrate().await?;
    let made = db::partitions::ensure(&database.pool).await?;
    let version = db::migrations::applied(&database.pool).await?.unwrap_or_default();
    println!("schema {version} is up to date; {made} partitions made");
    database.close().await;
    Ok(ExitCode::SUCCESS)
}

/// What a name on the command line leads to.
pub(super) enum Found {
    /// This run.
    Run(Box<Run>),
    /// A task that never ran.
    NeverRan(TaskId),
    /// Nothing.
    Nothing,
}

/// Looks a run up by its id, or by its task's.
pub(super) async fn find(pool: &Pool, name: &str) -> Result<Found, Failed> {
    if let Ok(run_id) = name.parse::<RunId>()
        && let Some(run) = db::runs::find(pool, run_id).await?
    {
        return Ok(Found::Run(Box::new(run)));
    }
    let Ok(task_id) = TaskId::parse(name) else { return Ok(Found::Nothing) };
    if let Some(run) = db::runs::latest(pool, &task_id).await? {
        return Ok(Found::Run(Box::new(run)));
    }
    Ok(match db::tasks::find(pool, &task_id).await? {
        Some(task) => Found::NeverRan(task.task_id),
        None => Found::Nothing,
    })
}

/// The exit code that tells how a run ended; 0 while it is active.
pub(super) fn exit_code(state: RunState) -> ExitCode {
    ExitCode::from(match state {
        RunState::Queued | RunState::Running | RunState::Waiting | RunState::Succeeded => 0,
        RunState::Failed => exit::RUN_FAILED,
        RunState::Partial => exit::RUN_PARTIAL,
        RunState::Cancelled => exit::RUN_CANCELLED,
    })
}

/// Says that there is nothing of that name.
pub(super) fn nothing(name: &str) -> ExitCode {
    eprintln!("ig-tracking: no task or run {name:?} in this database; is DATABASE_URL (or --data-dir) the service's?");
    ExitCode::from(exit::NOT_FOUND)
}

/// How many of a run's requests `show` tells.
const MAX_EXCHANGES: i64 = 1000;

async fn show(pool: &Pool, name: &str, json: bool) -> Result<ExitCode, Failed> {
    let run = match find(pool, name).await? {
        Found::Run(run) => run,
        Found::NeverRan(_) if json => {
            say(&serde_json::json!({"run": null, "events": [], "exchanges": []}).to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        Found::NeverRan(task_id) => {
            say(&format!("task {task_id} has not run yet"))?;
            return Ok(ExitCode::SUCCESS);
        }
        Found::Nothing => return Ok(nothing(name)),
    };
    let events = db::status::events(pool, run.run_id, 0, run.last_seq).await?;
    let exchanges = db::exchanges::latest(pool, run.run_id, MAX_EXCHANGES).await?;
    if json {
        let whole = serde_json::json!({"run": run, "events": events, "exchanges": exchanges});
        say(&serde_json::to_string_pretty(&whole)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = head(&run);
    let is_gone = events.is_empty() && run.last_seq > 0;
    let gone = is_gone.then(|| format!("  its {} events are there no more (IGT_LOG_RETENTION_DAYS)", run.last_seq));
    let events = events.iter().map(|event| format!("  {}", line(event))).chain(gone);
    let exchanges = exchanges.iter().map(exchange_line);
    let parts = [head, vec![String::new(), "events".to_owned()], events.collect()];
    let requests = [vec![String::new(), "requests to Instagram".to_owned()], exchanges.collect()];
    say(&parts.into_iter().chain(requests).flatten().collect::<Vec<_>>().join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the kept body of an answer, byte for byte.
async fn body(pool: &Pool, name: &str, seq: i64) -> Result<ExitCode, Failed> {
    let run = match find(pool, name).await? {
        Found::Run(run) => run,
        Found::NeverRan(task_id) => return Err(format!("task {task_id} has not run yet, so it has no requests").into()),
        Found::Nothing => return Ok(nothing(name)),
    };
    let of = format!("request {seq} of run {}", run.run_id);
    let answer = db::exchanges::body(pool, run.run_id, seq).await?;
    let answer = answer.ok_or_else(|| format!("there is no {of}; it made {}", run.last_exchange))?;
    let kept = answer.body.ok_or_else(|| {
        format!(
            "no body of {of} is kept: it could be read whole and its run ended well or in a later attempt, it had none, or \
             its time is over (IGT_BODY_RETENTION_DAYS)"
        )
    })?;
    let whole =
        zstd::decode_all(&kept[..]).map_err(|error| format!("the kept body of {of} cannot be read: {error}"))?;
    let mut out = std::io::stdout().lock();
    out.write_all(&whole)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn head(run: &Run) -> Vec<String> {
    let reason = run.reason.map_or_else(String::new, |reason| format!(", reason {}", reason.as_str()));
    let never = || "–".to_owned();
    let mut lines = vec![
        format!("run        {}", run.run_id),
        format!("task       {} ({} of @{})", run.task_id, run.kind.as_str(), run.username),
        format!("state      {}{reason}", run.state.as_str()),
        format!("attempt    {}", run.attempt),
        format!("requested  {} by {}", time(run.requested_at), run.trigger.as_str()),
        format!("started    {}", run.started_at.map_or_else(never, time)),
        format!("updated    {}", time(run.updated_at)),
        format!("finished   {}", run.finished_at.map_or_else(never, time)),
    ];
    if let Some(at) = run.claimable_at.filter(|_| run.state == RunState::Waiting) {
        lines.push(format!("resumes    {}", time(at)));
    }
    lines
}

fn exchange_line(exchange: &Exchange) -> String {
    format!(
        "  {:>4}  {}  {:<18} {:>4} {:>8.0} ms {:>9} B  {}{}{}",
        exchange.seq,
        clock(exchange.at),
        exchange.endpoint,
        exchange.status.map_or_else(|| "–".to_owned(), |status| status.to_string()),
        exchange.duration_ms,
        exchange.bytes,
        exchange.failure.as_deref().unwrap_or("ok"),
        exchange.credential.as_ref().map_or_else(String::new, |name| format!("  with {name}")),
        if exchange.has_body { "  (body kept)" } else { "" },
    )
}

/// Prints a line, or several. Whoever reads may have gone (`… | head`): then the command ends without a word.
pub(super) fn say(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// An event as a line of text.
pub(super) fn line(event: &Event) -> String {
    let words = format!("{:>4}  {}  {:<20} {}", event.seq, clock(event.at), event.event_type, event.message);
    match event.level {
        Level::Error => console::style(words).red().to_string(),
        Level::Warning => console::style(words).yellow().to_string(),
        Level::Debug => console::style(words).dim().to_string(),
        Level::Info => words,
    }
}

/// A time as text.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn clock(at: DateTime<Utc>) -> String {
    at.format("%H:%M:%S%.3f").to_string()
}
