//! What a run does: the profile pipeline and the reel pipeline, a step a file.
//!
//! A pipeline reads from a [`Visit`] and tells a [`Ledger`] what happened, one [`Step`] at a time; it knows neither
//! how a step is written nor what becomes of a failure. It goes on from a [`Checkpoint`], so that it can be stopped
//! anywhere and taken up by anybody.

mod account;
mod checkpoint;
mod drift;
pub mod event;
mod follow;
mod map;
pub mod phases;
mod posts;
mod reels;
mod scan;

use std::future::Future;

use chrono::{DateTime, Utc};

pub use checkpoint::{Checkpoint, ListRead};
pub use event::{Event, started};
pub use map::tags;

use crate::db::media::{NewMedia, NewNumbers};
use crate::db::profiles::{NewProfile, Tracked};
use crate::db::runs::Reason;
use crate::db::scans::{Before, Covered, Kept, NewScan};
use crate::db::tasks::TaskKind;
use crate::instagram::{Exchange, Failure, Shortcode, Username, Visit};

/// What is to be scraped.
#[derive(Clone, Debug)]
pub struct Job {
    /// The account or its reels.
    pub kind: TaskKind,
    /// Whose.
    pub username: Username,
    /// How many of the latest posts.
    pub max_posts: usize,
    /// How many of the latest posts are read whatever is known, for their numbers.
    pub refreshed_posts: usize,
    /// Every so many-th scan reads in full.
    pub full_scan_every: usize,
}

impl Job {
    /// Whether a scan may stop at what is known: where it goes deeper than what it reads anew in any case.
    fn stops_at_known(&self) -> bool {
        self.max_posts > self.refreshed_posts
    }
}

/// One step of a run: what happened, what was asked, what was found, and how far this brings the run. All of it is
/// written together or not at all.
#[derive(Debug)]
pub struct Step {
    /// What happened; at least one event. The last one is the source of what was found, or where it has no room in the
    /// run's log, the last that has.
    pub events: Vec<Event>,
    /// The upstream requests since the step before.
    pub exchanges: Vec<Exchange>,
    /// Where the run goes on after this step.
    pub checkpoint: Checkpoint,
    /// What was found.
    pub findings: Findings,
}

/// What a step found.
#[derive(Debug, Default)]
pub struct Findings {
    /// The account.
    pub profile: Option<NewProfile>,
    /// Posts of it.
    pub media: Vec<NewMedia>,
    /// Numbers of posts of it.
    pub numbers: Vec<NewNumbers>,
    /// The codes of posts that are not there any more.
    pub missing: Vec<String>,
    /// That its posts were scanned whole.
    pub scan: Option<NewScan>,
}

impl Findings {
    /// Whether nothing was found that the tables should hold.
    pub fn is_empty(&self) -> bool {
        self.profile.is_none()
            && self.media.is_empty()
            && self.numbers.is_empty()
            && self.missing.is_empty()
            && self.scan.is_none()
    }
}

/// Why a ledger takes no more steps: the pipeline must stop at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The run is no longer this worker's; nothing was written.
    LeaseLost,
    /// A client asked to stop it; the step was written.
    Cancelled,
    /// The step cannot be stored: a fault of this program, and in the log of the service.
    Unwritable,
}

/// Where a pipeline tells what happened.
pub trait Ledger: Send {
    /// Writes a step; done when it is committed.
    fn write(&mut self, step: Step) -> impl Future<Output = Result<(), Halt>> + Send;

    /// The account that the task's earlier runs read.
    fn tracked(&mut self) -> impl Future<Output = Result<Option<Tracked>, Halt>> + Send;

    /// What the scans of the account before this one left.
    fn scans_before(&mut self, job: &Job) -> impl Future<Output = Result<Before, Halt>> + Send;

    /// The codes of posts of the account that were not met where they stood.
    fn posts_not_met(&mut self, covered: Covered) -> impl Future<Output = Result<Vec<String>, Halt>> + Send;

    /// How many posts of the account are known that are older than this, up to a limit, beside those that were read.
    fn posts_kept(
        &mut self,
        older_than: DateTime<Utc>,
        read: &[Shortcode],
        limit: usize,
    ) -> impl Future<Output = Result<Kept, Halt>> + Send;

    /// Seconds since the run was taken up for the first time.
    fn elapsed_seconds(&self) -> f64;
}

/// Why a pipeline stopped before its end.
#[derive(Debug)]
pub enum Interruption {
    /// The upstream gave no usable answer.
    Failure(Failure),
    /// The ledger takes no more.
    Halt(Halt),
}

impl From<Failure> for Interruption {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Halt> for Interruption {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

/// A pipeline that came to its end.
#[derive(Debug)]
pub struct Conclusion {
    /// What is missing of what was asked for; `None` where nothing is.
    pub shortfall: Option<Shortfall>,
}

/// What is missing at the end.
#[derive(Clone, Debug)]
pub struct Shortfall {
    /// Why.
    pub reason: Reason,
    /// The same in a sentence for a person.
    pub message: String,
}

/// Brings a task up to date, from wherever the checkpoint says. On return the checkpoint says how far it came.
pub async fn run(
    job: &Job,
    visit: &mut Visit,
    ledger: &mut impl Ledger,
    checkpoint: &mut Checkpoint,
) -> Result<Conclusion, Interruption> {
    let first_posts = account::fetch(job, visit, ledger, checkpoint).await?;
    if let Some(shortfall) = posts::fetch(job, visit, ledger, checkpoint, first_posts).await? {
        return Ok(Conclusion { shortfall: Some(shortfall) });
    }
    let missing = match job.kind {
        TaskKind::Profile => None,
        TaskKind::Reel => reels::process(visit, ledger, checkpoint).await?,
    };
    let shortfall = missing.or_else(|| posts::cut_short(checkpoint)).or_else(|| checkpoint.drift.shortfall());
    account::updated(job, visit, ledger, checkpoint, shortfall.is_none()).await?;
    Ok(Conclusion { shortfall })
}
