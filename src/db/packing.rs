//! Packs the logs of runs that ended long ago: reads their rows, writes `run_archives`, and gives up the rows.
//!
//! All of it in one transaction of the caller's: whoever is killed anywhere in it has done nothing. A log that cannot be
//! read out of its pack as it stood in its rows is left as it is. The rows are locked before they are read: who changes one,
//! as an erasure does, has done it before, or finds it packed.

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::RunId;
use super::archive_search::words;
use super::archives::{let_others_go_on, line, unreadable};
use super::health::is_silence;
use super::status::{self, Event, Part};
use crate::archive;

/// Events that are looked at for which runs are next; and, of a longer log, that are read in one statement.
const AT_ONCE: i64 = 1_000;

/// A run whose log is in rows.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// The run.
    pub run_id: RunId,
    /// The seq of its latest event.
    pub last_seq: i64,
    /// Whether it ended so long ago that its log is to be packed, and is summed up: that reads rows.
    pub is_due: bool,
}

/// What was packed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packed {
    /// Runs.
    pub runs: u64,
    /// Events of theirs.
    pub events: u64,
    /// Bytes that they are packed in.
    pub bytes: u64,
    /// Runs whose logs could not be read back as they were, or not be packed in time, and stay rows.
    pub failed: u64,
}

/// Begins the packing in a transaction that has just begun; whether nobody else is packing at the moment. It waits for no
/// lock longer than a second.
pub async fn begin(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select pg_try_advisory_xact_lock(hashtext('ig-tracking.pack_logs')) as "is_alone!"
        from set_config('lock_timeout', '1s', true)
        "#,
    )
    .fetch_one(db)
    .await
}

/// The next runs behind this one whose logs are in rows and that were asked for more than so many days ago; none where
/// there are no more.
pub async fn next(db: impl PgExecutor<'_>, after: RunId, older_than_days: i32) -> sqlx::Result<Vec<Next>> {
    sqlx::query_as!(
        Next,
        r#"
        with near as (
            select run_id from events
            where run_id > $1 and run_id < uuid_v7_floor(now() - make_interval(days => $2))
            order by run_id
            limit $3
        )
        select near.run_id as "run_id!: RunId", coalesce(r.last_seq, 0) as "last_seq!",
               coalesce(r.finished_at < now() - make_interval(days => $2), false)
                   and exists (select from run_summaries s where s.run_id = near.run_id) as "is_due!"
        from (select distinct run_id from near) as near left join runs r on r.run_id = near.run_id
        order by near.run_id
        "#,
        after.0,
        older_than_days,
        AT_ONCE,
    )
    .fetch_all(db)
    .await
}

/// Makes the partitions of `run_archives` in which the logs of these runs go, where they are missing. Not in the transaction
/// that packs them: it locks out readers for a moment.
pub async fn make_room(db: impl PgExecutor<'_>, runs: &[Next]) -> sqlx::Result<()> {
    let times: Vec<_> = runs.iter().filter_map(|run| run.run_id.time()).collect();
    sqlx::query!(
        r#"
        select ensure_archive_partition(quarter) as made
        from (select distinct date_trunc('quarter', at at time zone 'UTC') at time zone 'UTC' as quarter
              from unnest($1::timestamptz[]) as at) as quarters
        "#,
        &times,
    )
    .fetch_all(db)
    .await
    .map(drop)
}

/// How many runs and events are to be packed now.
pub async fn due(db: impl PgExecutor<'_>, older_than_days: i32) -> sqlx::Result<(i64, i64)> {
    let due = sqlx::query!(
        r#"
        select count(distinct e.run_id) as "runs!", count(*) as "events!"
        from events e join runs r on r.run_id = e.run_id
        where e.run_id < uuid_v7_floor(now() - make_interval(days => $1))
            and r.finished_at < now() - make_interval(days => $1)
            and exists (select from run_summaries s where s.run_id = r.run_id)
        "#,
        older_than_days,
    )
    .fetch_one(db)
    .await?;
    Ok((due.runs, due.events))
}

