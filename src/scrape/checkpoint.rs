//! How far a run came: what the next worker must know to go on without doing anything twice.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::drift::Drift;
use super::scan::Scan;
use crate::instagram::{Account, AccountRef, Cursor, Failure, FailureKind, Shortcode, Username};

/// How many posts a page has at least that is not the last, whichever source it is of.
const SMALLEST_PAGE: usize = 12;

/// A run's progress, written with every step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// The account, once it was read.
    pub account: Option<AccountRead>,
    /// The list of posts.
    pub posts: Progress,
    /// How the posts lie in time, and what need not be read again.
    pub scan: Scan,
    /// The codes of the posts that are reels, in the order of the timeline.
    pub reels: Vec<Shortcode>,
    /// Whether the posts were searched for reels and the result told.
    pub reels_filtered: bool,
    /// The list of reels: which of them have their own numbers.
    pub reel_numbers: Progress,
    /// Reels whose own numbers are not to be had.
    pub reels_missing: Vec<Shortcode>,
    /// Whether some of them are missing because the source cannot be asked for one post.
    pub reels_not_offered: bool,
    /// Whether the end of the reels was told.
    pub reels_processed: bool,
    /// What could not be read.
    pub drift: Drift,
    /// The attempt that wrote the latest step; 0 before the first.
    pub came_on_in: i32,
    /// Attempts since then that ended only because its credential had no turn: they are none that failed.
    pub turns_awaited: i32,
    /// How many credentials were taken out by what this run met.
    pub credentials_lost: u32,
    /// What the run has waited for, in the hope that it passes, and that may be a wall.
    pub walls: Vec<Wall>,
    /// Events on its progress that are not in its log, which is full. Counted with the step that they are of, so that
    /// a step that is taken anew is counted once.
    pub events_dropped: u64,
    /// How many bodies of answers are kept.
    pub bodies_kept: u32,
}

/// An endpoint that turned the run away without saying whether for a while or for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    /// The endpoint.
    pub endpoint: String,
    /// How it turned the run away.
    pub failure: FailureKind,
}

/// What the rest of the run needs of the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountRead {
    /// Instagram's own number of it, where the source told it.
    pub pk: Option<i64>,
    /// Its handle.
    pub username: Username,
    /// How many accounts follow it.
    pub followers_count: Option<i64>,
    /// How many posts it has.
    pub posts_count: Option<i64>,
    /// Whether its posts are hidden from us.
    pub is_private: bool,
}

impl From<&Account> for AccountRead {
    fn from(account: &Account) -> Self {
        Self {
            pk: account.pk,
            username: account.username.clone(),
            followers_count: account.followers,
            posts_count: account.posts,
            is_private: account.is_private == Some(true),
        }
    }
}

impl AccountRead {
    /// The names by which its posts are asked for.
    pub fn reference(&self) -> AccountRef {
        AccountRef { pk: self.pk, username: self.username.clone() }
    }
}

/// How much of a list was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRead {
    /// `posts` or `reels`.
    pub of: &'static str,
    /// How many of them.
    pub done: usize,
    /// Of how many.
    pub total: usize,
}

/// How far a list was read, page by page.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Pages read.
    pub pages: u32,
    /// The codes read so far, each once.
    pub codes: Vec<Shortcode>,
    /// Where the next page begins; `None` before the first and after the last.
    pub next: Option<Cursor>,
    /// The cursors already followed: one that comes again would lead round in a circle.
    pub followed: Vec<Cursor>,
    /// Whether there is nothing more to read.
    pub done: bool,
    /// Whether the list led round in a circle before its end.
    pub circled: bool,
    /// How many pages were read when the list was begun anew, where it was: so many may repeat what is known, or more
    /// where what is known fills more of the smaller pages of another source.
    pub restarted_after: Option<u32>,
}

impl Progress {
    /// Counts a page in and says which of its codes are new.
    pub fn advance(&mut self, codes: impl IntoIterator<Item = Shortcode>, next: Option<Cursor>) -> Vec<Shortcode> {
        let mut fresh: Vec<Shortcode> = Vec::new();
        for code in codes {
            if !self.codes.contains(&code) && !fresh.contains(&code) {
                fresh.push(code);
            }
        }
        self.pages += 1;
        self.codes.extend(fresh.iter().cloned());
        self.followed.extend(self.next.take());
        let more = next.is_some();
        self.next = next.filter(|next| !self.followed.contains(next));
        self.circled = more && self.next.is_none();
        self.done = self.next.is_none();
        fresh
    }

    /// Begins the list anew, once: Instagram did not take the cursor. What was read counts on.
    pub fn restart(&mut self) -> bool {
        if self.restarted_after.is_some() || self.next.is_none() {
            return false;
        }
        self.begin_anew();
        true
    }

    /// Begins the list anew with another source, which knows nothing of the place where the one before was.
    pub fn begin_anew(&mut self) {
        self.restarted_after = Some(self.pages);
        self.next = None;
        self.followed.clear();
    }

