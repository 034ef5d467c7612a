//! The event that both sides of a comparison write: what a run says when it has read a page.

use serde_json::{Value, json};

pub(crate) const LEVEL: &str = "info";
pub(crate) const EVENT_TYPE: &str = "posts_fetched";

/// The sentence for a person.
pub(crate) fn message(seq: i64) -> String {
    format!("Page {seq} read: 12 posts, {} so far", 12 * seq)
}

/// The numbers for a query.
pub(crate) fn fields(seq: i64) -> Value {
    json!({"page": seq, "page_posts": 12, "scraped_posts_count": 12 * seq, "duration_ms": 431})
}
