//! By TLS, and over HTTP/2 to whoever speaks it: as Instagram itself is reached.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use futures_util::FutureExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Whom it can be called as.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// How long a client may take to agree on keys.
const AGREES_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It could not be made.
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// It could not be used.
    #[error("the certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate for this machine, signed by an authority that was made for nothing else.
pub struct Identity {
    acceptor: TlsAcceptor,
    authority: String,
}

impl Identity {
    /// Makes both.
    pub fn new() -> Result<Self, IdentityError> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Names of their own, or OpenSSL takes the certificate for one that vouches for itself.
        authority.distinguished_name.push(DnType::CommonName, "authority of the sandbox");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut certificate = CertificateParams::new(NAMES.map(str::to_owned))?;
        certificate.distinguished_name.push(DnType::CommonName, "sandbox");
        let key = KeyPair::generate()?;
        let certificate = certificate.signed_by(&key, &authority)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority: authority.pem() })
    }

    /// The authority's certificate in PEM, for whoever is to trust it.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// Answers on the listener until it is told to close, then lets what is on its way finish.
pub(super) async fn serve(mut listener: TcpListener, identity: Identity, routes: Router, closing: CancellationToken) {
    let connections = TaskTracker::new();
    // By axum's own way, which goes on after a connection that could not be taken.
    while let Some((stream, _)) = closing.run_until_cancelled(Listener::accept(&mut listener)).await {
        let connection = connection(stream, identity.acceptor.clone(), routes.clone(), closing.clone());
        connections.spawn(connection);
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, routes: Router, closing: CancellationToken) {
    let _ = stream.set_nodelay(true);
    // Who does not trust it says so and leaves; that is theirs to tell.
    let Ok(Ok(stream)) = tokio::time::timeout(AGREES_WITHIN, acceptor.accept(stream)).await else { return };
    let mut builder = Builder::new(TokioExecutor::new());
    // As many requests at a time on one connection as a client likes to have.
    builder.http2().max_concurrent_streams(None);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let (mut served, mut closing) = (pin!(served), pin!(closing.cancelled().fuse()));
    loop {
        tokio::select! {
            _ = served.as_mut() => return,
            () = &mut closing => served.as_mut().graceful_shutdown(),
        }
    }
}