    /// Whether a page without a single new item may stand here: where the list is being read once more.
    pub fn repeats(&self) -> bool {
        let of_known = u32::try_from(self.codes.len().div_ceil(SMALLEST_PAGE) + 1).unwrap_or(u32::MAX);
        self.restarted_after.is_some_and(|pages| self.pages <= pages.saturating_add(pages.max(of_known)))
    }
}

impl Checkpoint {
    /// Reads a checkpoint from its row; one that cannot be read (written by another version) begins anew.
    pub fn from_row(row: Option<Value>) -> Self {
        row.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
    }

    /// Notes that an attempt brought the run on.
    pub fn came_on_in(&mut self, attempt: i32) {
        self.came_on_in = attempt;
        self.turns_awaited = 0;
    }

    /// How many attempts in a row, this one included, have not brought the run on; those that only waited for a turn are
    /// not counted.
    pub fn tries(&self, attempt: i32) -> i32 {
        attempt - self.came_on_in.max(1) + 1 - self.turns_awaited
    }

    /// Whether anything of what was asked for was obtained.
    pub fn obtained_something(&self) -> bool {
        self.account.is_some()
    }

    /// Remembers a failure that the run waits for, where it may be a wall.
    pub fn waits_for(&mut self, failure: &Failure) {
        if failure.kind.may_be_a_wall() {
            self.walls.push(Wall { endpoint: failure.endpoint.to_owned(), failure: failure.kind });
        }
    }

    /// Whether the run has waited for such a failure before.
    pub fn has_waited_for(&self, failure: FailureKind) -> bool {
        self.walls.iter().any(|wall| wall.failure == failure)
    }

    /// The endpoints that asked the run to wait.
    pub fn asked_to_wait(&self) -> impl Iterator<Item = &str> {
        let asked = self.walls.iter().filter(|wall| wall.failure == FailureKind::PleaseWait);
        asked.map(|wall| wall.endpoint.as_str())
    }

    /// What was obtained so far, as fields of an event.
    pub fn totals(&self) -> Map<String, Value> {
        let mut totals = Map::new();
        let mut put = |name: &str, value: Value| drop(totals.insert(name.to_owned(), value));
        // What an earlier run has read and this one need not read again is obtained, too.
        let (posts, reels) = (as_count(self.scan.kept_posts), as_count(self.scan.kept_reels));
        put("scraped_posts_count", json!(self.posts.codes.len() + posts));
        if self.reels_filtered {
            put("scraped_reels_count", json!(self.reel_numbers.codes.len() + reels));
            put("reels_count", json!(self.reels.len() + reels));
        }
        if let Some(account) = &self.account {
            put("followers_count", json!(account.followers_count));
            put("posts_count", json!(account.posts_count));
        }
        totals
    }

    /// How much of what is known to be there was read, at the stage at which the run stands; `None` before and after the
    /// posts and reels, and where it is not known how much there is.
    pub fn progress(&self, max_posts: usize) -> Option<ListRead> {
        let (posts, reels) = (as_count(self.scan.kept_posts), as_count(self.scan.kept_reels));
        match self.stage() {
            "posts" => {
                let there = self.account.as_ref().and_then(|account| account.posts_count).map(as_count)?;
                let (done, total) = (self.posts.codes.len() + posts, there.min(max_posts.max(posts)));
                Some(ListRead { of: "posts", done, total: total.max(done) })
            }
            "reels" => {
                let (done, total) = (self.reel_numbers.codes.len() + self.reels_missing.len(), self.reels.len());
                Some(ListRead { of: "reels", done: done + reels, total: total.max(done) + reels })
            }
            _ => None,
        }
    }

    /// The stage at which the run stands, for a person.
    pub fn stage(&self) -> &'static str {
        match () {
            () if self.account.is_none() => "account",
            () if !self.posts.done => "posts",
            () if self.reels_filtered && !self.reels_processed => "reels",
            () => "update",
        }
    }
}

