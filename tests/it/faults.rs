//! The faults: each that can be caused, done to real replicas and a real Postgres while runs are under way, and after
//! each the judge.
//!
//! `stage` is the world in which it happens and the reckoning after it, `clients` ask and remember all the while,
//! `report` keeps what was measured; the rest are the faults, by who meets them. What is long is ignored in the
//! ordinary suite and runs with `make faults`.

mod clients;
mod dice;
mod hangups;
mod network;
pub(crate) mod pooler;
mod processes;
mod question;
mod report;
mod rounds;
mod server;
mod stage;
mod timing;
mod writes;
