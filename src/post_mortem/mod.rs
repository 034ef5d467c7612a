//! Why a run ended as it did: gathered from all that it left, for a person who has a minute.
//!
//! It reads, and judges nothing that the run has not said itself: its events, its requests, its row, beside the last run of
//! the task that went well and the others that failed for the same reason.

pub mod advice;
mod build;
mod facts;
pub mod report;
mod text;

use crate::db::{Pool, RunId};

pub use report::PostMortem;

/// The post-mortem of a run; `None` where there is no such run.
pub async fn of(pool: &Pool, run_id: RunId) -> sqlx::Result<Option<PostMortem>> {
    Ok(facts::gather(pool, run_id).await?.map(PostMortem::from))
}
