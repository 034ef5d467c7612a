//! All SQL of the service, a file a subject.
//!
//! Plain functions on a connection, checked against the schema at compile time. They know the tables and nothing
//! else of ours; [`Pool`] is where they get their connections. Statements on the hot path are single and set-based:
//! what stands in one statement commits or does not, whoever hangs up. No statement joins a small table with a big one.

pub mod account_rollups;
pub mod analytics;
pub mod archive_search;
pub mod archives;
pub mod audit;
pub mod board;
pub mod browsers;
pub mod cancel;
pub mod captions;
pub mod credentials;
pub mod dashboard_role;
pub mod erasure;
pub mod event_lists;
pub mod event_search;
pub mod evidence;
pub mod exchanges;
pub mod expiry;
mod failure;
pub mod health;
pub mod heartbeat;
pub mod history;
pub mod idempotency;
mod ids;
pub mod journal;
pub mod keys;
pub mod media;
pub mod mentions;
pub mod migrations;
pub mod notify;
pub mod packing;
pub mod partitions;
mod pool;
pub mod post_mortem;
pub mod profiles;
pub mod rollups;
pub mod run_lists;
pub mod runs;
pub mod scans;
pub mod session;
mod sieve;
pub mod slots;
pub mod start;
mod statements;
pub mod states;
pub mod status;
pub mod summaries;
pub mod tasks;
mod text;

pub use failure::Failure;
pub use ids::{Lease, RunId, TaskId, TaskIdError, WorkerId};
pub use pool::{Line, Pool, Transaction, in_request_time};
pub use statements::Statements;

/// Where the element of an array stands that `with ordinality` numbered so.
fn index(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).unwrap_or(usize::MAX)
}