/// Packs the logs of these runs, which have ended.
pub async fn pack(db: &mut PgConnection, runs: &[Next]) -> sqlx::Result<Packed> {
    let (mut packed, mut given_up) = (Packed::default(), Vec::new());
    for portion in portions(runs) {
        let mut packs = Packs::default();
        lock(db, portion).await?;
        for (n, (run, events)) in portion.iter().zip(read(db, portion, 0).await?).enumerate() {
            if events.is_empty() {
                // Somebody else was here in between.
                continue;
            }
            match of_run(db, run, events).await? {
                Ok(of_run) => {
                    packed.runs += 1;
                    packed.events += of_run.events;
                    packed.bytes += of_run.packed.iter().map(|packed| packed.len() as u64).sum::<u64>();
                    given_up.push(run.run_id.0);
                    packs.append(of_run);
                }
                Err(error) => {
                    tracing::error!(run_id = %run.run_id, %error, "a log could not be packed and stays as it is");
                    packed.failed += 1;
                }
            }
            let_others_go_on(n).await;
        }
        packs.insert(db).await?;
    }
    let removed =
        sqlx::query!("delete from events where run_id = any($1)", &given_up).execute(&mut *db).await?.rows_affected();
    if removed != packed.events {
        return Err(unreadable(format!(
            "{} events were packed and {removed} are there; nothing was done",
            packed.events
        )));
    }
    forget_checkpoints(db, &given_up).await?;
    Ok(packed)
}

