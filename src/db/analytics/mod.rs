//! What analytics are made of: for each post and each day the one or two snapshots that say what is asked, found by key.
//!
//! Every statement looks at one account, at a window of time and at nothing that was first seen after its end, so that
//! the same window is told alike whenever it is asked for. What is made of it is in `src/analytics`.

mod account;
mod curve;
mod posts;

pub use account::{Counted, Day, Gap, Gaps, Metric, Reach, days, gaps, growth, reach};
pub use curve::{Around, AtAge, Number, Point, SeenAround, Segment, around, at_ages, segments};
pub use posts::{Distance, Post, Seen, posts};

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::RunId;

/// The run and the event that brought a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The run.
    pub run_id: RunId,
    /// The event's number in it.
    pub seq: i64,
}

impl Origin {
    fn of(run_id: Option<RunId>, seq: Option<i64>) -> Option<Self> {
        Some(Self { run_id: run_id?, seq: seq? })
    }
}

/// A stretch of time that is looked at, and the time zone of its days and hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its begin.
    pub since: DateTime<Utc>,
    /// Its end, which is not in the future.
    pub until: DateTime<Utc>,
    /// The name of a time zone that the database knows.
    pub time_zone: String,
}

/// What Postgres says of a name of a time zone that it does not know.
const INVALID_PARAMETER_VALUE: &str = "22023";

/// Settles which window is asked for: until now and from 30 days before its end on where nothing else is said. `None`
/// where the database knows no such time zone.
pub async fn window(
    db: impl PgExecutor<'_>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    time_zone: &str,
) -> sqlx::Result<Option<Window>> {
    let found = sqlx::query_as!(
        Window,
        r#"
        select coalesce($1, greatest(until - interval '30 days', '0001-01-01')) as "since!", until as "until!",
               $3 as "time_zone!"
        from (select least(coalesce($2, now()), now()) as until) as ends
        where case
            when $3 = 'UTC' then true
            -- Without a digit it is the name of a zone or an error. With one, Postgres takes it for a rule like FOO5 where
            -- it is no name; to list all names takes it a tenth of a second.
            when $3 ~ '^[A-Za-z_-]+(/[A-Za-z_-]+)+$' then now() at time zone $3 is not null
            else exists (select from pg_timezone_names where name = $3)
        end
        "#,
        since,
        until,
        time_zone,
    );
    match found.fetch_optional(db).await {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(INVALID_PARAMETER_VALUE) => Ok(None),
        found => found,
    }
}
