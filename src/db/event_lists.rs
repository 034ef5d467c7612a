//! The log of one run, filtered: all of it by the key of the run, in its one partition; or out of its archive.
//!
//! Rows are asked first. Where that gives none, and only then, it is looked whether the log is packed, or there no more.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::RunId;
use super::archives::{self, Whereabouts, whereabouts};
use super::journal::Level;
use super::runs::Reason;
use super::statements::Statements;
use super::status::{Event, Part};

/// Which events to tell; what is none is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of one of these types.
    pub types: Option<Vec<String>>,
    /// Of one of these levels.
    pub levels: Option<Vec<Level>>,
    /// That name one of these reasons.
    pub reasons: Option<Vec<Reason>>,
    /// That happened then or later.
    pub since: Option<DateTime<Utc>>,
    /// That happened earlier.
    pub until: Option<DateTime<Utc>>,
    /// With this in their message or in the text of their fields, in whatever case.
    pub text: Option<String>,
}

/// The same as the statements take it.
pub(super) struct Terms<'a> {
    pub(super) types: Option<&'a [String]>,
    pub(super) levels: Option<Vec<&'static str>>,
    pub(super) reasons: Option<Vec<&'static str>>,
    pub(super) pattern: Option<String>,
}

impl Filter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        let Self { types, levels, reasons, since, until, text } = self;
        types.is_none() && levels.is_none() && reasons.is_none() && since.is_none() && until.is_none() && text.is_none()
    }

    pub(super) fn terms(&self) -> Terms<'_> {
        let levels = self.levels.as_ref().map(|levels| levels.iter().copied().map(Level::as_str).collect());
        let reasons = self.reasons.as_ref().map(|reasons| reasons.iter().copied().map(Reason::as_str).collect());
        Terms { types: self.types.as_deref(), levels, reasons, pattern: self.text.as_deref().map(pattern) }
    }
}

/// What a text looks like to `ilike` that stands somewhere in another.
fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// A part of a log, page by page.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Only behind this seq.
    pub after: i64,
    /// Only before this one.
    pub before: i64,
    /// So many at most.
    pub limit: i64,
    /// So many are passed over.
    pub offset: i64,
    /// The latest first.
    pub newest_first: bool,
}

impl Place {
    /// Whether no event can be in it.
    fn is_empty(&self) -> bool {
        self.before <= self.after.saturating_add(1) || self.limit < 1
    }
}

/// A statement over the events `e` of a run between two seqs, both excluded, that the filter lets through: its first nine
/// parameters are these.
macro_rules! of_run {
    (
        $query:ident, [$($row:ident)?], $run_id:expr, $after:expr, $before:expr, $filter:expr, $terms:expr,
        [$select:tt], [$($end:tt)+] $(, $argument:expr)* $(,)?
    ) => {
        sqlx::$query!(
            $($row,)?
            $select + r#"
            from events e
            where e.run_id = $1 and e.seq > $2 and e.seq < $3
                and ($4::text[] is null or e.event_type = any($4))
                and ($5::text[] is null or e.level = any($5))
                and ($6::text[] is null or e.fields ->> 'reason' = any($6))
                and ($7::timestamptz is null or e.at >= $7)
                and ($8::timestamptz is null or e.at < $8)
                and ($9::text is null or e.message ilike $9 or e.fields::text ilike $9)
            "# + $($end)+,
            $run_id.0,
            $after,
            $before,
            $terms.types as Option<&[String]>,
            $terms.levels.as_deref() as Option<&[&str]>,
            $terms.reasons.as_deref() as Option<&[&str]>,
            $filter.since,
            $filter.until,
            $terms.pattern,
            $($argument),*
        )
    };
}

/// A page of a run's events; `None` where its log is there no more.
pub async fn of_run(
    db: impl Into<Statements<'_>>,
    run_id: RunId,
    filter: &Filter,
    place: Place,
) -> sqlx::Result<Option<Vec<Event>>> {
    let mut db = db.into();
    let rows = rows_of_run(&mut db, run_id, filter, place).await?;
    if !rows.is_empty() || place.is_empty() {
        return Ok(Some(rows));
    }
    Ok(match whereabouts(&mut db, run_id).await? {
        Whereabouts::Rows => Some(rows),
        Whereabouts::Archive => Some(archives::of_run(&mut db, run_id, filter, place).await?),
        Whereabouts::Gone => None,
    })
}

