//! The one judge: what must hold in the database, whatever was done to those who write into it.

use std::time::{Duration, Instant};

use sqlx::PgPool;

/// What must never be, each as a query that finds it: of every run, active or ended, and of all that was found.
const NEVER: [(&str, &str); 14] = [
    (
        "two active runs of a task",
        "select task_id from runs where claimable_at is not null group by task_id having count(*) > 1",
    ),
    (
        "events with a gap, or not as many as their run says",
        "select r.run_id::text from runs r left join events e using (run_id)
         group by r.run_id, r.last_seq
         having count(e.seq) <> r.last_seq or coalesce(min(e.seq), 1) <> 1 or coalesce(max(e.seq), 0) <> r.last_seq",
    ),
    ("a run without its first event", "select run_id::text from runs where last_seq = 0"),
    (
        "an ended run without just one last word, or with a word after it",
        "select r.run_id::text from runs r join events e using (run_id)
         where r.finished_at is not null
         group by r.run_id, r.last_seq
         having count(*) filter (where e.event_type = any('{scrape_completed,scrape_partial,scrape_failed,scrape_cancelled}')) <> 1
             or not bool_or(e.seq = r.last_seq
                 and e.event_type = any('{scrape_completed,scrape_partial,scrape_failed,scrape_cancelled}'))",
    ),
    (
        "an active run that has said its last word",
        "select r.run_id::text from runs r join events e using (run_id)
         where r.finished_at is null
             and e.event_type = any('{scrape_completed,scrape_partial,scrape_failed,scrape_cancelled}')",
    ),
    (
        "a run that was cancelled and nobody asked for it",
        "select run_id::text from runs where state = 'cancelled' and cancel_requested_at is null",
    ),
    (
        "a run that was asked to stop and is made to wait",
        "select run_id::text from runs
         where state in ('queued', 'waiting') and claimable_at > now() and cancel_requested_at is not null",
    ),
    (
        "requests with a gap, or not as many as their run says",
        "select r.run_id::text from runs r left join run_exchanges x using (run_id)
         group by r.run_id, r.last_exchange
         having count(x.seq) <> r.last_exchange or coalesce(max(x.seq), 0) <> r.last_exchange",
    ),
    (
        "events or requests of no run",
        "select run_id::text from (select run_id from events union select run_id from run_exchanges) as told
         where not exists (select from runs r where r.run_id = told.run_id)",
    ),
    (
        "a page that a run stored twice",
        "select run_id::text || ' page ' || (fields->>'page') from events where event_type = 'posts_fetched'
         group by run_id, fields->>'page' having count(*) > 1",
    ),
    (
        "a post that is there twice",
        "select instagram_pk::text from media group by profile_id, instagram_pk having count(*) > 1",
    ),
    (
        "something found that no event tells of",
        "select distinct told.run_id::text || ' ' || told.seq
         from (select run_id, seq from media union select run_id, seq from profiles
               union select run_id, seq from media_snapshots union select run_id, seq from profile_snapshots) as told
         where not exists (select from events e where e.run_id = told.run_id and e.seq = told.seq)",
    ),
    (
        "a post's snapshot that overlaps the next, or tells the same",
        "select s.shortcode from (
             select *, lead(observed_from) over w as next_from,
                    lead((likes_count, likes_hidden, comments_count, plays_count, views_count)::text) over w as next_told,
                    (likes_count, likes_hidden, comments_count, plays_count, views_count)::text as told
             from media_snapshots window w as (partition by profile_id, shortcode order by observed_from)) as s
         where s.observed_until > s.next_from or s.told = s.next_told",
    ),
    (
        "an account's snapshot that overlaps the next, or tells the same",
        "select s.profile_id::text from (
             select *, lead(observed_from) over w as next_from,
                    lead((followers_count, following_count, posts_count)::text) over w as next_told,
                    (followers_count, following_count, posts_count)::text as told
             from profile_snapshots window w as (partition by profile_id order by observed_from)) as s
         where s.observed_until > s.next_from or s.told = s.next_told",
    ),
];

/// Finds nothing that must never be.
pub(crate) async fn assert_sound(pool: &PgPool) {
    for (what, query) in NEVER {
        let found: Vec<String> = sqlx::query_scalar(query).fetch_all(pool).await.unwrap();
        if !found.is_empty() {
            panic!("{what}: {found:?}\n{}", story(pool).await);
        }
    }
}

/// Waits until no transaction stands open in this database, and gives how long that took.
pub(crate) async fn assert_no_transaction_open(pool: &PgPool, within: Duration) -> Duration {
    let began = Instant::now();
    loop {
        let open: Vec<String> = sqlx::query_scalar(
            "select pid || ': ' || state || ' for ' || (clock_timestamp() - state_change) || ': ' || query
             from pg_stat_activity
             where datname = current_database() and state like 'idle in transaction%'",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        if open.is_empty() {
            return began.elapsed();
        }
        assert!(began.elapsed() < within, "transactions are still open after {within:?}: {open:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All that the runs say, for whoever has to find out what went wrong: those that are active, and the latest.
pub(crate) async fn story(pool: &PgPool) -> String {
    let told: Vec<String> = sqlx::query_scalar(
        "with told as (select * from runs order by finished_at desc nulls first, run_id desc limit 8)
         select format(E'\n%s %s %s %s lease %s attempt %s worker %s last_seq %s claimable %s\n%s', r.run_id, r.task_id,
                       r.state, r.reason, r.lease, r.attempt, r.worker_id, r.last_seq, r.claimable_at,
                       (select string_agg(format('  %s %s %s %s', e.seq, e.at, e.event_type, e.message), E'\n'
                                          order by e.seq)
                        from events e where e.run_id = r.run_id))
         from told r order by r.run_id",
    )
    .fetch_all(pool)
    .await
    .unwrap_or_else(|error| vec![format!("the runs cannot be read: {error}")]);
    let sessions: Vec<String> = sqlx::query_scalar(
        "select format('%s %s %s since %s, transaction since %s, waits %s: %s', pid, application_name, state,
                       state_change, xact_start, wait_event, left(regexp_replace(query, '\\s+', ' ', 'g'), 120))
         from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'",
    )
    .fetch_all(pool)
    .await
    .unwrap_or_default();
    format!("the runs:{}\nsessions at work:\n{}", told.concat(), sessions.join("\n"))
}
