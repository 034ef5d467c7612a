//! Postgres as a server: where it comes from and how it is reached. What is asked of it (all SQL) lives in `db`.
//!
//! `private` starts a server of our own for whoever has set no `DATABASE_URL`; `connect` brings either to the rest.

mod availability;
mod connect;
pub mod private;

pub use availability::Availability;
pub use connect::{ConnectError, Database};
