//! What happens to the replicas' processes.

use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::stage::{LEASE, Stage, beyond_the_lease};
use super::writes::commits_a_run;
use crate::harness::Moment;

/// How soon another replica must have taken up what a silent one holds; the promise is the lease and two seconds, and
/// on a busy machine all takes longer.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_replica_that_is_killed_again_and_again_loses_nothing() {
    let stage = Stage::new(2).await;
    let kill = async |stage: &mut Stage| {
        for n in 0..4 {
            stage.members[n % 2].kill().await;
            tokio::time::sleep(Duration::from_millis(150)).await;
            stage.members[n % 2].revive().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    stage.suffers("kill -9 of one replica after the other", kill).await;
}

#[tokio::test]
async fn replicas_that_are_all_killed_at_once_lose_nothing() {
    let stage = Stage::new(2).await;
    let kill = async |stage: &mut Stage| {
        for member in &mut stage.members {
            member.kill().await;
        }
        for member in &mut stage.members {
            member.revive().await;
        }
    };
    stage.suffers("kill -9 of all replicas", kill).await;
}

#[tokio::test]
async fn a_machine_that_vanishes_in_the_middle_of_a_transaction_holds_nothing_up() {
    let stage = Stage::new(2).await;
    let vanish = async |stage: &mut Stage| {
        let member = &mut stage.members[0];
        let worker = worker_of(member.replica.as_ref().unwrap()).await;
        member.proxy.trap(commits_a_run, 0, Moment::Before).await.unwrap();
        // The server hears nothing of it: no machine is left that could tell.
        member.proxy.forget_clients();
        member.kill().await;
        assert_taken_up(stage, worker, "a machine that vanished in a transaction").await;
        stage.members[0].revive().await;
    };
    stage.suffers("a machine vanishes in the middle of a transaction", vanish).await;
}

#[tokio::test]
async fn a_replica_that_is_told_to_stop_hands_over_and_nothing_is_lost() {
    let stage = Stage::new(2).await;
    let terminate = async |stage: &mut Stage| {
        for n in 0..2 {
            assert_eq!(stage.members[n].terminate(1).await, Some(0));
            stage.members[n].revive().await;
        }
    };
    stage.suffers("SIGTERM, a second of grace, hand-over", terminate).await;
}

#[tokio::test]
async fn a_replica_that_is_told_twice_to_stop_ends_at_once_and_nothing_is_lost() {
    let stage = Stage::new(2).await;
    let terminate = async |stage: &mut Stage| {
        let told = Instant::now();
        let code = stage.members[0].terminate(2).await;
        // It may have nothing in hand and be done before the second.
        assert!(code == Some(1) || code == Some(0), "{code:?}");
        assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
        stage.members[0].revive().await;
    };
    stage.suffers("SIGTERM twice", terminate).await;
}

#[tokio::test]
async fn a_replica_that_is_paused_beyond_its_lease_comes_back_as_a_zombie_and_does_no_harm() {
    let stage = Stage::new(2).await;
    let pause = async |stage: &mut Stage| {
        let worker = worker_of(stage.members[0].replica.as_ref().unwrap()).await;
        stage.members[0].pause();
        assert_taken_up(stage, worker, "SIGSTOP beyond the lease").await;
        stage.members[0].go_on();
    };
    stage.suffers("SIGSTOP beyond the lease, then SIGCONT", pause).await;
}

#[tokio::test]
async fn replicas_that_are_all_paused_beyond_their_lease_go_on_and_lose_nothing() {
    let stage = Stage::new(2).await;
    let pause = async |stage: &mut Stage| {
        stage.members.iter().for_each(|member| member.pause());
        beyond_the_lease().await;
        stage.members.iter().for_each(|member| member.go_on());
    };
    stage.suffers("SIGSTOP of all beyond the lease, then SIGCONT", pause).await;
}

#[tokio::test]
async fn a_replica_that_is_paused_in_the_middle_of_a_transaction_holds_nothing_up() {
    let stage = Stage::new(2).await;
    let pause = async |stage: &mut Stage| {
        let member = &stage.members[0];
        let worker = worker_of(member.replica.as_ref().unwrap()).await;
        let caught = member.proxy.trap(commits_a_run, 0, Moment::Before).await.unwrap();
        member.pause();
        assert_taken_up(stage, worker, "SIGSTOP in the middle of a transaction").await;
        // What it had said last comes late, and so does it.
        caught.release();
        stage.members[0].go_on();
    };
    stage.suffers("SIGSTOP in the middle of a transaction, its COMMIT late", pause).await;
}

#[tokio::test]
async fn a_replica_that_is_paused_right_after_a_commit_finds_it_done() {
    let stage = Stage::new(2).await;
    let pause = async |stage: &mut Stage| {
        let member = &stage.members[0];
        let worker = worker_of(member.replica.as_ref().unwrap()).await;
        let caught = member.proxy.trap(commits_a_run, 0, Moment::After).await.unwrap();
        member.pause();
        assert_taken_up(stage, worker, "SIGSTOP right after a commit").await;
        caught.release();
        stage.members[0].go_on();
    };
    stage.suffers("SIGSTOP right after a commit, its answer late", pause).await;
}

async fn worker_of(replica: &crate::harness::Replica) -> Uuid {
    let version: Value = replica.ask(reqwest::Method::GET, "/version", None).await.ok();
    version["worker_id"].as_str().unwrap().parse().unwrap()
}

/// Others take up what a worker holds, in time.
async fn assert_taken_up(stage: &Stage, worker: Uuid, fault: &str) {
    let silent_since = Instant::now();
    loop {
        let held: i64 = sqlx::query_scalar("select count(*) from runs where worker_id = $1 and finished_at is null")
            .bind(worker)
            .fetch_one(&stage.pool)
            .await
            .unwrap();
        let took = silent_since.elapsed();
        if held == 0 {
            eprintln!("fault: {fault}: taken up after {took:.1?}; the lease is {LEASE:?}");
            return;
        }
        if took > TAKEN_UP_WITHIN {
            panic!("{fault}: {held} runs are still not taken up after {took:?}; {}", stage.evidence().await);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
