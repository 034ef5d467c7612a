//! What the database itself promises, whatever code writes to it: rules, ids, partitions, and the fenced write.

use std::collections::BTreeSet;

use ig_tracking::db::journal::{self, Entry, Level, NewEvent, NewExchange, Transition};
use ig_tracking::db::runs::{self, Claimed, Reason, RunState, Trigger};
use ig_tracking::db::start::{Start, Started, Terms, start};
use ig_tracking::db::tasks::{self, TaskKind};
use ig_tracking::db::{Lease, TaskId, WorkerId, media, migrations, partitions, profiles};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use uuid::{Uuid, Variant};

use crate::harness::{Database, eventually};

#[tokio::test]
async fn every_table_every_column_and_every_function_says_what_it_is_for() {
    let database = Database::fresh().await;
    // sqlx keeps its own table of migrations.
    let silent: Vec<String> = sqlx::query_scalar(
        "select relname || ', the table' from pg_class c
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')
             and relname <> '_sqlx_migrations' and coalesce(obj_description(c.oid, 'pg_class'), '') = ''
         union all
         select relname || '.' || attname from pg_class c join pg_attribute a on a.attrelid = c.oid
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') and not relispartition
             and relname <> '_sqlx_migrations' and attnum > 0 and not attisdropped
             and coalesce(col_description(c.oid, attnum), '') = ''
         union all
         select proname || '()' from pg_proc p
         where pronamespace = 'public'::regnamespace and coalesce(obj_description(p.oid, 'pg_proc'), '') = ''",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(silent, Vec::<String>::new());
}

#[tokio::test]
async fn migrations_make_the_schema_from_nothing_and_change_nothing_the_second_time() {
    let database = Database::empty().await;
    migrations::run(&mut database.pool.acquire().await.unwrap()).await.unwrap();
    let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    let made = count(&database.pool, tables).await;
    migrations::run(&mut database.pool.acquire().await.unwrap()).await.unwrap();
    assert_eq!(count(&database.pool, tables).await, made);
    assert!(made > 10);
}

#[tokio::test]
async fn a_task_has_one_active_run_whoever_inserts() {
    let pool = Database::fresh().await.pool;
    task(&pool, "t").await;
    let insert = "insert into runs (task_id, kind, username, source, trigger, state, reason, claimable_at, finished_at,
                      deadline_at)
                  values ('t', 'profile', 'anna', 'auto', 'api', $1, $2, $3::timestamptz, $4::timestamptz, now())";
    let add = async |state: &str| {
        let reason = ["waiting", "partial", "failed", "cancelled"].contains(&state).then_some("rate_limited");
        let active = ["queued", "running", "waiting"].contains(&state);
        let (claimable, finished) = if active { (Some("now"), None) } else { (None, Some("now")) };
        sqlx::query(insert).bind(state).bind(reason).bind(claimable).bind(finished).execute(&pool).await
    };
    for active in ["queued", "running", "waiting"] {
        add(active).await.unwrap();
        for other in ["queued", "running", "waiting"] {
            assert_eq!(constraint(add(other).await), "runs_one_active_per_task");
        }
        for last in ["succeeded", "partial", "failed", "cancelled"] {
            add(last).await.unwrap();
        }
        sqlx::query(
            "update runs set state = 'succeeded', reason = null, claimable_at = null, finished_at = now()
                     where claimable_at is not null",
        )
        .execute(&pool)
        .await
        .unwrap();
    }
    let at_once = (0..8).map(|_| add("queued"));
    let won = futures_util::future::join_all(at_once).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn rows_that_make_no_sense_are_refused() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let id = run.run_id;
    for (statement, refused_by) in [
        ("update runs set state = 'sleeping', claimable_at = null".to_owned(), "runs_state_check"),
        ("update runs set state = 'waiting'".to_owned(), "runs_reason_where_due"),
        ("update runs set reason = 'rate_limited'".to_owned(), "runs_reason_where_due"),
        ("update runs set state = 'waiting', reason = 'a mood'".to_owned(), "runs_reason_check"),
        ("update runs set claimable_at = null".to_owned(), "runs_active_is_claimable"),
        ("update runs set finished_at = now()".to_owned(), "runs_final_is_finished"),
        ("update runs set state = 'succeeded', finished_at = now()".to_owned(), "runs_active_is_claimable"),
        (
            "update runs set state = 'failed', claimable_at = null, finished_at = now()".to_owned(),
            "runs_reason_where_due",
        ),
        ("update runs set lease = -1".to_owned(), "runs_lease_check"),
        ("update runs set attempt = -1".to_owned(), "runs_attempt_check"),
        ("update runs set trigger = 'cat'".to_owned(), "runs_trigger_check"),
        (
            "insert into tasks (task_id, kind, username) values ('a b', 'reel', 'anna')".to_owned(),
            "tasks_task_id_check",
        ),
        ("insert into tasks (task_id, kind, username) values ('u', 'story', 'anna')".to_owned(), "tasks_kind_check"),
        (
            "insert into tasks (task_id, kind, username) values ('u', 'reel', 'Anna!')".to_owned(),
            "tasks_username_check",
        ),
        ("update tasks set state = 'deleted'".to_owned(), "tasks_deleted_has_its_time"),
        (
            format!(
                "insert into events (run_id, seq, at, level, event_type, message) values ('{id}', 0, now(), 'info', 'x', 'x')"
            ),
            "events_seq_check",
        ),
        (
            format!(
                "insert into events (run_id, seq, at, level, event_type, message) values ('{id}', 9, now(), 'loud', 'x', 'x')"
            ),
            "events_level_check",
        ),
        (
            format!(
                "insert into events (run_id, seq, at, level, event_type, message, fields) values ('{id}', 9, now(), 'info', 'x', 'x', '[]')"
            ),
            "events_fields_check",
        ),
        (
            format!("insert into profile_snapshots values (1, now(), now(), -1, 0, 0, '{id}', 1)"),
            "profile_snapshots_followers_count_check",
        ),
        (
            format!("insert into media_snapshots values (1, 'B', now(), now(), -1, false, 0, 0, 0, '{id}', 1)"),
            "media_snapshots_likes_count_check",
        ),
        (
            format!(
                "insert into media_snapshots values (1, 'B', now(), now() - interval '1 s', 1, false, 0, 0, 0, '{id}', 1)"
            ),
            "media_snapshots_check",
        ),
    ] {
        let refused = sqlx::raw_sql(AssertSqlSafe(statement.as_str())).execute(&pool).await;
        assert_eq!(constraint(refused), refused_by, "{statement}");
    }
}

