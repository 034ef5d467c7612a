//! The gate is asked before every request, and told after each.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use serde_json::json;

use super::super::{Web, WebConfig};
use super::site::*;
use crate::instagram::{Failure, FailureKind, Gate, Heard};

/// Lets so many requests through and remembers what it was asked and told.
#[derive(Debug, Default)]
struct Counting {
    lets: usize,
    passed: Mutex<Vec<&'static str>>,
    heard: Mutex<Vec<Heard>>,
}

impl Gate for Counting {
    fn pass(&self, endpoint: &'static str) -> BoxFuture<'_, Result<(), Failure>> {
        let mut passed = self.passed.lock().unwrap();
        let refused = Failure {
            kind: FailureKind::NotAsked,
            endpoint,
            status: None,
            message: "credential main cools".to_owned(),
            retry_after: Some(Duration::from_secs(9)),
        };
        let may = passed.len() < self.lets;
        if may {
            passed.push(endpoint);
        }
        ready(if may { Ok(()) } else { Err(refused) }).boxed()
    }

    fn heard(&self, heard: Heard) -> BoxFuture<'_, ()> {
        self.heard.lock().unwrap().push(heard);
        ready(()).boxed()
    }
}

fn gate(lets: usize) -> Arc<Counting> {
    Arc::new(Counting { lets, ..Counting::default() })
}

fn web(site: &Site) -> Web {
    Web::new(WebConfig { base_url: site.url.clone(), ..WebConfig::default() }).unwrap()
}

#[tokio::test]
async fn every_request_passes_the_gate_and_its_end_is_told_with_the_wait_that_was_asked_for() {
    let site = Site::answering(|seen| match seen.path.as_str() {
        // One word for the account being gone, a slash that lacks, and the second word.
        "/mill/" => answer(302, &[("location", "/mill")], ""),
        "/mill" => answer(429, &[("retry-after", "777")], ""),
        _ => json_of(404, &json!({"message": "User not found", "status": "fail"})),
    })
    .await;
    let gate = gate(9);
    let mut visit = web(&site).visit(gate.clone());
    let failure = visit.account(&mill()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Throttled);
    assert_eq!(site.seen().len(), 3);
    assert_eq!(*gate.passed.lock().unwrap(), ["web_profile_info", "profile_page", "profile_page"]);
    let heard = gate.heard.lock().unwrap();
    let told: Vec<_> = heard.iter().map(|heard| (heard.failure, heard.retry_after)).collect();
    let wait = Some(Duration::from_secs(777));
    assert_eq!(told, [(Some(FailureKind::NotFound), None), (None, None), (Some(FailureKind::Throttled), wait)]);
}

#[tokio::test]
async fn a_page_in_the_place_of_an_answer_is_told_with_the_wait_of_a_throttle_and_may_be_tried_again_sooner() {
    let site = Site::answering(|_| answer(200, &[("retry-after", "0"), ("content-type", "text/html")], "<html>")).await;
    let gate = gate(1);
    let failure = web(&site).visit(gate.clone()).posts(&account(), None).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry_after), (FailureKind::HtmlInsteadOfJson, Some(Duration::ZERO)));
    let heard = gate.heard.lock().unwrap();
    let told: Vec<_> = heard.iter().map(|heard| (heard.failure, heard.retry_after)).collect();
    assert_eq!(told, [(Some(FailureKind::HtmlInsteadOfJson), Some(Duration::from_secs(660)))]);
}

#[tokio::test]
async fn what_the_gate_refuses_is_never_asked_and_leaves_no_exchange() {
    let site = Site::answering(|_| json_of(404, &json!({"message": "User not found", "status": "fail"}))).await;
    let gate = gate(1);
    let mut visit = web(&site).visit(gate.clone());
    let failure = visit.account(&mill()).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry_after), (FailureKind::NotAsked, Some(Duration::from_secs(9))));
    assert_eq!(failure.to_string(), "profile_page was not asked: credential main cools");
    assert_eq!((site.seen().len(), visit.take_exchanges().len()), (1, 1));
    assert_eq!(gate.heard.lock().unwrap().len(), 1, "of what was not asked there is nothing to tell");
}
