//! The private Postgres, tried with real processes that share it, are killed, and come back.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ig_tracking::postgres::private::{Durability, Error, Options, Places, PrivatePostgres};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, geteuid};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

#[cfg(target_os = "linux")]
use crate::harness::machine;
use crate::harness::{Instagram, Started, eventually};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ig-tracking");

#[tokio::test]
async fn it_starts_from_nothing_with_fsync_on() {
    let scratch = Scratch::new();
    let holder = scratch.hold();
    assert_eq!(show(&holder.url, "fsync").await, "on");
    assert_eq!(show(&holder.url, "listen_addresses").await, "");
    assert_eq!(show(&holder.url, "server_encoding").await, "UTF8");
}

#[tokio::test]
async fn processes_that_start_at_the_same_moment_share_one_server() {
    let scratch = Scratch::new();
    let starting: Vec<_> = (0..4).map(|_| scratch.spawn()).collect();
    let holders: Vec<_> = starting.into_iter().map(Starting::ready).collect();
    let mut boots = Vec::new();
    for holder in &holders {
        boots.push(ask(&holder.url, "SELECT pg_postmaster_start_time()::text").await);
    }
    boots.dedup();
    assert_eq!(boots.len(), 1, "each connection string leads to the same server: {boots:?}");
}

#[tokio::test]
async fn they_share_one_server_too_where_the_folder_is_too_long_for_a_socket() {
    let scratch = Scratch::named(&"long-".repeat(24));
    let starting: Vec<_> = (0..3).map(|_| scratch.spawn()).collect();
    let holders: Vec<_> = starting.into_iter().map(Starting::ready).collect();
    let pid = scratch.postmaster();
    let sockets = ask(&holders[0].url, "SHOW unix_socket_directories").await;
    assert!(!sockets.contains("long-"), "{sockets}");
    drop(holders);
    scratch.wait_until_stopped();
    let again = scratch.hold();
    assert_ne!(scratch.postmaster(), pid);
    assert_eq!(ask(&again.url, "SHOW unix_socket_directories").await, sockets, "the socket's folder is used again");
    drop(again);
    scratch.wait_until_stopped();
    fs::remove_dir_all(sockets.trim_matches('"')).unwrap();
}

#[tokio::test]
async fn the_server_stops_when_its_only_user_is_killed_and_the_data_are_there_the_next_time() {
    let scratch = Scratch::new();
    let holder = scratch.hold();
    ask(&holder.url, "CREATE TABLE kept AS SELECT 'still here' AS what").await;
    let url = holder.url.clone();
    holder.kill();
    scratch.wait_until_stopped();
    assert!(PgConnection::connect(&url).await.is_err());

    let again = scratch.hold();
    assert_eq!(ask(&again.url, "SELECT what FROM kept").await, "still here");
}

#[tokio::test]
async fn a_starter_that_is_killed_half_way_leaves_nothing_in_the_way_and_nothing_running() {
    let scratch = Scratch::new();
    for half_way in ["data.new", "data.new/base/1", "data/PG_VERSION", "data/postmaster.pid"] {
        let starting = Killed(scratch.spawn().0);
        until("it is half-way", || scratch.data_dir().join(half_way).exists());
        drop(starting);
    }
    let holder = scratch.hold();
    assert_eq!(ask(&holder.url, "SELECT 'served'").await, "served");
    drop(holder);
    scratch.wait_until_stopped();
}

#[tokio::test]
async fn a_killed_user_leaves_the_others_served() {
    let scratch = Scratch::new();
    let (first, second) = (scratch.hold(), scratch.hold());
    let pid = scratch.postmaster();
    first.kill();
    assert_eq!(ask(&second.url, "SELECT 'served'").await, "served");
    drop(scratch.hold());
    assert_eq!(ask(&second.url, "SELECT 'served'").await, "served");
    assert_eq!(scratch.postmaster(), pid);
}

