//! Events of many runs, looked for piece by piece until a page is full or the time is over.
//!
//! However rare what is looked for, no statement does more than a piece of it, and a page that could not be filled in time
//! says from where on to look. Where tasks or an account are named it goes from run to run, else along all events or the
//! notable ones. Events that are rows and those of packed logs are looked through side by side.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::db::archive_search::{self, Packs};
use crate::db::event_lists::Filter;
use crate::db::event_search::{self, Hit, Piece, Position};
use crate::db::{Pool, RunId, TaskId, run_lists};

/// Events in a piece.
const PIECE: i64 = 20_000;

/// Runs in a piece.
const RUNS: i64 = 200;

/// After so long no further piece is begun; well within the time that a request has.
const BUDGET: Duration = Duration::from_secs(1);

/// Hits beyond so many are not counted.
pub const MAX_TOTAL: i64 = 10_000;

/// How long after the request of its run an event is looked for: as long as a run may take, and as long again, for the end
/// of one whose replicas were all away.
const RUN_TELLS_WITHIN: TimeDelta = TimeDelta::days(14);

/// A run's id has the time at which its row was made, which is later than the time of its request, though not by as much.
const ROW_MADE_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// Only events of these tasks; each once.
    pub tasks: Option<Vec<TaskId>>,
    /// Only events of this account's runs.
    pub username: Option<String>,
    /// Which events.
    pub filter: Filter,
    /// Only behind this one, in the order of the search.
    pub after: Option<Position>,
    /// The newest first.
    pub newest_first: bool,
    /// So many at most.
    pub limit: usize,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The hits.
    pub hits: Vec<Hit>,
    /// Behind which one to go on; `None` where nothing is left to look through. There need not be a hit behind it.
    pub next: Option<Position>,
    /// How many hits there are; only counted for a search from the beginning.
    pub total: Option<Total>,
}

/// How many hits there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// So many were counted.
    pub hits: i64,
    /// Whether these are all.
    pub is_exact: bool,
}

/// What is left to be looked through.
struct Rest {
    whole: Piece,
    newest_first: bool,
    /// Where the next packed log is.
    packed: Packed,
}

/// Where the next packed log is.
#[derive(Clone, Copy)]
enum Packed {
    Unknown,
    From(Position),
    Nowhere,
}

/// A piece of it: all events of a part of it, or those of some runs.
struct Next {
    piece: Piece,
    runs: Option<Vec<RunId>>,
    /// The packed logs in it.
    packs: Packs,
    /// Where it ends; `None` for the last one.
    end: Option<Position>,
}

