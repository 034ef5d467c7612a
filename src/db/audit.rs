//! The table `audit`: who took something away, or gave somebody a right. A row is written by the statement that does the
//! act, in the file of its subject; here are its author, and how rows are read.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;

/// Who does an act, and on which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// A key's id, `cli:<user>` or `anonymous`.
    pub who: String,
    /// The request's id.
    pub request_id: Option<String>,
    /// Whose connection it came on.
    pub address: Option<String>,
}

/// An act that was done.
#[derive(Clone, Debug, Serialize)]
pub struct Act {
    /// Counts up; a number may be missing.
    pub audit_id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// A key's id, `cli:<user>` or `anonymous`.
    pub who: String,
    /// What, such as `keys.revoke`.
    pub act: String,
    /// To what.
    pub object: String,
    /// What else belongs to it.
    pub details: Value,
    /// The request's id; `None` at the command line.
    pub request_id: Option<String>,
    /// Whose connection it came on; `None` at the command line.
    pub address: Option<String>,
}

/// Which acts somebody wants to see.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only what is called so.
    pub act: Option<String>,
    /// Only what they did.
    pub who: Option<String>,
    /// Only from then on.
    pub since: Option<DateTime<Utc>>,
    /// Only before then.
    pub until: Option<DateTime<Utc>>,
    /// Only what comes after this row in the list.
    pub before: Option<i64>,
}

/// The latest acts, the last one first.
pub async fn list(db: impl PgExecutor<'_>, filter: &Filter, limit: i64) -> sqlx::Result<Vec<Act>> {
    sqlx::query_as!(
        Act,
        r#"
        select audit_id, at, who, act, object, details, request_id, address
        from audit
        where ($1::text is null or act = $1) and ($2::text is null or who = $2)
            and ($3::timestamptz is null or at >= $3) and ($4::timestamptz is null or at < $4)
            and ($5::bigint is null or audit_id < $5)
        order by audit_id desc
        limit $6
        "#,
        filter.act,
        filter.who,
        filter.since,
        filter.until,
        filter.before,
        limit,
    )
    .fetch_all(db)
    .await
}
