//! Instagram itself: one sandbox for all tests, on a thread of its own. Tests keep apart by the names they ask for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ig_tracking::sandbox;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use super::{PROGRAM, Started};

static SANDBOX: OnceCell<String> = OnceCell::const_new();

/// Whose an account of the shared sandbox is: the test's that first set anything for it.
static TAKEN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// The sandbox's address and its controls.
pub(crate) struct Instagram {
    pub(crate) url: String,
    http: reqwest::Client,
    /// The test's name, which its thread has.
    test: String,
    /// The process, where it is one of the test's own.
    process: Option<Child>,
}

impl Instagram {
    pub(crate) async fn get() -> Self {
        Self::at_address(SANDBOX.get_or_init(begin).await.clone(), None)
    }

    /// One of the test's own that takes so long for an answer, give or take a little: runs last as long as real ones.
    pub(crate) async fn slow(delay: Duration) -> Self {
        Self::of_its_own(&["--delay-ms", &delay.as_millis().to_string()]).await
    }

    /// One of the test's own that is reached by TLS; its authority goes into this file.
    pub(crate) async fn by_tls(authority: &Path) -> Self {
        Self::of_its_own(&["--delay-ms", "0", "--tls-authority", authority.to_str().unwrap()]).await
    }

    async fn of_its_own(arguments: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.env_clear().args(["sandbox", "--bind", "127.0.0.1:0"]).args(arguments);
        let (url, process) = Started::of(command).address_and_process().await;
        Self::at_address(url, Some(process))
    }

    /// One that runs already, as the demo's does.
    pub(crate) fn running_at(url: String) -> Self {
        Self::at_address(url, None)
    }

    fn at_address(url: String, process: Option<Child>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url, http, test: std::thread::current().name().unwrap_or_default().to_owned(), process }
    }

    /// Sets a fault on an account.
    pub(crate) async fn fault(&self, username: &str, fault: Value) {
        self.put(&format!("faults/{username}"), &fault).await;
    }

    /// Removes the faults that were set on an account.
    pub(crate) async fn mend(&self, username: &str) {
        self.delete(&format!("faults/{username}")).await;
    }

    /// Gives an account another name.
    pub(crate) async fn rename(&self, username: &str, name: Value) {
        self.put(&format!("names/{username}"), &name).await;
    }

    /// Deletes posts of an account, and edits captions.
    pub(crate) async fn edit(&self, username: &str, edits: Value) {
        self.put(&format!("posts/{username}"), &edits).await;
    }

    /// Takes that back.
    pub(crate) async fn restore(&self, username: &str) {
        self.delete(&format!("posts/{username}")).await;
    }

    /// Holds the answers to an account's requests after the first so many of them, until the gate is opened.
    pub(crate) async fn hold(&self, username: &str, after: u64) {
        self.put(&format!("gate/{username}"), &json!({ "after": after })).await;
    }

    /// Waits until a request is held at the gate.
    pub(crate) async fn holds_one(&self, username: &str) {
        self.holds(username, 1).await;
    }

    /// Waits until so many requests are held at the gate.
    pub(crate) async fn holds(&self, username: &str, requests: u64) {
        super::eventually(&format!("{requests} requests for {username} are held"), async || {
            (self.json(&format!("gate/{username}")).await["held"].as_u64()? >= requests).then_some(())
        })
        .await;
    }

    /// Lets go of all that is held.
    pub(crate) async fn let_go(&self, username: &str) {
        self.delete(&format!("gate/{username}")).await;
    }

    /// The requests seen for an account, oldest first.
    pub(crate) async fn requests(&self, username: &str) -> Vec<Value> {
        self.json(&format!("requests/{username}")).await["requests"].as_array().unwrap().clone()
    }

    /// When a session, a token, or `guest` asked anything, in milliseconds.
    pub(crate) async fn calls(&self, caller: &str) -> Vec<u64> {
        let calls = self.json(&format!("callers/{caller}")).await;
        calls["at_ms"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect()
    }

    /// What the site itself answers to a guest's GET: status and body.
    pub(crate) async fn ask(&self, path: &str) -> (u16, Vec<u8>) {
        let request = self.http.get(format!("{}{path}", self.url)).header("x-ig-app-id", "936619743392459");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    }

    /// The account as the site itself tells it.
    pub(crate) async fn user(&self, username: &str) -> Value {
        let answer = self.ask(&format!("/api/v1/users/web_profile_info/?username={username}")).await.1;
        serde_json::from_slice::<Value>(&answer).unwrap()["data"]["user"].take()
    }

    /// The name, with this beginning, of an account that has so many posts at least.
    pub(crate) async fn with_posts(&self, beginning: &str, least: i64) -> String {
        for n in 0.. {
            let username = format!("{beginning}.{n}");
            let user = self.user(&username).await;
            if user["edge_owner_to_timeline_media"]["count"].as_i64().is_some_and(|posts| posts >= least) {
                return username;
            }
        }
        unreachable!("there is an account for every name")
    }

    /// The latest posts of an account as the site itself tells them, in its order.
    pub(crate) async fn posts(&self, username: &str, count: usize) -> Vec<Value> {
        let pk = self.user(username).await["id"].as_str().unwrap().to_owned();
        let (mut posts, mut after) = (Vec::new(), String::new());
        while posts.len() < count {
            let answer = self.ask(&format!("/api/v1/feed/user/{pk}/?count=50&max_id={after}")).await.1;
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            posts.extend(answer["items"].as_array().unwrap().iter().cloned());
            match answer["next_max_id"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => break,
            }
        }
        posts.truncate(count);
        posts
    }

    /// What a token has asked of the official source: calls that counted, and calls that were refused as too many.
    pub(crate) async fn token(&self, token: &str) -> (u64, u64) {
        let all = self.json("tokens").await;
        let of_it = all["tokens"].as_array().unwrap().iter().find(|one| one["token"] == *token);
        let number = |key: &str| of_it.map_or(0, |one| one[key].as_u64().unwrap());
        (number("calls"), number("refused"))
    }

    async fn json(&self, path: &str) -> Value {
        self.http.get(self.at(path)).send().await.unwrap().json().await.unwrap()
    }

    async fn put(&self, path: &str, body: &Value) {
        self.take(path);
        let answer = self.http.put(self.at(path)).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn delete(&self, path: &str) {
        assert!(self.http.delete(self.at(path)).send().await.unwrap().status().is_success());
    }

    /// Takes the account at the end of a control's path, which no other test may have set anything for.
    fn take(&self, path: &str) {
        if self.process.is_some() {
            return;
        }
        let username = path.rsplit('/').next().unwrap();
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = taken.entry(username.to_owned()).or_insert_with(|| self.test.clone()).clone();
        drop(taken);
        assert_eq!(owner, self.test, "@{username} is another test's: this one needs an account of its own");
    }

    fn at(&self, path: &str) -> String {
        format!("{}/sandbox/{path}", self.url)
    }
}

/// Each test has a runtime that ends with it; the sandbox must outlive them all.
async fn begin() -> String {
    let (address, listening) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            let options = sandbox::Options { delay: Duration::ZERO, ..sandbox::Options::default() };
            sandbox::serve(listener, options, std::future::pending()).await.unwrap();
        });
    });
    format!("http://{}", listening.await.unwrap())
}
