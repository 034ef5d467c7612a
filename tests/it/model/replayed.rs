//! Walks of the model on real tables: each statement must say what the model says, and leave the rows as the model has
//! them.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::flaws::Flaw;
use super::life::{Action, Life, Moment};
use super::possible::Bounds;
use super::real::{Real, rows_of};
use super::tables::{Outcome, Size, WORD, Writer};
use sqlx::PgPool;

use crate::harness::Database;
use crate::harness::assert_sound;

const STEPS: [Size; 6] = [
    WORD,
    Size { events: 3, exchanges: 0 },
    Size { events: 1, exchanges: 1 },
    Size { events: 2, exchanges: 3 },
    // Of a run whose log is full.
    Size { events: 0, exchanges: 2 },
    Size { events: 0, exchanges: 0 },
];

/// As wide as the numbers go; the length of a walk is its bound.
const BOUNDS: Bounds = Bounds { workers: 3, runs: 5, claims: 200, rows: 200, late: 3, steps: &STEPS };

const LENGTH: usize = 30;

/// How many walks a test makes, unless the environment says otherwise.
const WALKS: u64 = 240;

/// How many databases they are spread over: a claim takes whatever is due in its own.
const DATABASES: u64 = 4;

/// What walks must have met, or they show little.
const MET: [&str; 20] = [
    "start: started",
    "start: Busy",
    "claim: claimed, was Queued",
    "claim: claimed, was Running",
    "claim: claimed, was Waiting",
    "write: Written { cancel_requested: false }",
    "write: Written { cancel_requested: true }",
    "write: PassedOver",
    "late write: Written { cancel_requested: false }",
    "late write: PassedOver",
    "retry: Written { cancel_requested: false }",
    "retry: PassedOver",
    "look: Stands(true)",
    "look: Stands(false)",
    "heartbeat: Kept { cancel_requested: false }",
    "heartbeat: NotKept",
    "cancel: Asked { in_hand: true }",
    "cancel: Asked { in_hand: false }",
    "late end: Written { cancel_requested: true }",
    "late end: PassedOver",
];

/// What happened on walks, and how often.
type Seen = BTreeMap<String, usize>;

#[tokio::test]
async fn the_statements_do_what_the_model_says_on_random_walks() {
    let seed = number("IGT_MODEL_SEED").unwrap_or_else(rand::random);
    let walks = number("IGT_MODEL_WALKS").unwrap_or(WALKS);
    println!("{walks} walks from seed {seed}; again: IGT_MODEL_SEED={seed}");
    let databases = (0..DATABASES).map(|database| async move {
        let pool = Database::fresh().await.pool;
        let mut seen = Seen::new();
        for walk in (database..walks).step_by(DATABASES as usize) {
            let mut real = Real::new(&pool, &format!("walk-{walk}"), BOUNDS.workers).await;
            let differs = walk_of(None, &mut real, seed.wrapping_add(walk), &mut seen).await;
            if let Err(difference) = differs {
                panic!("walk {walk} (IGT_MODEL_SEED={seed}): {difference}");
            }
        }
        assert_sound(&pool).await;
        seen
    });
    let mut seen = Seen::new();
    for (what, times) in futures_util::future::join_all(databases).await.into_iter().flatten() {
        *seen.entry(what).or_default() += times;
    }
    println!("{seen:#?}");
    if walks >= WALKS {
        let missed: Vec<&str> = MET.into_iter().filter(|what| !seen.contains_key(*what)).collect();
        assert!(missed.is_empty(), "never met: {missed:?}");
    }
}

#[tokio::test]
async fn a_statement_that_forgets_to_ask_for_the_lease_is_found_out() {
    let pool = Database::fresh().await.pool;
    let difference = first_difference(&pool, None, false).await;
    assert!(difference.contains("the model says PassedOver"), "{difference}");
}

#[tokio::test]
async fn a_mistake_in_any_statement_would_make_the_walks_differ() {
    // The other way round than in the program: the model has the mistake, and the statements are right.
    for flaw in [
        Flaw::LeaseNotFenced,
        Flaw::NumberedByTheRow,
        Flaw::ExchangeNotFenced,
        Flaw::EndFencedByLeaseAlone,
        Flaw::ClaimKeepsTheLease,
        Flaw::LostWorkersStayLost,
        Flaw::HandOverLowersTheLease,
        Flaw::HandOverSpendsTheAttempt,
        Flaw::NoUniqueIndex,
        Flaw::IndexOverEndedRuns,
        Flaw::AnyHigherSeqIsItsOwn,
        Flaw::CancelEndsAnyState,
        Flaw::CancelKeepsTheLease,
        Flaw::CancelledRunsWait,
    ] {
        let pool = Database::fresh().await.pool;
        first_difference(&pool, Some(flaw), true).await;
    }
}

