//! How much a run may keep: so many events in its log, so many bodies of answers, so much of each; and which.

use std::sync::Arc;

use serde_json::json;

use super::answers::pack;
use crate::db::journal::{NewExchange, Transition};
use crate::db::runs::RunState;
use crate::instagram::Exchange;
use crate::scrape::Event;

/// Places in the log that progress leaves free: for the word that some of it was dropped, and for the last word.
const LAST_WORDS: i64 = 2;

/// Bodies that a run keeps of answers that failed or could not be read whole; of further ones the row only. Those that
/// come with the last word are kept in any case: they show by what the run ended.
const MAX_BODIES: u32 = 100;

/// A body is kept up to this size, before compression.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Takes out of a step's events the progress for which a log of `limit` events has no room any more, and says how many
/// events that were. What else a run has to say (that it waits, goes on, cannot read a field, ends) is always written.
pub(super) fn drop_progress(events: &mut Vec<Event>, last_seq: i64, limit: i64) -> u64 {
    let all = events.len();
    let mut room = limit - LAST_WORDS - last_seq;
    events.retain(|event| {
        let stays = room > 0 || !event.is_progress();
        room -= i64::from(stays);
        stays
    });
    (all - events.len()) as u64
}

/// What a run says before its last word where some of its progress was dropped.
pub(super) fn dropped(dropped: u64) -> Option<Event> {
    (dropped > 0).then_some(Event::EventsDropped { dropped })
}

/// What requests were asked with.
#[derive(Clone, Debug)]
pub(super) struct AskedWith {
    /// `web` or `graph`.
    pub(super) source: &'static str,
    /// The credential's name.
    pub(super) credential: Arc<str>,
}

/// What becomes of the bodies of a step's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bodies {
    /// Those that show something are kept as far as there is room; the others are held, see [`super::answers`].
    Step,
    /// Those that show something are kept, and the others let go: the run ended well, or a client ended it.
    End,
    /// All are kept: the run ended otherwise.
    BadEnd,
}

impl Bodies {
    /// As a transition says.
    pub(super) fn of(transition: Transition) -> Self {
        match transition {
            Transition::Finish(RunState::Failed | RunState::Partial, _) => Self::BadEnd,
            Transition::Finish(..) => Self::End,
            _ => Self::Step,
        }
    }
}

/// The rows of requests, with the bodies that are kept; `kept` counts these. Beside each the body that is held.
pub(super) fn rows_of(
    exchanges: Vec<Exchange>,
    asked_with: Option<&AskedWith>,
    kept: &mut u32,
    bodies: Bodies,
) -> Vec<(NewExchange, Option<Vec<u8>>)> {
    let row = |exchange: Exchange| {
        let is_kept = match bodies {
            Bodies::Step => exchange.is_evidence() && *kept < MAX_BODIES,
            Bodies::End => exchange.is_evidence(),
            Bodies::BadEnd => true,
        };
        let is_held = bodies == Bodies::Step && !exchange.is_evidence();
        let (body, held) = if is_kept { (exchange.body, None) } else { (None, exchange.body.filter(|_| is_held)) };
        *kept += u32::from(body.is_some());
        let row = NewExchange {
            source: asked_with.map_or("web", |asked_with| asked_with.source),
            credential: asked_with.map(|asked_with| Arc::clone(&asked_with.credential)),
            endpoint: exchange.endpoint,
            method: exchange.method,
            url: exchange.url,
            status: exchange.status.and_then(|status| i16::try_from(status).ok()),
            duration_ms: exchange.duration.as_secs_f64() * 1000.0,
            bytes: i64::try_from(exchange.bytes).unwrap_or(i64::MAX),
            failure: exchange.failure,
            headers: (!exchange.headers.is_empty()).then(|| json!(exchange.headers)),
            body: body.and_then(|body| pack(&body[..body.len().min(MAX_BODY_BYTES)])),
        };
        (row, held)
    };
    exchanges.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::db::runs::Reason;
    use crate::instagram::Unread;

    fn step() -> Vec<Event> {
        let unread = Unread { path: "a".into(), expected: "b", found: "c".into(), is_loss: true };
        let progress = |done| Event::ProcessingReels { done, total: 9 };
        vec![progress(1), Event::UpstreamChanged { unread }, progress(2), Event::RunHandedOver { stage: "reels" }]
    }

    #[test]
    fn progress_is_dropped_where_the_log_is_full_and_nothing_else_is() {
        for (last_seq, dropped, left) in [(14, 0, 4), (15, 0, 4), (16, 1, 3), (17, 1, 3), (18, 2, 2), (500, 2, 2)] {
            let mut events = step();
            assert_eq!((drop_progress(&mut events, last_seq, 20), events.len()), (dropped, left), "{last_seq}");
            let others = events.iter().filter(|event| !event.is_progress()).count();
            assert_eq!(others, 2, "{last_seq}");
        }
    }

    fn exchange(failure: Option<&'static str>, body: Option<usize>) -> Exchange {
        Exchange {
            endpoint: "feed",
            method: "GET",
            url: String::new(),
            status: Some(200),
            duration: Duration::ZERO,
            bytes: 1,
            failure,
            has_unread: false,
            headers: Vec::new(),
            body: body.map(|size| vec![b'x'; size]),
        }
    }

    #[test]
    fn a_hundred_bodies_are_kept_and_those_of_the_end() {
        let bad = |body| exchange(Some("server_error"), body);
        let mut kept = 0;
        let exchanges = (0..150).flat_map(|_| [bad(None), bad(Some(300_000))]).collect();
        let rows: Vec<_> = rows_of(exchanges, None, &mut kept, Bodies::Step).into_iter().unzip::<_, _, _, Vec<_>>().0;
        assert_eq!((rows.len(), kept), (300, 100));
        assert_eq!(rows.iter().filter(|row| row.body.is_some()).count(), 100);
        assert!(rows[..200].iter().skip(1).step_by(2).all(|row| row.body.is_some()));
        assert_eq!(zstd::decode_all(&rows[1].body.as_ref().unwrap()[..]).unwrap().len(), MAX_BODY_BYTES);
        for bodies in [Bodies::End, Bodies::BadEnd] {
            assert!(rows_of(vec![bad(Some(1))], None, &mut kept, bodies)[0].0.body.is_some());
        }
    }

    #[test]
    fn a_body_that_shows_nothing_is_held_until_the_end_and_kept_with_it_where_that_is_bad() {
        for (transition, is_kept, is_held) in [
            (Transition::Stay, false, true),
            (Transition::Wait(1.0, Reason::RateLimited), false, true),
            (Transition::Finish(RunState::Succeeded, None), false, false),
            (Transition::Finish(RunState::Cancelled, None), false, false),
            (Transition::Finish(RunState::Partial, None), true, false),
            (Transition::Finish(RunState::Failed, None), true, false),
        ] {
            let rows = rows_of(vec![exchange(None, Some(9))], None, &mut 0, Bodies::of(transition));
            assert_eq!((rows[0].0.body.is_some(), rows[0].1.is_some()), (is_kept, is_held), "{transition:?}");
        }
    }
}
