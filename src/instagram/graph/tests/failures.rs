//! Failures: every refusal by its name, what the gate hears of each, and that the token is told nowhere.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::site::*;
use crate::instagram::FailureKind::{self, *};
use crate::instagram::{Class, Failure, Heard, Usage};

async fn failure_of(answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> (Failure, Vec<Heard>) {
    let site = Site::answering(answer).await;
    let mut visit = site.within(Duration::from_secs(30));
    let failure = visit.posts(&account(), None).await.unwrap_err();
    let exchange = visit.take_exchanges().pop().unwrap();
    assert_eq!((exchange.endpoint, exchange.method), ("business_discovery_media", "GET"));
    assert_eq!((exchange.failure, exchange.status), (Some(failure.kind.as_str()), failure.status));
    (failure, site.gate.heard())
}

#[tokio::test]
async fn every_row_of_refusals_has_its_name_and_its_class_and_the_gate_hears_it() {
    let rows: [(i64, FailureKind, Class); 15] = [
        (4, Throttled, Class::Throttled),
        (17, Throttled, Class::Throttled),
        (32, Throttled, Class::Throttled),
        (613, Throttled, Class::Throttled),
        (80_002, Throttled, Class::Throttled),
        (341, Throttled, Class::Throttled),
        (1, ServerError, Class::Transient),
        (2, ServerError, Class::Transient),
        (368, PolicyBlocked, Class::Operator),
        (190, TokenInvalid, Class::Operator),
        (102, TokenInvalid, Class::Operator),
        (10, PermissionMissing, Class::Operator),
        (200, PermissionMissing, Class::Operator),
        (100, FieldsRefused, Class::Operator),
        (110, NotDiscoverable, Class::Terminal),
    ];
    for (code, kind, class) in rows {
        let (failure, heard) = failure_of(move |_| error(code, "no")).await;
        assert_eq!((failure.kind, failure.kind.class(), failure.status), (kind, class, Some(400)), "{code}");
        assert!(failure.message.contains(&format!("[code {code}, trace AbC] no")), "{}", failure.message);
        let last = heard.last().unwrap();
        assert_eq!((last.failure, last.retry_after, last.usage), (Some(kind), failure.retry_after, None), "{code}");
    }
}

#[tokio::test]
async fn what_is_no_answer_of_the_source_is_told_apart() {
    let cases: [(u16, &str, FailureKind); 10] = [
        (200, "<!DOCTYPE html><title>Sign in</title>", ServerError),
        (200, "{\"business_discovery\":{\"media\":", TruncatedBody),
        (200, "", TruncatedBody),
        (200, "Sorry", UnexpectedShape),
        (302, "", UnexpectedShape),
        (404, "<html>", UnexpectedShape),
        (407, "<html>Proxy", ProxyRefused),
        (429, "slow down", Throttled),
        (502, "<html>Bad gateway", ServerError),
        (200, "{\"business_discovery\":{\"id\":\"1\"}}", UnexpectedShape),
    ];
    for (status, body, kind) in cases {
        let (failure, _) = failure_of(move |_| answer(status, &[("location", "/elsewhere")], body)).await;
        assert_eq!((failure.kind, failure.status), (kind, Some(status)), "{status} {body}");
    }
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(17 * 1024 * 1024));
    let (failure, _) = failure_of(move |_| answer(200, &[], large.clone())).await;
    assert!(failure.kind == UnexpectedShape && failure.message.contains("16 MiB"), "{}", failure.message);
}

#[tokio::test]
async fn an_answer_that_never_comes_breaks_off_or_finds_no_connection_is_told_apart() {
    let endless = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let site = Site::answering(move |seen| match seen.fields.contains("after(QVFIrefused)") {
        true => answer(500, &[], endless()),
        false if seen.fields.contains("after(") => answer(200, &[], endless()),
        false => Answer::Never,
    })
    .await;
    let mut visit = site.within(Duration::from_secs(1));
    for (after, kind, status) in [
        (None, TimedOut, None),
        (Some("graph:QVFI"), TimedOut, Some(200)),
        (Some("graph:QVFIrefused"), ServerError, Some(500)),
    ] {
        let after = after.map(|after| crate::instagram::Cursor(after.to_owned()));
        let failure = visit.posts(&account(), after.as_ref()).await.unwrap_err();
        assert_eq!((failure.kind, failure.status), (kind, status));
    }
    assert_eq!(site.gate.heard().len(), 3, "also of what brought nothing");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0_u8; 8192];
        let _ = socket.read(&mut request).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{}").await.unwrap();
    });
    let mut visit = graph(&url, Duration::from_secs(30)).visit(site.gate.clone());
    let failure = visit.account(&mill()).await.unwrap_err();
    assert_eq!((failure.kind, failure.status), (TruncatedBody, Some(200)));
    server.await.unwrap();
    let failure = visit.account(&mill()).await.unwrap_err();
    assert_eq!((failure.kind, failure.status), (ConnectionFailed, None));
}