#[tokio::test]
async fn the_logs_have_a_partition_a_week_and_four_weeks_ahead() {
    let pool = Database::fresh().await.pool;
    let expected: Vec<String> = sqlx::query_scalar(
        "select 'events_' || to_char(date_trunc('week', now() at time zone 'UTC') + make_interval(weeks => n), 'YYYYMMDD')
         from generate_series(0, 4) as n",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let weeks = async || partitions_of(&pool, "events").await;
    let all: BTreeSet<String> = expected.iter().cloned().chain(["events_default".to_owned()]).collect();
    assert_eq!(weeks().await, all);
    assert_eq!(partitions_of(&pool, "run_exchanges").await.len(), 6);
    // What is there is left alone; what is missing is made, once, by whoever of many comes first.
    assert_eq!(partitions::ensure(&pool).await.unwrap(), 0);
    let exchanges = expected[3].replace("events", "run_exchanges");
    for missing in [&expected[4], &expected[1], &exchanges] {
        sqlx::raw_sql(AssertSqlSafe(format!("drop table {missing}"))).execute(&pool).await.unwrap();
    }
    let url = pool.connect_options().as_ref().clone();
    let at_once = (0..8).map(|_| {
        let url = url.clone();
        async move {
            let mut connection = PgConnection::connect_with(&url).await.unwrap();
            partitions::ensure(&mut connection).await.unwrap()
        }
    });
    assert_eq!(futures_util::future::join_all(at_once).await.into_iter().sum::<i32>(), 3);
    assert_eq!(weeks().await, all);
    // They are whole: a run of that week finds its partition, and its comment says which.
    let id: Uuid = sqlx::query_scalar("select uuid_v7(now() + interval '8 days')").fetch_one(&pool).await.unwrap();
    let insert =
        "insert into events (run_id, seq, at, level, event_type, message) values ($1, 1, now(), 'info', 'x', 'x')
                  returning tableoid::regclass::text";
    let table: String = sqlx::query_scalar(insert).bind(id).fetch_one(&pool).await.unwrap();
    assert_ne!(table, "events_default");
    let comment: Option<String> = sqlx::query_scalar("select obj_description($1::text::regclass, 'pg_class')")
        .bind(&expected[1])
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(comment.unwrap().starts_with("Rows of events whose run was requested from "));
}

#[tokio::test]
async fn runs_sort_by_the_time_of_their_request() {
    let pool = Database::fresh().await.pool;
    for n in 0..50 {
        claimed(&pool, &format!("t{n}")).await;
    }
    let by = async |order: &str| -> Vec<Uuid> {
        let query = format!("select run_id from runs order by {order}");
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&pool).await.unwrap()
    };
    assert_eq!(by("run_id").await, by("requested_at").await);
    let made = "select count(*) from runs where run_id < uuid_v7_floor(requested_at)";
    assert_eq!(count(&pool, made).await, 0);
}

