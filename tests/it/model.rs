//! How a run lives, as a model: every order in which starts, claims, writes, lost answers, crashes and cancellations
//! can meet is explored, and walks of the model are replayed on real tables, so that it cannot tell another story than
//! the statements do.
//!
//! `tables` has the rows and the statements, `life` the hands and what happens to them, `possible` what can happen
//! next, `promises` what must hold in every state, `flaws` what would break it, `folded` what makes states fewer;
//! `explored` has the tests that look at all of them. `real` has the program's own statements; `replayed` has the tests
//! that walk both ways at once, and `contended` those of two real statements on one row.

mod contended;
mod explored;
mod flaws;
mod folded;
mod life;
mod possible;
mod promises;
mod real;
mod replayed;
mod tables;
