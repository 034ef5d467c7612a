//! Postgres as a server: where it comes from. What is asked of it (all SQL) lives in `db`.
//!
//! `private` starts a server of our own for whoever has set no `DATABASE_URL`.

pub mod private;
