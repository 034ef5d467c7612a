//! Why a run ended as it did: gathered from all that it left, for a person who has a minute.
//!
//! It reads, and judges nothing that the run has not said itself: its events, its requests, its row, beside the last run of
//! the task that went well and the others that failed for the same reason.

pub mod advice;
mod build;
mod course;
mod facts;
mod failure;
pub mod report;
mod text;
mod unread;

use serde_json::Value;

use crate::db::status::Event;
use crate::db::{Pool, RunId};

pub use report::PostMortem;

/// The post-mortem of a run; `None` where there is no such run.
pub async fn of(pool: &Pool, run_id: RunId) -> sqlx::Result<Option<PostMortem>> {
    Ok(facts::gather(pool, run_id).await?.map(PostMortem::from))
}

/// The fields of an event.
fn fields(event: &Event) -> Value {
    serde_json::from_str(&event.fields).unwrap_or_default()
}

/// A text in them.
fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
