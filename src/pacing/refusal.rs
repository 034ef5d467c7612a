//! Why a request was not asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::instagram::Source;

/// A request that has no turn worth waiting for in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The credential; `None` where there is none.
    pub credential: Option<Arc<str>>,
    /// What was to be asked.
    pub source: Source,
    /// Why.
    pub why: Why,
    /// How long until its turn comes; `None` where a person has to mend something first.
    pub wait: Option<Duration>,
}

/// Why there is no turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// All slots of the next while are taken.
    Busy,
    /// The credential cools, because of this failure.
    Cooling(String),
    /// The source's circuit is open.
    CircuitOpen,
    /// The credential was taken out, because of this failure or by an operator.
    Disabled(String),
    /// There is no credential for the source.
    NoCredential,
    /// The database does not say.
    Unreadable,
}

impl Why {
    /// The name in events and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Cooling(_) => "cooling",
            Self::CircuitOpen => "circuit_open",
            Self::Disabled(_) => "disabled",
            Self::NoCredential => "no_credential",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, source) = (self.credential.as_deref().unwrap_or_default(), self.source.as_str());
        match &self.why {
            Why::Busy => write!(f, "all turns of credential {name} are taken for a while"),
            Why::Cooling(failure) => write!(f, "credential {name} cools ({failure})"),
            Why::CircuitOpen => write!(f, "source {source} failed again and again, and is left alone for a while"),
            Why::Disabled(reason) => write!(f, "credential {name} is disabled ({reason})"),
            Why::NoCredential => write!(f, "there is no credential for source {source}"),
            Why::Unreadable => write!(f, "the pace of credential {name} could not be read"),
        }
    }
}
