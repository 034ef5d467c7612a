//! The life of all runs: each as it stands after a change of its state, in the order of the changes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::changes::{Cursor, PAGE, Page, seen_with};
use super::window::{Chunk, Found, Window};
use super::{NoStream, Place, QUIET_AT_MOST, Shared, Streams, TRY_AGAIN_AFTER, count_read, lock};
use crate::db::board::{self, Changed, Changes, Position};
use crate::db::runs::RunState;
use crate::db::tasks::TaskKind;
use crate::db::{Failure, RunId, TaskId, in_request_time};

/// The pause after a look, in which changes gather for the next.
const PAUSE: Duration = Duration::from_millis(20);

/// How soon to look again where changes wait for an older transaction to end; twice as long each time, up to the poll.
const KEPT_BACK_FOR: Duration = Duration::from_millis(20);

/// The first position of all.
const FIRST: Position = Position { xid: 0, run_id: RunId(uuid::Uuid::nil()) };

/// Which runs one wants to hear of.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In these states; in any where there is none.
    pub states: Vec<RunState>,
    /// Of this task.
    pub task_id: Option<TaskId>,
    /// Of this kind.
    pub kind: Option<TaskKind>,
}

impl Filter {
    fn wants(&self, mark: &Mark) -> bool {
        (self.states.is_empty() || self.states.contains(&mark.state))
            && self.task_id.as_ref().is_none_or(|task_id| *task_id == mark.task_id)
            && self.kind.is_none_or(|kind| kind == mark.kind)
    }
}

/// What of a run a filter looks at.
struct Mark {
    state: RunState,
    task_id: TaskId,
    kind: TaskKind,
}

impl Mark {
    fn of(Changed { run, .. }: &Changed) -> Self {
        Self { state: run.state, task_id: run.task_id.clone(), kind: run.kind }
    }
}

/// The board while somebody follows it.
pub(super) struct Followed {
    head: watch::Sender<Head>,
}

/// What its follower knows.
enum Head {
    /// Nothing yet, or this replica shuts down.
    Nothing,
    /// The latest changes.
    There(Window<Position, Mark>),
}

/// What a viewer of the board is told next.
pub enum BoardNews {
    /// Runs, each in its frame.
    Frames(Bytes),
    /// The cursor given is none of this cluster: what was told before is void, and what is there follows.
    Reset,
    /// All is told up to this cursor, where there is one yet.
    Place(Option<Cursor>),
    /// All that there was is told, and no more was asked for.
    Done,
    /// The stream ends here; another replica has the rest.
    Reconnect,
}

/// One who follows the board.
pub struct BoardViewer {
    shared: Arc<Shared>,
    cluster: i64,
    filter: Filter,
    phase: Phase,
    /// All up to here was told, or was not wanted.
    seen: Position,
    /// Where one does not only want to know what is there.
    head: Option<watch::Receiver<Head>>,
    quiet_at: Instant,
    _place: Place,
}

enum Phase {
    /// What was told before is to be thrown away.
    Reset { ended: u16 },
    /// All active runs and so many of those that ended last are told first.
    Begin { ended: u16 },
    /// They are being told.
    History(History),
    /// What changes is told.
    Changes,
    /// All was told that was asked for.
    Over,
}

/// What there was below a horizon, as far as it was read and not told.
struct History {
    horizon: i64,
    active: VecDeque<Changed>,
    /// Where the next page of active ones begins, if there may be one.
    active_behind: Option<Position>,
    ended: VecDeque<Changed>,
    ended_to_read: u16,
}

impl History {
    /// The page that is needed before the next run can be told.
    fn missing(&self) -> Option<Page> {
        if self.ended_to_read > 0 {
            return Some(Page::Ended(self.horizon, self.ended_to_read));
        }
        let behind = self.active_behind.filter(|_| self.active.is_empty())?;
        Some(Page::Active(behind, Some(self.horizon)))
    }