#[tokio::test]
async fn an_id_is_a_version_7_uuid_of_its_time() {
    let pool = Database::fresh().await.pool;
    for (time, millis) in [
        ("2026-11-22T03:04:05.678901Z", 1_795_316_645_678_u64),
        ("2026-11-22T03:04:05.678000Z", 1_795_316_645_678),
        ("2026-11-22T03:04:05.678999Z", 1_795_316_645_678),
        ("1970-01-01T00:00:00.000001Z", 0),
    ] {
        let query = "select uuid_v7($1::text::timestamptz), uuid_v7($1::text::timestamptz + interval '1 microsecond'),
                            uuid_v7_floor($1::text::timestamptz),
                            uuid_v7_floor($1::text::timestamptz + interval '1 millisecond')";
        let (id, later, floor, next): (Uuid, Uuid, Uuid, Uuid) =
            sqlx::query_as(query).bind(time).fetch_one(&pool).await.unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (7, Variant::RFC4122), "{id}");
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!(seconds * 1000 + u64::from(nanos) / 1_000_000, millis, "{time}");
        assert!(id < later, "{id} {later}: a microsecond later");
        assert!(floor <= id && id < next, "{floor} {id} {next}");
    }
    let ids: Vec<Uuid> =
        sqlx::query_scalar("select uuid_v7() from generate_series(1, 10000)").fetch_all(&pool).await.unwrap();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[tokio::test]
async fn a_look_up_by_run_reads_one_partition() {
    let pool = Database::fresh().await.pool;
    let id = claimed(&pool, "t").await.run_id;
    let mut connection = pool.acquire().await.unwrap();
    for (table, query) in [("events", "seq > 3 order by seq"), ("run_exchanges", "seq > 3 order by seq")] {
        let explain = format!("explain (costs off) select * from {table} where run_id = '{id}' and {query}");
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
        let plan = plan.join("\n");
        assert_eq!(plan.matches(&format!("{table}_")).count(), plan.matches(&format!("{table}_2")).count(), "{plan}");
        assert!(plan.contains("Index Scan") && !plan.contains("Append") && !plan.contains("Sort"), "{plan}");
    }
    // Also where the plan was made before the run was known, as in a prepared statement that is used again.
    let prepare = "set plan_cache_mode = force_generic_plan;
                   prepare look_up(uuid) as select * from events where run_id = $1 order by seq";
    sqlx::raw_sql(prepare).execute(&mut *connection).await.unwrap();
    let explain = format!("explain (analyze, costs off, timing off, summary off) execute look_up('{id}')");
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("Subplans Removed: 5"), "{plan}");
}

#[tokio::test]
async fn appending_touches_no_index_of_runs() {
    let database = Database::fresh().await;
    let run = claimed(&database.pool, "t").await;
    let updates = async || -> (i64, i64) {
        sqlx::query_as("select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'runs'")
            .fetch_one(&database.pool)
            .await
            .unwrap()
    };
    // A connection tells its statistics at the latest when it ends.
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    // So few that all versions of the row fit on its page, whoever still looks at the earlier ones.
    for seq in 1..=12 {
        let entry = Entry { checkpoint: Some(json!({"page": seq})), ..entry(&run, seq) };
        assert_eq!(journal::write(&mut connection, &[entry]).await.unwrap().len(), 1);
    }
    connection.close().await.unwrap();
    let (all, hot) =
        eventually("the appends are counted", async || Some(updates().await).filter(|(all, _)| *all >= 12)).await;
    assert_eq!(all, hot);
}

