//! A run's log over WebSocket: the same events, for clients that have no server-sent events.

use std::pin::pin;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::super::App;
use super::super::super::auth::LetIn;
use super::super::super::error::ApiError;
use super::super::super::problem::Location;
use super::super::path;
use super::super::query::Query;
use super::log::Wanted;
use super::{Begin, End};
use crate::db::RunId;
use crate::streams::{RunNews, RunViewer};

/// How often a client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How long it may take to say so, or to take what it is sent.
const PONG_WITHIN: Duration = Duration::from_secs(30);

/// What a client has to say is not heeded, and may not be longer.
const MAX_MESSAGE_BYTES: usize = 4096;

/// What is read and written at a time, in bytes; and how much may wait to be taken beyond one message.
const READ_BYTES: usize = 2048;
const WRITE_BYTES: usize = 8192;
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// The service restarts; another replica goes on (RFC 6455's registry).
const SERVICE_RESTART: u16 = 1012;

/// Why a connection ends with 1008.
const REFUSED: Utf8Bytes = Utf8Bytes::from_static("the key or the session is not taken any more");

/// Follow a run's log over WebSocket
///
/// A text message an event, the same as in the stream of server-sent events; the last one is
/// `{"end": {run_id, state, reason, last_seq, finished_at}}`, and then the connection is closed with 1000. 1012 says that
/// this replica shuts down, and its reason behind which seq to go on; 1008, that the key is not taken any more. What a client sends is not heeded; more than 4 KiB at
/// once, or no pong for 30 s, closes the connection.
#[utoipa::path(get, path = "/runs/{run_id}/events/ws", tag = "streams",
    params(("run_id" = inline(RunId), Path, description = "The run"), Wanted,
           ("Last-Event-ID" = Option<String>, Header, nullable = false, pattern = r"^([0-9]{1,15}(\.end)?)?$",
            description = "The seq of the last event seen; counts for more than `after`")),
    responses(
        (status = 101, description = "The WebSocket is open"),
        (status = 400, description = "A parameter is not as documented, or the request is no WebSocket handshake"),
        (status = 403, description = "`cross-origin`: a page of another origin asks, which could read all that comes"),
        (status = 404, description = "There is no such run"),
        (status = 503, description = "`too-many-streams`, `database-away` or `shutting-down`")))]
pub(in crate::http) async fn socket(
    State(app): State<App>,
    path::Of(run_id): path::Of<RunId>,
    Query(wanted): Query<Wanted>,
    let_in: LetIn,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Begin { seq, .. } = Begin::read(&headers, wanted.after)?;
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("does not begin a WebSocket ({rejection}); GET …/events/stream is the same without one");
        ApiError::field(Location::Header, "Upgrade", detail)
    })?;
    let viewer = app.streams.run(run_id, seq, wanted.follow.unwrap_or(true), "socket").await?;
    let streams = app.streams.clone();
    let upgrade = upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_write_buffer_size(MAX_WAITING_BYTES);
    Ok(upgrade.on_upgrade(move |socket| streams.serve(serve(socket, viewer, let_in))))
}

/// Why a client is sent no more.
enum Over {
    /// All was told: how the connection is closed.
    Told(CloseFrame),
    /// It has gone, or takes nothing any more.
    Gone,
}

async fn serve(socket: WebSocket, viewer: RunViewer, let_in: LetIn) {
    let (mut sink, stream) = socket.split();
    let heard = watch::Sender::new(Instant::now());
    let over = {
        let mut reading = pin!(listen(stream, &heard));
        let mut writing = pin!(tell(&mut sink, viewer, heard.subscribe()));
        tokio::select! {
            () = &mut reading => Over::Gone,
            over = &mut writing => over,
            () = let_in.over() => Over::Told(CloseFrame { code: close_code::POLICY, reason: REFUSED }),
        }
    };
    if let Over::Told(frame) = over {
        let farewell = async {
            sink.send(Message::Close(Some(frame))).await?;
            sink.close().await
        };
        // Whoever does not take it is cut off.
        let _ = tokio::time::timeout(Duration::from_secs(2), farewell).await;
    }
}

/// Hears what a client says, to its end: that it is there.
async fn listen(mut stream: SplitStream<WebSocket>, heard: &watch::Sender<Instant>) {
    while let Some(Ok(message)) = stream.next().await {
        if matches!(message, Message::Close(_)) {
            return;
        }
        heard.send_replace(Instant::now());
    }
}

/// Tells a client what there is to tell, to the end.
async fn tell(
    sink: &mut SplitSink<WebSocket, Message>,
    mut viewer: RunViewer,
    heard: watch::Receiver<Instant>,
) -> Over {
    let mut ping_at = Instant::now() + PING_EVERY;
    loop {
        let news = tokio::time::timeout_at(ping_at, viewer.next()).await;
        let (messages, close) = match news {
            Ok(RunNews::Lines(lines)) => (lines.jsons().into_iter().filter_map(text).collect(), None),
            Ok(RunNews::End(status)) => {
                (vec![Message::text(json!({"end": End::from(status)}).to_string())], Some(normal("the run has ended")))
            }
            Ok(RunNews::Done) => (Vec::new(), Some(normal("all that there is was told"))),
            Ok(RunNews::Reconnect) => {
                let reason = format!("reconnect with after={}", viewer.seen());
                (Vec::new(), Some(CloseFrame { code: SERVICE_RESTART, reason: reason.into() }))
            }
            Ok(RunNews::Quiet) | Err(_) => (Vec::new(), None),
        };
        let mut messages: Vec<Message> = messages;
        if Instant::now() >= ping_at {
            if heard.borrow().elapsed() >= PONG_WITHIN {
                return Over::Gone;
            }
            messages.push(Message::Ping(axum::body::Bytes::new()));
            ping_at = Instant::now() + PING_EVERY;
        }
        // What is not taken in time waits for nobody.
        match tokio::time::timeout(PONG_WITHIN, send_all(sink, messages)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Over::Gone,
        }
        if let Some(close) = close {
            return Over::Told(close);
        }
    }
}

async fn send_all(sink: &mut SplitSink<WebSocket, Message>, messages: Vec<Message>) -> Result<(), axum::Error> {
    for message in messages {
        sink.feed(message).await?;
    }
    sink.flush().await
}

fn normal(reason: &'static str) -> CloseFrame {
    CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::from_static(reason) }
}

/// JSON as a text message; it is UTF-8 by what it is.
fn text(json: axum::body::Bytes) -> Option<Message> {
    Utf8Bytes::try_from(json).ok().map(Message::Text)
}
