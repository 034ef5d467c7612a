//! `profiles`: erasing all that was collected of a person.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::author::author;
use super::runs::{open, say};
use super::table::lines;
use super::{Failed, exit};
use crate::config::DatabaseSettings;
use crate::db::erasure::{Account, Removed};
use crate::db::{Pool, RunId};
use crate::erasure::{self, Erased, Found, Lookup, Who};
use crate::instagram::Username;

/// All exit codes beyond those of every command, for the help.
pub(super) const EXIT_CODES: &str = " · 3 nobody of that name or number";

/// How long one statement of it may take: it looks through whole tables.
const PATIENCE: Duration = Duration::from_secs(600);

/// What can be done about profiles.
#[derive(Subcommand)]
pub(super) enum ProfilesCommand {
    /// Erase all that was collected of a person, and say what it was. Of their runs the bare statistics stay, under a name
    /// that nobody bears. It cannot be undone
    #[command(after_help = super::exit_codes("0 done", EXIT_CODES))]
    Purge(PurgeSettings),
}

/// Whom to erase, and how.
#[derive(Args)]
pub(super) struct PurgeSettings {
    /// The handle that they bear or bore
    #[arg(value_parser = username, required_unless_present_any = ["instagram_id", "profile_id"])]
    username: Option<Username>,
    /// Instagram's own number of the account, in the place of a handle
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["username", "profile_id"])]
    instagram_id: Option<i64>,
    /// The number that the account has here (profiles.profile_id), in the place of a handle
    #[arg(long, value_name = "NUMBER", conflicts_with = "username")]
    profile_id: Option<i64>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

fn username(text: &str) -> Result<Username, String> {
    Username::parse(text).map_err(|error| error.to_string())
}

impl PurgeSettings {
    fn who(&self) -> Option<Who> {
        let called = self.username.clone().map(Who::Called);
        called.or(self.instagram_id.map(Who::InstagramId)).or(self.profile_id.map(Who::Profile))
    }
}

/// Does what was asked.
pub(super) async fn run(command: ProfilesCommand, settings: &DatabaseSettings) -> Result<ExitCode, Failed> {
    let ProfilesCommand::Purge(purge_settings) = command;
    let database = open(settings).await?;
    let done = purge(&database.pool.patient(PATIENCE), &purge_settings).await;
    database.close().await;
    done
}

async fn purge(pool: &Pool, settings: &PurgeSettings) -> Result<ExitCode, Failed> {
    let Some(who) = settings.who() else { return Err("name somebody".into()) };
    let found = match erasure::find(pool, &who).await? {
        Lookup::One(found) => *found,
        Lookup::Several(accounts) => return Err(several(&accounts).into()),
        Lookup::Nobody => {
            eprintln!(
                "ig-tracking: nobody of that name or number in this database; is DATABASE_URL (or --data-dir) the service's?"
            );
            return Ok(ExitCode::from(exit::NOT_FOUND));
        }
    };
    if settings.dry_run {
        let erased = erasure::rehearse(pool, &found, &author()).await?;
        say(&format!("would be removed of {}:", described(&found)))?;
        table(&erased)?;
        return whole(&erased);
    }
    if !settings.yes && !confirmed(&found)? {
        return Err("nothing was removed".into());
    }
    let erased = erasure::erase(pool, found, &author()).await?;
    say("removed:")?;
    table(&erased)?;
    say(&format!(
        "what is left of their runs is called {}; backups, and the log of the process, are not reached from here",
        erased.name
    ))?;
    whole(&erased)
}

/// Whether all was looked through that may name them.
fn whole(erased: &Erased) -> Result<ExitCode, Failed> {
    if erased.unread.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let runs: Vec<String> = erased.unread.iter().map(RunId::to_string).collect();
    Err(format!(
        "the packed logs of these runs are damaged and were not looked through: {}; delete their rows in run_archives, so that \
         nobody who mends them finds the name",
        runs.join(", ")
    )
    .into())
}

/// The accounts that one handle led to, to be told apart.
fn several(accounts: &[Account]) -> String {
    let or_none = |number: Option<String>| number.unwrap_or_else(|| "–".to_owned());
    let rows = accounts.iter().map(|account| {
        [
            account.profile_id.to_string(),
            or_none(account.instagram_pk.map(|pk| pk.to_string())),
            account.username.clone(),
        ]
    });
    let rows = lines(["--profile-id", "--instagram-id", "called now"], rows.collect()).join("\n");
    format!("several accounts bear this handle or bore it; name one by its number:\n{rows}")
}

/// Who was found, in a few words.
fn described(found: &Found) -> String {
    let handles: Vec<String> = found.handles.iter().map(|handle| format!("@{handle}")).collect();
    let number = found.account.as_ref().and_then(|account| account.instagram_pk);
    let number = number.map_or_else(String::new, |pk| format!(", Instagram's number {pk}"));
    let tasks = found.tasks.len();
    format!("{}{number} ({tasks} {})", handles.join(", "), if tasks == 1 { "task" } else { "tasks" })
}

fn confirmed(found: &Found) -> Result<bool, Failed> {
    if !std::io::stdin().is_terminal() {
        return Err(
            "nobody can be asked here; --yes removes without asking, --dry-run says what would be removed".into()
        );
    }
    eprint!("Erase all that was collected of {}? It cannot be undone. Type yes: ", described(found));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn table(erased: &Erased) -> Result<(), Failed> {
    let row = |(of, rows): &(&'static str, u64), what: &str| [(*of).to_owned(), rows.to_string(), what.to_owned()];
    let what = |of: &str| match of {
        "runs" | "tasks" => "made bare: a name that nobody bears",
        "audit" => "without their name",
        _ => "removed",
    };
    let named = |of: &str| if of.starts_with("answers") { "removed" } else { "without their name" };
    let owned = erased.removed.iter().map(|one| row(one, what(one.0)));
    let rows = owned.chain(erased.mentions.iter().map(|one| row(one, named(one.0)))).collect();
    let rows = lines(["of", "rows", ""], rows).join("\n");
    say(&rows)?;
    let total: u64 = totals(&erased.removed) + totals(&erased.mentions);
    say(&format!("{total} rows in all"))?;
    Ok(())
}

fn totals(counts: &Removed) -> u64 {
    counts.iter().map(|(_, rows)| rows).sum()
}