#[tokio::test]
async fn a_new_start_brings_back_a_server_that_was_killed_under_its_users() {
    let scratch = Scratch::new();
    let first = scratch.hold();
    ask(&first.url, "CREATE TABLE kept AS SELECT 'still here' AS what").await;
    let killed = scratch.postmaster();
    kill(killed, Signal::SIGKILL).unwrap();
    let second = scratch.hold();
    assert_ne!(scratch.postmaster(), killed);
    for holder in [&first, &second] {
        assert_eq!(ask(&holder.url, "SELECT what FROM kept").await, "still here");
    }
}

#[tokio::test]
async fn a_service_brings_back_its_own_server_that_was_killed_and_goes_on_with_its_runs() {
    let scratch = Scratch::new();
    let data_dir = scratch.data_dir();
    let instagram = Instagram::get().await;
    instagram.hold("revived.anna", 2).await;
    let settings = [("IGT_DATA_DIR", data_dir.to_str().unwrap()), ("IGT_LEASE_SECONDS", "2")];
    let replica = Started::new("", &instagram.url, &settings).listening().await;
    replica.create("create_task", "t", "revived.anna").await;
    replica.post("/force_scrape/t").await.ok();
    instagram.holds_one("revived.anna").await;

    let killed = scratch.postmaster();
    kill(killed, Signal::SIGKILL).unwrap();
    instagram.let_go("revived.anna").await;
    let status = eventually("the run ends on the server that was brought back", async || {
        let answer = replica.get("/task_status/t?logs_count=100").await;
        let ended = answer.status == 200 && answer.json()["response"]["is_processing"] == false;
        ended.then(|| answer.ok()["response"].clone())
    })
    .await;
    assert_ne!(scratch.postmaster(), killed);
    assert_eq!(status["status"], "completed");
    assert_eq!(status["latest_event"]["scraped_posts_count"], 60);
    replica.signal(Signal::SIGTERM);
    assert_eq!(replica.ended().await, Some(0));
    scratch.wait_until_stopped();
}

#[tokio::test]
async fn a_server_whose_socket_was_swept_away_is_replaced() {
    let scratch = Scratch::new();
    let first = scratch.hold();
    let unreachable = scratch.postmaster();
    fs::remove_dir_all(scratch.data_dir().join("socket")).unwrap();
    let second = scratch.hold();
    assert_ne!(scratch.postmaster(), unreachable);
    assert_eq!(ask(&second.url, "SELECT 'served'").await, "served");
    drop(first);
}

