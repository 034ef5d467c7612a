//! Waiting for a run: until it is not as a client knows it, or has ended.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Deserializer};

use super::super::App;
use super::super::layers::MAX_WAIT_SECONDS;
use crate::db::{Failure, RunId};
use crate::runs::View;

/// For how long to wait.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct Seconds(u8);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = i64::deserialize(deserializer)?;
        let seconds = u8::try_from(wanted).ok().filter(|seconds| *seconds <= MAX_WAIT_SECONDS);
        let wrong = || serde::de::Error::custom(format!("is {wanted}; it must be from 0 to {MAX_WAIT_SECONDS}"));
        seconds.map(Self).ok_or_else(wrong)
    }
}

/// The tag of a run as it is told.
pub(super) fn tag(view: &View) -> String {
    format!("\"{}\"", view.version())
}

/// What a client knows of a run: the tags of an `If-None-Match`.
#[derive(Debug, Default)]
pub(super) struct Known {
    tags: Vec<String>,
    anything: bool,
}

impl Known {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        let tags: Vec<_> = given.flat_map(|tags| tags.split(',')).map(|tag| tag.trim().to_owned()).collect();
        Self { anything: tags.iter().any(|tag| tag == "*"), tags }
    }

    fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Whether it is known by this tag; a weak one is as good (RFC 9110, 13.1.2).
    pub(super) fn has(&self, tag: &str) -> bool {
        self.anything || self.tags.iter().any(|known| known.strip_prefix("W/").unwrap_or(known) == tag)
    }
}

/// The run as soon as there is something to tell: that it is not as it is known, or where nothing is known, that it has
/// ended. Else as it is when the time is over, or this replica shuts down. `None` where there is no such run.
pub(super) async fn until_told(
    app: &App,
    run_id: RunId,
    wait: Seconds,
    known: &Known,
) -> Result<Option<Arc<View>>, Failure> {
    if wait.0 == 0 {
        return app.runs.view(run_id).await;
    }
    let is_told = |view: &View| match known.is_empty() {
        true => !view.run.state.is_active(),
        false => !known.has(&tag(view)),
    };
    // Before the first look: nothing falls in between.
    let mut watched = app.runs.watch(run_id);
    let Some(view) = app.runs.view(run_id).await? else { return Ok(None) };
    if is_told(&view) {
        return Ok(Some(view));
    }
    let news = async {
        loop {
            let moved = watched.moved().await;
            // That look may have begun before this request.
            let is_older = (moved.run.last_seq, moved.run.updated_at) < (view.run.last_seq, view.run.updated_at);
            if !is_older && is_told(&moved) {
                return moved;
            }
        }
    };
    tokio::select! {
        biased;
        view = news => Ok(Some(view)),
        () = app.closing.cancelled() => app.runs.view(run_id).await,
        () = tokio::time::sleep(Duration::from_secs(u64::from(wait.0))) => app.runs.view(run_id).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_whether_weak_or_strong_and_among_others() {
        for (given, has) in [
            (&[][..], false),
            (&["\"3-a\""], true),
            (&["W/\"3-a\""], true),
            (&["\"2-a\", \"3-a\""], true),
            (&["\"2-a\"", " \"3-a\" "], true),
            (&["*"], true),
            (&["\"3-b\"", "3-a", ""], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(header::IF_NONE_MATCH, value.parse().unwrap());
            }
            let known = Known::of(&headers);
            assert_eq!(known.has("\"3-a\""), has, "{given:?}");
            assert_eq!(known.is_empty(), given.is_empty());
        }
    }
}
