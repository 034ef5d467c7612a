//! The stage: a database, an Instagram that takes its time, replicas each behind a proxy of its own, clients that ask
//! all the time; and the reckoning after a fault.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use nix::sys::signal::Signal;
use sqlx::PgPool;

use super::clients::{Clients, Seat};
use super::report::{Cost, record};
use super::timing::{Account, Answered, Standstills};
use crate::harness::{
    Database, Instagram, MortalServer, Proxy, Replica, Started, assert_no_transaction_open, assert_sound, eventually,
    story,
};

/// The lease of the replicas here, in seconds: short, so that what waits for it to pass is not long.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// Short leases and brisk polls. Attempts in vain are many, since on a busy machine so short a lease is lost easily.
const SETTINGS: [(&str, &str); 7] = [
    ("IGT_LEASE_SECONDS", "2"),
    ("IGT_POLL_MS", "100"),
    ("IGT_RETRY_BASE_MS", "10"),
    ("IGT_THROTTLE_SECONDS", "1"),
    ("IGT_GRACE_SECONDS", "1"),
    ("IGT_MAX_ATTEMPTS", "100"),
    ("IGT_CONCURRENCY", "4"),
];

/// How long Instagram takes for an answer.
const ANSWERS_IN: Duration = Duration::from_millis(25);

/// How long the reckoning waits for what is promised within seconds: on a busy machine all takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every request is answered in so much time, whatever the database does.
const IN_TIME: Duration = Duration::from_secs(2);

/// A replica, the proxy that it reaches its database through, and where its clients find it.
pub(super) struct Member {
    pub(super) proxy: Proxy,
    pub(super) replica: Option<Replica>,
    seat: Arc<Seat>,
    account: Account,
    url: String,
    instagram_url: String,
}

impl Member {
    async fn start(number: usize, database_url: &str, instagram: &Instagram) -> Self {
        let proxy = Proxy::before(database_url).await;
        let url = proxy.url(database_url);
        let replica = Started::new(&url, &instagram.url, &SETTINGS).listening().await;
        let seat = Seat::of(number, &replica);
        let mut account = Account::default();
        account.follow(&replica);
        Self { proxy, replica: Some(replica), seat, account, url, instagram_url: instagram.url.clone() }
    }

    /// `kill -9`.
    pub(super) async fn kill(&mut self) {
        self.seat.moves_to(None);
        if let Some(replica) = self.replica.take() {
            replica.kill().await;
        }
    }

    /// SIGTERM, so many times with a moment in between; waits for its end and gives its exit code.
    pub(super) async fn terminate(&mut self, times: u32) -> Option<i32> {
        self.seat.moves_to(None);
        let replica = self.replica.take()?;
        for _ in 0..times {
            replica.signal(Signal::SIGTERM);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (lines, ended) = (replica.kept_lines(), tokio::time::timeout(PATIENCE, replica.ended()).await);
        ended.unwrap_or_else(|_| {
            let lines = lines.lock().unwrap();
            let last = &lines[lines.len().saturating_sub(30)..];
            panic!(
                "a replica that was told to stop has not ended after {PATIENCE:?}; its log ends:\n{}",
                last.join("\n")
            )
        })
    }

    /// SIGTERM; its end is not waited for.
    pub(super) fn tell_to_stop(&self) {
        self.seat.moves_to(None);
        self.signal(Signal::SIGTERM);
    }

    /// SIGSTOP.
    pub(super) fn pause(&self) {
        self.seat.pauses(true);
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub(super) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
        self.seat.pauses(false);
    }

    fn signal(&self, signal: Signal) {
        if let Some(replica) = &self.replica {
            replica.signal(signal);
        }
    }

    /// Starts it again, if it is dead.
    pub(super) async fn revive(&mut self) {
        if self.replica.is_none() {
            let replica = Started::new(&self.url, &self.instagram_url, &SETTINGS).listening().await;
            self.seat.moves_to(Some(&replica));
            self.account.follow(&replica);
            self.replica = Some(replica);
        }
    }
}

/// Everything that a fault happens to.
pub(super) struct Stage {
    pub(super) members: Vec<Member>,
    /// Where the judge looks; no fault comes between.
    pub(super) pool: PgPool,
    /// The server, where it is the stage's own.
    pub(super) server: Option<MortalServer>,
    tasks: Vec<(String, &'static str)>,
    clients: Option<Clients>,
    seed: u64,
    /// When the clients were let in this time.
    begun: DateTime<Utc>,
    /// Whatever they see now is of runs that end after this.
    seen_since: DateTime<Utc>,
    _instagram: Instagram,
}

/// What the accounts of the tasks are called, before their number.
const ACCOUNTS: [&str; 6] = ["anna.", "flaky.1.bert.", "cleo.", "throttledonce.1.dora.", "emil.", "missing.faye."];

impl Stage {
    /// Replicas on a database of the common server.
    pub(super) async fn new(replicas: usize) -> Self {
        Self::on(&Database::fresh().await.url, None, replicas, 3).await
    }

