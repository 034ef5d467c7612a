//! Packed logs in a search over many runs: where the next ones are, which of them can have a hit, and their hits.
//!
//! Like the pieces of [`super::event_search`], what is read and unpacked at a time is bounded. What only stands among the
//! notable events is looked for only in packs that have such, by their own index, and only those are unpacked that name one
//! of the types, levels and reasons that are looked for. All of a search is read in one snapshot: a log that is packed
//! meanwhile is met once.

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::RunId;
use super::archives::{let_others_go_on, unpacked};
use super::event_lists::Filter;
use super::event_search::{Among, Hit, Piece, Position, SMOOTH};
use super::journal::Level;
use super::sieve::{Sieve, reason};
use super::status::Event;

/// Packs that are read at a time, and events that they have (one pack may have more).
const PACKS: i64 = 2_500;
const EVENTS: i64 = 20_000;

/// Packs with notable events that are looked at for whether they can have a hit.
const LOOKED_AT: i64 = 20_000;

/// Events that are filtered at a time.
const AT_ONCE: usize = 1_000;

/// Some packed logs, in the order of the search.
#[derive(Debug, Default)]
pub struct Packs {
    packs: Vec<Pack>,
    /// Where they end; `None` where no more follow in what was to be looked through.
    pub end: Option<Position>,
}

#[derive(Debug)]
struct Pack {
    run_id: RunId,
    from_seq: i32,
    until_seq: i32,
    packed: Vec<u8>,
}

/// Where a pack stands.
struct Key {
    run_id: RunId,
    from_seq: i32,
    until_seq: i32,
}

impl Key {
    /// Its last event in the order of a search.
    fn end(&self, newest_first: bool) -> Position {
        (self.run_id, i64::from(if newest_first { self.from_seq } else { self.until_seq }))
    }
}

impl Pack {
    fn key(&self) -> Key {
        Key { run_id: self.run_id, from_seq: self.from_seq, until_seq: self.until_seq }
    }
}

/// Whether an event is one of those of the index `events_notable`.
pub(super) fn is_notable(event: &Event) -> bool {
    matches!(event.level, Level::Warning | Level::Error) || !SMOOTH.contains(&event.event_type.as_str())
}

/// What is said of the notable events among these: their types, levels and reasons, each once; `None` where none is.
pub(super) fn words(events: &[Event]) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for event in events.iter().filter(|event| is_notable(event)) {
        words.extend([event.event_type.clone(), event.level.as_str().to_owned()]);
        words.extend(reason(event));
    }
    words.sort_unstable();
    words.dedup();
    (!words.is_empty()).then_some(words)
}

/// In the order of the key, from one end on: the other end stands also by the run alone, for that tells partitions. As in
/// [`super::event_search`], otherwise it would be taken for so rare that all there is is gathered and sorted.
macro_rules! keys {
    ($db:expr, $piece:expr, $offset:expr, $among:tt, $order:tt, $far:tt) => {
        sqlx::query_as!(
            Key,
            r#"
            select run_id as "run_id: RunId", from_seq, until_seq
            from run_archives
            where (run_id, from_seq) >= ($1::uuid, 0) and (run_id, from_seq) <= ($2::uuid, $4::bigint)
                and case when run_id > $1 or until_seq >= $3::bigint then true else false end
            "#
                + $far
                + " "
                + $among
                + " order by run_id "
                + $order
                + ", from_seq "
                + $order
                + " offset $5 limit 1",
            $piece.first.0.0,
            $piece.last.0.0,
            $piece.first.1,
            $piece.last.1,
            $offset,
        )
        .fetch_optional($db)
        .await
    };
}

/// Where the first packed event is of all in a piece; `None` where none is packed.
pub async fn nearest(db: impl PgExecutor<'_>, piece: Piece, newest_first: bool) -> sqlx::Result<Option<Position>> {
    let key = match newest_first {
        true => keys!(db, piece, 0, "", "desc", "and run_id >= $1")?,
        false => keys!(db, piece, 0, "", "asc", "and run_id <= $2")?,
    };
    // Its other end.
    Ok(key.map(|key| key.end(!newest_first)))
}

/// Where so many packs end that have notable events; `None` where there are no more than that.
async fn end_of_notable(db: impl PgExecutor<'_>, piece: Piece, newest_first: bool) -> sqlx::Result<Option<Position>> {
    let key = match newest_first {
        true => keys!(db, piece, LOOKED_AT - 1, "and notable is not null", "desc", "and run_id >= $1")?,
        false => keys!(db, piece, LOOKED_AT - 1, "and notable is not null", "asc", "and run_id <= $2")?,
    };
    Ok(key.map(|key| key.end(newest_first)))
}

