//! The command line: what each command does, in terms of the other rooms.

mod author;
mod cancel;
mod credentials;
mod dashboard_role;
mod demo;
mod keys;
mod maintain;
mod post_mortem;
mod profiles;
mod replay;
mod runs;
mod sandbox;
mod serve;
mod table;
mod tail;
mod variables;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{FromArgMatches as _, Parser, Subcommand};

use crate::config::{DatabaseSettings, LogSettings, ServeSettings};
use crate::postgres::private;
use crate::telemetry;

/// What a command ends with when it goes wrong: the words for standard error.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Exit codes beyond 0 (done), 1 (an error, told on standard error) and 2 (the command line cannot be read).
mod exit {
    /// There is no such task, run, credential or key.
    pub(super) const NOT_FOUND: u8 = 3;
    /// The run failed.
    pub(super) const RUN_FAILED: u8 = 4;
    /// The run obtained a part.
    pub(super) const RUN_PARTIAL: u8 = 5;
    /// The run was cancelled.
    pub(super) const RUN_CANCELLED: u8 = 6;
    /// The run was asked to stop and has not stopped yet.
    pub(super) const STILL_STOPPING: u8 = 7;
    /// The credential cannot be used.
    pub(super) const CREDENTIAL_REFUSED: u8 = 8;
    /// What is kept of the run does not suffice to play it back to its end.
    pub(super) const NOT_PLAYED_OUT: u8 = 9;
    /// Played back, the run would wait.
    pub(super) const RUN_WAITS: u8 = 10;
}

/// A command's exit codes, for its help.
fn exit_codes(done: &str, more: &str) -> String {
    format!(
        "Exit codes: {done} · 1 an error, told on standard error · 2 the command line or a setting cannot be read{more}"
    )
}

fn after_help() -> String {
    let codes = exit_codes("0 done", runs::EXIT_CODES);
    format!("{codes}\n\nEvery setting has a flag and an environment variable; .env.example lists them all.")
}

/// Tracks Instagram profiles and reels: a scrape is answered at once, worked in the background, and every step of it
/// is a row in Postgres.
#[derive(Parser)]
#[command(version, after_help = after_help(), max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    logs: LogSettings,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service
    #[command(after_help = exit_codes("0 stopped by a signal, in order", ""))]
    Serve(Box<ServeSettings>),
    /// Run the service against an invented Instagram, scrape a profile and a reel task before your eyes, and stay up
    #[command(after_help = exit_codes("0 both scrapes succeeded", ""))]
    Demo(Box<demo::DemoSettings>),
    /// Run the invented Instagram alone
    #[command(after_help = exit_codes("0 stopped by a signal, in order", ""),
              after_long_help = format!("{}\n\n{}", sandbox::fault_help(), exit_codes("0 stopped by a signal, in order", "")))]
    Sandbox(sandbox::SandboxSettings),
    /// Bring the database's schema up to date, and say which version it has
    #[command(after_help = exit_codes("0 the schema is up to date", ""))]
    Migrate,
    /// Do now, and to the end, what the service does for its tables by itself: partitions ahead, old logs packed, what is over
    /// removed
    #[command(after_help = exit_codes("0 done", ""))]
    Maintain(maintain::MaintainSettings),
    /// Look at runs, or cancel one
    #[command(subcommand, after_help = exit_codes("0 done", runs::EXIT_CODES))]
    Runs(runs::RunsCommand),
    /// Look at the credentials that the sources are asked with, check one, take one out or put it back
    #[command(subcommand, after_help = exit_codes("0 done", credentials::EXIT_CODES))]
    Credentials(credentials::CredentialsCommand),
    /// Erase all that was collected of a person
    #[command(subcommand, after_help = exit_codes("0 done", profiles::EXIT_CODES))]
    Profiles(profiles::ProfilesCommand),
    /// Make, list and revoke the keys of the interface
    #[command(subcommand, after_help = exit_codes("0 done", keys::EXIT_CODES))]
    Keys(keys::KeysCommand),
    /// Make the role with which dashboards and notebooks read the views of the schema dashboard and nothing else, or bring it in
    /// order
    #[command(after_help = exit_codes("0 the role is there and reads", ""))]
    DashboardRole(dashboard_role::RoleSettings),
    /// Ask a service on this machine whether it is ready; for health checks
    #[command(after_help = "Exit codes: 0 it is ready · 1 it is not, and why · 2 the command line cannot be read")]
    Healthcheck(serve::HealthcheckSettings),
    /// Stop the private Postgres when its last user has gone
    #[command(hide = true)]
    PostgresWatchdog {
        /// The server's folder
        #[arg(long)]
        data_dir: PathBuf,
    },
    /// Hold the private Postgres and print a connection string until standard input ends
    #[command(hide = true)]
    PostgresHold {
        /// The server's folder
        #[arg(long)]
        data_dir: PathBuf,
        /// Made if it is not there
        #[arg(long, default_value = "postgres")]
        database: String,
    },
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    called_with(std::env::args_os())
}

/// Does what these words say; the first is the program's name.
pub fn called_with(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = variables::without_empty(command()).get_matches_from(words);
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // The demo shows the runs' own log; the process's would stand in between.
    if matches!(cli.command, Command::Demo(_)) && matches.value_source("log") == Some(ValueSource::DefaultValue) {
        "warn".clone_into(&mut cli.logs.log);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(run(cli));
            // A blocking read of standard input must not hold up the end.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(error.into()),
    };
    done.unwrap_or_else(|error| {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        eprintln!("ig-tracking: {error}");
        ExitCode::FAILURE
    })
}

async fn run(cli: Cli) -> Result<ExitCode, Failed> {
    let Cli { command, database, logs } = cli;
    // Commands for a person speak for themselves; the service speaks in log lines.
    let quiet = matches!(
        command,
        Command::Runs(_)
            | Command::Credentials(_)
            | Command::Profiles(_)
            | Command::Keys(_)
            | Command::DashboardRole(_)
            | Command::Healthcheck(_)
    );
    if !quiet {
        telemetry::begin_logs(&logs)?;
    }
    if matches!(command, Command::Serve(_) | Command::Demo(_) | Command::Sandbox(_)) {
        variables::warn_of_unknown(&self::command());
    }
    match command {
        Command::Serve(settings) => serve::serve(&settings, &database).await,
        Command::Demo(settings) => demo::demo(*settings, database).await,
        Command::Sandbox(settings) => sandbox::sandbox(&settings).await,
        Command::Migrate => runs::migrate(&database).await,
        Command::Maintain(settings) => maintain::maintain(&settings, &database).await,
        Command::Runs(command) => runs::run(command, &database).await,
        Command::Credentials(command) => credentials::run(command, &database).await,
        Command::Profiles(command) => profiles::run(command, &database).await,
        Command::Keys(command) => keys::run(command, &database).await,
        Command::DashboardRole(settings) => dashboard_role::run(&settings, &database).await,
        Command::Healthcheck(settings) => serve::healthcheck(&settings).await,
        Command::PostgresWatchdog { data_dir } => {
            private::watchdog(&data_dir).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::PostgresHold { data_dir, database } => {
            let server = private::PrivatePostgres::start(private::Options::new(data_dir)?).await?;
            println!("{}", server.database(&database).await?);
            tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The whole command line as clap sees it, for tests and for the list of settings.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
