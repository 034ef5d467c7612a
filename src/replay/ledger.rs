//! A ledger that only collects: what a run would say and how far it would come, and what was known before it.

use chrono::{DateTime, Utc};

use crate::db::evidence::Known;
use crate::db::journal::NewEvent;
use crate::db::profiles::Tracked;
use crate::db::scans::{Before, Covered, Kept};
use crate::instagram::Shortcode;
use crate::scrape::{Checkpoint, Event, Halt, Job, Ledger, Step};

/// Takes every step, and writes none.
pub(super) struct Collecting<'a> {
    known: &'a Known,
    attempt: i32,
    elapsed_seconds: f64,
    said: Vec<NewEvent>,
    checkpoint: Checkpoint,
}

impl<'a> Collecting<'a> {
    /// For an attempt that goes on from here.
    pub(super) fn new(known: &'a Known, attempt: i32, elapsed_seconds: f64, checkpoint: Checkpoint) -> Self {
        Self { known, attempt, elapsed_seconds, said: Vec::new(), checkpoint }
    }

    /// How far it came.
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Takes an event that belongs to no step.
    pub(super) fn say(&mut self, event: Event) {
        self.said.push(event.into_row());
    }

    /// All that was said.
    pub(super) fn into_said(self) -> Vec<NewEvent> {
        self.said
    }
}

impl Ledger for Collecting<'_> {
    async fn write(&mut self, step: Step) -> Result<(), Halt> {
        self.said.extend(step.events.into_iter().map(Event::into_row));
        self.checkpoint = step.checkpoint;
        self.checkpoint.came_on_in(self.attempt);
        Ok(())
    }

    async fn tracked(&mut self) -> Result<Option<Tracked>, Halt> {
        let account = self.known.account.as_ref();
        Ok(account.map(|account| Tracked { instagram_pk: account.instagram_pk, username: account.username.clone() }))
    }

    async fn scans_before(&mut self, job: &Job) -> Result<Before, Halt> {
        let goes_deep = |depth: i32| usize::try_from(depth).is_ok_and(|depth| depth >= job.max_posts);
        let stops = |since_full: i32| usize::try_from(since_full).is_ok_and(|scans| scans + 1 < job.full_scan_every);
        let scan = self.known.scan.as_ref();
        let known_until = scan
            .filter(|scan| (goes_deep(scan.depth) || scan.reached_end) && stops(scan.since_full))
            .map(|scan| scan.newest_taken_at);
        let missing = self.known.posts.iter().filter(|post| post.is_missing);
        Ok(Before { known_until, missing: missing.map(|post| post.shortcode.clone()).collect() })
    }

    async fn posts_not_met(&mut self, covered: Covered) -> Result<Vec<String>, Halt> {
        let stood_there = |at: DateTime<Utc>| at <= covered.newest && covered.oldest.is_none_or(|oldest| at >= oldest);
        let known = self.known.posts.iter().filter(|post| !post.is_missing && post.taken_at.is_some_and(stood_there));
        let not_met = known.filter(|post| !covered.codes.contains(&post.shortcode));
        Ok(not_met.map(|post| post.shortcode.clone()).collect())
    }

    async fn posts_kept(&mut self, older_than: DateTime<Utc>, read: &[Shortcode], limit: usize) -> Result<Kept, Halt> {
        let older =
            self.known.posts.iter().filter(|post| !post.is_missing && post.taken_at.is_some_and(|at| at < older_than));
        let not_read = older.filter(|post| read.iter().all(|code| code.as_str() != post.shortcode)).take(limit);
        let (mut posts, mut reels) = (0, 0);
        not_read.for_each(|post| {
            posts += 1;
            reels += i64::from(post.is_reel);
        });
        Ok(Kept { posts, reels })
    }

    fn elapsed_seconds(&self) -> f64 {
        self.elapsed_seconds
    }
}