/// Packs of a piece that can have a hit, in order, no more than are to be read at a time. What stands in the inner statement
/// says which they are.
macro_rules! packs {
    ($db:expr, $piece:expr, $terms:expr, [$($from:tt)+], $among:tt, $order:tt, $far:tt $(, $argument:expr)?) => {
        sqlx::query_as!(
            Pack,
            r#"
            select run_id as "run_id!: RunId", from_seq as "from_seq!", until_seq as "until_seq!", packed as "packed!"
            from (
                select *, sum(until_seq - from_seq + 1) over (order by run_id "# + $order + ", from_seq " + $order + r#")
                          - (until_seq - from_seq + 1) as before
                from (
                    select a.run_id, a.from_seq, a.until_seq, a.packed
                    "# + $($from)+ + r#"
                        (a.run_id, a.from_seq) >= ($1::uuid, 0) and (a.run_id, a.from_seq) <= ($2::uuid, $4::bigint)
                        and case when (a.run_id > $1 or a.until_seq >= $3::bigint)
                            and ($5::text[] is null or a.notable && $5)
                            and ($6::text[] is null or a.notable && $6)
                            and ($7::text[] is null or a.notable && $7) then true else false end
                    "# + $far + " " + $among + r#"
                    order by a.run_id "# + $order + ", a.from_seq " + $order + r#"
                    limit $8
                ) as near
            ) as counted
            where before < $9
            order by run_id "# + $order + ", from_seq " + $order,
            $piece.first.0.0,
            $piece.last.0.0,
            $piece.first.1,
            $piece.last.1,
            $terms.types as Option<&[String]>,
            $terms.levels.as_deref() as Option<&[&str]>,
            $terms.reasons.as_deref() as Option<&[&str]>,
            PACKS,
            EVENTS,
            $($argument)?
        )
        .fetch_all($db)
        .await
    };
}

/// The next packs of a piece, of all runs or of these, that can have a hit.
pub async fn packs(
    db: &mut PgConnection,
    mut piece: Piece,
    runs: Option<&[RunId]>,
    filter: &Filter,
    newest_first: bool,
) -> sqlx::Result<Packs> {
    // Only notable events have their words by the pack.
    let (among, mut terms) = (filter.among(), filter.terms());
    if among == Among::All {
        (terms.types, terms.levels, terms.reasons) = (None, None, None);
    }
    let mut end = None;
    if among == Among::Notable && runs.is_none() {
        end = end_of_notable(&mut *db, piece, newest_first).await?;
        piece = piece.to(end, newest_first);
    }
    let run_ids: Vec<Uuid> = runs.unwrap_or_default().iter().map(|run_id| run_id.0).collect();
    macro_rules! in_order {
        ($order:tt, $far:tt) => {
            match (runs, among) {
                (None, Among::All) => packs!(db, piece, terms, ["from run_archives a where"], "", $order, $far),
                (None, Among::Notable) => {
                    packs!(db, piece, terms, ["from run_archives a where"], "and a.notable is not null", $order, $far)
                }
                // A lateral join asks for one run after the other, each in its partition: an ordinary one may be made by
                // going through all packs.
                (Some(_), _) => packs!(
                    db,
                    piece,
                    terms,
                    [r#"from unnest($10::uuid[]) as wanted (id)
                    cross join lateral (select * from run_archives where run_id = wanted.id offset 0) as a where"#],
                    "",
                    $order,
                    $far,
                    &run_ids
                ),
            }
        };
    }
    let packs = match newest_first {
        true => in_order!("desc", "and a.run_id >= $1"),
        false => in_order!("asc", "and a.run_id <= $2"),
    }?;
    let events: i64 = packs.iter().map(|pack| i64::from(pack.until_seq - pack.from_seq) + 1).sum();
    let is_cut = packs.len() as i64 >= PACKS || events >= EVENTS;
    let last = packs.last().filter(|_| is_cut).map(|pack| pack.key().end(newest_first));
    Ok(Packs { packs, end: last.or(end) })
}

/// What packs have that is looked for.
#[derive(Debug, Default)]
pub struct Sifted {
    /// How many hits; where they were not to be counted, at least as many as there was room for.
    pub count: i64,
    /// The first of them, as many as there was room for.
    pub hits: Vec<Hit>,
}

impl Packs {
    /// The hits within a piece, the first ones in the order of the search.
    pub async fn sift(
        self,
        db: &mut PgConnection,
        piece: Piece,
        filter: &Filter,
        newest_first: bool,
        counts: bool,
        room: usize,
    ) -> sqlx::Result<Sifted> {
        let (sieve, among) = (Sieve::of(filter), filter.among());
        let (mut sifted, mut gathered) = (Sifted::default(), Vec::new());
        let mut packs = self.packs.into_iter().enumerate().peekable();
        while let Some((n, Pack { run_id, packed, .. })) = packs.next() {
            let mut events = unpacked(&packed)?;
            if newest_first {
                events.reverse();
            }
            let is_in = |event: &Event| (piece.first..=piece.last).contains(&(run_id, event.seq));
            let wanted = events.into_iter().filter(is_in).filter(|event| among == Among::All || is_notable(event));
            gathered.extend(wanted.filter(|event| sieve.could_let(event)).map(|event| Hit { run_id, event }));
            let_others_go_on(n).await;
            if gathered.len() < AT_ONCE && packs.peek().is_some() {
                continue;
            }
            let hits = sieve.sift(&mut *db, std::mem::take(&mut gathered), |hit| &hit.event).await?;
            sifted.count += hits.len() as i64;
            sifted.hits.extend(hits.into_iter().take(room - sifted.hits.len()));
            if !counts && sifted.hits.len() == room {
                break;
            }
        }
        Ok(sifted)
    }
}
