//! A TCP proxy before a Postgres that does to connections what networks do, on command and while they are in use.
//!
//! It reads what clients say by messages, so that a fault can be put at a very statement: before it reaches the
//! server, or after it was executed and before its answer is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::messages::Messages;

/// What may stand between a replica and its database.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    gone: CancellationToken,
}

/// The server that new connections are led to.
#[derive(Clone)]
enum Target {
    Unix(PathBuf),
    Tcp(String, u16),
}

/// What becomes of those who connect now.
#[derive(Clone, Copy, PartialEq)]
enum Newcomers {
    Welcome,
    Refused,
}

/// How the traffic goes, of all connections that are not forgotten.
#[derive(Clone, Copy)]
struct Order {
    newcomers: Newcomers,
    asks_flow: bool,
    answers_flow: bool,
    delay: Duration,
}

const PASS: Order = Order { newcomers: Newcomers::Welcome, asks_flow: true, answers_flow: true, delay: Duration::ZERO };

/// What becomes of one connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Lives,
    Cut,
    /// The client's side stays open, and nothing comes from it any more.
    ServerForgotten,
    /// The server's side stays open, and nothing comes to it any more.
    ClientForgotten,
}

/// Where at a statement a trap closes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    /// The server has not seen it.
    Before,
    /// The server has executed it and answered; the client has not been told.
    After,
}

/// Whether a statement is one to stop at; beside it what was said before it in its transaction.
pub(crate) type Matches = fn(&str, &[String]) -> bool;

struct Trap {
    matches: Matches,
    left: u64,
    moment: Moment,
    caught: oneshot::Sender<Arc<Link>>,
}

struct Shared {
    target: Mutex<Target>,
    order: watch::Sender<Order>,
    links: Mutex<Vec<Arc<Link>>>,
    trap: Mutex<Option<Trap>>,
    /// After how many more bytes the connection that carries them is cut.
    bytes_left: Mutex<Option<usize>>,
}

struct Link {
    fate: watch::Sender<Fate>,
    listens: AtomicBool,
    /// Closed as long as a trap holds the connection.
    released: watch::Sender<bool>,
    /// Who waits for the answer to a statement that was trapped.
    awaited: Mutex<Option<oneshot::Sender<Arc<Link>>>>,
}

/// A connection that a trap holds.
pub(crate) struct Caught(Arc<Link>);

impl Caught {
    /// Lets go: what was held back goes on its way.
    pub(crate) fn release(&self) {
        self.0.released.send_replace(true);
    }
}

