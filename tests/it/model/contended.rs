//! Two real statements on one row at the same time: one has the row's lock in an open transaction, the other waits for
//! it or passes it by, and what the first one commits decides. This is what lets the model take a statement as one step.

use ig_tracking::db::cancel::{self, Asked};
use ig_tracking::db::journal::{self, Entry, Level, NewEvent, Transition};
use ig_tracking::db::runs::{self, RunState, Trigger};
use ig_tracking::db::start::{Start, Started, Terms, start};
use ig_tracking::db::tasks::{self, TaskKind};
use ig_tracking::db::{Lease, RunId, TaskId, WorkerId, heartbeat};
use serde_json::json;
use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tokio::task::JoinHandle;

use crate::harness::{Database, assert_sound, eventually, tester};

const LEASE_SECONDS: f64 = 3600.0;

const END: Transition = Transition::Finish(RunState::Succeeded, None);

#[tokio::test]
async fn a_write_that_waits_for_a_claim_is_passed_over() {
    for transition in [Transition::Stay, Transition::HandOver, END] {
        let pool = Database::fresh().await.pool;
        let run = in_hand(&pool).await;
        pass(&pool, run).await;
        let mut one = pool.acquire().await.unwrap();
        let mut claiming = one.begin().await.unwrap();
        assert_eq!(claim(&mut claiming).await, Some(2));
        let writing = waits(&pool, |mut other| async move { write(&mut other, run, 1, transition).await }).await;
        claiming.commit().await.unwrap();
        assert!(!writing.await.unwrap(), "{transition:?} was written under a lease that was lost");
        assert!(write(&mut one, run, 2, END).await);
        assert_sound(&pool).await;
    }
}

#[tokio::test]
async fn a_claim_passes_by_a_run_that_is_being_written_and_goes_on_behind_what_was_written() {
    let pool = Database::fresh().await.pool;
    let run = in_hand(&pool).await;
    pass(&pool, run).await;
    let (mut one, mut other) = two(&pool).await;
    let mut writing = one.begin().await.unwrap();
    assert!(write(&mut writing, run, 1, Transition::Stay).await);
    assert_eq!(claim(&mut other).await, None);
    writing.commit().await.unwrap();
    let claimed = runs::claim(&mut *other, WorkerId::generate(), LEASE_SECONDS, 1).await.unwrap();
    assert_eq!((claimed[0].lease, claimed[0].last_seq), (Lease(2), 2));
    assert_sound(&pool).await;
}

#[tokio::test]
async fn a_heartbeat_and_a_claim_of_the_same_run_never_both_have_it() {
    let pool = Database::fresh().await.pool;
    let run = in_hand(&pool).await;
    pass(&pool, run).await;
    let (mut one, mut other) = two(&pool).await;

    // While the heartbeat is under way the claim passes the run by, and afterwards it is not due.
    let mut keeping = one.begin().await.unwrap();
    assert_eq!(keep(&mut keeping, run).await, Some(true));
    assert_eq!(claim(&mut other).await, None);
    keeping.commit().await.unwrap();
    assert_eq!(claim(&mut other).await, None);

    // While the claim is under way the heartbeat keeps nothing, and afterwards the run is another's.
    pass(&pool, run).await;
    let mut claiming = one.begin().await.unwrap();
    assert_eq!(claim(&mut claiming).await, Some(2));
    assert_eq!(keep(&mut other, run).await, Some(false));
    claiming.commit().await.unwrap();
    assert_eq!(keep(&mut other, run).await, None);
}

#[tokio::test]
async fn a_cancellation_that_waits_for_the_end_of_a_run_finds_it_ended() {
    let pool = Database::fresh().await.pool;
    let run = in_hand(&pool).await;
    let mut one = pool.acquire().await.unwrap();
    let mut ending = one.begin().await.unwrap();
    assert!(write(&mut ending, run, 1, END).await);
    let asking = waits(&pool, |mut other| async move { cancel::ask(&mut *other, run).await.unwrap().is_some() }).await;
    let deleting =
        waits(&pool, |mut other| async move { tasks::delete(&mut *other, &task(), &tester()).await.unwrap().unwrap() })
            .await;
    ending.commit().await.unwrap();
    assert!(!asking.await.unwrap());
    assert_eq!(deleting.await.unwrap().stopping, None);
    assert_sound(&pool).await;
}

