//! What a scan knows of those before it: where it may stop, and which posts are not there any more.
//!
//! A whole scan has read a part of the timeline without a gap: from its newest post to its oldest, pinned ones aside,
//! which stand first and out of order. What an earlier scan met in that part and this one did not is missing. A scan
//! that is not whole (turned away, drifted, led round in a circle, out of order, of a private account) covers nothing.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Checkpoint, Event, Findings, Halt, Job, Ledger};
use crate::db::scans::{Covered, NewScan};
use crate::instagram::{Post, Shortcode};

/// How the posts that a run reads lie in time, and what it need not read again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scan {
    /// Whether the scans before it were looked at.
    begun: bool,
    /// What was published then or before is known, as deep as this scan goes; `None` where it reads in full.
    known_until: Option<DateTime<Utc>>,
    /// The posts that were missing before.
    missing: Vec<Shortcode>,
    /// The newest post read, pinned ones aside.
    newest: Option<DateTime<Utc>>,
    /// The oldest.
    oldest: Option<DateTime<Utc>>,
    /// Whether the posts do not stand in the order of their times, or one of them has none: then nothing can be said of
    /// what lies between them.
    is_disordered: bool,
    /// Whether it stopped at what is known.
    stopped: bool,
    /// Posts that are known and were not read again.
    pub(super) kept_posts: i64,
    /// How many of them are reels.
    pub(super) kept_reels: i64,
}

impl Scan {
    /// Takes in posts in the order of their list.
    pub(super) fn take_in<'a>(&mut self, posts: impl IntoIterator<Item = &'a Post>) {
        for post in posts.into_iter().filter(|post| !post.is_pinned) {
            let Some(at) = post.taken_at else {
                self.is_disordered = true;
                continue;
            };
            self.is_disordered |= self.oldest.is_some_and(|oldest| at > oldest);
            self.newest = self.newest.max(Some(at));
            self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
        }
    }

    /// Stops where, of the posts that every scan reads anew, all are read, and what follows is known.
    pub(super) fn stops(&mut self, read: usize, refreshed: usize) -> bool {
        let reaches_known = self.known_until.zip(self.oldest).is_some_and(|(known, oldest)| oldest <= known);
        self.stopped = reaches_known && !self.is_disordered && read >= refreshed;
        self.stopped
    }
}

/// Looks at the scans before this one, once a run.
pub(super) async fn begin(job: &Job, ledger: &mut impl Ledger, checkpoint: &mut Checkpoint) -> Result<(), Halt> {
    if checkpoint.scan.begun {
        return Ok(());
    }
    let before = ledger.scans_before(job).await?;
    checkpoint.scan = Scan {
        begun: true,
        known_until: before.known_until.filter(|_| job.stops_at_known()),
        missing: before.missing.iter().filter_map(|code| Shortcode::parse(code).ok()).collect(),
        ..Scan::default()
    };
    Ok(())
}

/// What a whole scan shows beside the posts themselves.
pub(super) async fn conclude(
    job: &Job,
    ledger: &mut impl Ledger,
    checkpoint: &mut Checkpoint,
) -> Result<(Vec<Event>, Findings), Halt> {
    let (mut events, mut findings) = (Vec::new(), Findings::default());
    let codes = checkpoint.posts.codes.clone();
    if checkpoint.scan.stopped
        && let Some(oldest) = checkpoint.scan.oldest
    {
        let room = job.max_posts.saturating_sub(codes.len());
        let kept = ledger.posts_kept(oldest, &codes, room).await?;
        (checkpoint.scan.kept_posts, checkpoint.scan.kept_reels) = (kept.posts, kept.reels);
        events.push(Event::KnownPostsReached { read: codes.len(), kept: kept.posts });
    }
    let back: Vec<Shortcode> = checkpoint.scan.missing.iter().filter(|code| codes.contains(code)).cloned().collect();
    if !back.is_empty() {
        events.push(Event::PostsFoundAgain { codes: back });
    }
    let Some((covered, reached_end)) = covered(job, checkpoint) else { return Ok((events, findings)) };
    let newest = covered.newest;
    let missing = ledger.posts_not_met(covered).await?;
    if !missing.is_empty() {
        findings.missing.clone_from(&missing);
        events.push(Event::PostsMissing { codes: missing });
    }
    if job.stops_at_known() {
        findings.scan = Some(NewScan {
            kind: job.kind,
            newest,
            depth: i32::try_from(job.max_posts).unwrap_or(i32::MAX),
            reached_end,
            stopped: checkpoint.scan.stopped,
        });
    }
    Ok((events, findings))
}

