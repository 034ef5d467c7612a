//! `dashboard-role`: makes the role with which dashboards and notebooks read, or brings it in order.

use std::io::Read as _;
use std::process::ExitCode;

use clap::{Args, value_parser};
use postgres_protocol::password::scram_sha_256;
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::Failed;
use super::runs::say;
use crate::config::DatabaseSettings;
use crate::db::Transaction;
use crate::db::dashboard_role::{self as role, NAME};
use crate::db::migrations::has_schema;
use crate::postgres::Database;

/// The characters of a password that is made here, and how many: 190 bits of chance.
const CHARACTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LENGTH: usize = 32;

/// The shortest password that is taken.
const SHORTEST: usize = 8;

/// How the role is to be.
#[derive(Args)]
pub(super) struct RoleSettings {
    /// Read its password from standard input
    #[arg(long, conflicts_with = "new_password")]
    password_stdin: bool,
    /// Its password [default: of a new role one that is made and printed, alone, on standard output; that of a role which is
    /// there stays]
    #[arg(long, env = "IGT_DASHBOARD_PASSWORD", value_name = "PASSWORD", hide_env_values = true,
          conflicts_with_all = ["password_stdin", "new_password"])]
    password: Option<SecretString>,
    /// Give a role that is there another password, and print it
    #[arg(long)]
    new_password: bool,
    /// Seconds after which a statement of its is given up, unless its session says otherwise
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = value_parser!(u32).range(1..=86_400))]
    statement_timeout: u32,
}

/// Makes the role, or brings it in order.
pub(super) async fn run(settings: &RoleSettings, database: &DatabaseSettings) -> Result<ExitCode, Failed> {
    let given = settings.given()?;
    let database = Database::connect(database).await?;
    if !has_schema(&database.pool).await? {
        database.migrate().await?;
    }
    let mut transaction = database.pool.begin().await?;
    let made = bring_in_order(&mut transaction, settings, given).await?;
    let beyond = role::beyond(&mut *transaction).await?;
    transaction.commit().await?;
    database.close().await;
    if let Some(password) = &made.to_be_shown {
        say(password)?;
    }
    eprintln!("{}", made.word);
    if !beyond.is_empty() {
        eprintln!("beware: beside the views of the schema dashboard it may also use {}", beyond.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

impl RoleSettings {
    /// The password that was given.
    fn given(&self) -> Result<Option<String>, Failed> {
        let given = if self.password_stdin {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())
        } else {
            self.password.as_ref().map(|password| password.expose_secret().to_owned())
        };
        match given {
            Some(password) if password.chars().count() < SHORTEST => Err(format!(
                "the password is shorter than {SHORTEST} characters; give a longer one, or none: then one is made"
            )
            .into()),
            given => Ok(given),
        }
    }
}

/// What was done, and the password that nobody knows yet.
struct Made {
    word: String,
    to_be_shown: Option<String>,
}

async fn bring_in_order(
    transaction: &mut Transaction,
    settings: &RoleSettings,
    given: Option<String>,
) -> Result<Made, Failed> {
    let standing = role::find(&mut **transaction).await?;
    if standing.as_ref().is_some_and(|standing| standing.has_powers) {
        return Err(format!(
            "there is a role {NAME} with powers beyond reading, or that is a member of another role; take these from it, or \
             drop it, and try again"
        )
        .into());
    }
    let is_new = standing.is_none();
    let generated = (given.is_none() && (is_new || settings.new_password)).then(generate);
    let changed = async {
        if is_new {
            role::create(transaction).await?;
        }
        let seconds = settings.statement_timeout;
        if !standing.is_some_and(|standing| standing.can_login && role::is_limited(&standing.settings, seconds)) {
            role::limit(transaction, seconds).await?;
        }
        if let Some(password) = given.as_ref().or(generated.as_ref()) {
            role::set_password(transaction, &scram_sha_256(password.as_bytes())).await?;
        }
        Ok(())
    };
    changed.await.map_err(|error| refused(&error, settings.statement_timeout))?;
    role::grant(transaction).await?;
    let done = match (is_new, given.is_some() || generated.is_some()) {
        (true, _) => "is made",
        (false, true) => "is there, and has its new password",
        (false, false) => "is there, with the password that it had",
    };
    let shown = if generated.is_some() { "; its password is shown this once" } else { "" };
    Ok(Made {
        word: format!("role {NAME} {done}{shown}. It reads the views of the schema dashboard"),
        to_be_shown: generated,
    })
}

/// Why the role could not be made, and what somebody who may has to run.
fn refused(error: &sqlx::Error, statement_seconds: u32) -> Failed {
    if !role::is_forbidden(error) {
        return format!("role {NAME} could not be made: {error}").into();
    }
    let mut statements = vec![format!("{} password '…'", role::creation())];
    statements.extend(role::limits(statement_seconds));
    let statements: Vec<_> = statements.iter().map(|statement| format!("  {statement};")).collect();
    format!(
        "the database's user may not make roles or change this one ({error}). Have somebody who may run this (alter role in \
         place of create role where it is there), then call this command again without a password: it grants the rest\n\n{}",
        statements.join("\n")
    )
    .into()
}

fn generate() -> String {
    let mut rng = rand::rng();
    (0..LENGTH).map(|_| char::from(CHARACTERS[rng.random_range(0..CHARACTERS.len())])).collect()
}