#[tokio::test]
async fn a_run_that_succeeds_gives_its_checkpoint_up_and_any_other_keeps_it() {
    let pool = Database::fresh().await.pool;
    for (task, transition, is_kept) in [
        ("succeeded", Transition::Finish(RunState::Succeeded, None), false),
        ("partial", Transition::Finish(RunState::Partial, Some(Reason::UpstreamChanged)), true),
        ("failed", Transition::Finish(RunState::Failed, Some(Reason::Private)), true),
        ("waiting", Transition::Wait(1.0, Reason::RateLimited), true),
    ] {
        let run = claimed(&pool, task).await;
        let step = Entry { checkpoint: Some(json!({"page": 1})), ..entry(&run, 1) };
        let last = Entry { transition, ..entry(&run, 2) };
        for entry in [step, last] {
            assert_eq!(journal::write(&pool, &[entry]).await.unwrap().len(), 1);
        }
        let kept: Option<Value> = sqlx::query_scalar("select checkpoint from runs where run_id = $1")
            .bind(run.run_id.0)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(kept, is_kept.then(|| json!({"page": 1})), "{task}");
    }
}

#[tokio::test]
async fn whoever_lost_the_lease_writes_nothing_at_all() {
    let pool = Database::fresh().await.pool;
    let (run, other) = (claimed(&pool, "t").await, claimed(&pool, "other").await);
    let finish = Transition::Finish(RunState::Failed, Some(Reason::InternalError));
    let good = entry(&run, 1);
    let stale = [
        Entry { lease: Lease(0), ..good.clone() },
        Entry { lease: Lease(2), ..good.clone() },
        Entry { after_seq: 0, ..good.clone() },
        Entry { after_seq: 2, ..good.clone() },
        Entry { after_exchange: 1, ..good.clone() },
        Entry { lease: Lease(2), transition: finish, checkpoint: Some(json!({})), ..good.clone() },
    ];
    let state = async || -> Vec<String> {
        let rows = "select runs::text from runs union all select events::text from events
                    union all select run_exchanges::text from run_exchanges order by 1";
        sqlx::query_scalar(rows).fetch_all(&pool).await.unwrap()
    };
    let before = state().await;
    for entry in stale {
        assert!(journal::write(&pool, std::slice::from_ref(&entry)).await.unwrap().is_empty(), "{entry:?}");
        assert_eq!(state().await, before);
    }
    // One that may not write does not keep its batch from writing.
    let batch = [Entry { lease: Lease(7), ..good.clone() }, entry(&other, 1)];
    let written = journal::write(&pool, &batch).await.unwrap();
    assert_eq!(written.iter().map(|written| written.run_id).collect::<Vec<_>>(), [other.run_id]);
    assert_eq!(events_of(&pool, &run).await.len(), 1);
    assert_eq!(events_of(&pool, &other).await.len(), 2);
    // A run that has ended takes no more.
    journal::write(&pool, &[Entry { transition: finish, ..good }]).await.unwrap();
    assert!(journal::write(&pool, &[entry(&run, 2)]).await.unwrap().is_empty());
    let (state, last_seq, last_exchange): (String, i64, i64) =
        sqlx::query_as("select state, last_seq, last_exchange from runs where run_id = $1")
            .bind(run.run_id.0)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((state.as_str(), last_seq, last_exchange), ("failed", 2, 1));
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_recognised_and_not_repeated() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let mine = entry(&run, 1);
    let standing = async || journal::standing(&pool, run.run_id).await.unwrap().unwrap();
    assert!(!standing().await.holds(&mine), "not written yet");
    journal::write(&pool, std::slice::from_ref(&mine)).await.unwrap();
    // The answer is lost; the writer tries again.
    assert!(journal::write(&pool, std::slice::from_ref(&mine)).await.unwrap().is_empty());
    assert!(standing().await.holds(&mine));
    assert_eq!(events_of(&pool, &run).await.len(), 2);
    // The same place in the log under another's lease is another's.
    sqlx::query("update runs set claimable_at = now() - interval '1 s'").execute(&pool).await.unwrap();
    let heir = runs::claim(&pool, WorkerId::generate(), 30.0, 1).await.unwrap();
    assert_eq!((heir[0].lease, heir[0].last_seq), (Lease(2), 2));
    assert!(!standing().await.holds(&mine));
}

