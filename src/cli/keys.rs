//! `keys`: made, listed, revoked.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum, value_parser};

use super::author::author;
use super::runs::{open, say, time};
use super::table::lines;
use super::{Failed, exit};
use crate::config::DatabaseSettings;
use crate::db::Pool;
use crate::db::keys::{Key, NewKey, Scope, create, list, revoke};
use crate::db::migrations::has_schema;
use crate::keys::FreshKey;
use crate::live::tell_keys_changed;
use crate::postgres::Database;

/// All exit codes beyond those of every command, for the help.
pub(super) const EXIT_CODES: &str = " · 3 no such key";

/// What can be done about keys.
#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key and print it, alone, on standard output: it is shown this once and kept nowhere. From the first key on a
    /// request has to show one
    #[command(after_help = super::exit_codes("0 done", ""))]
    Create(CreateSettings),
    /// Show every key: what it is for, what it allows, when it expires, when it was last used
    #[command(after_help = super::exit_codes("0 done", ""))]
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Refuse a key from now on, on every replica
    #[command(after_help = super::exit_codes("0 it is revoked, now or before", EXIT_CODES))]
    Revoke {
        /// Its id, or its name
        #[arg(value_name = "ID|NAME")]
        of: String,
    },
}

/// A key to be made.
#[derive(Args)]
pub(super) struct CreateSettings {
    /// What it is for: who or what will hold it
    #[arg(long, value_parser = name)]
    name: String,
    /// What it allows: to look (read), to change tasks and runs, too (run), everything (admin)
    #[arg(long)]
    scope: ScopeName,
    /// After which time it is refused, such as 12h, 90d or 52w; without it, it does not expire
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    expires_in: Option<f64>,
    /// Requests a second that a replica takes with it, on average over ten seconds [default: IGT_RATE_LIMIT of the replica]
    #[arg(long, value_name = "N", value_parser = value_parser!(i32).range(1..=100_000))]
    rate: Option<i32>,
}

/// A scope as it is written on the command line.
#[derive(Clone, Copy, ValueEnum)]
enum ScopeName {
    /// To look.
    Read,
    /// To change tasks and runs, too.
    Run,
    /// Everything.
    Admin,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Read => Self::Read,
            ScopeName::Run => Self::Run,
            ScopeName::Admin => Self::Admin,
        }
    }
}

/// Does what was asked.
pub(super) async fn run(command: KeysCommand, settings: &DatabaseSettings) -> Result<ExitCode, Failed> {
    let database = match command {
        // A key may be made before there was any service.
        KeysCommand::Create(_) => with_schema(settings).await?,
        KeysCommand::List { .. } | KeysCommand::Revoke { .. } => open(settings).await?,
    };
    let pool = &database.pool;
    let done = match command {
        KeysCommand::Create(settings) => make(pool, &settings).await,
        KeysCommand::List { json } => show(pool, json).await,
        KeysCommand::Revoke { of } => refuse(pool, &of).await,
    };
    database.close().await;
    done
}

async fn with_schema(settings: &DatabaseSettings) -> Result<Database, Failed> {
    let database = Database::connect(settings).await?;
    if !has_schema(&database.pool).await? {
        database.migrate().await?;
    }
    Ok(database)
}

async fn make(pool: &Pool, settings: &CreateSettings) -> Result<ExitCode, Failed> {
    let fresh = FreshKey::generate();
    let scope = Scope::from(settings.scope);
    let key = NewKey {
        key_id: &fresh.key_id,
        name: &settings.name,
        secret_sha256: fresh.secret_sha256,
        scope,
        rate_limit: settings.rate,
        expires_in_seconds: settings.expires_in,
    };
    if !create(pool, &key, &author()).await? {
        let name = &settings.name;
        return Err(format!(
            "there is a key {name:?}; choose another name, or revoke it with `ig-tracking keys revoke {name:?}`"
        )
        .into());
    }
    tell_keys_changed(pool).await;
    say(&fresh.text)?;
    eprintln!(
        "key {} ({}, scope {}) is made. It is shown this once; send it as `Authorization: Bearer …` or `X-API-Key: …`, \
         and revoke it with `ig-tracking keys revoke {}`",
        fresh.key_id,
        settings.name,
        scope.as_str(),
        fresh.key_id
    );
    Ok(ExitCode::SUCCESS)
}

async fn show(pool: &Pool, json: bool) -> Result<ExitCode, Failed> {
    let keys = list(pool, None, None).await?;
    if json {
        say(&serde_json::to_string_pretty(&keys)?)?;
    } else if keys.is_empty() {
        say("no key was made yet: `ig-tracking keys create --name NAME --scope admin` makes one")?;
    } else {
        let titles = ["id", "name", "scope", "state", "rate", "created", "expires", "last used"];
        say(&lines(titles, keys.iter().map(row).collect()).join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(key: &Key) -> [String; 8] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    [
        key.key_id.clone(),
        key.name.clone(),
        key.scope.as_str().to_owned(),
        key.state.as_str().to_owned(),
        or_none(key.rate_limit.map(|rate| format!("{rate}/s"))),
        time(key.created_at),
        or_none(key.expires_at.map(time)),
        or_none(key.last_used_at.map(time)),
    ]
}

async fn refuse(pool: &Pool, of: &str) -> Result<ExitCode, Failed> {
    let Some(revoked) = revoke(pool, of, true, &author()).await? else {
        eprintln!("ig-tracking: no key {of:?} in this database; `ig-tracking keys list` shows those that are there");
        return Ok(ExitCode::from(exit::NOT_FOUND));
    };
    tell_keys_changed(pool).await;
    let (key_id, name) = (&revoked.key_id, &revoked.name);
    say(&match revoked.now {
        true => format!("key {key_id} ({name}) is revoked; every replica refuses it within two seconds"),
        false => format!("key {key_id} ({name}) was revoked before"),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What a key may be called.
fn name(text: &str) -> Result<String, String> {
    let may = |character: char| character.is_ascii_alphanumeric() || " ._@-".contains(character);
    match text.chars().next() {
        Some(first) if first.is_ascii_alphanumeric() && text.len() <= 63 && text.chars().all(may) => {
            Ok(text.to_owned())
        }
        _ => {
            Err("must be 1 to 63 characters of A-Z a-z 0-9 . _ @ - and spaces, the first a letter or a digit"
                .to_owned())
        }
    }
}

/// A time such as `90d`, in seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let wrong = || "must be a whole number and s, m, h, d or w, such as 12h or 90d, up to ten years".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().ok().filter(|_| !number.starts_with('+')).ok_or_else(wrong)?;
    let seconds = f64::from(number) * unit;
    if (1.0..=10.0 * 366.0 * 86_400.0).contains(&seconds) { Ok(seconds) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, expected) in
            [("1s", 1.0), ("15m", 900.0), ("12h", 43_200.0), ("90d", 7_776_000.0), ("2w", 1_209_600.0)]
        {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "d", "90", "0d", "-1d", "+1d", "1.5h", "1y", "11000d", "99999999999d", "9ä", "1 d", "é"] {
            assert!(seconds(text).is_err(), "{text:?}");
        }
    }
}