    /// Replicas on a server of their own, which may be stopped.
    pub(super) async fn with_server(server: MortalServer, replicas: usize) -> Self {
        let url = server.database_url.clone();
        Self::on(&url, Some(server), replicas, 3).await
    }

    /// The same with tasks that meet faults of Instagram, too.
    pub(super) async fn rough(server: MortalServer, replicas: usize, seed: u64) -> Self {
        let url = server.database_url.clone();
        let mut stage = Self::on(&url, Some(server), replicas, ACCOUNTS.len()).await;
        stage.seed = seed;
        stage
    }

    async fn on(url: &str, server: Option<MortalServer>, replicas: usize, accounts: usize) -> Self {
        let instagram = Instagram::slow(ANSWERS_IN).await;
        let mut members = Vec::new();
        for number in 0..replicas {
            members.push(Member::start(number, url, &instagram).await);
        }
        let mut tasks = Vec::new();
        for name in if accounts > 3 { &ACCOUNTS[..] } else { &["anna.", "cleo.", "emil."] } {
            for (kind, create, route) in
                [("profile", "create_task", "force_scrape"), ("reel", "create_reel_task", "force_scrape_reel")]
            {
                let task = format!("{name}{kind}");
                members[0].replica.as_ref().unwrap().create(create, &task, &format!("{name}x")).await;
                tasks.push((task, route));
            }
        }
        // A few, for the judge, and patient: the server may be away when he asks.
        let pool = Database::at(url).await.pool;
        Self {
            members,
            pool,
            server,
            tasks,
            clients: None,
            seed: 1,
            begun: DateTime::UNIX_EPOCH,
            seen_since: DateTime::UNIX_EPOCH,
            _instagram: instagram,
        }
    }

    /// Lets the clients in, and waits until runs are under way on all replicas.
    pub(super) async fn begin(&mut self) {
        let seats: Vec<_> = self.members.iter().map(|member| Arc::clone(&member.seat)).collect();
        let clients = self.clients.get_or_insert_with(|| Clients::begin(&seats, &self.tasks, self.seed));
        clients.start_tasks(true);
        let now = eventually("the server tells the time", async || {
            sqlx::query_scalar("select clock_timestamp()").fetch_one(&self.pool).await.ok()
        })
        .await;
        // Every task was started anew in the reckoning before this: what its clients see ended after they were let in then.
        self.seen_since = std::mem::replace(&mut self.begun, now);
        let workers = self.members.len() as i64;
        let query =
            "select count(distinct worker_id) from runs where updated_at > now() - interval '5 s' and last_seq > 1";
        eventually("all replicas are at work", async || {
            let at_work: i64 = sqlx::query_scalar(query).fetch_one(&self.pool).await.ok()?;
            (at_work >= workers).then_some(())
        })
        .await;
    }