#[tokio::test]
async fn what_a_crashed_machine_leaves_behind_does_not_stand_in_the_way() {
    let scratch = Scratch::new();
    let holder = scratch.hold();
    let note = scratch.data_dir().join("data/postmaster.pid");
    let left_behind = fs::read_to_string(&note).unwrap();
    let owner = fs::metadata(&note).unwrap();
    holder.kill();
    scratch.wait_until_stopped();

    // After the crash, the server's process number has been given to another process of the same user.
    let mut other = Command::new("cat");
    other.stdin(Stdio::piped());
    if geteuid().is_root() {
        other.uid(owner.uid()).gid(owner.gid());
    }
    let mut other = other.spawn().unwrap();
    let (_, rest) = left_behind.split_once('\n').unwrap();
    for stale in [note, scratch.data_dir().join("socket/.s.PGSQL.5432.lock")] {
        fs::write(&stale, format!("{}\n{rest}", other.id())).unwrap();
        chown(&stale, Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::set_permissions(&stale, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::create_dir_all(scratch.data_dir().join("data.new/half")).unwrap();

    let again = scratch.hold();
    assert_eq!(ask(&again.url, "SELECT 'served'").await, "served");
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success(), "the other process was left alone");
}

#[cfg(target_os = "linux")] // It looks for the watchdog in /proc.
#[tokio::test]
async fn a_killed_watchdog_is_replaced_at_the_next_start() {
    let scratch = Scratch::new();
    let first = scratch.hold();
    let watchdogs = scratch.watchdogs();
    for pid in &watchdogs {
        kill(*pid, Signal::SIGKILL).unwrap();
    }
    // One that is dying has no command line any more and its locks still.
    until("the watchdog has gone", || watchdogs.iter().all(|pid| has_ended(*pid)));
    let second = scratch.hold();
    first.kill();
    second.kill();
    scratch.wait_until_stopped();
}

#[tokio::test]
async fn data_of_another_version_are_refused_with_both_versions_named() {
    let scratch = Scratch::new();
    drop(scratch.hold());
    scratch.wait_until_stopped();
    fs::write(scratch.data_dir().join("data/PG_VERSION"), "9\n").unwrap();
    let error = PrivatePostgres::start(scratch.options()).await.unwrap_err();
    assert!(matches!(error, Error::OtherVersion { data: 9, .. }), "{error}");
    assert!(error.to_string().contains("pg_upgrade"), "{error}");

    // Data that nobody would miss are left where they are, and others begun beside them.
    let disposable = PrivatePostgres::start_disposable(scratch.options()).await.unwrap();
    assert_ne!(disposable.data_dir(), scratch.data_dir());
    assert_eq!(ask(&disposable.url("postgres"), "SELECT 'served'").await, "served");
    assert_eq!(fs::read_to_string(scratch.data_dir().join("data/PG_VERSION")).unwrap(), "9\n");
}

#[tokio::test]
async fn without_binaries_the_error_names_the_remedies() {
    let scratch = Scratch::new();
    let options = Options { places: Places::default(), ..scratch.options() };
    let said = PrivatePostgres::start(options).await.unwrap_err().to_string();
    for remedy in ["make setup", "apt-get install postgresql", "PG_BIN_DIR", "DATABASE_URL"] {
        assert!(said.contains(remedy), "{remedy} is missing in: {said}");
    }
    let named = Places { named: Some("/nowhere".into()), ..Places::default() };
    let said = PrivatePostgres::start(Options { places: named, ..scratch.options() }).await.unwrap_err().to_string();
    assert!(said.contains("PG_BIN_DIR is /nowhere"), "{said}");
}

#[tokio::test]
async fn a_server_for_tests_is_refused_to_whoever_needs_a_durable_one() {
    let scratch = Scratch::new();
    let options = Options { durability: Durability::TestsOnly, max_connections: 33, ..scratch.options() };
    let for_tests = PrivatePostgres::start(options).await.unwrap();
    let url = for_tests.database("some \"name\"").await.unwrap();
    assert_eq!(for_tests.database("some \"name\"").await.unwrap(), url, "it may be asked for again");
    assert_eq!(show(&url, "fsync").await, "off");
    assert_eq!(show(&url, "max_connections").await, "33");
    let error = PrivatePostgres::start(scratch.options()).await.unwrap_err();
    assert!(matches!(error, Error::NotDurable(_)), "{error}");
}

#[tokio::test]
async fn an_ordinary_user_runs_it_as_himself() {
    let scratch = Scratch::new();
    let user = ordinary_user();
    chown(&scratch.root, Some(user.as_raw()), None).unwrap();
    let program = scratch.root.join("ig-tracking");
    fs::copy(PROGRAM, &program).unwrap();
    let mut command = scratch.command(&program);
    if geteuid().is_root() {
        command.uid(user.as_raw());
    }
    let holder = Starting(command.spawn().unwrap()).ready();
    let data = fs::metadata(scratch.data_dir().join("data")).unwrap();
    assert_eq!(data.uid(), user.as_raw());
    assert_eq!(ask(&holder.url, "SELECT 'served'").await, "served");
    holder.kill();
    scratch.wait_until_stopped();
}

#[tokio::test]
async fn root_is_told_of_a_folder_that_shuts_the_servers_user_out() {
    if !geteuid().is_root() {
        return; // An ordinary user's server runs as himself: nothing can shut it out.
    }
    let scratch = Scratch::new();
    let home = scratch.root.join("home");
    fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
    let error = PrivatePostgres::start(Options { data_dir: home.join("data"), ..scratch.options() }).await.unwrap_err();
    assert!(matches!(&error, Error::ShutOut { folder, .. } if *folder == home), "{error}");
    assert!(error.to_string().contains("chmod o+x"), "{error}");
}

/// A data folder of its own, which the server's user can reach; removed when its server has stopped.
pub(crate) struct Scratch {
    root: PathBuf,
    name: String,
}

impl Scratch {
    fn new() -> Self {
        Self::named("data-dir, with 'quotes'")
    }

    pub(crate) fn named(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("igt-test-{}", Uuid::new_v4().simple()));
        fs::DirBuilder::new().mode(0o755).create(&root).unwrap();
        Self { root, name: name.to_owned() }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    fn options(&self) -> Options {
        Options { watchdog: PROGRAM.into(), ..Options::new(self.data_dir()).unwrap() }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("postgres-hold").arg("--data-dir").arg(self.data_dir());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/");
        command
    }

    /// A process that starts, or joins, the server.
    fn spawn(&self) -> Starting {
        Starting(self.command(Path::new(PROGRAM)).spawn().unwrap())
    }

    fn hold(&self) -> Holder {
        self.spawn().ready()
    }

    fn postmaster(&self) -> Pid {
        let note = fs::read_to_string(self.data_dir().join("data/postmaster.pid")).unwrap();
        Pid::from_raw(note.lines().next().unwrap().parse().unwrap())
    }

    #[cfg(target_os = "linux")]
    fn watchdogs(&self) -> Vec<Pid> {
        let wanted = self.data_dir().canonicalize().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        let of_ours = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("postgres-watchdog") && line.contains(&*wanted.to_string_lossy())
        };
        pids.filter(of_ours).map(Pid::from_raw).collect()
    }

    fn wait_until_stopped(&self) {
        let note = self.data_dir().join("data/postmaster.pid");
        until("the server has stopped", || !note.exists());
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failing test may leave a holder behind for a moment; its server goes with it. The watchdog may still be
        // at work in the folder, and put a file into it that was just emptied.
        let note = self.data_dir().join("data/postmaster.pid");
        let began = Instant::now();
        while (note.exists() || fs::remove_dir_all(&self.root).is_err()) && began.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A process on its way to a server.
struct Starting(Child);

impl Starting {
    fn ready(mut self) -> Holder {
        let mut url = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
        if url.is_empty() {
            let mut said = String::new();
            self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("no server: {said}");
        }
        Holder { url: url.trim().to_owned(), process: Killed(self.0) }
    }
}

/// A process that uses the server until it is killed, here at the latest when it is dropped.
struct Holder {
    url: String,
    process: Killed,
}

impl Holder {
    fn kill(self) {
        drop(self.process);
    }
}

/// A process that is killed outright when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who we are; or, where that is root, somebody else.
fn ordinary_user() -> Uid {
    if geteuid().is_root() { Uid::from_raw(65534) } else { geteuid() }
}

async fn show(url: &str, setting: &str) -> String {
    ask(url, &format!("SHOW {setting}")).await
}

/// The first value of the first row, or nothing.
async fn ask(url: &str, question: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let question = sqlx::AssertSqlSafe(question.to_owned());
    sqlx::query_scalar(question).fetch_optional(&mut connection).await.unwrap().unwrap_or_default()
}

/// Whether a process is no more, or only waits for its parent to take note of it.
#[cfg(target_os = "linux")]
fn has_ended(pid: Pid) -> bool {
    machine::state_and_more(pid).is_none_or(|state| state.starts_with('Z'))
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited 60 s until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
