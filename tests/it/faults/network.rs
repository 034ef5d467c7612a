//! What networks do between a replica and its database.

use std::time::Duration;

use super::dice::{Dice, setting};
use super::stage::{Stage, beyond_the_lease};
use super::writes::commits_a_run;
use crate::harness::Proxy;

/// For faults that are over before anybody's lease is.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// Two replicas, of which the lines of the first so many are as they should not be until the leases have passed.
async fn beyond_the_lease_of(replicas: usize, strike: impl Fn(&Proxy), fault: &str) {
    let strike = async |stage: &mut Stage| {
        let lines = || stage.members[..replicas].iter().map(|member| &member.proxy);
        lines().for_each(&strike);
        beyond_the_lease().await;
        lines().for_each(Proxy::mend);
    };
    Stage::new(2).await.suffers(fault, strike).await;
}

fn cut_off(proxy: &Proxy) {
    proxy.refuse();
    proxy.cut();
}

#[tokio::test]
async fn connections_that_are_cut_are_made_anew() {
    let stage = Stage::new(2).await;
    let cut_again_and_again = async |stage: &mut Stage| {
        for n in 0..6 {
            stage.members[n % 2].proxy.cut();
            a_moment().await;
        }
        stage.members.iter().for_each(|member| member.proxy.cut());
    };
    stage.suffers("all connections cut, again and again", cut_again_and_again).await;
}

#[tokio::test]
async fn a_replica_that_is_cut_off_for_longer_than_its_lease_loses_its_runs_and_nothing_else() {
    beyond_the_lease_of(1, cut_off, "one replica cut off, connections refused").await;
}

#[tokio::test]
async fn replicas_that_are_all_cut_off_go_on_when_they_are_let_in_again() {
    beyond_the_lease_of(2, cut_off, "all replicas cut off, connections refused").await;
}

#[tokio::test]
async fn a_replica_whose_connections_stall_refuses_in_time_and_loses_nothing() {
    beyond_the_lease_of(1, Proxy::stall, "one replica's connections stalled, then flowing").await;
}

#[tokio::test]
async fn replicas_whose_connections_all_stall_refuse_in_time_and_lose_nothing() {
    beyond_the_lease_of(2, Proxy::stall, "all replicas' connections stalled, then flowing").await;
}

#[tokio::test]
async fn connections_that_stall_for_ever_are_given_up() {
    let stage = Stage::new(2).await;
    let forget = async |stage: &mut Stage| stage.members[0].proxy.forget_server();
    stage.suffers("half-open: the server gone, its replica not told", forget).await;
}

#[tokio::test]
async fn all_replicas_give_up_connections_that_stall_for_ever() {
    let stage = Stage::new(2).await;
    let forget = async |stage: &mut Stage| stage.members.iter().for_each(|member| member.proxy.forget_server());
    stage.suffers("half-open: the server gone, no replica told", forget).await;
}

#[tokio::test]
async fn a_server_that_was_not_told_that_its_clients_are_gone_holds_nothing_up() {
    let stage = Stage::new(2).await;
    let forget = async |stage: &mut Stage| {
        for _ in 0..3 {
            stage.members[0].proxy.forget_clients();
            a_moment().await;
        }
    };
    stage.suffers("half-open: the replica's side gone, its server not told", forget).await;
}

#[tokio::test]
async fn a_transaction_whose_client_vanished_holds_nothing_up() {
    let stage = Stage::new(2).await;
    let vanish = async |stage: &mut Stage| {
        let proxy = &stage.members[0].proxy;
        let caught = proxy.trap(commits_a_run, 0, crate::harness::Moment::Before).await.unwrap();
        proxy.forget_clients();
        drop(caught);
    };
    stage.suffers("half-open in the middle of a transaction, its server not told", vanish).await;
}

#[tokio::test]
async fn a_statement_whose_answer_is_lost_is_not_done_twice() {
    let stage = Stage::new(2).await;
    let lose = async |stage: &mut Stage| {
        for n in 0..6 {
            let proxy = &stage.members[n % 2].proxy;
            proxy.keep_answers();
            a_moment().await;
            proxy.cut();
            proxy.mend();
            a_moment().await;
        }
    };
    stage.suffers("answers lost: executed, and the connection cut before the answer", lose).await;
}

#[tokio::test]
async fn answers_that_stay_away_are_not_waited_for() {
    beyond_the_lease_of(1, Proxy::keep_answers, "answers stalled: executed, and told after the lease").await;
}

#[tokio::test]
async fn connections_that_break_at_any_byte_lose_nothing() {
    let stage = Stage::new(2).await;
    let seed = setting("IGT_FAULT_SEED", 1);
    let mut dice = Dice::new(seed);
    let cut = async |stage: &mut Stage| {
        for n in 0..20 {
            stage.members[n % 2].proxy.cut_after(dice.below(30_000));
            tokio::time::sleep(dice.millis(50, 200)).await;
        }
        stage.members.iter().for_each(|member| member.proxy.mend());
    };
    stage.suffers("connections cut at a random byte", cut).await;
}

#[tokio::test]
async fn a_slow_line_is_only_slow() {
    let delay = |proxy: &Proxy| proxy.delay(Duration::from_millis(20));
    beyond_the_lease_of(2, delay, "every message 20 ms late").await;
}

#[tokio::test]
async fn a_replica_that_loses_its_listen_polls_and_listens_again() {
    let stage = Stage::new(2).await;
    let cut = async |stage: &mut Stage| {
        assert_eq!(stage.members[0].proxy.cut_listeners(), 1);
        assert_eq!(stage.members[1].proxy.cut_listeners(), 1);
        a_moment().await;
    };
    stage.suffers("LISTEN cut", cut).await;
}

#[tokio::test]
async fn a_replica_whose_listen_went_deaf_notices_and_listens_again() {
    let mut stage = Stage::new(2).await;
    stage.begin().await;
    assert_eq!(stage.members[0].proxy.deafen_listeners(), 1);
    crate::harness::eventually("the deaf connection is replaced", async || {
        // The proxy counts those that live: the deaf one does not.
        (stage.members[0].proxy.listeners() == 1).then_some(())
    })
    .await;
    let fault = "LISTEN deaf: half-open, nothing comes";
    let cost = stage.reckon(fault).await;
    super::report::record(fault, 1, cost);
    stage.end().await;
}

#[tokio::test]
async fn a_replica_with_a_deaf_connection_ends_when_it_is_told_to() {
    let stage = Stage::new(2).await;
    let stop = async |stage: &mut Stage| {
        assert_eq!(stage.members[0].proxy.deafen_listeners(), 1);
        assert_eq!(stage.members[0].terminate(1).await, Some(0));
        stage.members[0].revive().await;
    };
    stage.suffers("SIGTERM with a half-open connection", stop).await;
}
