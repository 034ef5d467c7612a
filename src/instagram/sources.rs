//! The sources as a replica can ask them: a client for each credential, with its own connections and its own proxy.

use std::fmt;
use std::sync::Arc;

use super::graph::Graph;
use super::transport;
use super::web::{DocIds, Web};
use super::{Gate, Recording, Secrets, Visit};

/// Where answers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Instagram's web endpoints.
    Web,
    /// The official Graph API.
    Graph,
}

impl Source {
    /// The name in rows, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Graph => "graph",
        }
    }
}

/// The client of one credential.
#[derive(Clone, Debug)]
pub enum Client {
    /// Of the web endpoints, as a guest or with a session.
    Web(Web),
    /// Of the official source, with a token.
    Graph(Graph),
}

impl Client {
    /// One of a source that asks nothing of the network, and is answered as a run was, as a guest or with a session.
    pub fn recorded(source: Source, recording: Arc<Recording>, has_session: bool, doc_ids: DocIds) -> Self {
        match source {
            Source::Web => Self::Web(Web::recorded(recording, has_session, doc_ids)),
            Source::Graph => Self::Graph(Graph::recorded(recording)),
        }
    }

    /// What it asks.
    pub fn source(&self) -> Source {
        match self {
            Self::Web(_) => Source::Web,
            Self::Graph(_) => Source::Graph,
        }
    }

    /// What is secret about it.
    fn secrets(&self) -> Secrets {
        match self {
            Self::Web(web) => web.secrets(),
            Self::Graph(graph) => graph.secrets(),
        }
    }

    /// Begins an attempt's use of the source, each request through the gate. An endpoint that asked the run to wait is
    /// not asked where another can answer.
    pub fn visit<'a>(&self, gate: Arc<dyn Gate>, asked_to_wait: impl IntoIterator<Item = &'a str>) -> Visit {
        match self {
            Self::Web(web) => Visit::Web(web.visit_avoiding(gate, asked_to_wait)),
            Self::Graph(graph) => Visit::Graph(graph.visit(gate)),
        }
    }
}

/// All clients, by the names of their credentials.
#[derive(Clone)]
pub struct Sources(Arc<[(Arc<str>, Client)]>);

impl Sources {
    /// Of these.
    pub fn new(clients: impl IntoIterator<Item = (Arc<str>, Client)>) -> Self {
        Self(clients.into_iter().collect())
    }

    /// The client of a credential.
    pub fn client(&self, credential: &str) -> Option<&Client> {
        self.0.iter().find(|(name, _)| &**name == credential).map(|(_, client)| client)
    }

    /// What is secret about all of them.
    pub fn secrets(&self) -> Secrets {
        self.0.iter().map(|(_, client)| client.secrets()).collect()
    }

    /// The names of the credentials that a source can be asked with, in the order of the settings.
    pub fn of(&self, source: Source) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().filter(move |(_, client)| client.source() == source).map(|(name, _)| name)
    }
}

/// Whether an address leads to this very machine, where only an invented Instagram can be.
pub fn is_on_this_machine(address: &str) -> bool {
    reqwest::Url::parse(address.trim()).is_ok_and(|url| transport::is_loopback(&url))
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
