//! Instagram's wire over an invented world: what the service talks to where the real site cannot be asked.
//!
//! Any plain username exists; its account, posts and numbers are a pure function of the seed, the name and the time.
//! Faults come on demand: by name (`fault`) or by a control endpoint (`control`). This room speaks the wire and
//! shares nothing with the client that reads it but the two spellings of a name, so that each can prove the other wrong.
//!
//! # What it forgets
//!
//! Nothing that matters: an account's number follows from its name, a post's number leads back to its account, and a
//! cursor holds the last post's number and the account's name. A sandbox that was restarted, with the same seed, goes
//! on as if nothing had been. Only where an account is first asked for by its number does the sandbox not know its
//! name; it then takes the name from the cursor or from the `Referer` (the account's page), and without either it
//! answers the same posts with `user` null, and without the fault that the name would bring.
//!
//! # Sessions
//!
//! Any `sessionid` cookie is a live session, except `dead-…` (403 `login_required`), `challenged-…` (400
//! `checkpoint_required`) and `throttled-…` (429). The timeline and `media/{pk}/info` are for sessions only.
//!
//! # Tokens
//!
//! The official source answers at `/v26.0/{ig-user-id}` to any bearer token, 200 times in any hour; `budget-20-…` may
//! ask 20 times. `expired-…`, `revoked-…`, `checkpointed-…` (code 190), `unpermitted-…` (10), `blocked-…` (368) and
//! `throttled-…` (17) are refused. Both usage headers count what the token has really asked.
//!
//! # Controls
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /healthz` | 200 |
//! | `GET /sandbox/faults` | the fault names, the endpoint names, the special sessions and tokens |
//! | `GET`, `PUT`, `DELETE /sandbox/faults/{username}` | reads, sets or removes an account's faults |
//! | `GET`, `PUT`, `DELETE /sandbox/gate/{username}` | reads, sets or opens a gate that holds an account's answers |
//! | `GET /sandbox/requests/{username}` | the requests that named the account, oldest first |
//! | `GET /sandbox/callers/{name}` | when a session (by its `sessionid`), a token, or `guest` asked anything, in ms since the sandbox began |
//! | `GET /sandbox/tokens` | what each token has asked, and how often it was refused as asking too much |
//!
//! `PUT` of a fault takes `{"fault", "endpoint"?, "after"?, "times"?, "number"?, "retry_after_seconds"?, "delay_ms"?}`:
//! it lets `after` matching requests through, meets the next `times` (without it: as many as the name says, mostly
//! all), and takes the place of one for the same endpoints. `PUT` of a gate takes `{"endpoint"?, "after"?}` or nothing;
//! it lets go whoever an earlier gate held. What cannot be done is a 400 with `{"error"}` that says what to do.
//! Up to 1,000 accounts may have controls at a time; the last 1,000 requests of each of 10,000 accounts are kept.
//!
//! # The way through the room
//!
//! Start at [`serve`]. A request goes through `web`, `graphql` or `graph`, is written down and held, delayed or refused in
//! `desk`, and is answered from `world`, `posts` and `growth` in one of two dialects: `legacy` or `xdt`.

mod answers;
mod caller;
mod callers;
mod control;
mod cursor;
mod desk;
mod dice;
mod distort;
mod endpoint;
mod fault;
#[cfg(test)]
mod fault_tests;
mod graph;
mod graphql;
mod growth;
mod ledger;
mod legacy;
mod page;
mod posts;
mod raw;
mod scene;
#[cfg(test)]
mod testing;
mod text;
mod tls;
mod web;
mod world;
mod xdt;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post, put};
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use desk::Desk;
pub use fault::{FaultName, names};
pub use tls::{Identity, IdentityError};

/// Where the sandbox reads the time.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How a sandbox behaves.
#[derive(Clone)]
pub struct Options {
    /// How long an answer takes, give or take 30 %; zero answers at once. Controls and `/healthz` never wait.
    pub delay: Duration,
    /// Which world it is: the same seed gives the same accounts, posts and numbers.
    pub seed: u64,
    /// The world's time. It has to be after 2012; posts and numbers follow it.
    pub clock: Clock,
}

impl Default for Options {
    /// 400 ms, seed 1, the real time.
    fn default() -> Self {
        Self { delay: Duration::from_millis(400), seed: 1, clock: Arc::new(real_time) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("delay", &self.delay).field("seed", &self.seed).finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "the sandbox is Instagram's clock, not ours")]
fn real_time() -> DateTime<Utc> {
    Utc::now()
}

/// Answers on the listener until `shutdown` ends, then lets what is on its way finish: answers that were held at a
/// gate or delayed are given up with 503 at once.
///
/// # Errors
///
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let closing = CancellationToken::new();
    let router = router(&options, closing.clone());
    axum::serve(listener, router).with_graceful_shutdown(cancel_after(shutdown, closing)).await
}

/// The same by TLS.
pub async fn serve_by_tls(
    listener: TcpListener,
    identity: Identity,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let closing = CancellationToken::new();
    let router = router(&options, closing.clone());
    tokio::spawn(cancel_after(shutdown, closing.clone()));
    tls::serve(listener, identity, router, closing).await;
}

async fn cancel_after(shutdown: impl Future<Output = ()>, closing: CancellationToken) {
    shutdown.await;
    closing.cancel();
}

fn router(options: &Options, closing: CancellationToken) -> Router {
    Router::new()
        .route("/api/v1/users/web_profile_info/", get(web::web_profile_info))
        .route("/api/v1/feed/user/{pk}/", get(web::feed))
        .route("/api/v1/clips/user/", post(web::clips_user))
        .route("/api/v1/media/{pk}/info/", get(web::media_info))
        .route("/graphql/query", post(graphql::query))
        .route(graph::PATH, get(graph::discover))
        .route("/{username}/", get(web::profile_page))
        .route("/p/{code}/", get(web::post_page))
        .route("/reel/{code}/", get(web::post_page))
        // Where redirects lead.
        .route("/", get(web::home_page))
        .route("/accounts/login/", get(web::login_page))
        .route("/challenge/", get(web::login_page))
        .route("/consent/", get(web::login_page))
        // Ours, not Instagram's.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/sandbox/faults", get(control::table))
        .route("/sandbox/faults/{username}", get(control::faults).put(control::set_fault).delete(control::clear_faults))
        .route("/sandbox/gate/{username}", get(control::gate).put(control::set_gate).delete(control::open_gate))
        .route("/sandbox/names/{username}", put(control::rename))
        .route("/sandbox/posts/{username}", put(control::edit_posts).delete(control::restore_posts))
        .route("/sandbox/requests/{username}", get(control::requests))
        .route("/sandbox/callers/{caller}", get(control::callers))
        .route("/sandbox/tokens", get(graph::tokens))
        .fallback(web::no_such_page)
        .with_state(Arc::new(Desk::new(options, closing)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::testing::{self, NOW};
    use super::*;

    #[tokio::test]
    async fn closing_gives_up_what_is_held_and_then_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (close, closed) = oneshot::channel::<()>();
        let options = Options { delay: Duration::from_secs(3_600), ..testing::options(NOW) };
        let server = tokio::spawn(serve(listener, options, async move {
            closed.await.ok();
        }));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /someone/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        // A second connection is answered only after the first request was read or is about to be.
        let mut health = TcpStream::connect(address).await.unwrap();
        health.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        health.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        loop {
            let seen = testing::raw_get(address, "/sandbox/requests/someone").await;
            if seen.contains("profile_page") {
                break;
            }
        }
        close.send(()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_truncated_answer_promises_more_than_it_sends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, testing::options(NOW), std::future::pending()));
        let text = testing::raw_get(address, "/truncated.someone/").await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let promised = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        assert!(body.len() < promised.parse::<usize>().unwrap(), "{head}");
        server.abort();
    }
}