/// Those of runs that succeeded, which were kept once.
async fn forget_checkpoints(db: &mut PgConnection, run_ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "update runs set checkpoint = null where run_id = any($1) and state = 'succeeded' and checkpoint is not null",
        run_ids,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Locks the logs of these runs in the order of their key. What reads them begins later, and reads what is locked.
async fn lock(db: &mut PgConnection, runs: &[Next]) -> sqlx::Result<()> {
    let runs: Vec<Uuid> = runs.iter().map(|run| run.run_id.0).collect();
    sqlx::query_scalar!(
        r#"
        select count(*) as "locked!"
        from (select from events where run_id = any($1) order by run_id, seq for update) as locked
        "#,
        &runs,
    )
    .fetch_one(db)
    .await
    .map(drop)
}

/// Whether a log is why its packing broke off, and not the database: it cannot be read back, or a statement of it took longer
/// than we or the server allow, or the server had to wait too long for the next one.
pub fn is_of_a_log(error: &sqlx::Error) -> bool {
    const CANCELED: &str = "57014";
    const SAID_NOTHING: &str = "25P03";
    match error {
        sqlx::Error::Decode(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| [CANCELED, SAID_NOTHING].contains(&&*code)),
        error => is_silence(error),
    }
}

/// Packs the log of a run, of which the first events are read already.
async fn of_run(db: &mut PgConnection, run: &Next, mut events: Vec<Event>) -> sqlx::Result<Result<Packs, NotPacked>> {
    let (mut packs, mut after) = (Packs::default(), 0);
    loop {
        if let Err(error) = packs.add(run.run_id, &events) {
            return Ok(Err(error));
        }
        after += AT_ONCE;
        if after >= run.last_seq {
            return Ok(Ok(packs));
        }
        events = read(db, std::slice::from_ref(run), after).await?.pop().unwrap_or_default();
    }
}

/// Short logs together, long ones each alone.
fn portions(mut runs: &[Next]) -> impl Iterator<Item = &[Next]> {
    std::iter::from_fn(move || {
        let mut events = 0;
        let fits = |run: &&Next| {
            events += run.last_seq;
            events <= AT_ONCE
        };
        let (portion, rest) = runs.split_at_checked(runs.iter().take_while(fits).count().max(1))?;
        runs = rest;
        Some(portion)
    })
}

/// The next events of these runs behind a seq; where there are no more by the run's own word, all that are there.
async fn read(db: &mut PgConnection, runs: &[Next], after: i64) -> sqlx::Result<Vec<Vec<Event>>> {
    let part = |run: &Next| {
        let until = after + AT_ONCE;
        Part { run_id: run.run_id, after, until: if until < run.last_seq { until } else { i64::MAX } }
    };
    status::rows(db, &runs.iter().map(part).collect::<Vec<_>>()).await
}

/// Why a log is not packed.
type NotPacked = Box<dyn std::error::Error + Send + Sync>;

/// Rows of `run_archives`.
#[derive(Default)]
struct Packs {
    run_id: Vec<Uuid>,
    from_seq: Vec<i32>,
    until_seq: Vec<i32>,
    /// The words of each, with a blank in between.
    notable: Vec<Option<String>>,
    packed: Vec<Vec<u8>>,
    /// How many events are in all of them.
    events: u64,
}

impl Packs {
    /// Packs events of a log, and sees to it that they can be read.
    fn add(&mut self, run_id: RunId, events: &[Event]) -> Result<(), NotPacked> {
        let lines: Vec<_> = events.iter().map(line).collect();
        let mut rest = events;
        for part in archive::parts(&lines) {
            let packed = archive::pack(part)?;
            let read = archive::unpack(&packed)?;
            if !read.iter().map(archive::Line::borrowed).eq(part.iter().cloned()) {
                return Err("what is read out of its pack is not what was packed".into());
            }
            let of_part;
            (of_part, rest) = rest.split_at(part.len());
            let (Some(first), Some(last)) = (of_part.first(), of_part.last()) else { continue };
            self.run_id.push(run_id.0);
            self.from_seq.push(first.seq.try_into()?);
            self.until_seq.push(last.seq.try_into()?);
            self.notable.push(words(of_part).map(|words| words.join(" ")));
            self.packed.push(packed);
            self.events += of_part.len() as u64;
        }
        Ok(())
    }

    fn append(&mut self, mut other: Self) {
        self.run_id.append(&mut other.run_id);
        self.from_seq.append(&mut other.from_seq);
        self.until_seq.append(&mut other.until_seq);
        self.notable.append(&mut other.notable);
        self.packed.append(&mut other.packed);
        self.events += other.events;
    }

    /// Writes them, and compares what the database has of each with what it was given.
    async fn insert(self, db: &mut PgConnection) -> sqlx::Result<()> {
        let written = sqlx::query!(
            r#"
            insert into run_archives (run_id, from_seq, until_seq, notable, packed)
            select run_id, from_seq, until_seq, string_to_array(notable, ' '), packed
            from unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::bytea[])
                as pack (run_id, from_seq, until_seq, notable, packed)
            returning run_id, from_seq, packed
            "#,
            &self.run_id,
            &self.from_seq,
            &self.until_seq,
            &self.notable as &[Option<String>],
            &self.packed,
        )
        .fetch_all(db)
        .await?;
        let mut written: Vec<_> = written.into_iter().map(|row| (row.run_id, row.from_seq, row.packed)).collect();
        let mut given: Vec<_> = self
            .run_id
            .into_iter()
            .zip(self.from_seq)
            .zip(self.packed)
            .map(|((run, seq), pack)| (run, seq, pack))
            .collect();
        written.sort_unstable();
        given.sort_unstable();
        if written != given {
            return Err(unreadable("the database has other packs than it was given; nothing was done"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn silence_may_be_of_a_log_and_a_connection_that_broke_is_not() {
        assert!(is_of_a_log(&sqlx::Error::Io(Error::from(ErrorKind::TimedOut))));
        assert!(is_of_a_log(&unreadable("a log without an end")));
        for of_the_database in [sqlx::Error::Io(Error::from(ErrorKind::ConnectionReset)), sqlx::Error::PoolTimedOut] {
            assert!(!is_of_a_log(&of_the_database), "{of_the_database}");
        }
    }
}
