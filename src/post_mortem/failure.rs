//! Which event says by which request a run failed.

use serde_json::Value;

use super::report::Failure;
use super::{fields, text};
use crate::db::exchanges::Told;
use crate::db::runs::RunState;
use crate::db::status::Event;

/// The events that tell that a run came on. What had failed before one of them was overcome.
const PROGRESS: [&str; 6] = [
    "account_fetched",
    "posts_fetched",
    "reels_filtered",
    "processing_reels",
    "reels_processed",
    "profile_data_updated",
];

/// The latest event that names a failure, with its fields: of those behind the last progress, and none where the run
/// succeeded.
pub(super) fn shown_by(state: RunState, events: &[Event]) -> Option<(&Event, Value)> {
    if state == RunState::Succeeded {
        return None;
    }
    let since_progress = events.iter().rev().take_while(|event| !PROGRESS.contains(&event.event_type.as_str()));
    since_progress.map(|event| (event, fields(event))).find(|(_, fields)| fields["failure"].is_string())
}

impl Failure {
    /// What that event says, with the request that it is about.
    pub(super) fn of((event, fields): (&Event, Value), requests: &[Told]) -> Self {
        let endpoint = text(&fields["endpoint"]).unwrap_or_default();
        let made = requests.iter().map(|told| &told.exchange);
        let request = made.rev().find(|exchange| exchange.endpoint == endpoint && exchange.failure.is_some());
        Self {
            name: text(&fields["failure"]).unwrap_or_default(),
            http_status: fields["http_status"].as_i64(),
            upstream_message: text(&fields["upstream_message"]),
            credential: request.and_then(|request| request.credential.clone()),
            request: request.map(|request| request.seq),
            seq: event.seq,
            endpoint,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::db::journal::Level;

    /// A log of events, each a type with the failure that it names, if any.
    fn log(events: &[(&str, Option<&str>)]) -> Vec<Event> {
        let event = |(n, (event_type, failure)): (usize, &(&str, Option<&str>))| Event {
            seq: n as i64 + 1,
            at: DateTime::UNIX_EPOCH,
            level: Level::Info,
            event_type: (*event_type).to_owned(),
            message: String::new(),
            fields: serde_json::json!({"failure": failure}).to_string(),
        };
        events.iter().enumerate().map(event).collect()
    }

    #[test]
    fn what_was_overcome_is_not_what_a_run_failed_by() {
        let throttled = [("scrape_started", None), ("rate_limited", Some("throttled")), ("run_resumed", None)];
        let went_on = [&throttled[..], &[("account_fetched", None), ("posts_fetched", None)]].concat();
        let conclusion = [&went_on[..], &[("scrape_partial", None)]].concat();
        let again = [&went_on[..], &[("retry_scheduled", Some("broken")), ("scrape_failed", None)]].concat();
        let ended = [&again[..], &[("scrape_failed", Some("timeout"))]].concat();
        for (state, events, seq) in [
            (RunState::Waiting, &throttled[..2], Some(2)),
            (RunState::Running, &throttled[..], Some(2)),
            (RunState::Running, &went_on[..], None),
            (RunState::Partial, &conclusion[..], None),
            (RunState::Failed, &again[..], Some(6)),
            (RunState::Failed, &ended[..], Some(8)),
            (RunState::Succeeded, &throttled[..], None),
            (RunState::Failed, &[], None),
        ] {
            let log = log(events);
            assert_eq!(shown_by(state, &log).map(|(event, _)| event.seq), seq, "{state:?}: {events:?}");
        }
    }
}
