//! A person's names, taken out of what is not theirs: a part of it at a time, a text after another.
//!
//! Two erasures may be at one text at once, and so may whoever packs a log. What was changed since it was read is not
//! written over; it is read again and looked through anew.

use std::collections::{BTreeSet, HashSet};

use chrono::TimeDelta;
use uuid::Uuid;

use super::redaction::Names;
use crate::db::erasure::{self, Removed};
use crate::db::mentions::{self, LastWord, PackedLog, Said, Text};
use crate::db::{Pool, RunId, TaskId, summaries};
use crate::scrape;

/// How much of the logs is looked through in one statement, and how many kept answers.
const PART: TimeDelta = TimeDelta::days(1);
const ANSWERS: i64 = 50;

/// How many parts of packed logs are read at a time.
const PACKS: i64 = 500;

/// What was found of them in what is not theirs.
#[derive(Default)]
pub(super) struct Mentions {
    /// How many texts, by table.
    pub(super) counts: Removed,
    /// Runs whose packed logs are damaged, so that nobody knows.
    pub(super) unread: BTreeSet<RunId>,
}

/// Takes their names out of what is not theirs, or only counts where they stand.
pub(super) async fn take_out(
    pool: &Pool,
    profile_id: Option<i64>,
    names: &Names,
    tasks: &[TaskId],
    for_good: bool,
) -> sqlx::Result<Mentions> {
    let own: HashSet<_> = erasure::runs(pool, tasks, profile_id).await?.into_iter().collect();
    // A log that is packed meanwhile is found where it is packed: rows come first.
    let in_rows = in_events(pool, &own, names, for_good).await?;
    let (in_packs, unread) = in_packed_logs(pool, &own, names, for_good).await?;
    let last_words = in_last_words(pool, &own, names, for_good).await?;
    let answers = in_kept_answers(pool, &own, names, for_good).await?;
    let biographies = mentions::in_biographies(pool, profile_id, names.patterns()).await?;
    let captions = mentions::in_captions(pool, profile_id, names.patterns()).await?;
    let counts = vec![
        ("events of other runs", in_rows + in_packs),
        ("last words kept of other runs", last_words),
        ("answers kept of other runs", answers),
        ("biographies of others", in_texts(pool, biographies, names, for_good).await?),
        ("captions of others", in_texts(pool, captions, names, for_good).await?),
    ];
    Ok(Mentions { counts, unread })
}

async fn in_events(pool: &Pool, own: &HashSet<RunId>, names: &Names, for_good: bool) -> sqlx::Result<u64> {
    let Some(mut since) = mentions::first_run(pool).await? else { return Ok(0) };
    let (mut events, end) = (0, mentions::now(pool).await?);
    while since <= end {
        let until = since + PART;
        let named = mentions::in_events(pool, since, until, names.patterns()).await?;
        for said in named.into_iter().filter(|said| !own.contains(&said.run_id)) {
            events += u64::from(out_of_event(pool, said, names, for_good).await?);
        }
        since = until;
    }
    Ok(events)
}

/// Whether the event named them.
async fn out_of_event(pool: &Pool, mut said: Said, names: &Names, for_good: bool) -> sqlx::Result<bool> {
    loop {
        let (message, mut fields) = (names.out_of(&said.message), said.fields.clone());
        if !(names.out_of_json(&mut fields) | message.is_some()) {
            return Ok(false);
        }
        let message = message.as_deref().unwrap_or(&said.message);
        if !for_good || mentions::say_instead(pool, &said, message, &fields).await? {
            return Ok(true);
        }
        let Some(now) = mentions::event(pool, said.run_id, said.seq).await? else { return Ok(false) };
        said = now;
    }
}

/// The same for logs that are packed: each is unpacked, and packed anew where it names them. Says of how many events, and
/// which runs' packs are damaged.
async fn in_packed_logs(
    pool: &Pool,
    own: &HashSet<RunId>,
    names: &Names,
    for_good: bool,
) -> sqlx::Result<(u64, BTreeSet<RunId>)> {
    let (mut events, mut unread, mut after) = (0, BTreeSet::new(), (RunId(Uuid::nil()), 0));
    loop {
        let page = mentions::packed_logs(pool, after, PACKS).await?;
        let Some(last) = page.last() else { return Ok((events, unread)) };
        after = (last.run_id, last.from_seq);
        for log in page.into_iter().filter(|log| !own.contains(&log.run_id)) {
            let run_id = log.run_id;
            match out_of_pack(pool, log, names, for_good).await {
                Ok(named) => events += named,
                Err(error @ sqlx::Error::Decode(_)) => {
                    tracing::error!(%run_id, %error, "a packed log could not be looked through and stays as it is");
                    unread.insert(run_id);
                }
                Err(error) => return Err(error),
            }
            tokio::task::yield_now().await;
        }
    }
}

