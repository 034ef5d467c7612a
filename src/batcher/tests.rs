//! A batcher over work that notes its batches, and goes on only when it is let.

use std::sync::Mutex;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::*;

/// What one of the notes says in full: the numbers that came together.
type Batch = Vec<u32>;

/// Work that a test holds the gate of. It answers a number with its double, refuses a batch with `BAD` in it, and
/// panics at `PANICS`.
#[derive(Clone)]
struct Gated {
    gate: Arc<Semaphore>,
    begun: Arc<Mutex<Vec<Batch>>>,
}

const BAD: u32 = 666;
const PANICS: u32 = 13;
const BREAKS: u32 = 99;

#[derive(Clone, Debug, PartialEq)]
enum Refusal {
    Bad,
    Line,
    BrokenOff,
}

impl From<BrokenOff> for Refusal {
    fn from(_: BrokenOff) -> Self {
        Self::BrokenOff
    }
}

impl Fault for Refusal {
    fn may_be_one_of_them(&self) -> bool {
        *self == Self::Bad
    }
}

impl Work for Gated {
    type Request = u32;
    type Answer = u32;
    type Error = Refusal;
    const NAME: &'static str = "test";

    async fn answer(&self, requests: &[u32]) -> Result<Vec<u32>, Refusal> {
        self.begun.lock().unwrap().push(requests.to_vec());
        self.gate.acquire().await.unwrap().forget();
        assert!(!requests.contains(&PANICS), "as the test wants it");
        match requests {
            _ if requests.contains(&BAD) => Err(Refusal::Bad),
            _ if requests.contains(&BREAKS) => Err(Refusal::Line),
            _ => Ok(requests.iter().map(|number| number * 2).collect()),
        }
    }
}

impl Gated {
    fn new() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), begun: Arc::default() }
    }

    fn batcher(&self, batch: usize, under_way: usize) -> Batcher<Self> {
        Batcher::new(self.clone(), Limits { batch, under_way, waiting: 1000 })
    }

    fn begun(&self) -> Vec<Batch> {
        self.begun.lock().unwrap().clone()
    }

    /// Waits until so many batches have begun.
    async fn begins(&self, batches: usize) {
        while self.begun().len() < batches {
            tokio::task::yield_now().await;
        }
    }

    /// Lets batches go on.
    fn let_go(&self, batches: usize) {
        self.gate.add_permits(batches);
    }
}

/// Waits until no batch is under way.
async fn comes_to_rest(batcher: &Batcher<Gated>) {
    while batcher.0.lock().under_way > 0 {
        tokio::task::yield_now().await;
    }
}

/// Asks in a task of its own, and comes back when the request is in the queue.
async fn asked(batcher: &Batcher<Gated>, number: u32) -> JoinHandle<Result<u32, Refusal>> {
    let waiting = || batcher.0.lock().waiting.len() + batcher.0.work.begun().concat().len();
    let before = waiting();
    let task = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.ask(number).await }
    });
    while waiting() == before {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test]
async fn idle_a_request_goes_out_at_once_and_what_comes_while_it_is_busy_is_the_next_batch() {
    let work = Gated::new();
    let batcher = work.batcher(10, 1);
    let first = asked(&batcher, 1).await;
    work.begins(1).await;
    let others = [asked(&batcher, 2).await, asked(&batcher, 3).await, asked(&batcher, 4).await];
    assert_eq!(work.begun(), [vec![1]]);
    work.let_go(2);
    assert_eq!(first.await.unwrap(), Ok(2));
    for (other, answer) in others.into_iter().zip([4, 6, 8]) {
        assert_eq!(other.await.unwrap(), Ok(answer));
    }
    assert_eq!(work.begun(), [vec![1], vec![2, 3, 4]]);
}

#[tokio::test]
async fn those_who_ask_in_the_same_moment_go_together_from_the_first() {
    let work = Gated::new();
    let batcher = work.batcher(10, 2);
    work.let_go(1);
    let answers = join_all((1..=5).map(|number| batcher.ask(number))).await;
    assert_eq!(answers, [2, 4, 6, 8, 10].map(Ok));
    assert_eq!(work.begun(), [[1, 2, 3, 4, 5]]);
}

#[tokio::test]
async fn a_batch_has_its_size_and_few_are_under_way() {
    let work = Gated::new();
    let batcher = work.batcher(3, 2);
    let mut tasks = vec![asked(&batcher, 1).await];
    work.begins(1).await;
    tasks.push(asked(&batcher, 2).await);
    work.begins(2).await;
    for number in 3..=9 {
        tasks.push(asked(&batcher, number).await);
    }
    assert_eq!(work.begun(), [vec![1], vec![2]], "two are under way, the others wait");
    work.let_go(5);
    for (task, number) in tasks.into_iter().zip(1..) {
        assert_eq!(task.await.unwrap(), Ok(number * 2));
    }
    let sizes: Vec<_> = work.begun().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 1, 3, 3, 1]);
    comes_to_rest(&batcher).await;
}

#[tokio::test]
async fn a_bad_request_fails_and_its_neighbours_do_not() {
    let work = Gated::new();
    let batcher = work.batcher(10, 1);
    let first = asked(&batcher, 1).await;
    work.begins(1).await;
    let (good, bad, other) = (asked(&batcher, 2).await, asked(&batcher, BAD).await, asked(&batcher, 3).await);
    work.let_go(5);
    assert_eq!(first.await.unwrap(), Ok(2));
    assert_eq!(good.await.unwrap(), Ok(4));
    assert_eq!(bad.await.unwrap(), Err(Refusal::Bad));
    assert_eq!(other.await.unwrap(), Ok(6));
    assert_eq!(work.begun(), [vec![1], vec![2, BAD, 3], vec![2], vec![BAD], vec![3]]);
}