async fn rows_of_run(
    db: impl PgExecutor<'_>,
    run_id: RunId,
    filter: &Filter,
    place: Place,
) -> sqlx::Result<Vec<Event>> {
    let terms = filter.terms();
    macro_rules! page {
        ($order:tt) => {
            of_run!(
                query_as,
                [Event],
                run_id,
                place.after,
                place.before,
                filter,
                terms,
                [r#"select seq, at, level as "level: Level", event_type, message, fields::text as "fields!""#],
                ["order by seq " + $order + " limit $10 offset $11"],
                place.limit,
                place.offset,
            )
            .fetch_all(db)
            .await
        };
    }
    match place.newest_first {
        true => page!("desc"),
        false => page!("asc"),
    }
}

/// How many events of a run there are, up to this seq; `None` where its log is there no more.
pub async fn count_of_run(
    db: impl Into<Statements<'_>>,
    run_id: RunId,
    filter: &Filter,
    until_seq: i64,
) -> sqlx::Result<Option<i64>> {
    let mut db = db.into();
    let rows = count_rows_of_run(&mut db, run_id, filter, until_seq).await?;
    if rows > 0 || until_seq < 1 {
        return Ok(Some(rows));
    }
    Ok(match whereabouts(&mut db, run_id).await? {
        Whereabouts::Rows => Some(rows),
        Whereabouts::Archive => Some(archives::count_of_run(&mut db, run_id, filter, until_seq).await?),
        Whereabouts::Gone => None,
    })
}

async fn count_rows_of_run(
    db: impl PgExecutor<'_>,
    run_id: RunId,
    filter: &Filter,
    until_seq: i64,
) -> sqlx::Result<i64> {
    let (terms, before) = (filter.terms(), until_seq.saturating_add(1));
    of_run!(query_scalar, [], run_id, 0, before, filter, terms, [r#"select count(*) as "count!""#], [""],)
        .fetch_one(db)
        .await
}

/// One event of a run.
pub async fn one(db: impl Into<Statements<'_>>, run_id: RunId, seq: i64) -> sqlx::Result<Option<Event>> {
    let mut db = db.into();
    let row = sqlx::query_as!(
        Event,
        r#"
        select seq, at, level as "level: Level", event_type, message, fields::text as "fields!"
        from events
        where run_id = $1 and seq = $2
        "#,
        run_id.0,
        seq,
    )
    .fetch_optional(&mut db)
    .await?;
    match row {
        None if seq > 0 => Ok(archives::parts(&mut db, &[just(run_id, seq)]).await?.into_iter().flatten().next()),
        row => Ok(row),
    }
}

/// The part of a log that has this event alone.
fn just(run_id: RunId, seq: i64) -> Part {
    Part { run_id, after: seq - 1, until: seq }
}

/// The latest event of each of these runs that has any, in any order; the seq of each is known.
pub async fn latest(db: impl Into<Statements<'_>>, runs: &[(RunId, i64)]) -> sqlx::Result<Vec<(RunId, Event)>> {
    let mut db = db.into();
    let mut latest = latest_rows(&mut db, runs).await?;
    if latest.len() < runs.len() {
        let found: HashSet<_> = latest.iter().map(|(run_id, _)| *run_id).collect();
        let missing = runs.iter().filter(|(run_id, seq)| *seq > 0 && !found.contains(run_id));
        let missing: Vec<_> = missing.map(|(run_id, seq)| just(*run_id, *seq)).collect();
        let packed = archives::parts(&mut db, &missing).await?;
        latest
            .extend(missing.iter().zip(packed).flat_map(|(part, events)| events.into_iter().map(|e| (part.run_id, e))));
    }
    Ok(latest)
}

async fn latest_rows(db: impl PgExecutor<'_>, runs: &[(RunId, i64)]) -> sqlx::Result<Vec<(RunId, Event)>> {
    let run_ids: Vec<_> = runs.iter().map(|(run_id, _)| run_id.0).collect();
    let seqs: Vec<_> = runs.iter().map(|(_, seq)| *seq).collect();
    let rows = sqlx::query!(
        r#"
        select e.run_id as "run_id!: RunId", e.seq, e.at, e.level as "level: Level", e.event_type, e.message,
               e.fields::text as "fields!"
        from unnest($1::uuid[], $2::bigint[]) as wanted (run_id, seq)
        cross join lateral (select * from events e where e.run_id = wanted.run_id and e.seq = wanted.seq) as e
        "#,
        &run_ids,
        &seqs,
    )
    .fetch_all(db)
    .await?;
    let told = rows.into_iter().map(|row| {
        let (event_type, message, fields) = (row.event_type, row.message, row.fields);
        (row.run_id, Event { seq: row.seq, at: row.at, level: row.level, event_type, message, fields })
    });
    Ok(told.collect())
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn what_has_a_meaning_in_a_pattern_is_a_character_like_any_other() {
        for (text, expected) in
            [("a", "%a%"), ("100%", r"%100\%%"), ("a_b", r"%a\_b%"), (r"\%", r"%\\\%%"), ("🎈é", "%🎈é%")]
        {
            assert_eq!(pattern(text), expected);
        }
    }
}
