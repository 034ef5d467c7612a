//! What stands between this machine and a source: certificates that are not accepted, proxies that let nobody through.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Serves each connection with this.
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

/// Speaks TLS, with a certificate that nobody has signed whom this machine knows.
fn unknown() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server, or a proxy, by TLS.
async fn by_tls() -> String {
    let tls = unknown();
    serving(move |socket| {
        let tls = tls.clone();
        async move { drop(tls.accept(socket).await) }
    })
    .await
}

/// A proxy that leads wherever it is asked to, without a word against it.
async fn leading() -> String {
    serving(|mut socket| async move {
        let head = head_of(&mut socket).await;
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let mut onward = TcpStream::connect(target).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut socket, &mut onward).await;
    })
    .await
}

/// A proxy that takes no password, and repeats it.
async fn refusing() -> String {
    serving(|mut socket| async move {
        let body = head_of(&mut socket).await;
        let head = format!("HTTP/1.1 407 Who\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
    })
    .await
}

/// A SOCKS proxy that asks for a password and takes none.
async fn refusing_socks() -> String {
    serving(|mut socket| async move {
        let mut greeting = [0_u8; 64];
        let _ = socket.read(&mut greeting).await.unwrap();
        socket.write_all(&[5, 2]).await.unwrap();
        let _ = socket.read(&mut greeting).await.unwrap();
        let _ = socket.write_all(&[1, 1]).await;
    })
    .await
}

async fn head_of(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn asked(base: &str, proxy: Option<&str>) -> (Option<Received>, Option<Failure>) {
    let (base, proxy) = (Url::parse(base).unwrap(), proxy.map(SecretString::from));
    let within = Duration::from_secs(30);
    let user_agent = HeaderValue::from_static("test");
    let config =
        LineConfig { base: &base, user_agent, timeout: within, connect_timeout: within, proxy: proxy.as_ref() };
    let Ok(line) = Line::new(config) else { panic!("no client: has this machine root certificates?") };
    line.receive("feed", line.request(Method::GET, base.clone())).await
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_named_with_whose_it_is() {
    let (server, proxy, leading) = (by_tls().await, by_tls().await, leading().await);
    let (https, http) = (format!("https://{server}"), "http://source.invalid".to_owned());
    let (by_tls, plain) = (format!("https://me:hidden-word@{proxy}"), format!("http://me:hidden-word@{leading}"));
    for (base, proxy, whose) in [
        (&https, None, "the source"),
        (&https, Some(&plain), "the source"),
        (&http, Some(&by_tls), "its proxy"),
        (&https, Some(&by_tls), "its proxy"),
    ] {
        let (received, failure) = asked(base, proxy.map(String::as_str)).await;
        let failure = failure.unwrap();
        assert!(received.is_none() && failure.kind == FailureKind::CertificateRefused, "{base} {proxy:?}: {failure}");
        let says = format!("feed gave no answer: the certificate of {whose} is not accepted: ");
        assert!(failure.to_string().starts_with(&says), "{base} {proxy:?}: {failure}");
        assert!(failure.to_string().contains("Issuer") && !failure.to_string().contains("hidden"), "{failure}");
    }
}

#[tokio::test]
async fn a_proxy_that_takes_no_password_is_named() {
    let (plain, socks) = (refusing().await, refusing_socks().await);
    for proxy in [format!("http://me:hidden-word@{plain}"), format!("socks5://me:hidden-word@{socks}")] {
        let (received, failure) = asked("https://127.0.0.1:1", Some(&proxy)).await;
        let failure = failure.unwrap();
        assert!(received.is_none() && failure.kind == FailureKind::ProxyRefused, "{proxy}: {failure}");
        assert!(failure.message.starts_with("its proxy does not let it through: "), "{failure}");
        assert!(!failure.message.contains("hidden"), "{failure}");
    }
    // What is not asked through a tunnel has the proxy's answer.
    let (received, failure) = asked("http://source.invalid", Some(&format!("http://me:hidden-word@{plain}"))).await;
    assert!(failure.is_none());
    assert_eq!(received.unwrap().status, PROXY_AUTHENTICATION_REQUIRED);
}

#[tokio::test]
async fn nobody_at_the_other_end_is_neither() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for proxy in [None, Some(format!("https://{free}")), Some(format!("socks5://{free}"))] {
        let (_, failure) = asked(&format!("https://{free}"), proxy.as_deref()).await;
        assert_eq!(failure.unwrap().kind, FailureKind::ConnectionFailed, "{proxy:?}");
    }
}