    fn take_in_active(&mut self, changes: &Changes) {
        self.active.extend(changes.runs.iter().cloned());
        let is_full = changes.runs.len() >= PAGE;
        self.active_behind = changes.runs.last().filter(|_| is_full).map(|last| last.position);
    }

    /// The next runs in the order of their changes, up to where another page is needed or a page is full.
    fn next(&mut self) -> Vec<Changed> {
        let mut next = Vec::new();
        while next.len() < PAGE && self.missing().is_none() {
            let ended_first = match (self.active.front(), self.ended.front()) {
                (Some(active), Some(ended)) => ended.position < active.position,
                (active, _) => active.is_none(),
            };
            let Some(run) = (if ended_first { self.ended.pop_front() } else { self.active.pop_front() }) else { break };
            next.push(run);
        }
        next
    }
}

impl Streams {
    /// The changes behind a cursor: what there are, and then what come. Without a cursor all active runs and so many of
    /// those that ended last come first. Without `follows` there is only what is there.
    pub async fn board(
        &self,
        after: Option<Cursor>,
        ended: u16,
        filter: Filter,
        follows: bool,
    ) -> Result<BoardViewer, NoStream> {
        let place = self.place("board")?;
        let shared = Arc::clone(&self.0);
        let cluster = shared.cluster().await?;
        let (phase, seen) = match after {
            Some(Cursor { cluster: same, position }) if same == cluster && !shared.is_to_come(position).await? => {
                (Phase::Changes, position)
            }
            Some(_) => (Phase::Reset { ended }, FIRST),
            None => (Phase::Begin { ended }, FIRST),
        };
        let head = follows.then(|| followed(&shared));
        let quiet_at = Instant::now() + QUIET_AT_MOST;
        Ok(BoardViewer { shared, cluster, filter, phase, seen, head, quiet_at, _place: place })
    }
}

impl Shared {
    /// The cluster that this database is in.
    async fn cluster(&self) -> Result<i64, Failure> {
        let asked = async { Ok::<_, Failure>(board::cluster(&self.pool.for_request()).await?) };
        self.cluster.get_or_try_init(|| asked).await.copied()
    }

    /// Whether a position is ahead of all that ever was: then it is of a time that this cluster was set back from.
    async fn is_to_come(&self, position: Position) -> Result<bool, Failure> {
        let now = in_request_time(self.pages.ask(Page::Changes(position))).await?;
        Ok(now.horizon < position.xid)
    }

    async fn page(&self, page: Page, of: &'static str) -> Result<Arc<Changes>, Failure> {
        count_read(of);
        in_request_time(self.pages.ask(page)).await
    }

    fn chunk(&self, cluster: i64, after: Position, changes: &Changes) -> Chunk<Position, Mark> {
        let render = |changed: &Changed, text: &mut Vec<u8>| self.render(cluster, changed, text);
        let key = |changed: &Changed| (changed.position, Mark::of(changed));
        Chunk::of((after, seen_with(changes).max(after)), &changes.runs, render, key)
    }

    fn render(&self, cluster: i64, changed: &Changed, text: &mut Vec<u8>) -> std::ops::Range<usize> {
        (self.renders.run)(Cursor { cluster, position: changed.position }, &changed.run, text)
    }
}

/// Joins those who follow the board.
fn followed(shared: &Arc<Shared>) -> watch::Receiver<Head> {
    let mut board = lock(&shared.board);
    let followed = board.get_or_insert_with(|| {
        let followed = Arc::new(Followed { head: watch::Sender::new(Head::Nothing) });
        let follower = Follower { shared: Arc::clone(shared), followed: Arc::clone(&followed) };
        tokio::spawn(async move { follower.follow().await });
        followed
    });
    followed.head.subscribe()
}

/// The follower at work. However it ends, the board is then followed no more.
struct Follower {
    shared: Arc<Shared>,
    followed: Arc<Followed>,
}