/// The part of the timeline that the run has read whole, and whether its list came to an end; `None` where there is
/// none.
fn covered(job: &Job, checkpoint: &Checkpoint) -> Option<(Covered, bool)> {
    let (scan, posts, account) = (&checkpoint.scan, &checkpoint.posts, checkpoint.account.as_ref()?);
    let is_whole =
        posts.done && !posts.circled && !scan.is_disordered && !account.is_private && !checkpoint.drift.lost();
    let (newest, oldest) = scan.newest.zip(scan.oldest).filter(|_| is_whole)?;
    let reached_end = !scan.stopped && posts.codes.len() < job.max_posts;
    // A list may also end because no more is shown. Only where as many were read as there are, nothing lies beyond.
    let count = i64::try_from(posts.codes.len()).ok();
    let is_all = reached_end && account.posts_count.is_some() && account.posts_count == count;
    let codes = posts.codes.iter().map(|code| code.as_str().to_owned()).collect();
    Some((Covered { newest, oldest: (!is_all).then_some(oldest), codes }, is_all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(seconds: i64, is_pinned: bool) -> Post {
        Post {
            pk: seconds,
            code: Shortcode::from_pk(seconds).unwrap(),
            kind: None,
            is_reel: None,
            is_pinned,
            taken_at: DateTime::from_timestamp(seconds, 0).filter(|_| seconds > 9),
            caption: None,
            caption_told: true,
            likes: None,
            likes_hidden: false,
            comments: None,
            plays: None,
            views: None,
            duration_seconds: None,
            display_url: None,
        }
    }

    fn scan(known_until: Option<i64>, posts: &[Post]) -> Scan {
        let known_until = known_until.and_then(|at| DateTime::from_timestamp(at, 0));
        let mut scan = Scan { known_until, ..Scan::default() };
        scan.take_in(posts);
        scan
    }

    #[test]
    fn pinned_posts_end_no_scan_and_the_newest_are_read_anew_whatever_is_known() {
        let pinned = [post(20, true), post(30, true)];
        let mut first = scan(Some(500), &pinned);
        assert!(!first.stops(2, 0), "pinned ones alone say nothing");
        first.take_in(&[post(700, false), post(600, false)]);
        assert!(!first.stops(4, 2), "older ones may still be new");
        first.take_in(&[post(500, false), post(400, false)]);
        assert!(!first.stops(6, 12), "of the latest dozen the numbers are read anew");
        assert!(first.stops(6, 6));
        assert!(!scan(None, &[post(5000, false)]).stops(100, 0), "nothing is known");
    }

    #[test]
    fn a_list_that_is_out_of_order_or_without_times_stops_nowhere_and_covers_nothing() {
        for posts in [[post(700, false), post(800, false)], [post(700, false), post(5, false)]] {
            let mut scan = scan(Some(900), &posts);
            assert!(scan.is_disordered && !scan.stops(2, 0));
            let mut checkpoint = whole(&[700, 800], Some(9));
            checkpoint.scan = scan;
            assert!(covered(&job(), &checkpoint).is_none());
        }
    }

    #[test]
    fn only_a_whole_scan_covers_and_beyond_its_oldest_post_only_where_the_account_has_no_more() {
        let oldest = |checkpoint: &Checkpoint| {
            covered(&job(), checkpoint).map(|(covered, _)| covered.oldest.map(|oldest| oldest.timestamp()))
        };
        assert_eq!(oldest(&whole(&[700, 600], Some(9))), Some(Some(600)), "more than were shown");
        assert_eq!(oldest(&whole(&[700, 600], None)), Some(Some(600)), "who knows how many");
        assert_eq!(oldest(&whole(&[700, 600], Some(2))), Some(None), "all of them");
        let many: Vec<i64> = (0..60).map(|n| 1000 - n).collect();
        assert_eq!(oldest(&whole(&many, Some(60))), Some(Some(941)), "as many as are read at most");
        let spoilt: [fn(&mut Checkpoint); 4] = [
            |checkpoint| checkpoint.posts.circled = true,
            |checkpoint| checkpoint.posts.done = false,
            |checkpoint| checkpoint.account.as_mut().unwrap().is_private = true,
            |checkpoint| {
                let unread = crate::instagram::Unread {
                    path: "items[1]".to_owned(),
                    expected: "a post",
                    found: "nothing".to_owned(),
                    is_loss: true,
                };
                checkpoint.drift.note(vec![unread]);
            },
        ];
        for spoil in spoilt {
            let mut checkpoint = whole(&[700, 600], Some(2));
            spoil(&mut checkpoint);
            assert_eq!(oldest(&checkpoint), None);
        }
        assert_eq!(oldest(&whole(&[], Some(0))), None, "an empty answer covers nothing");
    }

    fn job() -> Job {
        let username = crate::instagram::Username::parse("anna").unwrap();
        let kind = crate::db::tasks::TaskKind::Profile;
        Job { kind, username, max_posts: 60, refreshed_posts: 12, full_scan_every: 10 }
    }

    fn whole(times: &[i64], posts_count: Option<i64>) -> Checkpoint {
        let posts: Vec<Post> = times.iter().map(|at| post(*at, false)).collect();
        let mut checkpoint = Checkpoint { scan: scan(None, &posts), ..Checkpoint::default() };
        checkpoint.posts.advance(posts.into_iter().map(|post| post.code), None);
        let account = serde_json::json!({"pk": 7, "username": "anna", "posts_count": posts_count, "is_private": false});
        checkpoint.account = serde_json::from_value(account).ok();
        checkpoint
    }
}
