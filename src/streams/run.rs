//! One run's log as it is written: a follower that reads for all, and viewers, each with its cursor.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::window::{Chunk, Found, Window};
use super::{NoStream, Place, QUIET_AT_MOST, Shared, Streams, TRY_AGAIN_AFTER, count_read, lock};
use crate::db::status::{Event, Part, Status};
use crate::db::{Failure, RunId};

/// Events in one page.
const PAGE: i64 = 100;

/// The pause after something new was read, in which more of it gathers: many may have to be told each time.
const PAUSE: Duration = Duration::from_millis(5);

/// A run that is followed.
pub(super) struct Followed {
    head: watch::Sender<Head>,
    wake: Notify,
}

/// What its follower knows.
enum Head {
    /// Nothing yet.
    Looking,
    /// Nothing, since the database did not answer.
    Away(Failure),
    /// That there is no such run.
    NotThere,
    /// Where it stands, and the end of its log.
    There(Status, Window<i64, ()>),
    /// This replica shuts down.
    Closing,
}

/// What a viewer is told next.
pub enum RunNews {
    /// Events that it has not seen.
    Lines(Lines),
    /// Nothing has happened for a while.
    Quiet,
    /// The run has ended like this, and all its events were told.
    End(Status),
    /// All events that there were have been told, and no more was asked for.
    Done,
    /// The stream ends here; another replica has the rest.
    Reconnect,
}

/// Events that a viewer has not seen, in their order.
pub struct Lines {
    chunk: Chunk<i64, ()>,
    seen: i64,
}

impl Lines {
    /// All of them, each in its frame.
    pub fn frames(&self) -> Bytes {
        self.chunk.frames(self.seen)
    }

    /// Each of them as JSON.
    pub fn jsons(&self) -> Vec<Bytes> {
        self.chunk.jsons(self.seen)
    }
}

/// One who follows a run.
pub struct RunViewer {
    shared: Arc<Shared>,
    run_id: RunId,
    /// The seq of the last event that was told.
    seen: i64,
    head: watch::Receiver<Head>,
    follows: bool,
    quiet_at: Instant,
    _place: Place,
}

impl Streams {
    /// The log of a run behind a seq: what is there, and then what comes, to the run's end. Without `follows` only what
    /// is there.
    pub async fn run(
        &self,
        run_id: RunId,
        after: i64,
        follows: bool,
        kind: &'static str,
    ) -> Result<RunViewer, NoStream> {
        let place = self.place(kind)?;
        let shared = Arc::clone(&self.0);
        let head = if follows { followed(&shared, run_id).await? } else { as_it_stands(&shared, run_id).await? };
        let quiet_at = Instant::now() + QUIET_AT_MOST;
        Ok(RunViewer { shared, run_id, seen: after, head, follows, quiet_at, _place: place })
    }
}

/// What is known of a run that nobody follows for it.
async fn as_it_stands(shared: &Shared, run_id: RunId) -> Result<watch::Receiver<Head>, NoStream> {
    let status = shared.reading.run(run_id).await?.ok_or(NoStream::NoSuchRun)?;
    Ok(watch::channel(Head::There(status, Window::behind(status.last_seq))).1)
}

/// Joins those who follow a run, and waits until it is known.
async fn followed(shared: &Arc<Shared>, run_id: RunId) -> Result<watch::Receiver<Head>, NoStream> {
    let mut head = {
        let mut runs = lock(&shared.runs);
        let followed = runs.entry(run_id).or_insert_with(|| {
            let followed = Arc::new(Followed { head: watch::Sender::new(Head::Looking), wake: Notify::new() });
            let left = Left { shared: Arc::clone(shared), run_id, followed: Arc::clone(&followed) };
            tokio::spawn(async move { left.follow().await });
            followed
        });
        followed.head.subscribe()
    };
    metrics::gauge!("igt_followed_runs").set(lock(&shared.runs).len() as f64);
    let known = head.wait_for(|head| !matches!(head, Head::Looking)).await.map_err(|_| NoStream::Closing)?;
    match &*known {
        Head::There(..) => {}
        Head::NotThere => return Err(NoStream::NoSuchRun),
        Head::Away(failure) => return Err(failure.clone().into()),
        Head::Looking | Head::Closing => return Err(NoStream::Closing),
    }
    drop(known);
    Ok(head)
}

/// Wakes the followers of runs that moved.
pub(super) async fn wake_those_who_follow(shared: Arc<Shared>) {
    let mut moved = shared.live.moved();
    loop {
        match moved.recv().await {
            Ok(run_id) => {
                if let Some(followed) = lock(&shared.runs).get(&run_id) {
                    followed.wake.notify_one();
                }
            }
            Err(RecvError::Lagged(_)) => lock(&shared.runs).values().for_each(|followed| followed.wake.notify_one()),
            Err(RecvError::Closed) => return,
        }
    }
}

/// A follower at work. However it ends, its run is then followed no more.
struct Left {
    shared: Arc<Shared>,
    run_id: RunId,
    followed: Arc<Followed>,
}

