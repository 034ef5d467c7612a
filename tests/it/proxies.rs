//! Proxies of credentials, for both sources: one whose certificate is good leads to the source; one whose certificate is not
//! accepted, or that takes no password, is named with what to do, another credential goes on, and no password is told.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::credentials::{File, everything, row, unique};
use crate::harness::{Replica, World, event, event_types};

/// Serves each connection with this, and says where.
async fn serving<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    address
}

/// A proxy by TLS that leads to Instagram, and the file with the authority that has signed for it.
struct ByTls {
    address: String,
    authority: PathBuf,
}

impl ByTls {
    async fn to(instagram: &str) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        let (tls, onward) = (TlsAcceptor::from(Arc::new(config)), instagram.replace("http://", ""));
        let address = serving(move |socket| {
            let (tls, onward) = (tls.clone(), onward.clone());
            async move {
                let Ok(mut socket) = tls.accept(socket).await else { return };
                let mut onward = TcpStream::connect(onward).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut socket, &mut onward).await;
            }
        })
        .await;
        let path = std::env::temp_dir().join(format!("{}.pem", unique("igt-it-authority-")));
        std::fs::write(&path, authority.pem()).unwrap();
        Self { address, authority: path }
    }
}

impl Drop for ByTls {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.authority);
    }
}

/// A proxy that answers each request itself: with this status, and with what is made of the request's head.
pub(crate) async fn answering(status: &'static str, say: fn(&str) -> String) -> String {
    serving(move |mut socket| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = socket.read_u8().await else { return };
            head.push(byte);
        }
        let said = say(&String::from_utf8_lossy(&head));
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{said}", said.len());
        let _ = socket.write_all(answer.as_bytes()).await;
    })
    .await
}

/// A proxy that takes no password, and repeats what it was sent.
async fn refusing() -> String {
    answering("407 Who", |head| format!("no to planted%2Dpassword, planted-password and {head}")).await
}

/// A session and a token, each behind a proxy at this address; what else they have is good.
fn behind(proxy: &str, more: &str) -> File {
    let id = unique("proxied");
    File::of(&format!(
        "[[session]]\nname = \"live\"\ncookie = \"sessionid={id}; csrftoken=x\"\nproxy = \"{proxy}\"\n\
         [[token]]\nname = \"official\"\ntoken = \"{id}-token\"\nuser_id = \"178414\"\nproxy = \"{proxy}\"\n{more}"
    ))
}

async fn scrape(world: &World, replica: &Replica, source: &str, task: &str) -> Value {
    let body = json!({"task_id": task, "username": format!("p.{task}"), "source": source});
    replica.post_json("/create_task", &body).await.ok();
    replica.post(&format!("/force_scrape/{task}")).await.ok();
    world.ended(replica, task).await
}

async fn assert_no_password_is_told(replica: &Replica, pool: &PgPool, told: Vec<String>) {
    let log = replica.lines();
    assert!(log.iter().any(|line| line.contains("TRACE")), "all is logged that there is to log");
    for text in told.into_iter().chain(log).chain(everything(pool).await) {
        // As it is, as an address has it, and as the header that is sent has it.
        for form in ["planted-password", "planted%2Dpassword", "bWU6cGxhbnRlZC1wYXNzd29yZA"] {
            assert!(!text.contains(form), "{}", &text[text.find(form).unwrap().saturating_sub(200)..]);
        }
    }
}

#[tokio::test]
async fn a_proxy_whose_certificate_is_signed_by_a_known_authority_leads_to_either_source() {
    let world = World::new().await;
    let proxy = ByTls::to(&world.instagram.url).await;
    let file = behind(&format!("https://me:planted%2Dpassword@{}", proxy.address), "");
    let authority = proxy.authority.to_str().unwrap();
    let settings = [("IGT_CREDENTIALS", file.path()), ("SSL_CERT_FILE", authority), ("IGT_LOG", "trace")];
    let replica = world.replica(&settings).await;
    let mut told = Vec::new();
    for source in ["web", "graph"] {
        let status = scrape(&world, &replica, source, source).await;
        assert_eq!(status["status"], "completed", "{status:#}");
        told.push(status.to_string());
    }
    assert_no_password_is_told(&replica, &world.database.pool, told).await;
}

