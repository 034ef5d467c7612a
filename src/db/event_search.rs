//! Events of many runs, piece by piece: where the next piece ends, how many of its events are hits, and which.
//!
//! A piece is so many events, or those of so many runs, and so is the work of each statement, however rare what is
//! looked for. Pieces follow one another in the order of runs and seqs. What only stands among the notable events (see
//! the index of that name) is looked for among them; its condition stands in the statements as it does there.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::RunId;
use super::event_lists::Filter;
use super::journal::Level;
use super::status::Event;

/// An event of some run.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The run.
    pub run_id: RunId,
    /// The event.
    pub event: Event,
}

/// Where an event stands among all.
pub type Position = (RunId, i64);

/// The events from one position to another, both included.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The first in the order of ids.
    pub first: Position,
    /// The last.
    pub last: Position,
}

impl Piece {
    /// What of it is looked through up to there, `None` being its end.
    pub fn to(self, end: Option<Position>, newest_first: bool) -> Self {
        match end {
            Some(end) if newest_first => Self { first: end, ..self },
            Some(end) => Self { last: end, ..self },
            None => self,
        }
    }
}

/// In what a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// All events.
    All,
    /// The notable ones.
    Notable,
}

/// The types of the events of a smooth run; what has another type is notable, and so is a warning or an error.
pub(super) const SMOOTH: [&str; 9] = [
    "scrape_started",
    "account_fetched",
    "posts_fetched",
    "reels_filtered",
    "processing_reels",
    "reels_processed",
    "known_posts_reached",
    "profile_data_updated",
    "scrape_completed",
];

impl Filter {
    /// In what the events are to be found that it lets through.
    pub fn among(&self) -> Among {
        let loud = |levels: &Vec<Level>| levels.iter().all(|level| matches!(level, Level::Warning | Level::Error));
        let rare = |types: &Vec<String>| types.iter().all(|name| !SMOOTH.contains(&name.as_str()));
        // No event of a smooth run names a reason.
        let is_notable =
            self.reasons.is_some() || self.levels.as_ref().is_some_and(loud) || self.types.as_ref().is_some_and(rare);
        if is_notable { Among::Notable } else { Among::All }
    }
}

/// In the order of the key, from one end on: the other end stands also by the run alone, for that tells partitions.
///
/// By the run alone at both ends, and with what else is asked for in a way that the planner sees through, it would take
/// all that for so rare that it gathers all there is and sorts it.
macro_rules! end {
    ($db:expr, $piece:expr, $offset:expr, $notable:tt, $order:tt, $far:tt) => {
        sqlx::query!(
            r#"
            select run_id as "run_id: RunId", seq
            from events
            where (run_id, seq) >= ($1::uuid, $3::bigint) and (run_id, seq) <= ($2::uuid, $4::bigint)
            "#
                + $far
                + " "
                + $notable
                + r#"
            order by run_id "#
                + $order
                + ", seq "
                + $order
                + r#"
            offset $5 limit 1
            "#,
            $piece.first.0.0,
            $piece.last.0.0,
            $piece.first.1,
            $piece.last.1,
            $offset,
        )
        .fetch_optional($db)
        .await
        .map(|row| row.map(|row| (row.run_id, row.seq)))
    };
}