/// Looks for events.
///
/// In one snapshot, so that a log which is packed meanwhile is neither missed nor met twice; and in a task of its own, since
/// who hangs up would take the connection along.
pub async fn search(pool: &Pool, search: Search) -> sqlx::Result<Found> {
    let Some(rest) = Rest::of(&search) else { return Ok(Found::empty(&search)) };
    let database = pool.for_request();
    let work = tokio::spawn(async move {
        let work = async {
            let mut snapshot = database.begin_snapshot().await?;
            let found = look(&mut snapshot, &search, rest).await?;
            snapshot.commit().await?;
            Ok(found)
        };
        database.in_time(work).await
    });
    work.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

async fn look(database: &mut PgConnection, search: &Search, mut rest: Rest) -> sqlx::Result<Found> {
    let (began, counts) = (Instant::now(), search.after.is_none());
    let mut found = Found::default();
    let (mut total, mut is_full, mut is_over) = (0, false, false);
    loop {
        let mut next = rest.next(database, search).await?;
        // One more than there is room for tells whether there is more.
        let room = if is_full { 0 } else { search.limit + 1 - found.hits.len() };
        let packs = std::mem::take(&mut next.packs);
        let (filter, newest_first) = (&search.filter, search.newest_first);
        let mut sifted = packs.sift(database, next.piece, filter, newest_first, counts, room).await?;
        if counts {
            let rows = next.count(database, filter).await?;
            total += rows + sifted.count;
            if !is_full && rows > 0 {
                sifted.hits.extend(next.hits(database, search, room as i64).await?);
            }
        } else if !is_full {
            sifted.hits.extend(next.hits(database, search, room as i64).await?);
        }
        let place = |hit: &Hit| (hit.run_id, hit.event.seq);
        match newest_first {
            true => sifted.hits.sort_unstable_by_key(|hit| std::cmp::Reverse(place(hit))),
            false => sifted.hits.sort_unstable_by_key(place),
        }
        found.hits.extend(sifted.hits.into_iter().take(room));
        let enough = !is_full && found.hits.len() >= search.limit;
        if enough {
            is_full = true;
            let has_more = found.hits.len() > search.limit;
            found.hits.truncate(search.limit);
            let last = found.hits.last().map(place);
            found.next = if has_more { last } else { next.end };
        }
        is_over |= next.end.is_none();
        let counted = !counts || total >= MAX_TOTAL;
        if is_over || (is_full && counted) || began.elapsed() > BUDGET {
            if !is_full {
                found.next = next.end;
            }
            break;
        }
        match next.end.and_then(|end| rest.behind(end)) {
            Some(further) => rest = further,
            None => {
                is_over = true;
                found.next = found.next.filter(|_| is_full);
                break;
            }
        }
    }
    found.total = counts.then(|| Total { hits: total.min(MAX_TOTAL), is_exact: is_over && total <= MAX_TOTAL });
    Ok(found)
}

impl Found {
    fn empty(search: &Search) -> Self {
        let total = search.after.is_none().then_some(Total { hits: 0, is_exact: true });
        Self { hits: Vec::new(), next: None, total }
    }
}

impl Rest {
    /// All that is to be looked through; `None` where that is nothing.
    fn of(search: &Search) -> Option<Self> {
        let (first, last) = RunId::ALL;
        let Filter { since, until, .. } = search.filter;
        let first = since.map_or(first, |since| RunId::floor(earlier(since, RUN_TELLS_WITHIN)));
        let last = until.map_or(last, |until| RunId::floor(later(until, ROW_MADE_WITHIN)));
        let whole = Piece { first: (first, 0), last: (last, i64::MAX) };
        let rest = Self { whole, newest_first: search.newest_first, packed: Packed::Unknown };
        match search.after {
            Some(after) => rest.behind(after),
            None => (whole.first <= whole.last).then_some(rest),
        }
    }

    /// What is left behind a position.
    fn behind(&self, end: Position) -> Option<Self> {
        let Self { mut whole, newest_first, packed } = *self;
        let (run_id, seq) = end;
        match newest_first {
            true => whole.last = whole.last.min((run_id, seq.saturating_sub(1))),
            false => whole.first = whole.first.max((run_id, seq.saturating_add(1))),
        }
        (whole.first <= whole.last).then_some(Self { whole, newest_first, packed })
    }

    async fn next(&mut self, database: &mut PgConnection, search: &Search) -> sqlx::Result<Next> {
        let mut next = match search.tasks.is_some() || search.username.is_some() {
            true => self.next_runs(database, search).await?,
            false => self.next_piece(database, search).await?,
        };
        if let Some(runs) = &next.runs {
            if !runs.is_empty() {
                let packs = archive_search::packs(database, next.piece, Some(runs), &search.filter, self.newest_first);
                next.with(packs.await?, self.newest_first);
            }
        } else if self.packed_in(database, next.piece).await? {
            let packs = archive_search::packs(database, next.piece, None, &search.filter, self.newest_first).await?;
            next.with(packs, self.newest_first);
            self.packed = Packed::Unknown;
        }
        Ok(next)
    }

    /// Whether there are packed logs in a piece.
    async fn packed_in(&mut self, database: &mut PgConnection, piece: Piece) -> sqlx::Result<bool> {
        if matches!(self.packed, Packed::Unknown) {
            let nearest = archive_search::nearest(database, self.whole, self.newest_first).await?;
            self.packed = nearest.map_or(Packed::Nowhere, Packed::From);
        }
        Ok(match self.packed {
            Packed::From(nearest) if self.newest_first => nearest >= piece.first,
            Packed::From(nearest) => nearest <= piece.last,
            Packed::Nowhere | Packed::Unknown => false,
        })
    }

    async fn next_piece(&self, database: &mut PgConnection, search: &Search) -> sqlx::Result<Next> {
        let Self { whole, newest_first, .. } = *self;
        let end = event_search::end(database, whole, search.filter.among(), PIECE, newest_first).await?;
        Ok(Next { piece: whole.to(end, newest_first), runs: None, packs: Packs::default(), end })
    }

    async fn next_runs(&self, database: &mut PgConnection, search: &Search) -> sqlx::Result<Next> {
        let Self { whole, newest_first, .. } = *self;
        // A run of which a part is told already is looked through once more, from there on.
        let after = if newest_first { whole.last.0.behind() } else { whole.first.0.before() };
        let filter = run_lists::Filter {
            tasks: search.tasks.clone(),
            username: search.username.clone(),
            since: search.filter.since.map(|since| earlier(since, RUN_TELLS_WITHIN)),
            until: search.filter.until,
            after,
            newest_first,
            ..run_lists::Filter::default()
        };
        let runs = run_lists::ids(database, &filter, RUNS).await?;
        let is_last = (runs.len() as i64) < RUNS;
        // Behind all events of the last of them.
        let behind = if newest_first { 0 } else { i64::MAX };
        let end = runs.last().filter(|_| !is_last).map(|run_id| (*run_id, behind));
        Ok(Next { piece: whole, runs: Some(runs), packs: Packs::default(), end })
    }
}

impl Next {
    /// Takes packed logs in; where these end before it, so does it.
    fn with(&mut self, packs: Packs, newest_first: bool) {
        if let Some(end) = packs.end {
            self.piece = self.piece.to(Some(end), newest_first);
            self.end = Some(end);
        }
        self.packs = packs;
    }

    async fn count(&self, database: &mut PgConnection, filter: &Filter) -> sqlx::Result<i64> {
        match &self.runs {
            Some(runs) if runs.is_empty() => Ok(0),
            Some(runs) => event_search::count_of_runs(database, runs, self.piece, filter).await,
            None => event_search::count(database, self.piece, filter.among(), filter).await,
        }
    }

    async fn hits(&self, database: &mut PgConnection, search: &Search, room: i64) -> sqlx::Result<Vec<Hit>> {
        let (piece, filter, newest_first) = (self.piece, &search.filter, search.newest_first);
        match &self.runs {
            Some(runs) if runs.is_empty() => Ok(Vec::new()),
            Some(runs) => event_search::hits_of_runs(database, runs, piece, filter, room, newest_first).await,
            None => event_search::hits(database, piece, filter.among(), filter, room, newest_first).await,
        }
    }
}

fn earlier(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_sub_signed(by).unwrap_or(at)
}

fn later(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(by).unwrap_or(at)
}
