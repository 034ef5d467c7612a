//! A run's log over WebSocket.

use futures_util::StreamExt as _;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::logs::metric;
use super::{BRISK, events_of, held};
use crate::harness::{World, eventually, say};

#[tokio::test]
async fn a_run_is_told_over_a_websocket_to_its_end() {
    let (world, replica) = World::with_replica().await;
    let run = held(&world, &replica, "t", "socket.anna").await;
    let mut socket = replica.socket(&format!("/runs/{run}/events/ws?after=1")).await;
    say(&mut socket, "what a client says is not heeded").await;
    let mut told: Vec<Value> = Vec::new();
    let mut gone_on = false;
    let close = loop {
        match socket.next().await.unwrap().unwrap() {
            Frame::Text(text) => told.push(serde_json::from_str(&text).unwrap()),
            Frame::Close(frame) => break frame.unwrap(),
            _ => {}
        }
        if !std::mem::replace(&mut gone_on, true) {
            world.instagram.let_go("socket.anna").await;
        }
    };
    assert_eq!(close.code, CloseCode::Normal);
    let events = events_of(&world, &run).await;
    let end = told.pop().unwrap();
    assert_eq!(told, events[1..]);
    assert_eq!((&end["end"]["state"], &end["end"]["last_seq"]), (&json!("succeeded"), &json!(events.len())));
}

#[tokio::test]
async fn a_shutdown_closes_a_websocket_and_says_where_to_go_on() {
    let world = World::new().await;
    let (leaving, staying) = (world.replica(&BRISK).await, world.replica(&BRISK).await);
    let run = held(&world, &staying, "t", "socket.away.anna").await;
    let told = events_of(&world, &run).await.len();
    let mut socket = leaving.socket(&format!("/runs/{run}/events/ws")).await;
    for _ in 0..told {
        assert!(socket.next().await.unwrap().unwrap().is_text());
    }
    leaving.signal(Signal::SIGTERM);
    let Frame::Close(Some(close)) = socket.next().await.unwrap().unwrap() else { panic!("it is not closed") };
    assert_eq!(close.code, CloseCode::Restart);
    assert_eq!(close.reason.as_str(), format!("reconnect with after={told}"));
    assert_eq!(leaving.ended().await, Some(0));
    world.instagram.let_go("socket.away.anna").await;
}

#[tokio::test]
async fn who_says_too_much_at_once_is_cut_off() {
    let (world, replica) = World::with_replica().await;
    let run = held(&world, &replica, "t", "chatty.anna").await;
    let mut socket = replica.socket(&format!("/runs/{run}/events/ws")).await;
    say(&mut socket, &"x".repeat(100_000)).await;
    // Whatever was told before.
    while let Some(Ok(frame)) = socket.next().await {
        if frame.is_close() {
            break;
        }
    }
    assert!(socket.next().await.is_none_or(|frame| frame.is_err()));
    world.instagram.let_go("chatty.anna").await;
}

#[tokio::test]
async fn who_does_not_answer_pings_is_let_go_of_and_who_does_is_not() {
    let (world, replica) = World::with_replica().await;
    let run = held(&world, &replica, "t", "pinged.anna").await;
    let path = format!("/runs/{run}/events/ws");
    let _silent = replica.socket(&path).await;
    let mut answering = replica.socket(&path).await;
    let listens = tokio::spawn(async move {
        while let Some(Ok(frame)) = answering.next().await {
            if let Frame::Close(close) = frame {
                return close;
            }
        }
        None
    });
    let sockets = async || metric(&replica, "igt_streams{kind=\"socket\"}").await;
    assert_eq!(sockets().await, 2.0);
    eventually("one is let go of", async || (sockets().await < 2.0).then_some(())).await;
    assert_eq!(sockets().await, 1.0);
    world.instagram.let_go("pinged.anna").await;
    assert_eq!(listens.await.unwrap().unwrap().code, CloseCode::Normal);
}