#[tokio::test]
async fn the_end_of_a_run_that_waits_for_a_cancellation_is_written_and_told_of_it() {
    let pool = Database::fresh().await.pool;
    let run = in_hand(&pool).await;
    let mut one = pool.acquire().await.unwrap();
    let mut asking = one.begin().await.unwrap();
    assert!(cancel::ask(&mut *asking, run).await.unwrap().unwrap().in_hand);
    let ending = waits(&pool, |mut other| async move {
        journal::write(&mut *other, &[entry(run, 1, END)]).await.unwrap()[0].cancel_requested
    })
    .await;
    asking.commit().await.unwrap();
    assert!(ending.await.unwrap());
    assert_sound(&pool).await;
}

#[tokio::test]
async fn of_a_claim_and_the_cancellers_of_a_queued_run_one_gets_it() {
    let pool = Database::fresh().await.pool;
    tasks::create(&pool, &task(), TaskKind::Profile, "anna").await.unwrap();
    let Started::Queued(run) = begin(&mut pool.acquire().await.unwrap(), None).await else { panic!("not queued") };
    let asked = cancel::ask(&pool, run).await.unwrap().unwrap();
    let mut one = pool.acquire().await.unwrap();

    // The claim is first.
    let mut claiming = one.begin().await.unwrap();
    assert_eq!(claim(&mut claiming).await, Some(1));
    let same = asked.clone();
    let ending = waits(&pool, |mut other| async move { end_cancelled(&mut other, &same).await }).await;
    claiming.commit().await.unwrap();
    assert!(!ending.await.unwrap());

    // The hand dies, its lease passes, and two cancel.
    pass(&pool, run).await;
    let asked = cancel::ask(&pool, run).await.unwrap().unwrap();
    assert!(!asked.in_hand);
    let mut ending = one.begin().await.unwrap();
    assert!(end_cancelled(&mut ending, &asked).await);
    let mut third = pool.acquire().await.unwrap();
    assert_eq!(claim(&mut third).await, None);
    let again = waits(&pool, |mut other| async move { end_cancelled(&mut other, &asked).await }).await;
    ending.commit().await.unwrap();
    assert!(!again.await.unwrap());
    assert_eq!(claim(&mut third).await, None);
    assert_sound(&pool).await;
}

#[tokio::test]
async fn a_start_waits_for_another_start_or_an_end_and_goes_by_what_was_committed() {
    let pool = Database::fresh().await.pool;
    tasks::create(&pool, &task(), TaskKind::Profile, "anna").await.unwrap();
    let mut one = pool.acquire().await.unwrap();
    let worker = Some(WorkerId::generate());
    for commits in [false, true] {
        let mut starting = one.begin().await.unwrap();
        assert!(matches!(begin(&mut starting, worker).await, Started::Claimed(_)));
        let other = waits(&pool, |mut other| async move { begin(&mut other, None).await }).await;
        if commits {
            starting.commit().await.unwrap();
            assert!(matches!(other.await.unwrap(), Started::Busy));
        } else {
            starting.rollback().await.unwrap();
            let Started::Queued(run) = other.await.unwrap() else { panic!("the start that was left did not begin") };
            let asked = cancel::ask(&pool, run).await.unwrap().unwrap();
            assert!(end_cancelled(&mut pool.acquire().await.unwrap(), &asked).await);
        }
    }
    let run: RunId = sqlx::query_scalar("select run_id from runs where state = 'running'")
        .fetch_one(&pool)
        .await
        .map(RunId)
        .unwrap();
    for commits in [false, true] {
        let mut ending = one.begin().await.unwrap();
        assert!(write(&mut ending, run, 1, END).await);
        let other = waits(&pool, |mut other| async move { begin(&mut other, worker).await }).await;
        if commits {
            ending.commit().await.unwrap();
            assert!(matches!(other.await.unwrap(), Started::Claimed(_)));
        } else {
            ending.rollback().await.unwrap();
            assert!(matches!(other.await.unwrap(), Started::Busy));
        }
    }
    assert_sound(&pool).await;
}

