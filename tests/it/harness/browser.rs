//! A real browser without a window, led over its DevTools protocol; it keeps every address that its page asks for.

use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::eventually;

/// What Chromium may be called, the smallest first.
const NAMES: [&str; 5] =
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// One page of a browser of its own.
pub(crate) struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_call: u64,
    /// The addresses that the page asked for, what it shows aside.
    asked: Vec<String>,
    /// What it complained of.
    complaints: Vec<String>,
    _process: Process,
}

impl Browser {
    /// Opens an address.
    pub(crate) async fn at(address: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("igt-it-browser-{}", uuid::Uuid::new_v4()));
        let mut command = Command::new(program());
        command.args([
            "--headless",
            // As root there is no sandbox to be had; the page is our own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--no-proxy-server",
            "--window-size=1280,1600",
            "--remote-debugging-port=0",
        ]);
        command.arg(format!("--user-data-dir={}", folder.display())).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut process = Process { child: command.spawn().unwrap(), folder };
        let door = door(&mut process.child).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let pages: Value = http.get(format!("http://{door}/json/list")).send().await.unwrap().json().await.unwrap();
        let page = pages.as_array().unwrap().iter().find(|page| page["type"] == "page").unwrap();
        let (socket, _) = connect_async(page["webSocketDebuggerUrl"].as_str().unwrap()).await.unwrap();
        let mut browser = Self { socket, last_call: 0, asked: Vec::new(), complaints: Vec::new(), _process: process };
        for domain in ["Network", "Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser.call("Page.navigate", json!({"url": address})).await;
        browser
    }

    /// What an expression of JavaScript is worth.
    pub(crate) async fn worth(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true})).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is worth something.
    pub(crate) async fn until(&mut self, expression: &str) -> Value {
        let look = async || {
            let worth = self.worth(expression).await;
            (!worth.is_null() && worth != false && worth != 0 && worth != "").then_some(worth)
        };
        eventually(expression, look).await
    }

    /// A picture of the page, as PNG.
    pub(crate) async fn picture(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
        BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// The addresses that the page has asked for.
    pub(crate) fn asked(&self) -> &[String] {
        &self.asked
    }

    /// What the browser complained of: errors of scripts, and what the page's policy forbade.
    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_call += 1;
        let call = json!({"id": self.last_call, "method": method, "params": parameters});
        self.socket.send(Message::text(call.to_string())).await.unwrap();
        loop {
            let message = self.socket.next().await.expect("the browser is there").unwrap();
            let Message::Text(text) = message else { continue };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == self.last_call {
                assert!(message["error"].is_null(), "{method}: {message:#}");
                return message["result"].take();
            }
            self.note(&message["method"], &message["params"]);
        }
    }

    fn note(&mut self, what: &Value, told: &Value) {
        match what.as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => self.asked.push(told["request"]["url"].as_str().unwrap().to_owned()),
            "Runtime.exceptionThrown" => self.complaints.push(told.to_string()),
            "Log.entryAdded" if told["entry"]["level"] == "error" => self.complaints.push(told["entry"].to_string()),
            _ => {}
        }
    }
}

/// The browser with all that it has started. What is found under its name may be a script that starts the browser and
/// waits for it; so all of them are one group, and end together.
struct Process {
    child: Child,
    folder: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(leader) = self.child.id() {
            let _ = killpg(Pid::from_raw(leader.cast_signed()), Signal::SIGKILL);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn program() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    NAMES.into_iter().find(is_there).expect("no Chromium is on this machine, and this test opens one; try `make setup`")
}

/// Where the browser takes calls, as it says once it does.
async fn door(process: &mut Child) -> String {
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(address) = line.strip_prefix("DevTools listening on ws://") {
            let door = address.split('/').next().unwrap().to_owned();
            // Whatever else it says, nobody waits for it to be read.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return door;
        }
        said.push(line);
    }
    panic!("the browser does not start: {said:#?}");
}
