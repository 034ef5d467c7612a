//! The interface: routes, layers, answers. Starts runs, reads rows, writes tasks; knows nothing of Instagram but
//! what a username looks like.

mod auth;
mod body;
mod counts;
mod error;
mod layers;
mod openapi;
mod operations;
mod problem;
mod protection;
mod query;
mod router;
mod serve;
mod v1;
mod v2;

use std::sync::Arc;

use chrono::NaiveDate;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::db::Pool;
use crate::postgres::Availability;
use crate::reading::{Reading, Render};
use crate::runs::Runs;
use crate::streams::{Renders, Streams};

pub use auth::{Gate, Origins};
pub use router::router;
pub use serve::serve;

/// How a line of a log is told.
pub const RENDER: Render = v1::line::write;

/// How messages of streams are told.
pub const STREAM_RENDERS: Renders = v2::streams::RENDERS;

/// Where version 1 lives.
pub const V1_PATH: &str = "/codvid-ai/ig-tracking";

/// Where version 2 lives.
pub const V2_PATH: &str = "/api/v2";

/// What the handlers share.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// The parts of [`App`].
pub struct Shared {
    /// Where the rows are.
    pub pool: Pool,
    /// How statuses are read.
    pub reading: Reading,
    /// How runs are started.
    pub runs: Runs,
    /// How they are followed.
    pub streams: Streams,
    /// What decides who may.
    pub gate: Arc<Gate>,
    /// What `/metrics` prints.
    pub metrics: PrometheusHandle,
    /// Whether the database answers.
    pub availability: Availability,
    /// Cancelled when this replica takes no more requests.
    pub closing: CancellationToken,
    /// When version 1 is deprecated and when it ends, once an operator has said so.
    pub v1_dates: V1Dates,
    /// How many posts `task_details` shows.
    pub max_posts: usize,
}

/// The announced end of version 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct V1Dates {
    /// From when on clients should use version 2.
    pub deprecation: Option<NaiveDate>,
    /// From when on version 1 may be gone.
    pub sunset: Option<NaiveDate>,
}

impl App {
    /// Where the rows are, for a request that has been read: all that it asks is answered in time, or is an error.
    pub(crate) fn database(&self) -> Pool {
        self.pool.for_request()
    }

    /// Puts the parts together.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
