//! `ig-tracking` tracks Instagram profiles and reels.
//!
//! The database is the truth, a process is only a pair of hands. Arrows between rooms point one way; the walk from
//! a request's socket to its rows and back is told in `docs/ARCHITECTURE.md`.

pub mod analytics;
pub mod archive;
pub mod batcher;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod db;
pub mod erasure;
pub mod evidence;
pub mod http;
pub mod instagram;
pub mod keys;
pub mod live;
pub mod maintenance;
pub mod pacing;
pub mod post_mortem;
pub mod postgres;
pub mod reading;
pub mod replay;
pub mod runs;
pub mod sandbox;
pub mod scrape;
pub mod service;
pub mod streams;
pub mod telemetry;