#[tokio::test]
async fn an_entry_without_events_is_fenced_by_its_requests_and_one_without_either_may_come_twice() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let standing = async || journal::standing(&pool, run.run_id).await.unwrap().unwrap();
    let asked = Entry { events: Vec::new(), checkpoint: Some(json!({"page": 1})), ..entry(&run, 1) };
    assert!(!standing().await.holds(&asked), "not written yet");
    assert_eq!(journal::write(&pool, std::slice::from_ref(&asked)).await.unwrap().len(), 1);
    assert!(journal::write(&pool, std::slice::from_ref(&asked)).await.unwrap().is_empty());
    assert!(standing().await.holds(&asked));

    let neither =
        Entry { exchanges: Vec::new(), after_exchange: 1, checkpoint: Some(json!({"page": 2})), ..asked.clone() };
    let row = async || -> String {
        sqlx::query_scalar("select (to_jsonb(r) - 'updated_at')::text from runs r").fetch_one(&pool).await.unwrap()
    };
    assert_eq!(journal::write(&pool, std::slice::from_ref(&neither)).await.unwrap().len(), 1);
    let once = row().await;
    assert_eq!(journal::write(&pool, std::slice::from_ref(&neither)).await.unwrap().len(), 1);
    assert_eq!(row().await, once);
    assert!(standing().await.holds(&neither));
    assert!(journal::write(&pool, &[Entry { lease: Lease(2), ..neither }]).await.unwrap().is_empty());
    assert_eq!(events_of(&pool, &run).await.len(), 1);
}