async fn first_difference(pool: &PgPool, flaw: Option<Flaw>, asks_for_the_lease: bool) -> String {
    for walk in 0..WALKS {
        let mut real = Real::new(pool, &format!("walk-{walk}"), BOUNDS.workers).await;
        real.asks_for_the_lease = asks_for_the_lease;
        if let Err(difference) = walk_of(flaw, &mut real, walk, &mut Seen::new()).await {
            println!("{flaw:?}: walk {walk}");
            return difference;
        }
    }
    panic!("{flaw:?}: {WALKS} walks without a difference");
}

/// Walks at random and then the way out; what differs is told together with the way to it.
async fn walk_of(flaw: Option<Flaw>, real: &mut Real, seed: u64, seen: &mut Seen) -> Result<(), String> {
    let life = Life { bounds: BOUNDS, flaw, folds: false };
    let mut dice = StdRng::seed_from_u64(seed);
    let mut moment = life.beginning();
    let mut way = Vec::new();
    for _ in 0..LENGTH {
        let Some(action) = any_of(&life, &moment, &mut dice) else { break };
        step(&life, real, &mut moment, action, &mut way, seen).await?;
    }
    for action in life.way_out(&moment).ok_or_else(|| format!("no way out: {way:#?}"))? {
        step(&life, real, &mut moment, action, &mut way, seen).await?;
    }
    Ok(())
}

/// One that is possible: first of what sort, so that the many ways to write do not crowd out the rest. `None`: all that
/// the bounds allow is done.
fn any_of(life: &Life, moment: &Moment, dice: &mut StdRng) -> Option<Action> {
    let mut possible = Vec::new();
    life.possible(moment, &mut possible);
    let sorts: BTreeSet<&str> = possible.iter().map(|action| sort_of(moment, *action)).collect();
    let sorts: Vec<&str> = sorts.into_iter().collect();
    // More often than not what moves a log on.
    let weight = |sort: &&str| match *sort {
        "write" | "retry" | "look" => 8,
        "claim" | "late write" | "late end" => 4,
        "time" | "heartbeat" => 2,
        _ => 1,
    };
    let sort = *sorts.choose_weighted(dice, weight).ok()?;
    possible.retain(|action| sort_of(moment, *action) == sort);
    possible.choose(dice).copied()
}

/// Does it in the model and in the tables, and compares.
async fn step(
    life: &Life,
    real: &mut Real,
    moment: &mut Moment,
    action: Action,
    way: &mut Vec<Action>,
    seen: &mut Seen,
) -> Result<(), String> {
    way.push(action);
    let sort = sort_of(moment, action);
    let statement = life.statement(moment, action);
    let said = life.step(moment, action);
    let came = match statement {
        Some(statement) => real.execute(statement).await,
        None => Outcome::Nothing,
    };
    let (expected, rows) = (rows_of(&moment.tables), real.rows().await);
    *seen.entry(format!("{sort}: {}", in_short(came))).or_default() += 1;
    if said == came && expected == rows {
        return Ok(());
    }
    Err(format!(
        "the model says {said:?}, the database {came:?}, to {statement:?}\n\
         the model has {expected:#?}\nthe database {rows:#?}\nafter {way:#?}"
    ))
}

fn sort_of(moment: &Moment, action: Action) -> &'static str {
    match action {
        Action::Start { .. } => "start",
        Action::Claim { .. } => "claim",
        Action::Write { .. } => "write",
        Action::Retry { .. } => "retry",
        Action::Look { .. } => "look",
        Action::Insert { .. } => "insert",
        Action::Beat { .. } => "heartbeat",
        Action::Forget { .. } => "forget",
        Action::Pass { .. } => "time",
        Action::Arrive { late } if moment.late[late].writer == Writer::Client => "late end",
        Action::Arrive { .. } => "late write",
        Action::Cancel => "cancel",
    }
}

fn in_short(outcome: Outcome) -> String {
    match outcome {
        Outcome::Started(_) => "started".to_owned(),
        Outcome::Claimed { from, .. } => format!("claimed, was {from:?}"),
        outcome => format!("{outcome:?}"),
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().filter(|text| !text.is_empty()).map(|text| text.parse().unwrap())
}