impl Follower {
    async fn follow(self) {
        let Self { shared, followed } = &self;
        let mut stirred = shared.live.stirred();
        let mut kept_back_for = KEPT_BACK_FOR;
        loop {
            stirred.mark_unchanged();
            let again_in = match self.look().await {
                Ok(Look::More) => Duration::ZERO,
                Ok(Look::All) => {
                    kept_back_for = KEPT_BACK_FOR;
                    shared.poll
                }
                Ok(Look::KeptBack) => {
                    let wait = kept_back_for.min(shared.poll);
                    kept_back_for = wait * 2;
                    wait
                }
                Err(error) => {
                    tracing::debug!(%error, "the changes of runs were not read");
                    shared.poll
                }
            };
            let due = async {
                tokio::time::sleep(PAUSE.min(again_in)).await;
                let _ = tokio::time::timeout(again_in, stirred.changed()).await;
            };
            tokio::select! {
                () = followed.head.closed() => {
                    if self.nobody_follows() {
                        return;
                    }
                }
                // Those who follow see their follower's end.
                () = shared.closing.cancelled() => return,
                () = due => {}
            }
        }
    }

    async fn look(&self) -> Result<Look, Failure> {
        let (shared, head) = (&self.shared, &self.followed.head);
        let cluster = shared.cluster().await?;
        let known = match &*head.borrow() {
            Head::There(window) => Some(window.until()),
            Head::Nothing => None,
        };
        // To begin with only the horizon is wanted.
        let after = known.unwrap_or(Position::before(i64::MAX));
        let changes = shared.page(Page::Changes(after), "board").await?;
        metrics::gauge!("igt_board_kept_back_seconds").set(changes.kept_back_seconds.unwrap_or(0.0));
        let chunk = known.map(|after| shared.chunk(cluster, after, &changes));
        head.send_if_modified(|head| {
            *head = Head::There(match (&*head, chunk) {
                // What was told of somebody who was erased since is forgotten; who has not heard it reads what is left.
                (Head::There(window), Some(chunk)) if changes.runs.iter().any(|changed| changed.is_erased) => {
                    Window::behind(window.until()).and(chunk)
                }
                (Head::There(window), Some(chunk)) => window.and(chunk),
                _ => Window::behind(Position::before(changes.horizon)),
            });
            // That nothing has changed up to a later moment is news to nobody.
            known.is_none() || !changes.runs.is_empty()
        });
        Ok(match () {
            () if known.is_some() && seen_with(&changes) != Position::before(changes.horizon) => Look::More,
            () if changes.kept_back_seconds.is_some() => Look::KeptBack,
            () => Look::All,
        })
    }

    /// Whether all have gone; then nobody can join any more.
    fn nobody_follows(&self) -> bool {
        let mut board = lock(&self.shared.board);
        let nobody = self.followed.head.is_closed();
        if nobody {
            *board = None;
        }
        nobody
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        lock(&self.shared.board).take_if(|followed| Arc::ptr_eq(followed, &self.followed));
    }
}

/// What a look at the changes found.
enum Look {
    /// As much as a page takes.
    More,
    /// All.
    All,
    /// All but what waits for an older transaction to end.
    KeptBack,
}

/// What a viewer does next.
enum Step {
    Tell(BoardNews),
    Read(Page),
    Wait,
    GoOn,
}

impl BoardViewer {
    /// What is to be told next; after an end, nothing is. May be dropped while it waits.
    pub async fn next(&mut self) -> BoardNews {
        let news = self.find().await;
        self.quiet_at = Instant::now() + QUIET_AT_MOST;
        news
    }

    async fn find(&mut self) -> BoardNews {
        loop {
            if self.shared.closing.is_cancelled() {
                return BoardNews::Reconnect;
            }
            let in_time = match self.step() {
                Step::Tell(news) => return news,
                Step::GoOn => true,
                Step::Read(page) => match timeout_at(self.quiet_at, self.shared.page(page, "page")).await {
                    Ok(Ok(changes)) => {
                        let frames = self.take_in(page, &changes);
                        if !frames.is_empty() {
                            return BoardNews::Frames(frames);
                        }
                        true
                    }
                    Ok(Err(_)) => timeout_at(self.quiet_at, tokio::time::sleep(TRY_AGAIN_AFTER)).await.is_ok(),
                    Err(_) => false,
                },
                Step::Wait => {
                    // Only those who follow wait.
                    let Some(head) = &mut self.head else { return BoardNews::Done };
                    match timeout_at(self.quiet_at, head.changed()).await {
                        Ok(Ok(())) => true,
                        // Its follower is gone.
                        Ok(Err(_)) => return BoardNews::Reconnect,
                        Err(_) => false,
                    }
                }
            };
            if !in_time {
                return BoardNews::Place(self.cursor());
            }
        }
    }

