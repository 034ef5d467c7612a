//! A replica of the service: the real program as a process of its own, asked over real HTTP.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{PROGRAM, eventually};

/// Where version 1 lives.
pub(crate) const V1: &str = "/codvid-ai/ig-tracking";

/// A replica that was started and need not be listening yet.
pub(crate) struct Started {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Ends with the last line.
    reader: JoinHandle<()>,
}

impl Started {
    pub(crate) fn new(database_url: &str, instagram_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("serve");
        Self::as_told(command, database_url, instagram_url, settings)
    }

    /// A replica that this command is to become, with the settings of all.
    pub(crate) fn as_told(
        mut command: Command,
        database_url: &str,
        instagram_url: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DATABASE_URL", database_url)
            .env("IGT_BIND", "127.0.0.1:0")
            .env("IGT_WEB_URL", instagram_url)
            .env("IGT_GRAPH_URL", instagram_url)
            .env("IGT_DB_CONNECTIONS", "8")
            .env("IGT_LOG_FORMAT", "json")
            .envs(settings.iter().copied());
        Self::of(command)
    }

    /// A command of the program that says on standard error where it listens.
    pub(super) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (kept, stderr) = (Arc::clone(&lines), child.stderr.take().unwrap());
        let reader = tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines, reader }
    }

    /// Waits until it listens.
    pub(crate) async fn listening(mut self) -> Replica {
        let address = self.address().await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Replica { child: self.child, lines: self.lines, address, http }
    }

    /// Waits until it says where it listens; one that ends before that has said why.
    async fn address(&mut self) -> String {
        eventually("the program listens", async || {
            // Before the lines are looked at: of one that has ended no more will come.
            let ended = self.child.try_wait().unwrap().filter(|_| self.reader.is_finished());
            let lines = self.lines.lock().unwrap();
            let address = lines.iter().find_map(|line| address_in(line));
            if let (None, Some(status)) = (&address, ended) {
                panic!("the program ended before it listened, with {status}: {lines:#?}");
            }
            address
        })
        .await
    }

    /// The same for a program that others speak to: where it listens, and its process, to be kept.
    pub(super) async fn address_and_process(mut self) -> (String, Child) {
        (self.address().await, self.child)
    }
}

/// The address in the line that says that it listens, as JSON or as text.
fn address_in(line: &str) -> Option<String> {
    if !line.contains("listening") {
        return None;
    }
    let address = &line[line.find("http://").or_else(|| line.find("https://"))?..];
    Some(address.split(['"', ' ']).next()?.to_owned())
}

/// A replica that listens. Dropping it is `kill -9`.
pub(crate) struct Replica {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    pub(crate) address: String,
    pub(crate) http: reqwest::Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Reads an answer that ends with its connection.
    pub(crate) async fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Self { status, headers: headers.collect(), text: body.to_owned() }
    }

    /// A header's value as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body of a 200.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// A problem of version 2, of this status and type.
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let problem: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(problem["type"], format!("/api/v2/problems/{slug}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{problem}");
        problem
    }

    /// The message of an error with this status.
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let body = self.json();
        assert_eq!(body["result"], false, "{body}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
        body["message"].as_str().unwrap().to_owned()
    }
}

impl Replica {
    /// `GET` below version 1.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, &format!("{V1}{path}"), None).await
    }

    /// `POST` below version 1 without a body.
    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.ask(Method::POST, &format!("{V1}{path}"), None).await
    }

    /// `POST` below version 1 with a JSON body.
    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, &format!("{V1}{path}"), Some(body.to_string())).await
    }

    /// `DELETE` below version 1.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, &format!("{V1}{path}"), None).await
    }

    /// Creates a task under a name of the test's own.
    pub(crate) async fn create(&self, route: &str, task: &str, username: &str) {
        let body = json!({"task_id": task, "username": username});
        let answer = self.post_json(&format!("/{route}"), &body).await.ok();
        assert_eq!(answer["task_id"], task);
    }

    /// A request below version 2.
    pub(crate) async fn v2(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.ask(method, &format!("/api/v2{path}"), body.map(|body| body.to_string())).await
    }

    /// `GET` below version 2, all of whose answers are 200.
    pub(crate) async fn v2_get(&self, path: &str) -> Value {
        self.v2(Method::GET, path, None).await.ok()
    }

    /// Any request to any path.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.address));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    /// The log so far, as it was written.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The log as it grows, also beyond the life of the process.
    pub(crate) fn kept_lines(&self) -> Arc<Mutex<Vec<String>>> {
        Arc::clone(&self.lines)
    }

    /// A connection of its own, for requests that no well-behaved client sends.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address.strip_prefix("http://").unwrap()).await.unwrap()
    }

    /// Sends these very bytes and reads the answer to its end. The request has to ask for the connection's close.
    pub(crate) async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        Answer::read(stream).await
    }

    /// The log so far, a JSON object a line.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.lines.lock().unwrap().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The warnings and errors of its log; that a statement was slow on a busy machine is none.
    pub(crate) fn troubles(&self) -> Vec<Value> {
        let is_trouble = |line: &Value| line["level"] == "WARN" || line["level"] == "ERROR";
        self.log().into_iter().filter(|line| is_trouble(line) && line["target"] != "sqlx::query").collect()
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process().try_into().unwrap()), signal).unwrap();
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for it to end by itself and gives its exit code.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }
}
