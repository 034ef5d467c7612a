//! The last lines of a run's log, in one piece, so that the last N of them are one slice.

use std::sync::Arc;

use super::{MAX_LINES, Render};
use crate::db::status::Event;

/// What keeping a tail takes beside its text: its own fields, its place in the cache.
const OVERHEAD: usize = 160;

/// The lines with `after < seq <= until`, one behind the other with a comma in between.
pub(super) struct Tail {
    after: i64,
    text: Box<[u8]>,
    /// Where each line ends in the text.
    ends: Box<[u32]>,
}

impl Tail {
    /// What is kept, if anything is, and the events that follow it; no more than the last [`MAX_LINES`] of them all.
    pub(super) fn after(kept: Option<&Self>, after: i64, events: &[Event], render: Render) -> Self {
        let room = MAX_LINES.saturating_sub(events.len());
        let skipped = kept.map_or(0, |kept| kept.ends.len().saturating_sub(room));
        let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(events.len()));
        if let Some(kept) = kept {
            let begin = kept.begin_of(skipped);
            text.extend_from_slice(&kept.text[begin.min(kept.text.len())..]);
            ends.extend(kept.ends[skipped..].iter().map(|end| end - begin as u32));
        }
        for event in events {
            if !ends.is_empty() {
                text.push(b',');
            }
            render(event, &mut text);
            ends.push(text.len() as u32);
        }
        let after = kept.map_or(after, |kept| kept.after + skipped as i64);
        Self { after, text: text.into(), ends: ends.into() }
    }

    /// The seq of the last line.
    pub(super) fn until(&self) -> i64 {
        self.after + self.ends.len() as i64
    }

    /// Whether all from there on to its end is here.
    pub(super) fn reaches_back_to(&self, after: i64) -> bool {
        (self.after..=self.until()).contains(&after)
    }

    /// The lines with `after < seq <= until`, if all of them are here.
    pub(super) fn excerpt(self: &Arc<Self>, after: i64, until: i64) -> Option<Excerpt> {
        let is_here = self.after <= after && after <= until && until <= self.until();
        let index = |seq: i64| (seq - self.after) as usize;
        is_here.then(|| Excerpt { tail: Arc::clone(self), first: index(after), end: index(until) })
    }

    /// So many of the last lines, or as many as there are.
    pub(super) fn last(self: &Arc<Self>, lines: usize) -> Excerpt {
        let end = self.ends.len();
        Excerpt { tail: Arc::clone(self), first: end.saturating_sub(lines), end }
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> u64 {
        (OVERHEAD + self.text.len() + size_of_val(&*self.ends)) as u64
    }

    /// Where a line begins in the text.
    fn begin_of(&self, line: usize) -> usize {
        // Behind the end of the one before it and the comma.
        if line == 0 { 0 } else { self.ends[line - 1] as usize + 1 }
    }
}

/// Some lines of a log.
pub struct Excerpt {
    tail: Arc<Tail>,
    first: usize,
    end: usize,
}

impl Excerpt {
    /// The tail that it is cut from.
    pub(super) fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    /// How many lines.
    pub fn len(&self) -> usize {
        self.end - self.first
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// All of them, with commas in between.
    pub fn joined(&self) -> &[u8] {
        if self.is_empty() { &[] } else { self.slice(self.first) }
    }

    /// The last one.
    pub fn last(&self) -> Option<&[u8]> {
        (!self.is_empty()).then(|| self.slice(self.end - 1))
    }

    fn slice(&self, first: usize) -> &[u8] {
        &self.tail.text[self.tail.begin_of(first)..self.tail.ends[self.end - 1] as usize]
    }
}