    /// From where it could be gone on; before anything is known, from nowhere.
    fn cursor(&self) -> Option<Cursor> {
        (self.seen > FIRST).then_some(Cursor { cluster: self.cluster, position: self.seen })
    }

    fn step(&mut self) -> Step {
        match &mut self.phase {
            Phase::Reset { ended } => {
                self.phase = Phase::Begin { ended: *ended };
                Step::Tell(BoardNews::Reset)
            }
            Phase::Begin { .. } => Step::Read(Page::Active(FIRST, None)),
            Phase::History(history) => {
                if let Some(page) = history.missing() {
                    return Step::Read(page);
                }
                let (next, horizon) = (history.next(), history.horizon);
                let Some(last) = next.last() else {
                    // The cursor moves behind all that was not told since it was not asked for.
                    self.seen = Position::before(horizon);
                    self.phase = if self.head.is_some() { Phase::Changes } else { Phase::Over };
                    return Step::Tell(BoardNews::Place(self.cursor()));
                };
                self.seen = last.position;
                told(self.frames(&next))
            }
            Phase::Changes => self.changes(),
            Phase::Over => Step::Tell(BoardNews::Done),
        }
    }

    fn changes(&mut self) -> Step {
        let Some(head) = &mut self.head else { return Step::Read(Page::Changes(self.seen)) };
        let head = head.borrow_and_update();
        let Head::There(window) = &*head else { return Step::Wait };
        match window.behind_seen(self.seen) {
            Found::TooLate => Step::Read(Page::Changes(self.seen)),
            Found::Nothing => {
                self.seen = self.seen.max(window.until());
                Step::Wait
            }
            Found::Chunk(chunk) => {
                let frames = chunk.frames_of(self.seen, |mark| self.filter.wants(mark));
                self.seen = chunk.until();
                told(frames)
            }
        }
    }

    /// Takes in a page, and gives what of it is to be told at once.
    fn take_in(&mut self, page: Page, changes: &Changes) -> Bytes {
        match (page, &mut self.phase) {
            (Page::Active(..), Phase::Begin { ended }) => {
                let (horizon, ended_to_read) = (changes.horizon, *ended);
                let (active, ended) = (VecDeque::new(), VecDeque::new());
                let mut history = History { horizon, active, active_behind: None, ended, ended_to_read };
                history.take_in_active(changes);
                self.phase = Phase::History(history);
                Bytes::new()
            }
            (Page::Active(..), Phase::History(history)) => {
                history.take_in_active(changes);
                Bytes::new()
            }
            (Page::Ended(..), Phase::History(history)) => {
                history.ended = changes.runs.iter().cloned().collect();
                history.ended_to_read = 0;
                Bytes::new()
            }
            _ => {
                self.seen = self.seen.max(seen_with(changes));
                if self.head.is_none() && changes.runs.len() < PAGE {
                    self.phase = Phase::Over;
                }
                self.frames(&changes.runs)
            }
        }
    }

    /// Those that are wanted, each in its frame.
    fn frames(&self, runs: &[Changed]) -> Bytes {
        let mut text = Vec::new();
        for changed in runs.iter().filter(|changed| self.filter.wants(&Mark::of(changed))) {
            self.shared.render(self.cluster, changed, &mut text);
        }
        text.into()
    }
}

/// Nothing is not told.
fn told(frames: Bytes) -> Step {
    if frames.is_empty() { Step::GoOn } else { Step::Tell(BoardNews::Frames(frames)) }
}
