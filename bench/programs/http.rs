//! A client that costs next to nothing: one connection, requests without a body, answers with a length.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Where version 1 of the service lives.
pub(crate) const V1: &str = ig_tracking::http::V1_PATH;

/// A connection that is kept.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects to `host:port`.
    pub(crate) async fn open(host: &str) -> Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host: host.to_owned() })
    }

    /// Posts, reads the answer whole and gives its status.
    pub(crate) async fn post(&mut self, path: &str) -> Result<u16> {
        let request = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes()).await?;
        let head = self.line().await?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no status in {head:?}")))?;
        let mut body = vec![0; self.length().await?];
        self.stream.read_exact(&mut body).await?;
        Ok(status)
    }

    /// Reads the headers to their end and gives the length of the body.
    async fn length(&mut self) -> Result<usize> {
        let mut length = 0;
        loop {
            let line = self.line().await?;
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
                }
                Some(_) => {}
                None => return Ok(length),
            }
        }
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the connection was closed"));
        }
        Ok(line.trim_end().to_owned())
    }
}
