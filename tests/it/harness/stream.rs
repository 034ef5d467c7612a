//! A stream of server-sent events as a browser reads it, and clients that come back when they are cut off.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{PATIENCE, Replica};

/// A message that was dispatched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: Option<String>,
    /// Its name; `message` where it has none.
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// A stream that is open.
#[derive(Debug)]
pub(crate) struct EventStream {
    response: reqwest::Response,
    unread: Vec<u8>,
    /// The last id that was read, also of what was no message.
    pub(crate) last_id: Option<String>,
    /// How many comments came.
    pub(crate) comments: usize,
}

impl EventStream {
    /// Asks for it; what is no stream is given back.
    pub(crate) async fn ask(url: &str, last_id: Option<&str>) -> reqwest::Result<Result<Self, reqwest::Response>> {
        let mut request = reqwest::Client::builder().no_proxy().build()?.get(url);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await?;
        if response.status() != 200 {
            return Ok(Err(response));
        }
        let last_id = last_id.map(str::to_owned);
        Ok(Ok(Self { response, unread: Vec::new(), last_id, comments: 0 }))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.response.headers()[name].to_str().unwrap()
    }

    /// The next message; `None` where the stream has ended, or was cut off.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                if let Some(message) = self.read(std::str::from_utf8(&block).unwrap()) {
                    return Some(message);
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("a stream says nothing for {PATIENCE:?}"));
            self.unread.extend_from_slice(&chunk.ok()??);
        }
    }

    fn read(&mut self, block: &str) -> Option<Message> {
        let (mut event, mut data) = ("message".to_owned(), None);
        for line in block.lines().filter(|line| !line.is_empty()) {
            match line.split_once(": ") {
                Some(("", _)) => self.comments += 1,
                Some(("id", id)) => self.last_id = Some(id.to_owned()),
                Some(("event", name)) => name.clone_into(&mut event),
                Some(("data", text)) => assert!(data.replace(text.to_owned()).is_none(), "{block}"),
                Some(("retry", ms)) => assert!(ms.parse::<u64>().is_ok(), "{block}"),
                _ => panic!("{line:?}"),
            }
        }
        let data = serde_json::from_str(&data?).unwrap();
        Some(Message { id: self.last_id.clone(), event, data })
    }

    /// All messages to the end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }
}

impl Replica {
    /// A stream below version 2.
    pub(crate) async fn stream(&self, path: &str, last_id: Option<&str>) -> EventStream {
        let url = format!("{}/api/v2{path}", self.address);
        EventStream::ask(&url, last_id).await.unwrap().unwrap_or_else(|answer| panic!("{answer:?}"))
    }

    /// A WebSocket below version 2.
    pub(crate) async fn socket(&self, path: &str) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
        connect_async(format!("{}/api/v2{path}", self.address.replacen("http", "ws", 1))).await.unwrap().0
    }
}

/// Where replicas are to be found at the moment.
#[derive(Clone, Default)]
pub(crate) struct Doors(Arc<Mutex<Vec<String>>>);

impl Doors {
    pub(crate) fn of<'a>(replicas: impl IntoIterator<Item = &'a Replica>) -> Self {
        let doors = Self::default();
        replicas.into_iter().for_each(|replica| doors.add(replica));
        doors
    }

    pub(crate) fn add(&self, replica: &Replica) {
        self.0.lock().unwrap().push(replica.address.clone());
    }

    pub(crate) fn remove(&self, address: &str) {
        self.0.lock().unwrap().retain(|door| door != address);
    }

    fn nth(&self, n: usize) -> Option<String> {
        let doors = self.0.lock().unwrap();
        doors.get(n % doors.len().max(1)).cloned()
    }
}

/// Who follows a stream wherever it leads.
pub(crate) struct Follower {
    told: Arc<Mutex<Vec<Message>>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Follows by server-sent events, begins at the nth door and takes the next one each time that it is cut off; to the
    /// message `end`.
    pub(crate) fn of_events(doors: &Doors, path: &str, mut door: usize) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (doors, path, telling) = (doors.clone(), format!("/api/v2{path}"), Arc::clone(&told));
        let task = tokio::spawn(async move {
            let mut last_id: Option<String> = None;
            loop {
                if let Some(address) = doors.nth(door)
                    && let Ok(Ok(mut stream)) = EventStream::ask(&format!("{address}{path}"), last_id.as_deref()).await
                {
                    while let Some(message) = stream.next().await {
                        let is_end = message.event == "end";
                        telling.lock().unwrap().push(message);
                        if is_end {
                            return;
                        }
                    }
                    last_id = stream.last_id;
                }
                door += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { told, task }
    }

    /// Follows a run by WebSocket, likewise.
    pub(crate) fn of_socket(doors: &Doors, path: &str, mut door: usize) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (doors, path, telling) = (doors.clone(), path.to_owned(), Arc::clone(&told));
        let task = tokio::spawn(async move {
            let mut seen = 0;
            loop {
                let address = doors.nth(door).map(|address| address.replacen("http", "ws", 1));
                if let Some(address) = address
                    && let Ok((mut socket, _)) = connect_async(format!("{address}/api/v2{path}?after={seen}")).await
                {
                    while let Some(Ok(frame)) = socket.next().await {
                        let Frame::Text(text) = frame else { continue };
                        let mut data: Value = serde_json::from_str(&text).unwrap();
                        let end = data.get_mut("end").map(Value::take);
                        let event = if end.is_some() { "end" } else { "message" }.to_owned();
                        seen = data["seq"].as_i64().unwrap_or(seen);
                        let id = Some(seen.to_string());
                        telling.lock().unwrap().push(Message { id, event, data: end.clone().unwrap_or(data) });
                        if end.is_some() {
                            let _ = socket.close(None).await;
                            return;
                        }
                    }
                }
                door += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { told, task }
    }

    /// What it was told so far.
    pub(crate) fn told(&self) -> Vec<Message> {
        self.told.lock().unwrap().clone()
    }

    /// Waits for the end, and gives all that it was told.
    pub(crate) async fn ended(mut self) -> Vec<Message> {
        let ended = tokio::time::timeout(PATIENCE, &mut self.task).await;
        let Ok(ended) = ended else { panic!("a stream does not end: {:#?}", self.told()) };
        ended.unwrap();
        self.told()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends a text over a WebSocket; that it is refused is seen by what comes.
pub(crate) async fn say(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>, text: &str) {
    let _ = socket.send(Frame::text(text.to_owned())).await;
}
