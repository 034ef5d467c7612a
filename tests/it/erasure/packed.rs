//! Logs that are packed name nobody who was erased, either.

use ig_tracking::archive;
use ig_tracking::db::RunId;
use ig_tracking::db::packing::{self, Next};
use sqlx::PgPool;
use uuid::Uuid;

use super::*;
use crate::harness::Database;

/// Packs the logs of all runs that have ended, as if it were a month later.
pub(super) async fn pack(database: &Database) {
    let ended: Vec<(Uuid, i64)> = sqlx::query_as(
        "select run_id, last_seq from runs
         where finished_at is not null and run_id in (select run_id from events) order by run_id",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let ended: Vec<_> =
        ended.into_iter().map(|(run_id, last_seq)| Next { run_id: RunId(run_id), last_seq, is_due: true }).collect();
    let service = database.as_the_service();
    packing::make_room(&service, &ended).await.unwrap();
    let mut transaction = service.begin().await.unwrap();
    assert!(packing::begin(&mut *transaction).await.unwrap());
    let packed = packing::pack(&mut transaction, &ended).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((packed.runs, packed.failed), (ended.len() as u64, 0));
}

/// The only pack of a task's latest run.
pub(super) async fn pack_of(pool: &PgPool, task: &str) -> (Uuid, Vec<u8>) {
    sqlx::query_as(
        "select run_id, packed from run_archives
         where run_id = (select run_id from runs where task_id = $1 order by run_id desc limit 1)",
    )
    .bind(task)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Makes the second event of a task's runs name somebody.
async fn meet(pool: &PgPool, task: &str, whom: &str) {
    let meet = "update events e
                set message = 'met @' || $2::text || ' on the way', fields = e.fields || jsonb_build_object('met', $2::text)
                from runs r where r.run_id = e.run_id and r.task_id = $1 and e.seq = 2";
    sqlx::query(meet).bind(task).bind(whom).execute(pool).await.unwrap();
}

#[tokio::test]
async fn packed_logs_of_theirs_are_removed_and_those_of_others_say_erased() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    let pool = &world.database.pool;
    let words = with_a_past(&world, &replica, "packed.anna", "packed.bert").await;
    pack(&world.database).await;
    let (of_other, before) = pack_of(pool, "packed.bert").await;
    let rows: i64 = sqlx::query_scalar("select count(*) from events").fetch_one(pool).await.unwrap();
    assert_eq!(rows, 0, "every log is packed");
    let named = found(pool, &words).await;
    assert!(named.iter().any(|(of, ..)| of.starts_with("run_archives")), "{named:?}");

    let rehearsed = purge(&world, &["packed.anna", "--dry-run"]).await;
    assert_eq!(rehearsed.code, Some(0), "{rehearsed:?}");
    assert_eq!(pack_of(pool, "packed.bert").await.1, before, "nothing was done");
    let purged = purge(&world, &["packed.anna", "--yes"]).await;
    assert_eq!(purged.code, Some(0), "{purged:?}");
    let said = table(&purged);
    assert_eq!(said, table(&rehearsed), "the rehearsal said what was done");
    for of in ["run_archives", "events of other runs"] {
        assert!(said[of].parse::<u64>().unwrap() > 0, "{of}: {said:?}");
    }
    assert_eq!(found(pool, &words).await, []);

    let events = archive::unpack(&pack_of(pool, "packed.bert").await.1).unwrap();
    let unchanged = archive::unpack(&before).unwrap();
    assert_eq!(events.len(), unchanged.len());
    assert_eq!(events[1].message, "met [erased] on the way");
    let fields: Value = serde_json::from_str(&events[1].fields).unwrap();
    assert_eq!(
        (&fields["username"], &fields["instagram_id_before"], &fields["found"]),
        (&json!("[erased]"), &json!("[erased]"), &json!("said [erased]."))
    );
    assert!(fields["followers_count"].is_i64(), "{fields}");
    // The last word names them, too.
    let last = events.len() - 1;
    assert!(events[last].message.ends_with("and [erased]"), "{}", events[last].message);
    assert_eq!((&events[0], &events[2..last]), (&unchanged[0], &unchanged[2..last]), "the others are what they were");
    // And whoever reads it is told so.
    let told = replica.v2_get(&format!("/runs/{of_other}/events")).await;
    assert!(told.to_string().contains("met [erased] on the way"), "{told:#}");
}

#[tokio::test]
async fn a_damaged_pack_keeps_nobody_from_being_erased_and_its_run_is_named() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    let pool = &world.database.pool;
    for task in ["torn.anna", "torn.bert", "torn.cora"] {
        world.scrape(&replica, task, task).await;
        meet(pool, task, "torn.anna").await;
    }
    pack(&world.database).await;
    // One of theirs, which goes anyhow, and one that may name them.
    let damage = "update run_archives set packed = substr(packed, 1, 20) where run_id = $1";
    let (damaged, _) = pack_of(pool, "torn.cora").await;
    for run in [pack_of(pool, "torn.anna").await.0, damaged] {
        sqlx::query(damage).bind(run).execute(pool).await.unwrap();
    }
    for arguments in [["torn.anna", "--dry-run"], ["torn.anna", "--yes"]] {
        let done = purge(&world, &arguments).await;
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.stderr.contains(&damaged.to_string()) && done.stderr.contains("damaged"), "{done:?}");
        assert_eq!(table(&done)["run_archives"], "1", "{done:?}");
        assert_eq!(table(&done)["events of other runs"], "1", "{done:?}");
    }
    let events = archive::unpack(&pack_of(pool, "torn.bert").await.1).unwrap();
    assert_eq!(events[1].message, "met [erased] on the way");
    assert_eq!(pack_of(pool, "torn.cora").await.1.len(), 20, "it stays as it is");
    sqlx::query("delete from run_archives where run_id = $1").bind(damaged).execute(pool).await.unwrap();
    assert_eq!(found(pool, &["torn.anna".to_owned()]).await, []);
}