#[tokio::test]
async fn where_nobody_knows_what_was_done_all_are_told_and_nothing_is_done_twice() {
    let work = Gated::new();
    let batcher = work.batcher(10, 1);
    work.let_go(2);
    let answers = join_all([1, BREAKS, 3].map(|number| batcher.ask(number))).await;
    assert_eq!(answers, [Refusal::Line, Refusal::Line, Refusal::Line].map(Err));
    assert_eq!(work.begun(), [[1, BREAKS, 3]]);
    assert_eq!(batcher.ask(4).await, Ok(8), "the next batch is another try");
}

#[tokio::test]
async fn whoever_stops_waiting_is_passed_over_before_and_done_after_it_has_gone_out() {
    let work = Gated::new();
    let batcher = work.batcher(10, 1);
    let gone_out = asked(&batcher, 1).await;
    work.begins(1).await;
    let (waits, stays) = (asked(&batcher, 2).await, asked(&batcher, 3).await);
    for gone in [gone_out, waits] {
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    work.let_go(2);
    assert_eq!(stays.await.unwrap(), Ok(6));
    assert_eq!(work.begun(), [[1], [3]]);
}

#[tokio::test]
async fn what_is_left_without_waiting_is_done_as_long_as_there_is_room() {
    let work = Gated::new();
    let batcher = Batcher::new(work.clone(), Limits { batch: 10, under_way: 1, waiting: 2 });
    assert!(batcher.leave(1));
    work.begins(1).await;
    assert_eq!([2, 3, 4].map(|number| batcher.leave(number)), [true, true, false]);
    work.let_go(2);
    work.begins(2).await;
    assert_eq!(work.begun(), [vec![1], vec![2, 3]]);
}

#[tokio::test]
async fn whoever_comes_when_as_many_wait_as_may_waits_to_be_let_in() {
    let work = Gated::new();
    let batcher = Batcher::new(work.clone(), Limits { batch: 2, under_way: 1, waiting: 2 });
    work.let_go(100);
    let answers = join_all((100..150).map(|number| batcher.ask(number))).await;
    assert_eq!(answers, (100..150).map(|number| Ok(number * 2)).collect::<Vec<_>>());
    assert!(work.begun().iter().all(|batch| batch.len() <= 2));
}

#[tokio::test]
async fn work_that_panics_fails_its_own_batch_and_no_other() {
    let work = Gated::new();
    let batcher = work.batcher(1, 1);
    work.let_go(10);
    let answers = join_all([1, PANICS, 3].map(|number| batcher.ask(number))).await;
    assert_eq!(answers, [Ok(2), Err(Refusal::BrokenOff), Ok(6)]);
    assert_eq!(batcher.ask(4).await, Ok(8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_askers_on_many_threads_have_each_its_own_answer() {
    let work = Gated::new();
    let batcher = work.batcher(64, 3);
    work.let_go(100_000);
    let tasks: Vec<_> =
        (0..1000).map(|number| (number, tokio::spawn(asks_again_and_again(batcher.clone(), number)))).collect();
    for (number, task) in tasks {
        task.await.unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    let begun = work.begun();
    assert_eq!(begun.concat().len(), 10_000);
    assert!(begun.iter().all(|batch| (1..=64).contains(&batch.len())));
    comes_to_rest(&batcher).await;
}

async fn asks_again_and_again(batcher: Batcher<Gated>, number: u32) {
    for turn in 0..10 {
        let asked = number * 1000 + turn + 1_000_000;
        assert_eq!(batcher.ask(asked).await, Ok(asked * 2));
    }
}

#[test]
fn of_those_with_one_key_the_first_stands_for_all() {
    let (distinct, places) = distinct_by(&["ape", "bee", "ant", "cow", "bat"], |word| word.as_bytes()[0]);
    assert_eq!(distinct, [&"ape", &"bee", &"cow"]);
    assert_eq!(places, [0, 1, 0, 2, 1]);
}

/// Work that must not be done too often. It notes when it is done, and what.
#[derive(Clone, Default)]
struct Seldom(Arc<Mutex<Vec<(Instant, Batch)>>>);

impl Fault for BrokenOff {
    fn may_be_one_of_them(&self) -> bool {
        false
    }
}

impl Work for Seldom {
    type Request = u32;
    type Answer = ();
    type Error = BrokenOff;
    const NAME: &'static str = "seldom";
    const PAUSE: Duration = Duration::from_millis(30);

    async fn answer(&self, requests: &[u32]) -> Result<Vec<()>, BrokenOff> {
        self.0.lock().unwrap().push((Instant::now(), requests.to_vec()));
        Ok(vec![(); requests.len()])
    }
}

#[tokio::test]
async fn what_arrives_in_the_pause_after_a_batch_is_the_next_batch_at_its_end() {
    let work = Seldom::default();
    let batcher = Batcher::new(work.clone(), Limits { batch: 10, under_way: 1, waiting: 10 });
    batcher.ask(1).await.unwrap();
    assert!(batcher.leave(2) && batcher.leave(3));
    batcher.ask(4).await.unwrap();
    let batches = work.0.lock().unwrap().clone();
    let [(first, one), (second, others)] = &batches[..] else { panic!("{batches:?}") };
    assert_eq!((one, others), (&vec![1], &vec![2, 3, 4]));
    assert!(*second - *first >= Seldom::PAUSE);
}