#[tokio::test]
async fn the_gate_hears_how_much_is_used_up_and_what_cannot_be_read_of_it_is_news() {
    let app = ("x-app-usage", r#"{"call_count":81,"total_time":20,"total_cputime":5}"#);
    let business = ("x-business-use-case-usage", r#"{"178":[{"call_count":96,"estimated_time_to_regain_access":7}]}"#);
    let site = Site::answering(move |_| answer(200, &[app, business], page(&[], None).to_string())).await;
    site.visit().posts(&account(), None).await.unwrap();
    let minutes = Some(Duration::from_secs(7 * 60));
    let usage = Some(Usage { percent: 96.0, regained_in: minutes });
    let heard =
        |failure, retry_after, usage| Heard { endpoint: "business_discovery_media", failure, retry_after, usage };
    assert_eq!(site.gate.heard(), [heard(None, None, usage)]);
    // A throttle that says nothing of its own waits as the usage says.
    let throttled = json!({"error": {"message": "no", "code": 17}}).to_string();
    let (failure, told) = failure_of(move |_| answer(400, &[app, business], throttled.clone())).await;
    assert_eq!(failure.retry_after, minutes);
    assert_eq!(told, [heard(Some(Throttled), minutes, usage)]);

    let site = Site::answering(|_| answer(200, &[("x-app-usage", "plenty")], page(&[], None).to_string())).await;
    let page = site.visit().posts(&account(), None).await.unwrap();
    assert_eq!((page.unread[0].path.as_str(), page.unread[0].is_loss), ("x-app-usage", false));
    assert_eq!(site.gate.heard(), [heard(None, None, None)], "absent is not zero");
}

#[tokio::test]
async fn a_gate_that_is_closed_lets_no_request_out() {
    let site = Site::answering(|_| json_of(200, &page(&[], None))).await;
    *site.gate.is_closed.lock().unwrap() = true;
    let mut visit = site.visit();
    let failure = visit.account(&mill()).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry_after), (Throttled, Some(Duration::from_secs(5))));
    assert!(site.seen().is_empty() && site.gate.heard().is_empty() && visit.take_exchanges().is_empty());
}

#[tokio::test]
async fn the_token_is_told_nowhere_whatever_the_answer_says() {
    let site = Site::answering(|seen| {
        let echo = seen.headers["authorization"].to_str().unwrap().to_owned();
        let encoded = "https://graph.facebook.com/?a=very%2Dsecret%7Ctoken&b=very-secret%7Ctoken&c=very-secret%7ctoken";
        match seen.fields.contains("followers_count") {
            true => json_of(400, &json!({"error": {"message": format!("{echo} {encoded}"), "code": 190}})),
            false => {
                let mut body = page(&[picture("B")], None);
                body["business_discovery"]["media"]["data"][0]["media_type"] = json!(echo);
                body["business_discovery"]["media"]["paging"] = json!({"next": encoded, "long": "y".repeat(600_000)});
                json_of(200, &body)
            }
        }
    })
    .await;
    let mut visit = site.visit();
    let failure = visit.account(&mill()).await.unwrap_err();
    let page = visit.posts(&account(), None).await.unwrap();
    let exchanges = visit.take_exchanges();
    let bodies: Vec<String> = exchanges
        .iter()
        .filter_map(|exchange| exchange.body.as_deref())
        .map(|body| String::from_utf8_lossy(body).into())
        .collect();
    assert_eq!((bodies.len(), bodies[1].len()), (2, 256 * 1024));
    let told = format!("{failure:?} {failure} {page:?} {exchanges:?} {visit:?} {:?} {bodies:?}", site.gate.heard());
    assert!(told.contains("[removed]"));
    for secret in ["very-secret", "very%2Dsecret"] {
        assert!(!told.contains(secret), "{secret} is told: {told:.3000}");
    }
}

#[tokio::test]
async fn a_proxy_is_asked_in_the_sources_place() {
    let proxy = Site::answering(|_| json_of(200, &page(&[picture("B")], None))).await;
    let config = super::super::GraphConfig {
        base_url: "http://graph.invalid".to_owned(),
        proxy: Some(proxy.url.clone().into()),
        ..super::super::GraphConfig::new(ASKER, TOKEN.into())
    };
    let mut visit = super::super::Graph::new(config).unwrap().visit(proxy.gate.clone());
    assert_eq!(visit.posts(&account(), None).await.unwrap().items.len(), 1);
}
