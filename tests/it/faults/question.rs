//! One question over a connection of its own, and where its time went.

use std::io::{Error, ErrorKind, Result};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// When a client gives up: a hang, then.
const GIVES_UP: Duration = Duration::from_secs(30);

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) has_retry_after: bool,
    pub(super) body: String,
    pub(super) times: Times,
}

/// How long it took, each from the beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) connected: Duration,
    pub(super) headers: Duration,
    pub(super) whole: Duration,
}

/// Asks without a body, under this request id. As many connections as questions: one that a dead replica left must not
/// be somebody's error.
pub(super) async fn ask(address: &str, method: &str, path: &str, id: &str) -> Result<Reply> {
    let host = address.strip_prefix("http://").unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let answer = tokio::time::timeout(GIVES_UP, answer(host, &request)).await;
    answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, "the client gave up")))
}

async fn answer(host: &str, request: &str) -> Result<Reply> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(host).await?;
    let connected = began.elapsed();
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    let mut headers = None;
    while stream.read_buf(&mut bytes).await? > 0 {
        headers = headers.or_else(|| bytes.windows(4).any(|end| end == b"\r\n\r\n").then(|| began.elapsed()));
    }
    let broken =
        |what: &str| Error::new(ErrorKind::UnexpectedEof, format!("{what}: {:?}", String::from_utf8_lossy(&bytes)));
    let headers = headers.ok_or_else(|| broken("the answer ended in its head"))?;
    let times = Times { connected, headers, whole: began.elapsed() };
    let text = std::str::from_utf8(&bytes).map_err(|_| broken("no text"))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| broken("no head"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let (mut length, mut has_retry_after) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok(),
            "retry-after" => has_retry_after = true,
            _ => {}
        }
    }
    if length != Some(body.len()) {
        return Err(broken("the answer ended in its body"));
    }
    let status = status.ok_or_else(|| broken("no status"))?;
    Ok(Reply { status, has_retry_after, body: body.to_owned(), times })
}
