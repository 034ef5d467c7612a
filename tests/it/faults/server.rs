//! What happens to the database server.

use std::time::Duration;

use ig_tracking::db::status::Snapshot;
use nix::sys::signal::Signal;
use sqlx::{Connection as _, PgConnection, PgPool};

use super::stage::{Stage, beyond_the_lease};
use crate::harness::{Database, MortalServer, eventually};

async fn stopped_and_started(how: Option<Signal>, fault: &str) {
    let stage = Stage::with_server(MortalServer::start().await, 2).await;
    let stop = async |stage: &mut Stage| {
        let server = stage.server.as_mut().unwrap();
        match how {
            Some(signal) => server.stop(signal).await,
            None => server.kill().await,
        }
        beyond_the_lease().await;
        server.revive().await;
    };
    stage.suffers(fault, stop).await;
}

#[tokio::test]
async fn a_server_that_is_stopped_fast_and_started_again_loses_nothing() {
    stopped_and_started(Some(Signal::SIGINT), "Postgres stopped (fast) beyond the lease, started again").await;
}

#[tokio::test]
async fn a_server_that_is_stopped_immediately_and_started_again_loses_nothing() {
    stopped_and_started(Some(Signal::SIGQUIT), "Postgres stopped (immediate) beyond the lease, started again").await;
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_loses_nothing() {
    stopped_and_started(None, "Postgres killed (-9) beyond the lease, started again").await;
}

#[tokio::test]
async fn a_server_that_is_paused_and_goes_on_loses_nothing() {
    let stage = Stage::with_server(MortalServer::start().await, 2).await;
    let freeze = async |stage: &mut Stage| {
        let frozen = stage.server.as_ref().unwrap().freeze().await;
        beyond_the_lease().await;
        frozen.thaw().await;
    };
    stage.suffers("Postgres paused (SIGSTOP) beyond the lease, then SIGCONT", freeze).await;
}

#[tokio::test]
async fn a_replica_that_is_told_to_stop_while_the_server_is_paused_ends() {
    let stage = Stage::with_server(MortalServer::start().await, 2).await;
    let stop = async |stage: &mut Stage| {
        let frozen = stage.server.as_ref().unwrap().freeze().await;
        stage.members[0].tell_to_stop();
        beyond_the_lease().await;
        frozen.thaw().await;
        stage.members[0].terminate(0).await;
        stage.members[0].revive().await;
    };
    stage.suffers("SIGTERM while Postgres is paused", stop).await;
}

#[tokio::test]
async fn a_server_that_is_read_only_for_a_while_loses_nothing() {
    let stage = Stage::with_server(MortalServer::start().await, 2).await;
    let freeze = async |stage: &mut Stage| {
        let url = stage.server.as_ref().unwrap().database_url.clone();
        read_only(&url, true).await;
        beyond_the_lease().await;
        read_only(&url, false).await;
    };
    stage.suffers("the primary read-only beyond the lease, then writable", freeze).await;
}

#[tokio::test]
async fn a_demoted_primary_whose_connections_stay_open_is_left_for_the_new_one() {
    let (old, new) = MortalServer::pair().await;
    let (old_url, new_url) = (old.database_url.clone(), new.database_url.clone());
    let stage = Stage::with_server(old, 2).await;
    let mut successor = Some(new);
    let mut demoted = None;
    let demote = async |stage: &mut Stage| {
        // As a switch-over does: nothing is written any more, the standby has all of it, and is promoted.
        read_only(&old_url, true).await;
        let old_pool = std::mem::replace(&mut stage.pool, Database::at(&new_url).await.pool);
        all_is_replayed(&old_pool, &stage.pool).await;
        // While it follows, nobody can tell by it whether anything was committed.
        assert_eq!(Snapshot::now(&stage.pool).await.unwrap(), None);
        sqlx::query("select pg_promote(true, 60)").execute(&stage.pool).await.unwrap();
        assert!(Snapshot::now(&stage.pool).await.unwrap().is_some());
        stage.members.iter().for_each(|member| member.proxy.lead_to(&new_url));
        old_pool.close().await;
        demoted = std::mem::replace(&mut stage.server, successor.take());
    };
    stage.suffers("a standby promoted; old connections stay on the old, read-only primary", demote).await;
    demoted.unwrap().end().await;
}

/// Makes a whole server read-only, or writable again, for sessions old and new.
pub(super) async fn read_only(url: &str, whether: bool) {
    let setting = match whether {
        true => "alter system set default_transaction_read_only = on",
        false => "alter system reset default_transaction_read_only",
    };
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(setting).execute(&mut connection).await.unwrap();
    sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Waits until nobody writes to the old one, and the new one has what was written.
async fn all_is_replayed(old: &PgPool, new: &PgPool) {
    // Sessions read the new setting between two statements, which for idle ones is at once.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let written: String = eventually("nobody writes any more", async || {
        let query = "select pg_current_wal_insert_lsn()::text where not exists (
                         select from pg_stat_activity where backend_xid is not null)";
        sqlx::query_scalar(query).fetch_optional(old).await.unwrap()
    })
    .await;
    eventually("the standby has it all", async || {
        let query = "select pg_last_wal_replay_lsn() >= $1::pg_lsn";
        sqlx::query_scalar::<_, Option<bool>>(query).bind(&written).fetch_one(new).await.unwrap()?.then_some(())
    })
    .await;
}