#[tokio::test]
async fn a_nul_is_stored_as_a_mark_and_what_is_too_long_is_cut_with_one() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let long = "🎈".repeat(256 * 1024);
    let mut entry = entry(&run, 1);
    entry.events[0].message = "a\0b".to_owned();
    entry.events[0].fields = json!({"k\0ey": ["\0"], "plain": "\u{1}"});
    let codes: Vec<String> = (0..10_000).map(|n| format!("code{n}")).collect();
    let fields = json!({"long": long, "codes": codes, "attempt": 1});
    entry.events.push(NewEvent { message: long.clone(), fields, ..entry.events[0].clone() });
    // A checkpoint is our own, and half of one is none.
    entry.checkpoint = Some(json!({"cursor": "\0", "long": long}));
    entry.exchanges[0].url = format!("http://a.test/\0{long}");
    assert_eq!(journal::write(&pool, &[entry]).await.unwrap().len(), 1);
    let events = events_of(&pool, &run).await;
    assert_eq!(events[1], ("a\u{FFFD}b".to_owned(), json!({"k\u{FFFD}ey": ["\u{FFFD}"], "plain": "\u{1}"})));
    let is_cut = |text: &str, limit: usize, whole: usize| {
        assert!(text.len() <= limit && text.len() > limit - 4, "{}", text.len());
        assert!(text.ends_with(&format!("🎈… [cut: {whole} bytes]")), "{text}");
    };
    let (message, fields) = &events[2];
    is_cut(message, 8 * 1024, long.len());
    is_cut(fields["long"].as_str().unwrap(), 8 * 1024, long.len());
    assert!(fields["codes"].as_str().unwrap().starts_with("… [cut: "), "{fields}");
    assert_eq!(fields["attempt"], 1);
    let (url, cursor, kept): (String, String, String) = sqlx::query_as(
        "select url, checkpoint->>'cursor', checkpoint->>'long' from run_exchanges join runs using (run_id)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    is_cut(&url, 8 * 1024, long.len() + 15);
    assert_eq!((cursor.as_str(), kept), ("\u{FFFD}", long));

    let mut transaction = pool.begin().await.unwrap();
    let text = || Some("one\0two".to_owned());
    let profile = profiles::NewProfile {
        full_name: text(),
        biography: text(),
        category: text(),
        external_url: text(),
        profile_pic_url: text(),
        ..profile()
    };
    let profile_id = profiles::record(&mut transaction, run.run_id, 2, &profile).await.unwrap().profile_id;
    let post = media::NewMedia { caption: text(), display_url: text(), ..post() };
    media::record(&mut transaction, run.run_id, 2, profile_id, &[post]).await.unwrap();
    transaction.commit().await.unwrap();
    let stored: Vec<Option<String>> = sqlx::query_scalar(
        "select unnest(array[full_name, biography, category, external_url, profile_pic_url]) from profiles
         union all select unnest(array[caption, display_url]) from media",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(stored, vec![Some("one\u{FFFD}two".to_owned()); 7]);
}

#[tokio::test]
async fn what_an_answer_does_not_tell_of_an_account_contradicts_nothing() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let see = async |followers_count, following_count, posts_count| -> i64 {
        let profile = profiles::NewProfile { followers_count, following_count, posts_count, ..profile() };
        let mut transaction = pool.begin().await.unwrap();
        profiles::record(&mut transaction, run.run_id, 1, &profile).await.unwrap();
        transaction.commit().await.unwrap();
        count(&pool, "select count(*) from profile_snapshots").await
    };
    assert_eq!(see(None, None, None).await, 0, "nothing was told");
    assert_eq!(see(Some(10), Some(5), None).await, 1);
    assert_eq!(see(Some(10), Some(5), Some(0)).await, 2, "a count of zero is a count");
    let until = "select max(observed_until) from profile_snapshots";
    let moved = async || -> chrono::DateTime<chrono::Utc> { sqlx::query_scalar(until).fetch_one(&pool).await.unwrap() };
    let before = moved().await;
    assert_eq!(see(Some(10), Some(5), None).await, 2, "the same, from an endpoint that tells less");
    let seen = moved().await;
    assert!(seen > before);
    assert_eq!(see(None, None, None).await, 2);
    assert_eq!(moved().await, seen, "nothing was told, so nothing was seen");
    assert_eq!(see(Some(11), None, None).await, 3);
    assert_eq!(see(Some(11), Some(5), Some(0)).await, 4);
    let rows: Vec<(Option<i64>, Option<i64>, Option<i64>)> = sqlx::query_as(
        "select followers_count, following_count, posts_count from profile_snapshots order by observed_from",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(
        rows,
        [(Some(10), Some(5), None), (Some(10), Some(5), Some(0)), (Some(11), None, None), (Some(11), Some(5), Some(0)),]
    );
}

#[tokio::test]
async fn what_one_run_tells_of_a_post_is_one_row_and_what_a_later_run_tells_is_one_only_where_it_differs() {
    let pool = Database::fresh().await.pool;
    let (one, two) = (claimed(&pool, "one").await, claimed(&pool, "two").await);
    let (three, four) = (claimed(&pool, "three").await, claimed(&pool, "four").await);
    let mut transaction = pool.begin().await.unwrap();
    let profile_id = profiles::record(&mut transaction, one.run_id, 1, &profile()).await.unwrap().profile_id;
    media::record(&mut transaction, one.run_id, 1, profile_id, &[post()]).await.unwrap();
    transaction.commit().await.unwrap();
    let see = async |run: &Claimed, likes_count, likes_hidden, plays_count, views_count| {
        let shortcode = "B".to_owned();
        let comments_count = Some(0);
        let numbers =
            media::NewNumbers { shortcode, likes_count, likes_hidden, comments_count, plays_count, views_count };
        let mut transaction = pool.begin().await.unwrap();
        media::snapshot(&mut transaction, run.run_id, 1, profile_id, &[numbers], &[]).await.unwrap();
        transaction.commit().await.unwrap();
    };
    type Row = (Option<i64>, bool, Option<i64>, Option<i64>);
    let rows = async || -> Vec<Row> {
        let rows =
            "select likes_count, likes_hidden, plays_count, views_count from media_snapshots order by observed_from";
        sqlx::query_as(rows).fetch_all(&pool).await.unwrap()
    };
    // Answers of one run, each with a part: of a number that grew in between, the later one counts.
    see(&one, Some(3), false, Some(89), Some(40)).await;
    see(&one, Some(3), false, Some(90), None).await;
    let whole = (Some(3), false, Some(90), Some(40));
    assert_eq!(rows().await, [whole]);
    // A later run tells the same in parts: no row. Then a change, and a part of it that is told later.
    see(&two, Some(3), false, None, None).await;
    see(&two, None, false, Some(90), Some(40)).await;
    assert_eq!(rows().await, [whole]);
    see(&two, Some(4), false, None, None).await;
    see(&two, None, false, Some(91), None).await;
    let grown = (Some(4), false, Some(91), None);
    assert_eq!(rows().await, [whole, grown]);
    // That the owner hides the likes is a change, and stays hidden where a reduced answer does not say so.
    see(&three, None, true, Some(91), None).await;
    see(&three, None, false, Some(91), Some(41)).await;
    let hidden = (None, true, Some(91), Some(41));
    assert_eq!(rows().await, [whole, grown, hidden]);
    // Back to what it was is a change, too; and a number that another run did not tell is none of its row's.
    see(&four, Some(3), false, None, None).await;
    see(&one, Some(3), false, Some(90), Some(40)).await;
    assert_eq!(rows().await[3..], [(Some(3), false, None, None), whole]);
    // A late answer seemed to tell of a change; by its next one the run tells what was known before it.
    see(&two, Some(2), false, Some(90), Some(40)).await;
    assert_eq!(rows().await.len(), 6);
    see(&two, Some(3), false, None, None).await;
    assert_eq!(rows().await[3..], [(Some(3), false, None, None), whole]);
    let seen_last = "select observed_until = max(observed_until) over () from media_snapshots order by observed_from";
    let seen_last: Vec<bool> = sqlx::query_scalar(seen_last).fetch_all(&pool).await.unwrap();
    assert_eq!(seen_last, [false, false, false, false, true], "the row before lives on");
}

pub(crate) fn profile() -> profiles::NewProfile {
    profiles::NewProfile {
        instagram_pk: Some(7),
        fbid: None,
        username: "anna".to_owned(),
        full_name: None,
        biography: None,
        category: None,
        external_url: None,
        external_url_told: true,
        profile_pic_url: None,
        is_private: None,
        is_verified: None,
        followers_count: Some(1),
        following_count: None,
        posts_count: None,
    }
}

pub(crate) fn post() -> media::NewMedia {
    media::NewMedia {
        shortcode: "B".to_owned(),
        instagram_pk: 1,
        kind: None,
        is_reel: Some(false),
        is_pinned: Some(false),
        taken_at: None,
        caption: None,
        caption_told: true,
        tags: media::Tags::default(),
        duration_seconds: None,
        display_url: None,
    }
}

async fn task(pool: &PgPool, name: &str) -> TaskId {
    let task = TaskId::parse(name).unwrap();
    tasks::create(pool, &task, TaskKind::Profile, "anna").await.unwrap();
    task
}

/// A run that this test has in hand, with its first event.
pub(crate) async fn claimed(pool: &PgPool, name: &str) -> Claimed {
    let task = task(pool, name).await;
    match start(pool, TERMS, &[profile_start(&task)]).await.unwrap().remove(0) {
        Started::Claimed(run) => *run,
        other => panic!("{other:?}"),
    }
}

pub(crate) const TERMS: Terms = Terms {
    worker: WorkerId(Uuid::from_u128(1)),
    lease_seconds: 60.0,
    deadline_seconds: 60.0,
    event_type: "scrape_started",
};

/// A start that a hand waits for.
pub(crate) fn profile_start(task_id: &TaskId) -> Start<'_> {
    Start {
        task_id,
        kind: TaskKind::Profile,
        trigger: Trigger::Api,
        claimed: true,
        message: "Started scraping @%",
        fields: json!({}),
    }
}