impl Left {
    async fn follow(self) {
        let Self { shared, followed, .. } = &self;
        loop {
            let brought = match self.look().await {
                Ok(brought) => brought,
                Err(failure) => {
                    tracing::debug!(run_id = %self.run_id, error = %failure, "a run that is followed was not read");
                    followed.head.send_if_modified(|head| {
                        let is_first = matches!(head, Head::Looking);
                        if is_first {
                            *head = Head::Away(failure);
                        }
                        is_first
                    });
                    false
                }
            };
            let pause = if brought { PAUSE } else { Duration::ZERO };
            let moved = async {
                tokio::time::sleep(pause).await;
                let _ = tokio::time::timeout(shared.poll, followed.wake.notified()).await;
            };
            tokio::select! {
                () = followed.head.closed() => {
                    if self.nobody_follows() {
                        return;
                    }
                }
                () = shared.closing.cancelled() => {
                    followed.head.send_replace(Head::Closing);
                    return;
                }
                // One that has ended is looked at, too, while somebody is slow to hear it all: it may be erased.
                () = moved => {}
            }
        }
    }

    /// Reads where the run stands, and what of its log is new: two statements, however many follow it. Whether there was
    /// anything new.
    async fn look(&self) -> Result<bool, Failure> {
        let (shared, run_id, head) = (&self.shared, self.run_id, &self.followed.head);
        count_read("run");
        let Some(status) = shared.reading.run(run_id).await? else {
            head.send_replace(Head::NotThere);
            return Ok(false);
        };
        let known = match &*head.borrow() {
            Head::There(_, window) => Some(window.clone()),
            _ => None,
        };
        let is_first = known.is_none();
        // Most logs are short, and are all here for whoever comes.
        let mut window = known.unwrap_or_else(|| Window::behind((status.last_seq - PAGE).max(0)));
        let before = window.until();
        while window.until() < status.last_seq {
            let after = window.until();
            let part = Part { run_id, after, until: (after + PAGE).min(status.last_seq) };
            count_read("log");
            window = window.and(chunk_of(shared, part, &shared.reading.part(part).await?));
        }
        let (brought, is_over) = (window.until() > before, !status.state.is_active());
        if status.is_erased {
            window = Window::behind(status.last_seq);
        }
        // Whoever waits is told what is new, and once that it is over.
        let is_news = brought || is_over || is_first;
        head.send_if_modified(|head| {
            let was = match head {
                Head::There(was, _) => Some(*was),
                _ => None,
            };
            if is_news && was != Some(status) {
                *head = Head::There(status, window);
                return true;
            }
            false
        });
        Ok(brought)
    }

    /// Whether all have gone; then nobody can join any more.
    fn nobody_follows(&self) -> bool {
        let mut runs = lock(&self.shared.runs);
        let nobody = self.followed.head.is_closed();
        if nobody {
            runs.remove(&self.run_id);
        }
        nobody
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let mut runs = lock(&self.shared.runs);
        if runs.get(&self.run_id).is_some_and(|followed| Arc::ptr_eq(followed, &self.followed)) {
            runs.remove(&self.run_id);
        }
        metrics::gauge!("igt_followed_runs").set(runs.len() as f64);
    }
}

fn chunk_of(shared: &Shared, part: Part, events: &[Event]) -> Chunk<i64, ()> {
    Chunk::of((part.after, part.until), events, shared.renders.event, |event| (event.seq, ()))
}

/// What a viewer does next.
enum Step {
    Tell(RunNews),
    Read(Part),
    Wait,
}

impl RunViewer {
    /// The seq of the last event that was told.
    pub fn seen(&self) -> i64 {
        self.seen
    }

    /// Whether the run has ended and all its events were told.
    pub fn is_at_end(&self) -> bool {
        matches!(&*self.head.borrow(), Head::There(status, _) if !status.state.is_active() && self.seen >= status.last_seq)
    }

    /// What is to be told next; after an end, nothing is. May be dropped while it waits.
    pub async fn next(&mut self) -> RunNews {
        let news = self.find().await;
        self.quiet_at = Instant::now() + QUIET_AT_MOST;
        news
    }

    async fn find(&mut self) -> RunNews {
        loop {
            let step = self.step();
            let waited = match step {
                Step::Tell(news) => return news,
                Step::Read(part) => {
                    count_read("page");
                    match timeout_at(self.quiet_at, self.shared.reading.part(part)).await {
                        Ok(Ok(events)) => {
                            let lines = Lines { chunk: chunk_of(&self.shared, part, &events), seen: self.seen };
                            self.seen = part.until;
                            return RunNews::Lines(lines);
                        }
                        Ok(Err(_)) => timeout_at(self.quiet_at, tokio::time::sleep(TRY_AGAIN_AFTER)).await.is_ok(),
                        Err(_) => false,
                    }
                }
                Step::Wait => match timeout_at(self.quiet_at, self.head.changed()).await {
                    Ok(Ok(())) => true,
                    // Its follower broke off.
                    Ok(Err(_)) => return RunNews::Reconnect,
                    Err(_) => false,
                },
            };
            if !waited {
                return RunNews::Quiet;
            }
        }
    }

    fn step(&mut self) -> Step {
        if self.shared.closing.is_cancelled() {
            return Step::Tell(RunNews::Reconnect);
        }
        let head = self.head.borrow_and_update();
        let Head::There(status, window) = &*head else { return Step::Tell(RunNews::Reconnect) };
        match window.behind_seen(self.seen) {
            Found::Chunk(chunk) => {
                let lines = Lines { chunk: chunk.clone(), seen: self.seen };
                self.seen = chunk.until();
                Step::Tell(RunNews::Lines(lines))
            }
            Found::TooLate => {
                let until = (self.seen + PAGE).min(window.after());
                Step::Read(Part { run_id: self.run_id, after: self.seen, until })
            }
            Found::Nothing if !status.state.is_active() => Step::Tell(RunNews::End(*status)),
            Found::Nothing if !self.follows => Step::Tell(RunNews::Done),
            Found::Nothing => Step::Wait,
        }
    }
}