/// A statement over events `e` within a piece, of which some are hits: its first ten parameters are the piece and the
/// filter, and what the filter asks for stands between its beginning and its end.
macro_rules! filtered {
    (
        $query:ident, [$($row:ident)?], $piece:expr, $filter:expr, $terms:expr,
        [$($begin:tt)+], [$($end:tt)+] $(, $argument:expr)* $(,)?
    ) => {
        sqlx::$query!(
            $($row,)?
            $($begin)+ + r#"
                    ($5::text[] is null or e.event_type = any($5))
                    and ($6::text[] is null or e.level = any($6))
                    and ($7::text[] is null or e.fields ->> 'reason' = any($7))
                    and ($8::timestamptz is null or e.at >= $8)
                    and ($9::timestamptz is null or e.at < $9)
                    and ($10::text is null or e.message ilike $10 or e.fields::text ilike $10)
            "# + $($end)+,
            $piece.first.0.0,
            $piece.last.0.0,
            $piece.first.1,
            $piece.last.1,
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

macro_rules! count {
    ($db:expr, $piece:expr, $filter:expr, $terms:expr, $notable:tt) => {
        filtered!(
            query_scalar,
            [],
            $piece,
            $filter,
            $terms,
            [r#"
            select count(*) as "count!"
            from events e
            where run_id >= $1 and run_id <= $2 and (run_id, seq) >= ($1, $3::bigint) and (run_id, seq) <= ($2, $4::bigint)
                and
            "#],
            [$notable],
        )
        .fetch_one($db)
        .await
    };
}

macro_rules! hits {
    ($db:expr, $piece:expr, $filter:expr, $terms:expr, $limit:expr, $notable:tt, $order:tt, $far:tt) => {
        filtered!(
            query_as,
            [Row],
            $piece,
            $filter,
            $terms,
            [r#"
            select run_id as "run_id: RunId", seq, at, level as "level: Level", event_type, message,
                   fields::text as "fields!"
            from events e
            where (run_id, seq) >= ($1::uuid, $3::bigint) and (run_id, seq) <= ($2::uuid, $4::bigint)
                and case when
            "#],
            ["then true else false end "
                + $far
                + " "
                + $notable
                + r#"
            order by run_id "#
                + $order
                + ", seq "
                + $order
                + r#"
            limit $11
            "#],
            $limit,
        )
        .fetch_all($db)
        .await
        .map(|rows| rows.into_iter().map(Hit::from).collect())
    };
}

/// The condition of the index `events_notable`, or none; what is to be done with it follows.
macro_rules! among {
    ($among:expr, $statement:ident, $arguments:tt $(, $order:tt, $far:tt)?) => {
        match $among {
            Among::All => among!(@ $statement, $arguments, "" $(, $order, $far)?),
            Among::Notable => among!(
                @ $statement,
                $arguments,
                "and (level in ('warning', 'error')
                    or event_type not in (
                        'scrape_started', 'account_fetched', 'posts_fetched', 'reels_filtered', 'processing_reels',
                        'reels_processed', 'known_posts_reached', 'profile_data_updated', 'scrape_completed'))"
                $(, $order, $far)?
            ),
        }
    };
    (@ $statement:ident, ($($argument:expr),*), $notable:tt $(, $order:tt, $far:tt)?) => {
        $statement!($($argument,)* $notable $(, $order, $far)?)
    };
}

/// Where a piece of so many events ends, counted from its one end; `None` where there are no more than that.
pub async fn end(
    db: impl PgExecutor<'_>,
    whole: Piece,
    among: Among,
    events: i64,
    newest_first: bool,
) -> sqlx::Result<Option<Position>> {
    let offset = events - 1;
    match newest_first {
        true => among!(among, end, (db, whole, offset), "desc", "and run_id >= $1"),
        false => among!(among, end, (db, whole, offset), "asc", "and run_id <= $2"),
    }
}

/// How many events of a piece are hits.
pub async fn count(db: impl PgExecutor<'_>, piece: Piece, among: Among, filter: &Filter) -> sqlx::Result<i64> {
    let terms = filter.terms();
    among!(among, count, (db, piece, filter, terms))
}

/// The first hits of a piece.
pub async fn hits(
    db: impl PgExecutor<'_>,
    piece: Piece,
    among: Among,
    filter: &Filter,
    limit: i64,
    newest_first: bool,
) -> sqlx::Result<Vec<Hit>> {
    let terms = filter.terms();
    match newest_first {
        true => among!(among, hits, (db, piece, filter, terms, limit), "desc", "and run_id >= $1"),
        false => among!(among, hits, (db, piece, filter, terms, limit), "asc", "and run_id <= $2"),
    }
}

/// How many events of these runs, within a piece, are hits.
pub async fn count_of_runs(
    db: impl PgExecutor<'_>,
    runs: &[RunId],
    piece: Piece,
    filter: &Filter,
) -> sqlx::Result<i64> {
    let (terms, run_ids) = (filter.terms(), ids(runs));
    filtered!(
        query_scalar,
        [],
        piece,
        filter,
        terms,
        [r#"
        select count(*) as "count!"
        from unnest($11::uuid[]) as wanted (run_id)
        cross join lateral (
            select from events e
            where e.run_id = wanted.run_id
                and (run_id, seq) >= ($1::uuid, $3::bigint) and (run_id, seq) <= ($2::uuid, $4::bigint)
                and
        "#],
        [") as event"],
        &run_ids,
    )
    .fetch_one(db)
    .await
}

macro_rules! hits_of_runs {
    ($db:expr, $run_ids:expr, $piece:expr, $filter:expr, $terms:expr, $limit:expr, $order:tt) => {
        filtered!(
            query_as,
            [Row],
            $piece,
            $filter,
            $terms,
            [r#"
            select run_id as "run_id!: RunId", seq as "seq!", at as "at!", level as "level!: Level",
                   event_type as "event_type!", message as "message!", fields::text as "fields!"
            from unnest($12::uuid[]) as wanted (id)
            cross join lateral (
                select * from events e
                where e.run_id = wanted.id
                    and (run_id, seq) >= ($1::uuid, $3::bigint) and (run_id, seq) <= ($2::uuid, $4::bigint)
                    and
            "#],
            ["order by seq "
                + $order
                + r#"
                limit $11
            ) as event
            order by run_id "#
                + $order
                + ", seq "
                + $order
                + r#"
            limit $11
            "#],
            $limit,
            &$run_ids,
        )
        .fetch_all($db)
        .await
        .map(|rows| rows.into_iter().map(Hit::from).collect())
    };
}

/// The first hits among the events of these runs, within a piece.
pub async fn hits_of_runs(
    db: impl PgExecutor<'_>,
    runs: &[RunId],
    piece: Piece,
    filter: &Filter,
    limit: i64,
    newest_first: bool,
) -> sqlx::Result<Vec<Hit>> {
    let (terms, run_ids) = (filter.terms(), ids(runs));
    match newest_first {
        true => hits_of_runs!(db, run_ids, piece, filter, terms, limit, "desc"),
        false => hits_of_runs!(db, run_ids, piece, filter, terms, limit, "asc"),
    }
}

fn ids(runs: &[RunId]) -> Vec<Uuid> {
    runs.iter().map(|run_id| run_id.0).collect()
}

/// A hit as its columns stand.
struct Row {
    run_id: RunId,
    seq: i64,
    at: chrono::DateTime<chrono::Utc>,
    level: Level,
    event_type: String,
    message: String,
    fields: String,
}

impl From<Row> for Hit {
    fn from(row: Row) -> Self {
        let Row { run_id, seq, at, level, event_type, message, fields } = row;
        Self { run_id, event: Event { seq, at, level, event_type, message, fields } }
    }
}