impl Proxy {
    /// One before the server of this address.
    pub(crate) async fn before(database_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(Target::of(database_url)),
            order: watch::Sender::new(PASS),
            links: Mutex::default(),
            trap: Mutex::default(),
            bytes_left: Mutex::default(),
        });
        let gone = CancellationToken::new();
        let (accepting, done) = (Arc::clone(&shared), gone.clone());
        tokio::spawn(gone.clone().run_until_cancelled_owned(async move {
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(done.clone().run_until_cancelled_owned(serve(Arc::clone(&accepting), client)));
                }
            }
        }));
        Self { address, shared, gone }
    }

    /// The same database by way of this proxy.
    pub(crate) fn url(&self, database_url: &str) -> String {
        let mut url = database_url.parse::<PgConnectOptions>().unwrap().to_url_lossy();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.set_query(Some("sslmode=disable"));
        url.to_string()
    }

    /// Leads new connections to another server; those that are there stay.
    pub(crate) fn lead_to(&self, database_url: &str) {
        *self.shared.target.lock().unwrap() = Target::of(database_url);
    }

    /// All is well again, for whoever was not cut or forgotten.
    pub(crate) fn mend(&self) {
        self.shared.order.send_replace(PASS);
        *self.shared.bytes_left.lock().unwrap() = None;
    }

    /// Refuses new connections.
    pub(crate) fn refuse(&self) {
        self.shared.order.send_modify(|order| order.newcomers = Newcomers::Refused);
    }

    /// Forwards nothing in either direction, not even that an end hung up.
    pub(crate) fn stall(&self) {
        self.shared.order.send_modify(|order| (order.asks_flow, order.answers_flow) = (false, false));
    }

    /// Statements arrive and are executed; nobody is told.
    pub(crate) fn keep_answers(&self) {
        self.shared.order.send_modify(|order| order.answers_flow = false);
    }

    /// Whatever is said takes so much longer.
    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.order.send_modify(|order| order.delay = delay);
    }

    /// Cuts all connections now.
    pub(crate) fn cut(&self) {
        let _ = self.decide(Fate::Cut, |_| true);
    }

    /// Cuts the connections that LISTEN, and says how many there were.
    pub(crate) fn cut_listeners(&self) -> usize {
        self.decide(Fate::Cut, Link::listens)
    }

    /// The connections that LISTEN stay open, and nothing comes through them any more.
    pub(crate) fn deafen_listeners(&self) -> usize {
        self.decide(Fate::ServerForgotten, Link::listens)
    }

    /// How many connections LISTEN and live.
    pub(crate) fn listeners(&self) -> usize {
        let links = self.shared.links.lock().unwrap();
        links.iter().filter(|link| link.listens() && *link.fate.borrow() == Fate::Lives).count()
    }

    /// Forgets the servers' side of all connections without telling the clients.
    pub(crate) fn forget_server(&self) {
        let _ = self.decide(Fate::ServerForgotten, |_| true);
    }

    /// Forgets the clients without telling the server: it sees connections that never speak again.
    pub(crate) fn forget_clients(&self) {
        let _ = self.decide(Fate::ClientForgotten, |_| true);
    }

    /// Cuts a connection in the middle of what it says, after so many bytes of all.
    pub(crate) fn cut_after(&self, bytes: usize) {
        *self.shared.bytes_left.lock().unwrap() = Some(bytes);
    }

    /// Stops the connection that sends the nth statement (from 0) of those that match; the others go on.
    pub(crate) fn trap(&self, matches: Matches, nth: u64, moment: Moment) -> oneshot::Receiver<Caught> {
        let (caught, seen) = oneshot::channel();
        *self.shared.trap.lock().unwrap() = Some(Trap { matches, left: nth, moment, caught });
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            if let Ok(link) = seen.await {
                let _ = tell.send(Caught(link));
            }
        });
        told
    }

    fn decide(&self, fate: Fate, which: impl Fn(&Link) -> bool) -> usize {
        let links = self.shared.links.lock().unwrap();
        let mut met = 0;
        for link in links.iter() {
            // What was forgotten stays so: that nobody is told is the point.
            if *link.fate.borrow() == Fate::Lives && which(link) {
                link.fate.send_replace(fate);
                met += 1;
            }
        }
        met
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Target {
    fn of(database_url: &str) -> Self {
        let options: PgConnectOptions = database_url.parse().unwrap();
        match options.get_socket() {
            Some(folder) => Self::Unix(folder.join(format!(".s.PGSQL.{}", options.get_port()))),
            None => Self::Tcp(options.get_host().to_owned(), options.get_port()),
        }
    }

    async fn connect(
        &self,
    ) -> std::io::Result<(Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>)> {
        match self {
            Self::Unix(path) => {
                let (read, write) = UnixStream::connect(path).await?.into_split();
                Ok((Box::new(read), Box::new(write)))
            }
            Self::Tcp(host, port) => {
                let (read, write) = TcpStream::connect((host.as_str(), *port)).await?.into_split();
                Ok((Box::new(read), Box::new(write)))
            }
        }
    }
}

impl Link {
    fn listens(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }

    async fn fated(&self, not: Fate) -> Fate {
        let mut fate = self.fate.subscribe();
        // The sender lives in self.
        *fate.wait_for(|fate| *fate != not).await.unwrap()
    }

    async fn free(&self) {
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }
}

impl Shared {
    async fn flows(&self, which: impl Fn(&Order) -> bool) {
        let _ = self.order.subscribe().wait_for(which).await;
    }

    /// Passes bytes on: late, where that is the order, and not to their end, where the connection is to be cut in them.
    async fn forward(&self, link: &Link, bytes: &[u8], to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let delay = self.order.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let whole = {
            let mut left = self.bytes_left.lock().unwrap();
            match *left {
                Some(few) if few < bytes.len() => left.take(),
                Some(many) => {
                    *left = Some(many - bytes.len());
                    None
                }
                None => None,
            }
        };
        let Some(part) = whole else { return to.write_all(bytes).await };
        to.write_all(&bytes[..part]).await?;
        to.flush().await?;
        link.fate.send_replace(Fate::Cut);
        std::future::pending().await
    }

    /// Whether a trap closes at this statement.
    fn springs(&self, statement: &str, before: &[String]) -> Option<Trap> {
        let mut set = self.trap.lock().unwrap();
        let trap = set.as_mut().filter(|trap| (trap.matches)(statement, before))?;
        if trap.left > 0 {
            trap.left -= 1;
            return None;
        }
        set.take()
    }
}

async fn serve(shared: Arc<Shared>, client: TcpStream) {
    if shared.order.borrow().newcomers == Newcomers::Refused {
        let _ = client.set_zero_linger();
        return;
    }
    let _ = client.set_nodelay(true);
    let link = Arc::new(Link {
        fate: watch::Sender::new(Fate::Lives),
        listens: AtomicBool::new(false),
        released: watch::Sender::new(true),
        awaited: Mutex::default(),
    });
    shared.links.lock().unwrap().push(Arc::clone(&link));
    live(&shared, &link, client).await;
    shared.links.lock().unwrap().retain(|other| !Arc::ptr_eq(other, &link));
}

/// A connection's life, to its end.
async fn live(shared: &Shared, link: &Arc<Link>, client: TcpStream) {
    let target = async {
        shared.flows(|order| order.asks_flow).await;
        let target = shared.target.lock().unwrap().clone();
        target.connect().await
    };
    let connected = tokio::select! {
        connected = target => connected,
        _ = link.fated(Fate::Lives) => Err(std::io::ErrorKind::ConnectionReset.into()),
    };
    let (mut client_reads, mut client_writes) = client.into_split();
    let Ok((mut server_reads, mut server_writes)) = connected else { return reset(&client_reads) };
    let ended = tokio::select! {
        ended = pump_asks(shared, link, &mut client_reads, &mut server_writes) => ended.map(|()| Fate::Lives),
        ended = pump_answers(shared, link, &mut server_reads, &mut client_writes) => ended.map(|()| Fate::Lives),
        fate = link.fated(Fate::Lives) => Ok(fate),
    };
    match ended.unwrap_or(Fate::Cut) {
        Fate::Lives => {}
        Fate::Cut => reset(&client_reads),
        Fate::ServerForgotten => {
            drop((server_reads, server_writes));
            link.fated(Fate::ServerForgotten).await;
            reset(&client_reads);
        }
        Fate::ClientForgotten => {
            reset(&client_reads);
            drop((client_reads, client_writes));
            link.fated(Fate::ClientForgotten).await;
        }
    }
}

/// The connection will end as one that broke, and not as one that was closed.
fn reset(client: &OwnedReadHalf) {
    let _ = client.as_ref().set_zero_linger();
}

async fn pump_asks(
    shared: &Shared,
    link: &Arc<Link>,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let mut messages = Messages::default();
    let mut prepared: HashMap<Vec<u8>, String> = HashMap::new();
    let mut transaction: Vec<String> = Vec::new();
    let mut chunk = vec![0; 32 * 1024];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            // That a client hung up comes no sooner than what it said before.
            shared.flows(|order| order.asks_flow).await;
            return Ok(());
        }
        messages.take_in(&chunk[..read]);
        while let Some(message) = messages.next() {
            let statement = message.statement(&mut prepared);
            if let Some(statement) = statement {
                link.listens.fetch_or(statement.starts_with("LISTEN"), Ordering::Relaxed);
                if let Some(trap) = shared.springs(&statement, &transaction) {
                    link.released.send_replace(false);
                    match trap.moment {
                        Moment::Before => {
                            let _ = trap.caught.send(Arc::clone(link));
                            link.free().await;
                        }
                        Moment::After => *link.awaited.lock().unwrap() = Some(trap.caught),
                    }
                }
                match statement.starts_with("begin") || ["commit", "rollback"].contains(&&*statement) {
                    true => transaction.clear(),
                    false => transaction.push(statement),
                }
            }
            shared.flows(|order| order.asks_flow).await;
            shared.forward(link, &message.bytes, to).await?;
        }
    }
}

async fn pump_answers(
    shared: &Shared,
    link: &Arc<Link>,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let mut chunk = vec![0; 32 * 1024];
    loop {
        let read = from.read(&mut chunk).await?;
        if let Some(awaited) = link.awaited.lock().unwrap().take() {
            let _ = awaited.send(Arc::clone(link));
        }
        link.free().await;
        shared.flows(|order| order.answers_flow).await;
        if read == 0 {
            return Ok(());
        }
        shared.forward(link, &chunk[..read], to).await?;
    }
}
