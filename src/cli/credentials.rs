//! `credentials`: where they stand; asking with one; taking one out and putting it back.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::author::author;
use super::runs::{open, say, time};
use super::table::lines;
use super::{Failed, exit};
use crate::config::{DatabaseSettings, SourceSettings};
use crate::db::Pool;
use crate::db::credentials::{Credential, list, register, set_ready};
use crate::instagram::Username;
use crate::pacing::{Pacing, SLACK};
use crate::telemetry;

/// All exit codes beyond those of every command, for the help.
pub(super) const EXIT_CODES: &str = " · 3 no such credential · 8 it cannot be used, and why";

/// Those of `enable` and `disable`.
const SET_CODES: &str = " · 3 no such credential";

/// What can be done about credentials.
#[derive(Subcommand)]
pub(super) enum CredentialsCommand {
    /// Show every credential: its state, how long it cools, the slots it used of its budget, when it was last used
    #[command(after_help = super::exit_codes("0 done", ""))]
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Ask the source once with a credential, at its pace, and say what it found. What it meets counts as for a run
    #[command(after_help = super::exit_codes("0 it can be used", EXIT_CODES))]
    Check(Box<CheckSettings>),
    /// Put a credential back; a cool-down ends with it
    #[command(after_help = super::exit_codes("0 it is ready", SET_CODES))]
    Enable {
        /// Its name
        name: String,
        /// Why, for whoever looks later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take a credential out: no run asks with it until it is put back
    #[command(after_help = super::exit_codes("0 it is out", SET_CODES))]
    Disable {
        /// Its name
        name: String,
        /// Why, for whoever looks later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// How a credential is checked.
#[derive(Args)]
pub(super) struct CheckSettings {
    /// Its name
    name: String,
    /// The public account that is asked for
    #[arg(long, default_value = "instagram")]
    username: String,
    /// The sources, and the credentials themselves.
    #[command(flatten)]
    source: SourceSettings,
}

/// Does what was asked.
pub(super) async fn run(command: CredentialsCommand, settings: &DatabaseSettings) -> Result<ExitCode, Failed> {
    let database = open(settings).await?;
    let pool = &database.pool;
    let done = match command {
        CredentialsCommand::List { json } => show(pool, json).await,
        CredentialsCommand::Check(settings) => check(pool, &settings).await,
        CredentialsCommand::Enable { name, reason } => set(pool, &name, true, reason.as_deref()).await,
        CredentialsCommand::Disable { name, reason } => set(pool, &name, false, reason.as_deref()).await,
    };
    database.close().await;
    done
}

async fn show(pool: &Pool, json: bool) -> Result<ExitCode, Failed> {
    let credentials = list(pool).await?;
    if json {
        say(&serde_json::to_string_pretty(&credentials)?)?;
    } else if credentials.is_empty() {
        say("no service was started on this database with any credential yet")?;
    } else {
        say(&table(&credentials))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(credentials: &[Credential]) -> String {
    let titles = ["name", "source", "kind", "state", "reason", "cooling until", "used", "last used"];
    let circuits = credentials.iter().filter_map(|one| Some((one.source.as_str(), one.circuit_open_until?)));
    let circuits: std::collections::BTreeMap<&str, DateTime<Utc>> = circuits.collect();
    let left_alone =
        |(source, until)| format!("source {source} failed again and again: nobody asks it until {}", time(until));
    let lines = lines(titles, credentials.iter().map(row).collect());
    lines.into_iter().chain(circuits.into_iter().map(left_alone)).collect::<Vec<_>>().join("\n")
}

fn row(credential: &Credential) -> [String; 8] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let used = match credential.budget {
        Some(budget) => format!("{} of {budget} in {} s", credential.used, credential.window_seconds),
        None => "not counted".to_owned(),
    };
    let reason = match (&credential.reason, &credential.note) {
        (Some(reason), Some(note)) => Some(format!("{reason}: {note}")),
        (reason, _) => reason.clone(),
    };
    [
        credential.name.clone(),
        credential.source.clone(),
        credential.kind.clone(),
        if credential.cooling_until.is_some() && credential.state == "ready" {
            "cooling".to_owned()
        } else {
            credential.state.clone()
        },
        or_none(reason),
        or_none(credential.cooling_until.map(time)),
        used,
        or_none(credential.last_used_at.map(time)),
    ]
}

async fn set(pool: &Pool, name: &str, ready: bool, note: Option<&str>) -> Result<ExitCode, Failed> {
    if !set_ready(pool, name, ready, note, &author()).await? {
        return Ok(nothing(name));
    }
    say(&if ready {
        format!("credential {name} is ready; runs ask with it from now on")
    } else {
        format!("credential {name} is out; put it back with `ig-tracking credentials enable {name}`")
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn check(pool: &Pool, settings: &CheckSettings) -> Result<ExitCode, Failed> {
    let username = Username::parse(&settings.username)?;
    let credentials = settings.source.credentials()?;
    telemetry::tell_panics(credentials.sources().secrets());
    let pacing = Pacing::beside(pool.clone(), &credentials, settings.source.terms());
    let named = credentials.kinds().map(|(name, _)| name).find(|name| ***name == *settings.name);
    let Some((name, client)) = named.and_then(|name| Some((name, pacing.sources().client(name)?))) else {
        let names: Vec<&str> = credentials.kinds().map(|(name, _)| &**name).collect();
        eprintln!("ig-tracking: no credential {:?} in these settings; there is {}", settings.name, names.join(", "));
        return Ok(ExitCode::from(exit::NOT_FOUND));
    };
    // The pace of one that a service was started with is the service's to say.
    if !list(pool).await?.iter().any(|known| *known.name == **name) {
        let own: Vec<_> = credentials.registered().into_iter().filter(|one| one.name == &**name).collect();
        register(pool, &own, SLACK.as_secs_f64()).await?;
    }
    let mut visit = client.visit(pacing.turn(name, client.source(), None), []);
    match visit.account(&username).await {
        Ok(profile) => {
            let posts =
                profile.account.posts.map_or_else(|| "an unknown number of".to_owned(), |posts| posts.to_string());
            say(&format!("credential {name} can be used: @{} has {posts} posts", profile.account.username))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            say(&format!("credential {name} cannot be used: {failure} ({})", failure.kind.as_str()))?;
            Ok(ExitCode::from(exit::CREDENTIAL_REFUSED))
        }
    }
}

fn nothing(name: &str) -> ExitCode {
    eprintln!(
        "ig-tracking: no credential {name:?} in this database; `ig-tracking credentials list` shows those that are there"
    );
    ExitCode::from(exit::NOT_FOUND)
}