/// What the hand of this run may write next.
pub(crate) fn entry(run: &Claimed, after_seq: i64) -> Entry {
    Entry {
        run_id: run.run_id,
        lease: run.lease,
        attempt: run.attempt,
        after_seq,
        after_exchange: after_seq - 1,
        age_seconds: 0.0,
        events: vec![NewEvent {
            level: Level::Info,
            event_type: "posts_fetched",
            message: "Page read".to_owned(),
            fields: json!({"page": after_seq}),
        }],
        exchanges: vec![NewExchange {
            source: "web",
            credential: None,
            endpoint: "feed",
            method: "GET",
            url: "http://a.test/".to_owned(),
            status: Some(200),
            duration_ms: 1.5,
            bytes: 10,
            failure: None,
            headers: None,
            body: None,
        }],
        checkpoint: None,
        transition: Transition::Stay,
    }
}

async fn events_of(pool: &PgPool, run: &Claimed) -> Vec<(String, Value)> {
    sqlx::query_as("select message, fields from events where run_id = $1 order by seq")
        .bind(run.run_id.0)
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn partitions_of(pool: &PgPool, table: &str) -> BTreeSet<String> {
    let query = "select inhrelid::regclass::text from pg_inherits where inhparent = $1::text::regclass";
    sqlx::query_scalar(query).bind(table).fetch_all(pool).await.unwrap().into_iter().collect()
}

/// The name of the rule that refused a statement.
fn constraint<T: std::fmt::Debug>(result: sqlx::Result<T>) -> String {
    match result {
        Err(sqlx::Error::Database(error)) => error.constraint().unwrap_or_else(|| panic!("{error}")).to_owned(),
        other => panic!("was not refused: {other:?}"),
    }
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}
