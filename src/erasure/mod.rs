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

mod redaction;

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use self::redaction::Names;
use crate::db::audit::Author;
use crate::db::erasure::{self, Account, Person, Removed};
use crate::db::{Pool, RunId, TaskId, mentions, summaries};
use crate::instagram::Username;
use crate::scrape;

/// How much of the logs is looked through in one statement, and how many kept answers.
const PART: TimeDelta = TimeDelta::days(1);
const ANSWERS: i64 = 50;

/// How many parts of packed logs are unpacked at a time.
const PACKS: i64 = 500;

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
    let mentions = match found.names()? {
        Some(names) => take_out(pool, found.profile_id(), &names, &found.tasks, false).await?,
        None => Removed::new(),
    };
    Ok(Erased { name, removed, mentions })
}

/// Erases them.
pub async fn erase(pool: &Pool, found: Found, author: &Author) -> Result<Erased, Error> {
    let name = made_up();
    let (mut found, mut mentions, mut removed) = (found, Removed::new(), Removed::new());
    for _ in 0..TRIES {
        erasure::stop(pool, &found.tasks).await?;
        settled(pool).await?;
        // What began in between may have told more of them.
        let called = found.handles.first().cloned();
        found = gather(pool, found.account.take(), called).await?;
        if let Some(names) = found.names()? {
            add(&mut mentions, take_out(pool, found.profile_id(), &names, &found.tasks, true).await?);
        }
        let mut transaction = pool.begin().await?;
        let done = erasure::erase(&mut transaction, &found.person(), &name, author).await?;
        transaction.commit().await?;
        add(&mut removed, done);
        if !erasure::has_runs(pool, &found.tasks).await? {
            return Ok(Erased { name, removed, mentions });
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

/// Takes their names out of what is not theirs, or only counts where they stand.
async fn take_out(
    pool: &Pool,
    profile_id: Option<i64>,
    names: &Names,
    tasks: &[TaskId],
    for_good: bool,
) -> sqlx::Result<Removed> {
    let own: HashSet<_> = erasure::runs(pool, tasks, profile_id).await?.into_iter().collect();
    let mut events = 0;
    if let Some(mut since) = mentions::first_run(pool).await? {
        let end = mentions::now(pool).await?;
        while since <= end {
            let until = since + PART;
            let named = mentions::in_events(pool, since, until, names.patterns()).await?;
            for mut said in named.into_iter().filter(|said| !own.contains(&said.run_id)) {
                let message = names.out_of(&said.message);
                let is_named = names.out_of_json(&mut said.fields) | message.is_some();
                said.message = message.unwrap_or(said.message);
                events += u64::from(is_named);
                if is_named && for_good {
                    mentions::say_instead(pool, &said).await?;
                }
            }
            since = until;
        }
    }
    events += take_out_of_packed_logs(pool, &own, names, for_good).await?;
    let last_words = take_out_of_last_words(pool, &own, names, for_good).await?;
    let (mut answers, mut after) = (0, (Uuid::nil(), 0));
    loop {
        let page = mentions::kept_answers(pool, after, ANSWERS).await?;
        let Some(last) = page.last() else { break };
        after = (last.run_id, last.seq);
        let names_them = |body: &[u8]| zstd::decode_all(body).map_or(true, |body| names.are_in(&body));
        let others = page.iter().filter(|kept| !own.contains(&RunId(kept.run_id)));
        let named: Vec<_> = others.filter(|kept| names_them(&kept.body)).map(|kept| (kept.run_id, kept.seq)).collect();
        answers += named.len() as u64;
        if for_good && !named.is_empty() {
            mentions::give_up_answers(pool, &named).await?;
        }
    }
    let (mut biographies, mut captions) = (0, 0);
    for (count, texts) in [
        (&mut biographies, mentions::in_biographies(pool, profile_id, names.patterns()).await?),
        (&mut captions, mentions::in_captions(pool, profile_id, names.patterns()).await?),
    ] {
        for mut text in texts {
            let Some(without) = names.out_of(&text.text) else { continue };
            text.text = without;
            *count += 1;
            if for_good {
                mentions::write_instead(pool, &text, &scrape::tags(&text.text)).await?;
            }
        }
    }
    Ok(vec![
        ("events of other runs", events),
        ("last words kept of other runs", last_words),
        ("answers kept of other runs", answers),
        ("biographies of others", biographies),
        ("captions of others", captions),
    ])
}

/// The same for logs that are packed: each is unpacked, and packed anew where it names them. Says of how many events.
async fn take_out_of_packed_logs(
    pool: &Pool,
    own: &HashSet<RunId>,
    names: &Names,
    for_good: bool,
) -> sqlx::Result<u64> {
    let (mut events, mut after) = (0, (RunId(Uuid::nil()), 0));
    loop {
        let page = mentions::packed_logs(pool, after, PACKS).await?;
        let Some(last) = page.last() else { return Ok(events) };
        after = (last.run_id, last.from_seq);
        for mut log in page.into_iter().filter(|log| !own.contains(&log.run_id)) {
            let mut named = 0;
            for event in &mut log.events {
                let mut fields = serde_json::from_str(&event.fields).unwrap_or_default();
                let (message, in_fields) = (names.out_of(&event.message), names.out_of_json(&mut fields));
                named += u64::from(message.is_some() || in_fields);
                event.message = message.unwrap_or_else(|| std::mem::take(&mut event.message));
                if in_fields {
                    event.fields = mentions::as_it_is_told(pool, &fields).await?;
                }
            }
            events += named;
            if named > 0 && for_good {
                mentions::pack_instead(pool, &log).await?;
            }
        }
    }
}

/// The same for the last words that summaries keep, once nobody sums up any more what he read of the logs before.
async fn take_out_of_last_words(pool: &Pool, own: &HashSet<RunId>, names: &Names, for_good: bool) -> sqlx::Result<u64> {
    summaries::hold(pool).await?;
    let mut named = 0;
    let said = mentions::in_last_words(pool, names.patterns()).await?;
    for mut said in said.into_iter().filter(|said| !own.contains(&said.run_id)) {
        let message = names.out_of(&said.message);
        let of_source = said.upstream_message.as_deref().and_then(|words| names.out_of(words));
        if message.is_none() && of_source.is_none() {
            continue;
        }
        named += 1;
        said.message = message.unwrap_or(said.message);
        said.upstream_message = of_source.or(said.upstream_message);
        if for_good {
            mentions::say_last_instead(pool, &said).await?;
        }
    }
    Ok(named)
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
