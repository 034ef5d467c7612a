//! Requests counted and timed, by method, route and status.
//!
//! To find a metric by its labels costs more than to count: so what was found once is kept. There are as many as the
//! service has routes, methods and statuses, whatever clients send.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

/// The metrics of requests that were found so far, by route.
#[derive(Default)]
pub(super) struct Counts(RwLock<HashMap<String, OfRoute>>);

/// What one route has answered.
type OfRoute = Vec<(&'static str, StatusCode, Kept)>;

#[derive(Clone)]
struct Kept {
    requests: Counter,
    seconds: Histogram,
}

impl Counts {
    /// Counts an answer; `route` is the pattern of the path, where one matched.
    pub(super) fn count(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let (method, route) = (name(method), route.unwrap_or("none"));
        let kept = self.find(method, route, status).unwrap_or_else(|| self.keep(method, route, status));
        kept.requests.increment(1);
        kept.seconds.record(took.as_secs_f64());
    }

    fn find(&self, method: &'static str, route: &str, status: StatusCode) -> Option<Kept> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut of_route = all.get(route)?.iter();
        of_route.find(|(of, with, _)| *of == method && *with == status).map(|(_, _, kept)| kept.clone())
    }

    fn keep(&self, method: &'static str, route: &str, status: StatusCode) -> Kept {
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.as_str().to_owned())];
        let kept = Kept {
            requests: metrics::counter!("igt_http_requests_total", &labels),
            seconds: metrics::histogram!("igt_http_request_seconds", &labels[..2]),
        };
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Where another came first it stands here twice, for one and the same metric.
        all.entry(route.to_owned()).or_default().push((method, status, kept.clone()));
        kept
    }
}

/// A method's name. What is none of the usual ones is a client's invention, and there may be any number of them.
fn name(method: &Method) -> &'static str {
    const USUAL: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
    USUAL.into_iter().find(|usual| *usual == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_is_counted_with_all_others() {
        assert_eq!(name(&Method::PATCH), "PATCH");
        for invented in ["get", "BREW", "PROPFIND"] {
            assert_eq!(name(&Method::from_bytes(invented.as_bytes()).unwrap()), "other");
        }
    }

    #[test]
    fn what_was_counted_once_is_found_again_and_not_kept_twice() {
        let counts = Counts::default();
        for status in [StatusCode::OK, StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::OK] {
            counts.count(&Method::GET, Some("/tasks"), status, Duration::from_millis(1));
        }
        counts.count(&Method::GET, None, StatusCode::NOT_FOUND, Duration::from_millis(1));
        let kept = counts.0.read().unwrap();
        assert_eq!((kept["/tasks"].len(), kept["none"].len(), kept.len()), (2, 1, 2));
    }
}
