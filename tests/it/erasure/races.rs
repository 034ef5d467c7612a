//! Two erasures at one text: neither brings back the name that the other took out.

use ig_tracking::archive::{self, Line};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::packed::{pack, pack_of};
use super::*;

/// A text that names both, and the same without the name that the other erasure looks for.
const BOTH: &str = "with @raced.anna and @raced.cora";
const ONE: &str = "with @raced.anna and [erased]";
const NONE: &str = "with [erased] and [erased]";

/// What the other erasure has written and not yet committed, and the statement that then waits for it.
const WRITES: [(&str, &str); 4] = [
    ("update events set message = $1 where run_id = $2 and seq = 2", "update events"),
    (
        "update profiles set biography = $1 where profile_id = (select profile_id from runs where run_id = $2)",
        "update profiles",
    ),
    (
        "update media set caption = $1 where caption is not null
             and profile_id = (select profile_id from runs where run_id = $2)",
        "update media set",
    ),
    (
        "update media_captions set caption = $1 where profile_id = (select profile_id from runs where run_id = $2)",
        "update media_captions",
    ),
];

/// Each place where the text stands, but for the pack.
const TEXTS: &str = "
    select message from events where run_id = $1 and seq = 2
    union all select biography from profiles where profile_id = (select profile_id from runs where run_id = $1)
    union all select caption from media
        where caption is not null and profile_id = (select profile_id from runs where run_id = $1)
    union all select caption from media_captions where profile_id = (select profile_id from runs where run_id = $1)";

#[tokio::test]
async fn two_erasures_at_one_text_leave_neither_name_in_it() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    let pool = &world.database.pool;
    world.scrape(&replica, "anna", "raced.anna").await;
    // One log of theirs is packed, another in rows; one post has a caption, and had another.
    world.scrape(&replica, "packed", "raced.bert").await;
    sqlx::query("update events set message = $1 where seq = 2").bind(BOTH).execute(pool).await.unwrap();
    pack(&world.database).await;
    let (packed_run, packed) = pack_of(pool, "packed").await;
    world.scrape(&replica, "rows", "raced.bert").await;
    let run: Uuid = sqlx::query_scalar("select run_id from runs where task_id = 'rows'").fetch_one(pool).await.unwrap();
    let one_caption = "with others as (
             update media set caption = null where (profile_id, shortcode) <> (
                 select profile_id, min(shortcode) from media
                 where profile_id = (select profile_id from runs where run_id = $1) group by 1))
         insert into media_captions (profile_id, shortcode, observed_from, observed_until, caption, run_id, seq)
         select profile_id, 'before', now(), now(), '', run_id, 1 from runs where run_id = $1";
    sqlx::query(one_caption).bind(run).execute(pool).await.unwrap();
    sqlx::query("update media set caption = '' where caption is not null").execute(pool).await.unwrap();

    // The other erasure has read all of it, has written, and does not commit yet.
    let mut others = Vec::new();
    for (write, waits) in WRITES {
        sqlx::query(write).bind(BOTH).bind(run).execute(pool).await.unwrap();
        let mut other = PgConnection::connect(&world.database.url).await.unwrap();
        sqlx::raw_sql("begin").execute(&mut other).await.unwrap();
        let written = sqlx::query(write).bind(ONE).bind(run).execute(&mut other).await.unwrap();
        assert_eq!(written.rows_affected(), 1, "{write}");
        others.push((other, waits));
    }
    let mut other = PgConnection::connect(&world.database.url).await.unwrap();
    sqlx::raw_sql("begin").execute(&mut other).await.unwrap();
    sqlx::query("update run_archives set packed = $1 where run_id = $2")
        .bind(with_words(&packed, ONE))
        .bind(packed_run)
        .execute(&mut other)
        .await
        .unwrap();
    others.insert(1, (other, "update run_archives"));

    let called = call(&["profiles", "purge", "raced.anna", "--yes"], &[("DATABASE_URL", &world.database.url)]);
    for (mut other, waits) in others {
        eventually(&format!("{waits} waits"), async || {
            let found: bool = sqlx::query_scalar(
                "select exists (select from pg_stat_activity where datname = current_database()
                     and wait_event_type = 'Lock' and position($1 in query) > 0)",
            )
            .bind(waits)
            .fetch_one(pool)
            .await
            .unwrap();
            found.then_some(())
        })
        .await;
        sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
    }
    let purged = called.finished().await;
    assert_eq!(purged.code, Some(0), "{purged:?}");
    let texts: Vec<String> = sqlx::query_scalar(TEXTS).bind(run).fetch_all(pool).await.unwrap();
    assert_eq!(texts, [NONE; 4]);
    let events = archive::unpack(&pack_of(pool, "packed").await.1).unwrap();
    assert_eq!(events[1].message, NONE);
    let said = table(&purged);
    assert_eq!((&*said["events of other runs"], &*said["captions of others"]), ("2", "2"), "{said:?}");
}

/// The pack with these words in its second event.
fn with_words(packed: &[u8], words: &str) -> Vec<u8> {
    let mut events = archive::unpack(packed).unwrap();
    words.clone_into(&mut events[1].message);
    archive::pack(&events.iter().map(Line::borrowed).collect::<Vec<_>>()).unwrap()
}