#[tokio::test]
async fn a_proxy_that_cannot_be_trusted_or_takes_no_password_ends_the_run_and_says_what_to_do() {
    let world = World::new().await;
    let (by_tls, refusing) = (ByTls::to(&world.instagram.url).await, refusing().await);
    for (proxy, failure, says, what_to_do) in [
        (
            format!("https://me:planted%2Dpassword@{}", by_tls.address),
            "certificate_refused",
            "the certificate of its proxy is not accepted",
            "among the system's root certificates",
        ),
        (
            format!("http://me:planted%2Dpassword@{refusing}"),
            "proxy_refused",
            "answered 407",
            "correct the user and the password of the proxy of",
        ),
    ] {
        let file = behind(&proxy, "");
        let replica = world.replica(&[("IGT_CREDENTIALS", file.path()), ("IGT_LOG", "trace")]).await;
        let mut told = Vec::new();
        for (source, credential) in [("web", "live"), ("graph", "official")] {
            let status = scrape(&world, &replica, source, &format!("{failure}.{source}")).await;
            let end = (&status["status"], &status["reason"]);
            assert_eq!(end, (&json!("failed"), &json!("upstream_unavailable")), "{status:#}");
            // Once, and not again and again: it will not pass by itself.
            assert_eq!(event_types(&status), ["scrape_started", "scrape_failed"]);
            let last = event(&status, "scrape_failed");
            let message = last["message"].as_str().unwrap();
            assert!(message.contains(says) && message.contains(what_to_do), "{message}");
            assert_eq!(last["failure"], failure, "{last}");
            let asked: Vec<(Option<String>, Option<String>)> = sqlx::query_as(
                "select x.failure, x.credential from run_exchanges x join runs using (run_id) where task_id = $1",
            )
            .bind(format!("{failure}.{source}"))
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
            assert_eq!(asked, [(Some(failure.to_owned()), Some(credential.to_owned()))]);
            // It is the way's fault: neither the credential's nor the source's.
            let stands = row(&world.database.pool, credential).await;
            assert_eq!((&stands["state"], &stands["failures"]), (&json!("ready"), &json!(0)), "{stands}");
            told.push(status.to_string());
        }
        let opened: i64 =
            sqlx::query_scalar("select sum(failures) from circuits").fetch_one(&world.database.pool).await.unwrap();
        assert_eq!(opened, 0, "no circuit counts it");
        assert_no_password_is_told(&replica, &world.database.pool, told).await;
    }
}

#[tokio::test]
async fn where_a_proxy_is_closed_another_credential_goes_on_at_once() {
    let world = World::new().await;
    let proxy = ByTls::to(&world.instagram.url).await;
    let other = format!("[[session]]\nname = \"other\"\ncookie = \"sessionid={}\"\n", unique("unproxied"));
    let file = behind(&format!("https://{}", proxy.address), &other);
    let replica = world.replica(&[("IGT_CREDENTIALS", file.path())]).await;
    // Official first, then the session that rested longest, and the one without a proxy at last.
    let status = scrape(&world, &replica, "auto", "closed").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    let changes: Vec<&Value> =
        status["logs"].as_array().unwrap().iter().filter(|event| event["event_type"] == "credential_changed").collect();
    assert_eq!(changes[0]["from"], "official", "{changes:#?}");
    assert_eq!(changes.last().unwrap()["to"], "other", "{changes:#?}");
    assert!(changes.iter().all(|change| change["failure"] == "certificate_refused"), "{changes:#?}");
}

#[tokio::test]
async fn a_proxy_that_refuses_leaves_an_open_circuit_open_and_another_credential_closes_it() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let refusing = format!("http://me:planted@{}", refusing().await);
    let entry = |name: &str, proxy: &str| {
        format!("[[session]]\nname = \"{name}\"\ncookie = \"sessionid={}\"\n{proxy}\n", unique(name))
    };
    let file = File::of(&entry("shut", &format!("proxy = \"{refusing}\"")));
    let replica = world.replica(&[("IGT_CREDENTIALS", file.path())]).await;
    // The source was left alone for a while, and that is over: one request is let through to see.
    sqlx::query("update circuits set failures = 12, opened = 2, open_until = now() where source = 'web'")
        .execute(pool)
        .await
        .unwrap();
    let circuit = async || -> (i32, i32, bool, bool) {
        let row = "select failures, opened, open_until is not null, probe_until is not null from circuits where source = 'web'";
        sqlx::query_as(row).fetch_one(pool).await.unwrap()
    };
    let status = scrape(&world, &replica, "web", "shut").await;
    assert_eq!(event(&status, "scrape_failed")["failure"], "proxy_refused", "{status:#}");
    assert_eq!(circuit().await, (12, 2, true, false), "nobody has seen the source");
    replica.kill().await;
    let file = File::of(&entry("good", ""));
    let replica = world.replica(&[("IGT_CREDENTIALS", file.path())]).await;
    let status = scrape(&world, &replica, "web", "good").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    assert_eq!(circuit().await, (0, 0, false, false));
}

#[tokio::test]
async fn the_password_of_the_environments_proxy_is_told_nowhere_either() {
    let world = World::new().await;
    let proxy = format!("http://me:planted%2Dpassword@{}", refusing().await);
    let settings = [("IGT_WEB_URL", "http://source.invalid"), ("HTTP_PROXY", proxy.as_str()), ("IGT_LOG", "trace")];
    let replica = world.replica(&settings).await;
    let status = scrape(&world, &replica, "web", "environment").await;
    let last = event(&status, "scrape_failed");
    assert_eq!(last["failure"], "proxy_refused", "{last}");
    assert!(last["message"].as_str().unwrap().contains("the proxy that HTTPS_PROXY names"), "{last}");
    assert_no_password_is_told(&replica, &world.database.pool, vec![status.to_string()]).await;
}