#[tokio::test]
async fn a_mere_join_on_the_lease_would_be_no_fence() {
    let pool = Database::fresh().await.pool;
    let run = in_hand(&pool).await;
    pass(&pool, run).await;
    let (mut one, mut other) = two(&pool).await;
    let mut claiming = one.begin().await.unwrap();
    assert_eq!(claim(&mut claiming).await, Some(2));
    let join = "insert into events (run_id, seq, at, level, event_type, message)
                select run_id, last_seq + 1, now(), 'info', 'posts_fetched', '' from runs
                where run_id = $1 and lease = 1 and last_seq = 1 and state = 'running'";
    // It does not wait, for it asks for no lock, and it sees the lease of before.
    let inserted = sqlx::query(join).bind(run.0).execute(&mut *other).await.unwrap().rows_affected();
    claiming.commit().await.unwrap();
    assert_eq!(inserted, 1, "an event of a lease that was lost by the time it was written");
}

/// Begins a statement on a connection of its own, and comes back when it waits for a lock.
async fn waits<F>(pool: &PgPool, statement: impl FnOnce(PoolConnection<Postgres>) -> F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut other = pool.acquire().await.unwrap();
    let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *other).await.unwrap();
    let statement = tokio::spawn(statement(other));
    eventually("the other statement waits for a lock", async || {
        let waiting = "select coalesce(wait_event_type = 'Lock', false) from pg_stat_activity where pid = $1";
        let waits: bool = sqlx::query_scalar(waiting).bind(backend).fetch_one(pool).await.unwrap();
        waits.then_some(())
    })
    .await;
    statement
}

async fn two(pool: &PgPool) -> (PoolConnection<Postgres>, PoolConnection<Postgres>) {
    (pool.acquire().await.unwrap(), pool.acquire().await.unwrap())
}

fn task() -> TaskId {
    TaskId::parse("t").unwrap()
}

async fn begin(connection: &mut PgConnection, worker: Option<WorkerId>) -> Started {
    let terms = Terms {
        worker: worker.unwrap_or_else(WorkerId::generate),
        lease_seconds: LEASE_SECONDS,
        deadline_seconds: LEASE_SECONDS,
        event_type: "scrape_started",
    };
    let wanted = Start {
        task_id: &task(),
        kind: TaskKind::Profile,
        trigger: Trigger::Api,
        claimed: worker.is_some(),
        message: "Started scraping @%",
        fields: json!({}),
    };
    start(connection, terms, &[wanted]).await.unwrap().remove(0)
}

/// A run that a hand has under lease 1, at seq 1.
async fn in_hand(pool: &PgPool) -> RunId {
    tasks::create(pool, &task(), TaskKind::Profile, "anna").await.unwrap();
    match begin(&mut pool.acquire().await.unwrap(), Some(WorkerId::generate())).await {
        Started::Claimed(run) => run.run_id,
        other => panic!("{other:?}"),
    }
}

/// Its lease passes.
async fn pass(pool: &PgPool, run: RunId) {
    sqlx::query("update runs set claimable_at = now() where run_id = $1").bind(run.0).execute(pool).await.unwrap();
}

/// The lease of the run that was claimed, if one was.
async fn claim(connection: &mut PgConnection) -> Option<i64> {
    let claimed = runs::claim(connection, WorkerId::generate(), LEASE_SECONDS, 1).await.unwrap();
    claimed.first().map(|run| run.lease.0)
}

fn entry(run: RunId, lease: i64, transition: Transition) -> Entry {
    Entry {
        run_id: run,
        lease: Lease(lease),
        attempt: 1,
        after_seq: 1,
        after_exchange: 0,
        age_seconds: 0.0,
        events: vec![word(if transition == END { "scrape_completed" } else { "posts_fetched" })],
        exchanges: Vec::new(),
        checkpoint: None,
        transition,
    }
}

/// Whether what a hand with this lease has to say after the first event was written.
async fn write(connection: &mut PgConnection, run: RunId, lease: i64, transition: Transition) -> bool {
    !journal::write(connection, &[entry(run, lease, transition)]).await.unwrap().is_empty()
}

/// What a heartbeat under lease 1 brings back: whether the lease was kept; `None`: it is another's.
async fn keep(connection: &mut PgConnection, run: RunId) -> Option<bool> {
    let ours = heartbeat::keep(connection, &[(run, Lease(1))], LEASE_SECONDS).await.unwrap();
    ours.first().map(|ours| ours.kept)
}

async fn end_cancelled(connection: &mut PgConnection, asked: &Asked) -> bool {
    cancel::end(connection, asked, &[word("scrape_cancelled")]).await.unwrap().is_some()
}

fn word(event_type: &'static str) -> NewEvent {
    NewEvent { level: Level::Info, event_type, message: String::new(), fields: json!({}) }
}
