//! Version 2, as its clients ask it: what the tests of its resources share.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{Answer, Replica};

/// `GET` below version 2.
pub(crate) async fn get(replica: &Replica, path: &str) -> Answer {
    replica.ask(Method::GET, &format!("/api/v2{path}"), None).await
}

/// `POST` below version 2 without a body.
pub(crate) async fn post(replica: &Replica, path: &str) -> Answer {
    replica.ask(Method::POST, &format!("/api/v2{path}"), None).await
}

/// `GET` below version 2 with a header.
pub(crate) async fn get_with(replica: &Replica, path: &str, name: &str, value: &str) -> Answer {
    let request = replica.http.get(format!("{}/api/v2{path}", replica.address)).header(name, value);
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// The problem that an answer is, of this status and type.
pub(crate) fn problem(answer: &Answer, status: u16, slug: &str) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text);
    let problem: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(problem["type"], format!("/api/v2/problems/{slug}"), "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    problem
}

/// The body of an answer of this status.
pub(crate) fn body(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, StatusCode::from_u16(status).unwrap(), "{}", answer.text);
    answer.json()
}

/// All items of a list, page by page, each page of so many.
pub(crate) async fn walk(replica: &Replica, path: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let page = body(&get(replica, &format!("{path}{joint}limit={limit}{cursor}")).await, 200);
        let on_page = page["items"].as_array().unwrap();
        assert!(on_page.len() <= limit, "{page}");
        items.extend(on_page.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}