/// How many events of the pack named them.
async fn out_of_pack(pool: &Pool, mut log: PackedLog, names: &Names, for_good: bool) -> sqlx::Result<u64> {
    loop {
        let (mut named, mut events) = (0, log.events()?);
        for event in &mut events {
            let mut fields = serde_json::from_str(&event.fields).unwrap_or_default();
            let (message, in_fields) = (names.out_of(&event.message), names.out_of_json(&mut fields));
            named += u64::from(message.is_some() || in_fields);
            event.message = message.unwrap_or_else(|| std::mem::take(&mut event.message));
            if in_fields {
                event.fields = mentions::as_it_is_told(pool, &fields).await?;
            }
        }
        if named == 0 || !for_good || mentions::pack_instead(pool, &log, &events).await? {
            return Ok(named);
        }
        let Some(now) = mentions::packed_log(pool, log.run_id, log.from_seq).await? else { return Ok(0) };
        log = now;
    }
}

/// The same for the last words that summaries keep, once nobody sums up any more what he read of the logs before.
async fn in_last_words(pool: &Pool, own: &HashSet<RunId>, names: &Names, for_good: bool) -> sqlx::Result<u64> {
    summaries::hold(pool).await?;
    let mut named = 0;
    let said = mentions::in_last_words(pool, names.patterns()).await?;
    for said in said.into_iter().filter(|said| !own.contains(&said.run_id)) {
        named += u64::from(out_of_last_word(pool, said, names, for_good).await?);
    }
    Ok(named)
}

/// Whether the last word named them.
async fn out_of_last_word(pool: &Pool, mut said: LastWord, names: &Names, for_good: bool) -> sqlx::Result<bool> {
    loop {
        let message = names.out_of(&said.message);
        let of_source = said.upstream_message.as_deref().and_then(|words| names.out_of(words));
        if message.is_none() && of_source.is_none() {
            return Ok(false);
        }
        let without = LastWord {
            run_id: said.run_id,
            message: message.unwrap_or_else(|| said.message.clone()),
            upstream_message: of_source.or_else(|| said.upstream_message.clone()),
        };
        if !for_good || mentions::say_last_instead(pool, &said, &without).await? {
            return Ok(true);
        }
        let Some(now) = mentions::last_word(pool, said.run_id).await? else { return Ok(false) };
        said = now;
    }
}

/// Answers that are kept and name them are given up. Says how many.
async fn in_kept_answers(pool: &Pool, own: &HashSet<RunId>, names: &Names, for_good: bool) -> sqlx::Result<u64> {
    let (mut answers, mut after) = (0, (Uuid::nil(), 0));
    loop {
        let page = mentions::kept_answers(pool, after, ANSWERS).await?;
        let Some(last) = page.last() else { return Ok(answers) };
        after = (last.run_id, last.seq);
        let names_them = |body: &[u8]| zstd::decode_all(body).map_or(true, |body| names.are_in(&body));
        let others = page.iter().filter(|kept| !own.contains(&RunId(kept.run_id)));
        let named: Vec<_> = others.filter(|kept| names_them(&kept.body)).map(|kept| (kept.run_id, kept.seq)).collect();
        answers += named.len() as u64;
        if for_good && !named.is_empty() {
            mentions::give_up_answers(pool, &named).await?;
        }
    }
}

/// How many of these named them.
async fn in_texts(pool: &Pool, texts: Vec<Text>, names: &Names, for_good: bool) -> sqlx::Result<u64> {
    let mut named = 0;
    for text in texts {
        named += u64::from(out_of_text(pool, text, names, for_good).await?);
    }
    Ok(named)
}

/// Whether the text named them.
async fn out_of_text(pool: &Pool, mut text: Text, names: &Names, for_good: bool) -> sqlx::Result<bool> {
    loop {
        let Some(without) = names.out_of(&text.text) else { return Ok(false) };
        if !for_good || mentions::write_instead(pool, &text, &without, &scrape::tags(&without)).await? {
            return Ok(true);
        }
        let Some(now) = mentions::text(pool, &text).await? else { return Ok(false) };
        text.text = now;
    }
}
