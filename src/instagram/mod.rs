//! What Instagram says, in one model, whichever source it comes from.
//!
//! This room knows the wire and nothing of ours: no database, no run, no task. It reads, names every failure, and
//! hands back what it could not read by the path of the field. What to do about a failure is decided in `runs`.

pub mod caption;
mod failure;
mod gate;
pub mod graph;
mod lenient;
#[cfg(test)]
mod mangling;
mod model;
mod name;
mod node;
mod reader;
mod recording;
mod secrets;
mod shortcode;
mod sources;
mod transport;
mod visit;
pub mod web;
mod wire;

pub use failure::{Class, Failure, FailureKind};
pub use gate::{Gate, Heard, Open, Usage};
pub use model::{Account, AccountRef, Cursor, Exchange, MediaKind, Page, Post, Profile, Reading, ReelNumbers, Unread};
pub use name::{Username, UsernameError};
pub use recording::{End, Played, Recorded, RecordedBody, Recording};
pub use secrets::Secrets;
pub use shortcode::{Shortcode, ShortcodeError};
pub use sources::{Client, Source, Sources, is_on_this_machine};
pub use visit::Visit;
