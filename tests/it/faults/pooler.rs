//! Through PgBouncer in transaction mode: each transaction may have another connection, so nothing that belongs to a
//! session works, neither LISTEN nor a statement that was prepared before.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User, geteuid};
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::harness::{World, assert_no_transaction_open, assert_sound, event_types, eventually};

/// For poolers that know nothing of prepared statements.
const SETTINGS: [(&str, &str); 5] = [
    ("IGT_DB_POOLER", "transaction"),
    ("IGT_LEASE_SECONDS", "1"),
    ("IGT_POLL_MS", "50"),
    ("IGT_RETRY_BASE_MS", "10"),
    ("IGT_GRACE_SECONDS", "0"),
];

#[tokio::test]
async fn through_a_pooler_in_transaction_mode_runs_live_their_whole_life() {
    let world = World::new().await;
    let pooler = Pooler::before(&world.database.url).await;
    let replica = async || crate::harness::Started::new(&pooler.url, &world.instagram.url, &SETTINGS).listening().await;
    let (one, other) = (replica().await, replica().await);

    // From beginning to end, of both kinds, asked of either.
    let status = world.scrape(&one, "profile", "pooled.anna").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    let status = world.scrape_reels(&other, "reel", "pooled.anna").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    assert_eq!(world.ended(&one, "reel").await["status"], "completed");
    // Waits and comes back.
    let status = world.scrape(&one, "waits", "flaky.1.pooled").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    assert!(event_types(&status).contains(&"run_resumed"));
    // Many at once.
    for n in 0..20 {
        one.create("create_task", &format!("many-{n}"), &format!("pooled.{n}")).await;
        one.post(&format!("/force_scrape/many-{n}")).await.ok();
    }
    for n in 0..20 {
        assert_eq!(world.ended(&other, &format!("many-{n}")).await["status"], "completed");
    }
    // Cancelled by a deletion on the other replica, though no hint can tell.
    world.instagram.hold("pooled.deleted", 2).await;
    one.create("create_task", "deleted", "pooled.deleted").await;
    one.post("/force_scrape/deleted").await.ok();
    world.instagram.holds_one("pooled.deleted").await;
    other.delete("/task/deleted").await.ok();
    let status = world.ended(&other, "deleted").await;
    world.instagram.let_go("pooled.deleted").await;
    assert_eq!(status["reason"], "cancelled_by_client", "{status:#}");
    // Killed, and taken up.
    world.instagram.hold("pooled.killed", 2).await;
    one.create("create_task", "killed", "pooled.killed").await;
    one.post("/force_scrape/killed").await.ok();
    world.instagram.holds_one("pooled.killed").await;
    one.kill().await;
    eventually("another has it", async || {
        let lease: i64 = sqlx::query_scalar("select lease from runs where task_id = 'killed'")
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
        (lease > 1).then_some(())
    })
    .await;
    world.instagram.let_go("pooled.killed").await;
    assert_eq!(world.ended(&other, "killed").await["status"], "completed");
    // Handed over.
    let heir = replica().await;
    world.instagram.hold("pooled.handed", 2).await;
    other.create("create_task", "handed", "pooled.handed").await;
    other.post("/force_scrape/handed").await.ok();
    world.instagram.holds_one("pooled.handed").await;
    other.signal(Signal::SIGTERM);
    assert_eq!(other.ended().await, Some(0));
    world.instagram.let_go("pooled.handed").await;
    assert_eq!(world.ended(&heir, "handed").await["status"], "completed");

    assert_no_transaction_open(&world.database.pool, std::time::Duration::from_secs(60)).await;
    assert_sound(&world.database.pool).await;
}

/// A PgBouncer of the test's own.
pub(crate) struct Pooler {
    pub(crate) url: String,
    folder: PathBuf,
    _process: Child,
}

impl Pooler {
    /// One before the server of this address.
    pub(crate) async fn before(database_url: &str) -> Self {
        let options: PgConnectOptions = database_url.parse().unwrap();
        let host = options.get_socket().map_or(options.get_host().to_owned(), |socket| socket.display().to_string());
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("igt-pooler-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let user = user(&options);
        // A port that is free may be taken by another in between: then it ends at once, and the next is tried.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
            let settings = format!(
                "[databases]\n* = host={host} port={server_port} user={name}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
                 default_pool_size = 8\nmax_client_conn = 200\n",
                server_port = options.get_port(),
                name = options.get_username(),
            );
            let path = folder.join("pgbouncer.ini");
            std::fs::write(&path, settings).unwrap();
            for path in [&folder, &path] {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            let mut command = Command::new("pgbouncer");
            command.arg("-q").arg(&path).kill_on_drop(true).stdin(std::process::Stdio::null());
            command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
            if let Some(user) = &user {
                chown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            }
            let mut process = command.spawn().unwrap_or_else(|error| {
                panic!("pgbouncer cannot be run ({error}), and this test runs it; try `make setup`")
            });
            let listens = async || match process.try_wait().unwrap() {
                Some(_) => Some(false),
                None => TcpStream::connect(("127.0.0.1", port)).await.is_ok().then_some(true),
            };
            if eventually("the pooler listens", listens).await {
                let mut url = sqlx::ConnectOptions::to_url_lossy(&options);
                url.set_host(Some("127.0.0.1")).unwrap();
                url.set_port(Some(port)).unwrap();
                url.set_query(Some("sslmode=disable"));
                return Self { url: url.to_string(), folder, _process: process };
            }
        }
        panic!("pgbouncer does not start");
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whom it runs as, where we are root, whom it refuses: the owner of the server's socket, who alone may use that.
fn user(options: &PgConnectOptions) -> Option<User> {
    if !geteuid().is_root() {
        return None;
    }
    let owner = options.get_socket().and_then(|folder| std::fs::metadata(folder).ok()).map(|folder| folder.uid());
    let owner = owner.filter(|uid| *uid != 0).and_then(|uid| User::from_uid(Uid::from_raw(uid)).unwrap());
    Some(owner.unwrap_or_else(|| User::from_name("nobody").unwrap().unwrap()))
}