    /// The reckoning, when the fault is over and all replicas are there again: every task can be started, every run
    /// ends, nothing is open, nothing is lost, and all is sound.
    pub(super) async fn reckon(&mut self, fault: &str) -> Cost {
        let over = Instant::now();
        let clients = self.clients.as_ref().unwrap();
        clients.start_tasks(false);
        let each = self.tasks.iter().enumerate().map(|(n, (task, route))| {
            let client = clients.one_of(&self.members[n % self.members.len()].seat);
            async move {
                while client.start(task, route).await != Some(200) {
                    if over.elapsed() > PATIENCE {
                        return Err(task);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            }
        });
        let started = futures_util::future::join_all(each).await;
        let startable_after = over.elapsed();
        let stuck: Vec<_> = started.into_iter().filter_map(Result::err).collect();
        if !stuck.is_empty() {
            panic!("{fault}: cannot be started again in {PATIENCE:?}: {stuck:?}; {}", self.evidence().await);
        }
        self.all_ended(fault).await;
        let transactions_open = assert_no_transaction_open(&self.pool, PATIENCE).await;
        assert_sound(&self.pool).await;
        let clients = self.clients.as_ref().unwrap();
        let answers = clients.take_answers();
        clients.assert_content(&self.pool, self.seen_since).await;
        let refusals = answers.iter().filter(|answer| answer.status == 503).count() as u64;
        let slowest_answer = answers.iter().map(|answer| answer.times.whole).max().unwrap_or_default();
        let slowest_own = Some(self.slowest_own(fault, &answers, over).await);
        let answers = answers.len() as u64;
        Cost { startable_after, slowest_answer, slowest_own, answers, refusals, transactions_open }
    }

    /// The longest time that the replicas themselves took for one of these answers: none took too long. Those that were
    /// late to their clients are told with all that is known of them.
    async fn slowest_own(&mut self, fault: &str, answers: &[Answered], over: Instant) -> Duration {
        let mut slowest = Duration::ZERO;
        for (n, member) in self.members.iter_mut().enumerate() {
            let answers: Vec<_> = answers.iter().filter(|answer| answer.replica == n).collect();
            let own = member.account.of(&answers).await;
            for (answer, own) in answers.into_iter().zip(own) {
                slowest = slowest.max(own);
                let answered = answer.asked + answer.times.whole;
                let stood_still = Standstills::of_this_machine().between(answer.asked, answered);
                let story = || {
                    let before = over.saturating_duration_since(answer.asked);
                    let after = answer.asked.saturating_duration_since(over);
                    format!(
                        "{fault}: late: {answer}; the replica itself took {own:.2?}; the machine stood still for \
                         {stood_still:.2?}; asked {before:.1?} before and {after:.1?} after the fault was over"
                    )
                };
                if answer.times.whole > IN_TIME {
                    eprintln!("fault: {}", story());
                }
                // What its threads waited for a core, and a machine that stood still, is no fault of the replica's.
                assert!(own <= IN_TIME + answer.starved + stood_still, "{}", story());
            }
        }
        slowest
    }

    async fn all_ended(&self, fault: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let active: i64 = sqlx::query_scalar("select count(*) from runs where finished_at is null")
                .fetch_one(&self.pool)
                .await
                .unwrap();
            if active == 0 {
                return;
            }
            if Instant::now() > deadline {
                panic!("{fault}: {active} runs do not end in {PATIENCE:?}; {}", self.evidence().await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What there is to find out from.
    pub(super) async fn evidence(&self) -> String {
        let mut told = story(&self.pool).await;
        for (n, replica) in self.members.iter().enumerate() {
            let lines = replica.replica.as_ref().map(Replica::lines).unwrap_or_default();
            let of_runs: Vec<_> = lines.into_iter().filter(|line| !line.contains(r#""method":"#)).collect();
            told += &format!("\nreplica {n}:\n{}\n", of_runs[of_runs.len().saturating_sub(60)..].join("\n"));
        }
        told
    }

    /// One fault from its beginning to the reckoning.
    pub(super) async fn suffers(mut self, fault: &str, strike: impl AsyncFnOnce(&mut Self)) {
        self.begin().await;
        strike(&mut self).await;
        let cost = self.reckon(fault).await;
        record(fault, 1, cost);
        self.end().await;
    }

    /// Leaves nothing behind.
    pub(super) async fn end(mut self) {
        if let Some(clients) = self.clients.take() {
            clients.assert_all_kept(&self.pool).await;
        }
        for member in &mut self.members {
            member.kill().await;
        }
        self.pool.close().await;
        if let Some(server) = self.server.take() {
            server.end().await;
        }
    }
}

/// How long a fault lasts that is to outlast leases: then hands have lost their runs.
pub(super) async fn beyond_the_lease() {
    tokio::time::sleep(LEASE + Duration::from_millis(1500)).await;
}
