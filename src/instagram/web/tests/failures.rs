//! Every failure of the wire by its name, with what the exchange tells of it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::{Visit, Web, WebConfig};
use super::site::*;
use crate::instagram::FailureKind::{self, *};

/// Asks the feed of a guest once, and returns how it failed.
async fn failure_of(answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> crate::instagram::Failure {
    let site = Site::answering(answer).await;
    failure_within(site.guest()).await
}

async fn failure_within(mut visit: Visit) -> crate::instagram::Failure {
    let failure = visit.posts(&account(), None).await.unwrap_err();
    let exchange = visit.take_exchanges().remove(0);
    assert_eq!((exchange.endpoint, exchange.method), ("feed", "GET"));
    assert_eq!(exchange.failure, Some(failure.kind.as_str()));
    assert_eq!(exchange.status, failure.status);
    failure
}

/// The same, for answers that never end.
async fn hurried(answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> crate::instagram::Failure {
    let site = Site::answering(answer).await;
    failure_within(site.hurried_guest()).await
}

fn said(message: &str) -> Value {
    json!({"message": message, "status": "fail"})
}

#[tokio::test]
async fn every_answer_in_words_has_its_name() {
    let wait =
        json!({"message": "Please wait a few minutes before you try again.", "require_login": true, "status": "fail"});
    let cases: Vec<(u16, Value, FailureKind)> = vec![
        (429, said("Too many"), Throttled),
        (400, said("rate limit exceeded"), Throttled),
        (401, wait.clone(), PleaseWait),
        (200, wait, PleaseWait),
        (401, json!({}), PleaseWait),
        (403, json!({"message": "login_required", "error_title": "You're out", "status": "fail"}), LoginRequired),
        (200, said("login_required"), LoginRequired),
        (
            400,
            json!({"message": "checkpoint_required", "checkpoint_url": "/challenge/1/x/", "status": "fail"}),
            ChallengeRequired,
        ),
        (400, said("challenge_required"), ChallengeRequired),
        (400, said("feedback_required"), ChallengeRequired),
        (
            200,
            json!({"type": "CHALLENGE_REDIRECTION", "location": "https://a.test", "status": "ko"}),
            ChallengeRequired,
        ),
        (400, said("Asset asset://a.b/c has been deleted. You cannot use this"), EndpointBroken),
        (400, said("useragent mismatch"), UserAgentMismatch),
        (403, said("CSRF token missing"), Forbidden),
        (400, said("Not authorized to view user"), Private),
        (200, said("Restricted profile"), AgeRestricted),
        (400, said("geoblock_required"), GeoBlocked),
        (400, said("consent_required"), ConsentRequired),
        (200, said("Sorry, there was a problem with your request."), ServerError),
        (200, said("something new"), UnexpectedShape),
        (400, said("something new"), UnexpectedShape),
        (200, json!({"errors": {"error": ["odd"]}, "status": "ok", "error_type": "generic"}), UnexpectedShape),
        (407, said("who are you?"), ProxyRefused),
        (500, said("oops"), ServerError),
        (503, json!({}), ServerError),
    ];
    for (status, body, kind) in cases {
        let text = format!("{status} {body}");
        let failure = failure_of(move |_| json_of(status, &body)).await;
        assert_eq!((failure.kind, failure.status), (kind, Some(status)), "{text}");
    }
}

#[tokio::test]
async fn an_answer_that_says_nothing_is_said_to_say_nothing() {
    for body in [json!({}), said(""), said(" \n"), json!({"message": "", "errors": [""]})] {
        let failure = failure_of(move |_| json_of(400, &body)).await;
        assert_eq!(failure.message, "no message");
    }
}

#[tokio::test]
async fn redirects_are_not_followed_but_named() {
    let cases = [
        ("/accounts/login/?next=/x", LoginRequired),
        ("https://www.instagram.com/accounts/login/", LoginRequired),
        ("/challenge/?next=/", ChallengeRequired),
        ("/", HtmlInsteadOfJson),
        ("https://www.instagram.com/", HtmlInsteadOfJson),
        ("/somewhere/else/", UnexpectedShape),
    ];
    for (location, kind) in cases {
        let failure = failure_of(move |_| redirect(location)).await;
        assert_eq!((failure.kind, failure.status), (kind, Some(302)), "{location}");
        assert!(!failure.message.contains('?'), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_body_that_is_not_the_json_that_was_asked_is_told_apart() {
    let deep = format!("{{\"items\":{}1{}}}", "[".repeat(300), "]".repeat(300));
    let large = format!("{{\"items\":[\"{}\"]}}", "x".repeat(17 * 1024 * 1024));
    let cases = [
        ("<!DOCTYPE html><title>Login</title>", HtmlInsteadOfJson),
        ("\n<html>", HtmlInsteadOfJson),
        ("{\"items\":[{\"pk\":1", TruncatedBody),
        ("", TruncatedBody),
        ("Oops, an error occurred.", UnexpectedShape),
        (deep.leak(), UnexpectedShape),
        (large.leak(), UnexpectedShape),
    ];
    for (body, kind) in cases {
        let failure = failure_of(move |_| answer(200, &[], body)).await;
        assert_eq!(failure.kind, kind, "{}", &body[..body.len().min(40)]);
    }
    let guarded = Site::answering(|_| answer(200, &[], "for (;;);{\"items\":[]}")).await;
    assert!(guarded.guest().posts(&account(), None).await.is_ok());
}

#[tokio::test]
async fn a_wait_is_read_in_seconds_and_as_a_date_and_is_no_shorter_than_eleven_minutes() {
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    type Headers = &'static [(&'static str, &'static str)];
    let cases: [(Headers, Option<u64>); 8] = [
        (&[("retry-after", "900")], Some(900)),
        (&[("retry-after", "7")], Some(660)),
        (&[("retry-after", "0")], Some(660)),
        (&[("retry-after", "Sun, 06 Nov 1994 09:04:37 GMT"), ("date", DATE)], Some(900)),
        (&[("retry-after", "Sun, 06 Nov 1994 08:49:44 GMT"), ("date", DATE)], Some(660)),
        (&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), ("date", DATE)], Some(660)),
        (&[("retry-after", "soon")], None),
        (&[], None),
    ];
    for (headers, wait) in cases {
        let failure = failure_of(move |_| answer(429, headers, "")).await;
        assert_eq!((failure.kind, failure.retry_after), (Throttled, wait.map(Duration::from_secs)), "{headers:?}");
        // What is no throttle may pass sooner.
        let failure = failure_of(move |_| answer(503, &[("retry-after", "7")], "")).await;
        assert_eq!((failure.kind, failure.retry_after), (ServerError, Some(Duration::from_secs(7))));
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_to_its_end_is_timed_out() {
    // A refusal is a refusal, though its body never ends.
    let endless = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let failure = hurried(move |_| answer(429, &[("retry-after", "777")], endless())).await;
    assert_eq!((failure.kind, failure.retry_after), (Throttled, Some(Duration::from_secs(777))));
    let failure = hurried(|_| Answer::Never).await;
    assert_eq!((failure.kind, failure.status), (TimedOut, None));
    let failure = hurried(move |_| answer(200, &[], endless())).await;
    assert_eq!((failure.kind, failure.status), (TimedOut, Some(200)));
}

#[tokio::test]
async fn an_answer_that_breaks_off_and_a_connection_that_fails_are_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let web = Web::new(WebConfig { base_url, ..WebConfig::default() }).unwrap();
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"items\":[]}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nc\r\n{\"items\":[]}\r\n9\r\n",
    ];
    let server = tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0_u8; 4096];
            let _ = socket.read(&mut request).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut visit = web.visit(std::sync::Arc::new(crate::instagram::Open));
    for _ in answers {
        let failure = visit.posts(&account(), None).await.unwrap_err();
        assert_eq!((failure.kind, failure.status), (TruncatedBody, Some(200)));
        let exchange = visit.take_exchanges().remove(0);
        assert_eq!((exchange.bytes, exchange.body.as_deref()), (12, Some(&b"{\"items\":[]}"[..])));
    }
    server.await.unwrap();
    let failure = visit.posts(&account(), None).await.unwrap_err();
    assert_eq!((failure.kind, failure.status), (ConnectionFailed, None));
    assert!(visit.take_exchanges()[0].body.is_none());
}

#[tokio::test]
async fn no_secret_is_told_whatever_the_answer_says() {
    let site = Site::answering(|seen| match seen.path.as_str() {
        "/mill/" => profile_page(&json!({"pk": 77}), "hidden-token"),
        _ => {
            let echo = format!("{} {}", seen.header("cookie").unwrap_or_default(), seen.body);
            json_of(400, &json!({"message": format!("{echo} {}", "y".repeat(600_000))}))
        }
    })
    .await;
    let mut visit = site.session();
    let failure = visit.posts(&account(), None).await.unwrap_err();
    assert!(failure.message.chars().count() <= 301);
    let exchanges = visit.take_exchanges();
    let kept = exchanges[1].body.as_ref().unwrap();
    assert_eq!(kept.len(), 256 * 1024);
    let told = format!("{failure:?} {exchanges:?} {visit:?} {}", String::from_utf8_lossy(kept));
    let site = Site::answering(|_| {
        let page = r#"["LSD",[],{"token":"hidden-token"}] ["DTSGInitialData",[],{"token":"very-secret-dtsg"}]"#;
        html(404, page)
    })
    .await;
    let mut visit = site.session();
    assert!(visit.account(&mill()).await.is_err());
    let pages: Vec<u8> = visit.take_exchanges().into_iter().filter_map(|exchange| exchange.body).flatten().collect();
    let told = told + &String::from_utf8_lossy(&pages);
    for secret in ["very-secret", "hidden-token"] {
        assert!(!told.contains(secret), "{secret} is told");
    }
}

#[tokio::test]
async fn a_visit_goes_on_after_a_call_was_dropped() {
    let site = Site::answering(|seen| match seen.path.as_str() {
        "/api/v1/feed/user/77/" => json_of(200, &json!({"items": [], "more_available": false})),
        _ => Answer::Never,
    })
    .await;
    let mut visit = site.guest();
    let name = mill();
    assert!(tokio::time::timeout(Duration::from_millis(50), visit.account(&name)).await.is_err());
    assert!(visit.posts(&account(), None).await.is_ok());
    assert_eq!(visit.take_exchanges().len(), 1);
}
