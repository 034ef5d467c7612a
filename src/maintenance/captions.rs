//! Captions that were stored before their hashtags and mentions were kept: read once, a page of posts at a time.

use std::time::Duration;

use crate::db::{self, Pool};
use crate::scrape;

/// How many posts are read at a time, and the pause in between: a million posts take a quarter of an hour.
const AT_ONCE: i64 = 500;
const PAUSE: Duration = Duration::from_millis(500);

/// How long after a failure, or after another replica was faster, one looks again.
const LATER: Duration = Duration::from_secs(60);

/// Reads until all are read.
pub(super) async fn keep(pool: &Pool) {
    let mut written = 0;
    loop {
        match page(pool).await {
            Ok(Step::Read(posts)) => {
                written += posts;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(Step::Elsewhere) => tokio::time::sleep(LATER).await,
            Ok(Step::Over) => break,
            Err(error) => {
                tracing::warn!(%error, "could not read captions for their hashtags; trying again in a minute");
                tokio::time::sleep(LATER).await;
            }
        }
    }
    if written > 0 {
        tracing::info!(written, "read the captions of older posts for their hashtags and mentions");
    }
}

/// Reads all that are left, at once; says of how many posts this has written something.
pub async fn read_captions(pool: &Pool) -> sqlx::Result<i64> {
    let mut written = 0;
    loop {
        match page(pool).await? {
            Step::Read(posts) => written += posts,
            Step::Elsewhere => tokio::time::sleep(PAUSE).await,
            Step::Over => return Ok(written),
        }
    }
}

/// What became of a page of posts.
enum Step {
    /// It was read, and of so many posts something was written.
    Read(i64),
    /// Another replica has read it meanwhile.
    Elsewhere,
    /// There is none: all are read.
    Over,
}

/// One page. What it names and how far the walk is are written in one statement: whoever is cut off has done all of it or
/// nothing.
async fn page(pool: &Pool) -> sqlx::Result<Step> {
    let Some(page) = db::captions::next_page(pool, AT_ONCE).await? else { return Ok(Step::Over) };
    let tags: Vec<_> =
        page.posts.iter().map(|post| scrape::tags(post.caption.as_deref().unwrap_or_default())).collect();
    let written = db::captions::keep(pool, &page, &tags).await?;
    Ok(written.map_or(Step::Elsewhere, Step::Read))
}
