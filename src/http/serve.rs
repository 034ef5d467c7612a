//! Connections: taken one by one, each served in a task of its own until its client leaves, is too slow, or the service
//! stops.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use futures_util::FutureExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Bytes of a request's first line and headers; beyond them, and beyond a hundred headers, the answer is 431.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long to wait where no more connections can be taken: most likely there are too many files open.
const TRIES_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often a connection of HTTP/2 that says nothing is asked whether it lives.
const PINGS_EVERY: Duration = Duration::from_secs(20);

/// Whose connection a request came on: an extension of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Serves until it is told to close; resolves when the last request has been answered.
///
/// A connection has so long to say what it wants, from its beginning and again after each answer, and as long to take what it
/// was sent.
pub async fn serve(listener: TcpListener, routes: Router, head_within: Duration, closing: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_within).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PINGS_EVERY)
        .max_header_list_size(MAX_HEAD_BYTES as u32);
    let builder = Arc::new(builder);
    let connections = TaskTracker::new();
    while let Some(taken) = closing.run_until_cancelled(listener.accept()).await {
        match taken {
            Ok((stream, peer)) => {
                let connection =
                    connection(stream, peer, routes.clone(), Arc::clone(&builder), head_within, closing.clone());
                connections.spawn(connection);
            }
            // The client's own affair.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken; trying again");
                tokio::time::sleep(TRIES_AGAIN_AFTER).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    builder: Arc<Builder<TokioExecutor>>,
    head_within: Duration,
    closing: CancellationToken,
) {
    // A stream's events are small and must not wait for each other. It serves without, too.
    let _ = stream.set_nodelay(true);
    // Who never reads would keep a stream's place for ever, for nothing that is written to it comes to an end.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(head_within));
    let has_asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&has_asked);
    let routes = routes.map_request(move |mut request: Request<_>| {
        asks.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(Peer(peer));
        request.map(Body::new)
    });
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(routes));
    let (mut served, mut closing) = (pin!(served), pin!(closing.cancelled().fuse()));
    // Which HTTP it speaks is known after its first bytes only, and so long nothing else watches the time.
    let mut too_late = pin!(tokio::time::sleep(head_within).fuse());
    loop {
        tokio::select! {
            done = served.as_mut() => {
                if let Err(error) = done {
                    tracing::trace!(%error, "a connection broke");
                }
                return;
            }
            () = &mut closing => served.as_mut().graceful_shutdown(),
            () = &mut too_late => {
                if !has_asked.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}
