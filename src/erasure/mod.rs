//! Erasing a person: all that was collected of them, and their names wherever else they stand.
//!
//! In this order, each step safe to be done again, so that an erasure that was cut off anywhere is done by asking for it
//! once more:
//!
//! 1. Their tasks are deleted and their active runs ended; the leases are raised, so that no hand writes any more.
//! 2. What began before that is waited for.
//! 3. Their names are taken out of what is not theirs, a part at a time.
//! 4. All that is theirs goes in one transaction, with the row in the audit. Before its commit nothing of it is gone, and
//!    they are found again by the same names; behind it nothing is left.

mod mentions;
mod redaction;

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;

use self::mentions::{Mentions, take_out};
use self::redaction::Names;
use crate::db::audit::Author;
use crate::db::erasure::{self, Account, Person, Removed};
use crate::db::{Pool, RunId, TaskId};
use crate::instagram::Username;

/// How long those are waited for that began before, and how often is looked.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often it is begun anew where a run of theirs began in the meantime.
const TRIES: usize = 5;

/// Whom to erase.
#[derive(Clone, Debug)]
pub enum Who {
    /// Whoever bears this handle or bore it.
    Called(Username),
    /// The account with this number of Instagram's.
    InstagramId(i64),
    /// The account with this number of ours.
    Profile(i64),
}

/// Somebody who was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Their account, where a run has read one.
    pub account: Option<Account>,
    /// Their tasks.
    pub tasks: Vec<TaskId>,
    /// All their handles.
    pub handles: Vec<String>,
    /// Those that are nobody else's.
    own_handles: Vec<String>,
}

/// Whom a name leads to.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// To one.
    One(Box<Found>),
    /// To several, of whom one has to be chosen.
    Several(Vec<Account>),
    /// To nobody.
    Nobody,
}

/// What an erasure did.
#[derive(Clone, Debug)]
pub struct Erased {
    /// The name under which the bare statistics stay.
    pub name: String,
    /// The rows that were removed or made bare, by table.
    pub removed: Removed,
    /// The texts of others that named them, by table.
    pub mentions: Removed,
    /// Other runs whose packed logs are damaged: they stay as they are, and may name them.
    pub unread: BTreeSet<RunId>,
}

/// Why an erasure was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not do it. Nothing that is theirs is gone, or all of it.
    #[error("{0}; call it again: it goes on where it has to")]
    Database(#[from] sqlx::Error),
    /// Their names make no pattern.
    #[error("their names cannot be looked for: {0}")]
    Names(#[from] regex::Error),
    /// Somebody begins runs for them again and again.
    #[error("runs of theirs begin again and again; stop whoever creates tasks for them, and call it again")]
    BeginsAnew,
}

/// Looks whom a name leads to.
pub async fn find(pool: &Pool, who: &Who) -> sqlx::Result<Lookup> {
    let mut accounts = match who {
        Who::Called(username) => erasure::accounts_called(pool, username.as_str()).await?,
        Who::InstagramId(pk) => erasure::account_of_number(pool, Some(*pk), None).await?.into_iter().collect(),
        Who::Profile(id) => erasure::account_of_number(pool, None, Some(*id)).await?.into_iter().collect(),
    };
    if accounts.len() > 1 {
        return Ok(Lookup::Several(accounts));
    }
    let account = accounts.pop();
    let called = match who {
        Who::Called(username) => Some(username.as_str().to_owned()),
        Who::InstagramId(_) | Who::Profile(_) => None,
    };
    let found = gather(pool, account, called).await?;
    let is_nobody = found.account.is_none() && found.tasks.is_empty();
    Ok(if is_nobody { Lookup::Nobody } else { Lookup::One(Box::new(found)) })
}

async fn gather(pool: &Pool, account: Option<Account>, called: Option<String>) -> sqlx::Result<Found> {
    let profile_id = account.as_ref().map(|account| account.profile_id);
    let mut handles = match profile_id {
        Some(profile_id) => erasure::handles(pool, profile_id).await?,
        None => Vec::new(),
    };
    handles.extend(called.filter(|called| !handles.contains(called)));
    let own_handles = erasure::handles_of_nobody_else(pool, &handles, profile_id).await?;
    let tasks = erasure::tasks(pool, &own_handles, profile_id).await?;
    Ok(Found { account, tasks, handles, own_handles })
}

impl Found {
    fn profile_id(&self) -> Option<i64> {
        self.account.as_ref().map(|account| account.profile_id)
    }

    fn person(&self) -> Person {
        Person { profile_id: self.profile_id(), tasks: self.tasks.clone(), handles: self.own_handles.clone() }
    }

    fn names(&self) -> Result<Option<Names>, regex::Error> {
        let account = self.account.as_ref();
        let pk = account.and_then(|account| account.instagram_pk).map(|pk| pk.to_string());
        let fbid = account.and_then(|account| account.fbid.clone());
        Names::new(&self.own_handles, &pk.into_iter().chain(fbid).collect::<Vec<_>>())
    }
}

/// A name that nobody bears: of chance, so that nothing of the person is in it.
fn made_up() -> String {
    format!("erased.{}", &Uuid::new_v4().simple().to_string()[..16])
}

/// Says what an erasure would remove of theirs, and removes nothing: it is done, and undone.
pub async fn rehearse(pool: &Pool, found: &Found, author: &Author) -> Result<Erased, Error> {
    let name = made_up();
    let mut transaction = pool.begin().await?;
    let removed = erasure::erase(&mut transaction, &found.person(), &name, author).await?;
    drop(transaction);
    let Mentions { counts: mentions, unread } = match found.names()? {
        Some(names) => take_out(pool, found.profile_id(), &names, &found.tasks, false).await?,
        None => Mentions::default(),
    };
    Ok(Erased { name, removed, mentions, unread })
}

/// Erases them.
pub async fn erase(pool: &Pool, found: Found, author: &Author) -> Result<Erased, Error> {
    let name = made_up();
    let (mut found, mut mentions, mut removed) = (found, Mentions::default(), Removed::new());
    for _ in 0..TRIES {
        erasure::stop(pool, &found.tasks).await?;
        settled(pool).await?;
        // What began in between may have told more of them.
        let called = found.handles.first().cloned();
        found = gather(pool, found.account.take(), called).await?;
        if let Some(names) = found.names()? {
            let Mentions { counts, unread } = take_out(pool, found.profile_id(), &names, &found.tasks, true).await?;
            add(&mut mentions.counts, counts);
            mentions.unread.extend(unread);
        }
        let mut transaction = pool.begin().await?;
        let done = erasure::erase(&mut transaction, &found.person(), &name, author).await?;
        transaction.commit().await?;
        add(&mut removed, done);
        if !erasure::has_runs(pool, &found.tasks).await? {
            return Ok(Erased { name, removed, mentions: mentions.counts, unread: mentions.unread });
        }
    }
    Err(Error::BeginsAnew)
}

/// Waits until nobody works any more with what was there before this moment: a start that saw a task that is deleted by now
/// has then begun its run, or will not. Whoever stays longer only looks.
async fn settled(pool: &Pool) -> sqlx::Result<()> {
    let moment = erasure::moment(pool).await?;
    let waited = tokio::time::timeout(PATIENCE, async {
        while erasure::somebody_sees_before(pool, moment).await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    });
    waited.await.unwrap_or(Ok(()))
}

/// Adds the counts of one to those of another.
fn add(counts: &mut Removed, more: Removed) {
    for (of, count) in more {
        match counts.iter_mut().find(|(known, _)| *known == of) {
            Some((_, known)) => *known += count,
            None => counts.push((of, count)),
        }
    }
}
