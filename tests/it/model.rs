//! How a run lives, as a model: every order in which starts, claims, writes, lost answers, crashes and cancellations
//! can meet is explored, and walks of the model are replayed on real tables, so that it cannot tell another story than
//! the statements do.
//!
//! `tables` has the rows and the statements, `life` the hands and what may happen to them, `promises` what must hold
//! in every state, `flaws` what breaks it; `explored` has the tests that look at all of it, `replayed` those that
//! hold it against Postgres, and `contended` two real statements on one row.

mod explored;
mod flaws;
mod folded;
mod life;
mod promises;
mod tables;
