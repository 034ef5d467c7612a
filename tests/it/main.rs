//! The one test binary: a harness, then a file a subject.
//!
//! Every test has a database of its own on one real Postgres, talks to real processes of the service over HTTP, and
//! meets Instagram as the sandbox. Tests wait on conditions, never on time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod harness;

mod archives;
mod batches;
mod bodies;
mod by_tls;
mod cancel;
mod clients;
mod commands;
mod credentials;
mod dashboards;
mod docs;
mod documents;
mod drift;
mod erasure;
mod errors;
mod failures;
mod faults;
mod golden;
mod limits;
mod lives;
mod model;
mod official;
mod official_runs;
mod operations;
mod origins;
mod pacing;
mod panics;
mod pipelines;
mod plans;
mod post_mortems;
mod private_postgres;
mod proxies;
mod replay;
mod scans;
mod schema;
mod sessions;
mod settings;
mod summaries;
mod v2;
mod v2_admission;
mod v2_analytics;
mod v2_document;
mod v2_events;
mod v2_idempotency;
mod v2_keys;
mod v2_profiles;
mod v2_runs;
mod v2_search;
mod v2_streams;
mod v2_tasks;
mod v2_wait;
