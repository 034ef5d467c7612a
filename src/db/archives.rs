//! The table `run_archives`: logs that are packed, a row a run or several, and their events as if they were rows.
//!
//! A log is in `events` or here, whole; who finds no row there looks here, in a statement that begins later, so that a log
//! that is packed in between is found. How it is packed is told in [`crate::archive`].

use chrono::DateTime;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::event_lists::{Filter, Place};
use super::journal::Level;
use super::sieve::Sieve;
use super::statements::Statements;
use super::status::{Event, Part};
use super::{RunId, index};
use crate::archive::{self, Line};

/// Packs read in one statement where a log is looked through: so many are in memory at a time.
const AT_ONCE: i64 = 8;

/// Where the log of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Its events are rows.
    Rows,
    /// It is packed.
    Archive,
    /// It is there no more: its time is over.
    Gone,
}

/// Where the log of a run is.
pub async fn whereabouts(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Whereabouts> {
    let found = sqlx::query!(
        r#"
        select exists (select from events where run_id = $1) as "has_rows!",
               exists (select from run_archives where run_id = $1) as "is_packed!"
        "#,
        run_id.0,
    )
    .fetch_one(db)
    .await?;
    Ok(match found.is_packed {
        true => Whereabouts::Archive,
        false if found.has_rows => Whereabouts::Rows,
        false => Whereabouts::Gone,
    })
}

/// The events of parts of packed logs, in the order of the parts, and each in the order of its run.
pub(super) async fn parts(db: impl PgExecutor<'_>, parts: &[Part]) -> sqlx::Result<Vec<Vec<Event>>> {
    let run_ids: Vec<Uuid> = parts.iter().map(|part| part.run_id.0).collect();
    let after: Vec<i64> = parts.iter().map(|part| part.after).collect();
    let until: Vec<i64> = parts.iter().map(|part| part.until).collect();
    let packs = sqlx::query!(
        r#"
        select part.n as "n!", pack.packed
        from unnest($1::uuid[], $2::bigint[], $3::bigint[]) with ordinality as part (run_id, after, until, n)
        cross join lateral (
            select * from run_archives a
            where a.run_id = part.run_id and a.until_seq > part.after and a.from_seq <= part.until
        ) as pack
        "#,
        &run_ids,
        &after,
        &until,
    )
    .fetch_all(db)
    .await?;
    let mut events: Vec<Vec<Event>> = parts.iter().map(|_| Vec::new()).collect();
    for (n, pack) in packs.into_iter().enumerate() {
        let place = index(pack.n);
        let Part { after, until, .. } = parts[place];
        events[place]
            .extend(unpacked(&pack.packed)?.into_iter().filter(|event| event.seq > after && event.seq <= until));
        let_others_go_on(n).await;
    }
    events.iter_mut().for_each(|events| events.sort_unstable_by_key(|event| event.seq));
    Ok(events)
}

/// A page of a packed log.
pub(super) async fn of_run(
    db: &mut Statements<'_>,
    run_id: RunId,
    filter: &Filter,
    place: Place,
) -> sqlx::Result<Vec<Event>> {
    let sieve = Sieve::of(filter);
    let mut walk = Walk { run_id, after: place.after, before: place.before, newest_first: place.newest_first };
    let (mut page, mut offset) = (Vec::new(), usize::try_from(place.offset).unwrap_or(usize::MAX));
    let limit = usize::try_from(place.limit).unwrap_or(usize::MAX);
    while page.len() < limit
        && let Some(events) = walk.next(&mut *db).await?
    {
        let mut events = sieve.sift(&mut *db, events, |event| event).await?;
        let passed_over = offset.min(events.len());
        offset -= passed_over;
        page.extend(events.drain(passed_over..).take(limit - page.len()));
    }
    Ok(page)
}

/// How many events of a packed log there are, up to this seq.
pub(super) async fn count_of_run(
    db: &mut Statements<'_>,
    run_id: RunId,
    filter: &Filter,
    until_seq: i64,
) -> sqlx::Result<i64> {
    let sieve = Sieve::of(filter);
    let mut walk = Walk { run_id, after: 0, before: until_seq.saturating_add(1), newest_first: false };
    let mut count = 0;
    while let Some(events) = walk.next(&mut *db).await? {
        count += sieve.sift(&mut *db, events, |event| event).await?.len() as i64;
    }
    Ok(count)
}

/// What is left of a packed log, between two seqs that are both excluded, and in which order it is read.
struct Walk {
    run_id: RunId,
    after: i64,
    before: i64,
    newest_first: bool,
}

impl Walk {
    /// The next events, in their order; `None` behind the last.
    async fn next(&mut self, db: impl PgExecutor<'_>) -> sqlx::Result<Option<Vec<Event>>> {
        let Self { run_id, after, before, newest_first } = *self;
        let packs = packs_of_run(db, run_id, after, before, newest_first).await?;
        let Some(end) = packs.last() else { return Ok(None) };
        match newest_first {
            true => self.before = i64::from(end.from_seq),
            false => self.after = i64::from(end.until_seq),
        }
        let mut events = Vec::new();
        for pack in packs {
            let mut of_pack = unpacked(&pack.packed)?;
            of_pack.retain(|event| event.seq > after && event.seq < before);
            if newest_first {
                of_pack.reverse();
            }
            events.append(&mut of_pack);
        }
        Ok(Some(events))
    }
}

struct OfRun {
    from_seq: i32,
    until_seq: i32,
    packed: Vec<u8>,
}

async fn packs_of_run(
    db: impl PgExecutor<'_>,
    run_id: RunId,
    after: i64,
    before: i64,
    newest_first: bool,
) -> sqlx::Result<Vec<OfRun>> {
    macro_rules! packs {
        ($order:tt) => {
            sqlx::query_as!(
                OfRun,
                "select from_seq, until_seq, packed from run_archives
                 where run_id = $1 and until_seq > $2::bigint and from_seq < $3::bigint
                 order by from_seq "
                    + $order
                    + " limit $4",
                run_id.0,
                after,
                before,
                AT_ONCE,
            )
            .fetch_all(db)
            .await
        };
    }
    match newest_first {
        true => packs!("desc"),
        false => packs!("asc"),
    }
}

/// The events of a pack.
pub(super) fn unpacked(packed: &[u8]) -> sqlx::Result<Vec<Event>> {
    let lines = archive::unpack(packed).map_err(unreadable)?;
    lines.into_iter().map(event).collect()
}

fn event(line: Line<String>) -> sqlx::Result<Event> {
    let Line { seq, at, level, event_type, message, fields } = line;
    let at = DateTime::from_timestamp_micros(at).ok_or_else(|| unreadable("an event of a packed log has no time"))?;
    let level = Level::of_number(level).ok_or_else(|| unreadable("an event of a packed log has no level"))?;
    Ok(Event { seq, at, level, event_type, message, fields })
}

/// An event as it is packed.
pub(super) fn line(event: &Event) -> Line<&str> {
    Line {
        seq: event.seq,
        at: event.at.timestamp_micros(),
        level: event.level.number(),
        event_type: &event.event_type,
        message: &event.message,
        fields: &event.fields,
    }
}

pub(super) fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// Unpacking is work: whoever unpacks much lets others go on now and then.
pub(super) async fn let_others_go_on(done: usize) {
    const NOW_AND_THEN: usize = 64;
    if done % NOW_AND_THEN == NOW_AND_THEN - 1 {
        tokio::task::yield_now().await;
    }
}