fn as_count(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Shortcode {
        Shortcode::parse(text).unwrap()
    }

    fn cursor(text: &str) -> Option<Cursor> {
        Some(Cursor(text.to_owned()))
    }

    #[test]
    fn a_repeated_post_counts_once_and_a_cursor_that_comes_again_ends_the_list() {
        let mut progress = Progress::default();
        assert_eq!(progress.advance([code("Ca"), code("Cb"), code("Ca")], cursor("1")), [code("Ca"), code("Cb")]);
        assert!(!progress.done);
        assert_eq!(progress.advance([code("Cb"), code("Cc")], cursor("2")), [code("Cc")]);
        assert!(!progress.done);
        assert_eq!(progress.advance([code("Ca")], cursor("1")), []);
        assert!(progress.done && progress.circled, "cursor 1 was followed before");
        assert_eq!((progress.pages, progress.codes.len()), (3, 3));
    }

    #[test]
    fn a_list_that_is_begun_anew_doubles_nothing_and_is_begun_anew_once() {
        let mut progress = Progress::default();
        assert!(!progress.restart(), "its beginning was refused, and no cursor");
        progress.advance([code("Ca"), code("Cb")], cursor("1"));
        progress.advance([code("Cc")], cursor("2"));
        assert!(!progress.repeats() && progress.restart() && progress.next.is_none() && !progress.done);
        assert_eq!(progress.advance([code("Ca"), code("Cb")], cursor("1")), []);
        assert!(progress.repeats() && !progress.done && !progress.restart());
        assert_eq!(progress.advance([code("Cc")], cursor("2")), []);
        assert!(progress.repeats(), "as many pages as before may repeat");
        assert_eq!(progress.advance([code("Cd")], None), [code("Cd")]);
        assert!(progress.done && !progress.circled && !progress.repeats());
        assert_eq!(progress.codes.len(), 4);
    }

    #[test]
    fn a_list_that_another_source_begins_anew_may_repeat_what_is_known_in_smaller_pages() {
        let codes = |numbers: std::ops::Range<i64>| numbers.map(|n| Shortcode::from_pk(1000 + n).unwrap());
        let mut progress = Progress::default();
        progress.advance(codes(0..25), cursor("graph:1"));
        progress.advance(codes(25..50), cursor("graph:2"));
        for change in 0..2 {
            progress.begin_anew();
            for page in 0..4 {
                assert_eq!(progress.advance(codes(12 * page..12 * (page + 1)), cursor(&format!("feed:{page}"))), []);
                assert!(progress.repeats() && !progress.done, "page {page} after {change} changes more");
            }
        }
        assert_eq!(progress.advance(codes(48..60), None).len(), 10);
        assert!(progress.done && !progress.circled);
    }

    #[test]
    fn a_list_that_says_where_it_ends_is_no_circle() {
        let mut progress = Progress::default();
        progress.advance([code("Ca")], None);
        assert!(progress.done && !progress.circled);
    }

    #[test]
    fn an_attempt_that_only_waited_for_its_turn_is_none_that_failed() {
        let mut checkpoint = Checkpoint::default();
        assert_eq!((checkpoint.tries(1), checkpoint.tries(3)), (1, 3));
        checkpoint.turns_awaited = 2;
        assert_eq!(checkpoint.tries(3), 1);
        checkpoint.came_on_in(3);
        assert_eq!((checkpoint.tries(3), checkpoint.tries(4)), (1, 2));
    }

    #[test]
    fn a_checkpoint_survives_its_row_and_an_unreadable_one_begins_anew() {
        let mut checkpoint = Checkpoint { reels: vec![code("Ca")], ..Checkpoint::default() };
        checkpoint.posts.advance([code("Ca")], cursor("1"));
        let row = serde_json::to_value(&checkpoint).unwrap();
        let read = Checkpoint::from_row(Some(row.clone()));
        assert_eq!(serde_json::to_value(&read).unwrap(), row);
        assert_eq!(Checkpoint::from_row(Some(json!({"posts": 7}))).posts.pages, 0);
        assert_eq!(Checkpoint::from_row(None).stage(), "account");
    }

    #[test]
    fn progress_is_of_the_list_that_is_being_read_and_never_beyond_its_end() {
        let mut checkpoint = Checkpoint::default();
        assert_eq!(checkpoint.progress(100), None, "it is not known how many there are");
        let account = |posts: Option<i64>| AccountRead {
            pk: None,
            username: Username::parse("mill").unwrap(),
            followers_count: None,
            posts_count: posts,
            is_private: false,
        };
        checkpoint.account = Some(account(None));
        assert_eq!(checkpoint.progress(100), None, "nor here");
        checkpoint.posts.advance([code("Ca"), code("Cb")], cursor("1"));
        for (posts, max, done, total) in [(150, 100, 2, 100), (30, 100, 2, 30), (1, 100, 2, 2)] {
            checkpoint.account = Some(account(Some(posts)));
            assert_eq!(checkpoint.progress(max), Some(ListRead { of: "posts", done, total }));
        }
        (checkpoint.posts.done, checkpoint.reels_filtered) = (true, true);
        checkpoint.reels = vec![code("Ca"), code("Cb"), code("Cc")];
        checkpoint.reel_numbers.advance([code("Ca")], cursor("1"));
        checkpoint.reels_missing.push(code("Cb"));
        assert_eq!(checkpoint.progress(100), Some(ListRead { of: "reels", done: 2, total: 3 }));
        checkpoint.reels_processed = true;
        assert_eq!(checkpoint.progress(100), None);
    }

    #[test]
    fn an_account_is_read_from_its_row_with_its_number_and_without() {
        for (pk, read) in [(json!(77), Some(77)), (Value::Null, None)] {
            let row = json!({"account": {"pk": pk, "username": "mill", "followers_count": 3, "posts_count": null,
                "is_private": false}});
            let account = Checkpoint::from_row(Some(row)).account.unwrap();
            assert_eq!((account.pk, account.reference().pk), (read, read));
        }
    }
}
