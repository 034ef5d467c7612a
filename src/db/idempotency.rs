//! The table `idempotency_keys`: what was answered to requests that must be done once.

use sqlx::{PgConnection, PgExecutor};

/// An answer that is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, 2xx.
    pub status: i16,
    /// The Location header.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

/// Whose key it is, and which.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Whose.
    pub principal: &'a str,
    /// As the client chose it.
    pub key: &'a str,
}

/// What a key was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// New: it is this transaction's now, and whoever sends it meanwhile waits for its end.
    New,
    /// Used for this request, which was answered so.
    Answered(Answer),
    /// Used for another request.
    OfAnother,
}

/// Takes a key for a request, known by its hash. A key that is older than a day is as good as new.
pub async fn take(db: &mut PgConnection, key: Key<'_>, request: &[u8]) -> sqlx::Result<Found> {
    let taken = sqlx::query_scalar!(
        r#"
        insert into idempotency_keys as k (principal, key, request)
        values ($1, $2, $3)
        on conflict (principal, key) do update
            set request = excluded.request, status = null, location = null, body = null, created_at = now()
            where k.created_at < now() - interval '1 day'
        returning true as "taken!"
        "#,
        key.principal,
        key.key,
        request,
    )
    .fetch_optional(&mut *db)
    .await?;
    if taken.is_some() {
        return Ok(Found::New);
    }
    let used = sqlx::query!(
        r#"
        select request, status, location, body
        from idempotency_keys where principal = $1 and key = $2
        "#,
        key.principal,
        key.key,
    )
    .fetch_one(db)
    .await?;
    Ok(match (used.status, used.body) {
        (Some(status), Some(body)) if used.request == request => {
            Found::Answered(Answer { status, location: used.location, body })
        }
        _ => Found::OfAnother,
    })
}

/// Keeps the answer to the request for which this transaction took the key.
pub async fn answered(db: impl PgExecutor<'_>, key: Key<'_>, answer: &Answer) -> sqlx::Result<()> {
    sqlx::query!(
        "update idempotency_keys set status = $3, location = $4, body = $5 where principal = $1 and key = $2",
        key.principal,
        key.key,
        answer.status,
        answer.location,
        answer.body,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives a key back that this transaction took: nothing was done.
pub async fn give_back(db: impl PgExecutor<'_>, key: Key<'_>) -> sqlx::Result<()> {
    sqlx::query!("delete from idempotency_keys where principal = $1 and key = $2", key.principal, key.key)
        .execute(db)
        .await?;
    Ok(())
}

/// Removes up to so many keys that are older than a day; says how many it removed.
pub async fn drop_old(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        delete from idempotency_keys where (principal, key) in (
            select principal, key from idempotency_keys
            where created_at < now() - interval '1 day' order by created_at limit $1 for update skip locked)
        "#,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// How many keys are older than a day.
pub async fn count_old(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "keys!" from idempotency_keys where created_at < now() - interval '1 day'"#
    )
    .fetch_one(db)
    .await
}
