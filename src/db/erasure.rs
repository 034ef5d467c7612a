//! Erasing a person: finding all that is theirs, stopping what would write more of it, and removing it.
//!
//! What is theirs: the accounts, with their numbers, posts and names; the tasks that are about them; the runs of these, and
//! all other runs that read them. Of the runs the bare statistics stay.

use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::audit::Author;
use super::{RunId, TaskId, summaries};

/// An account that a name may mean.
#[derive(Clone, Debug)]
pub struct Account {
    /// Our own number of it.
    pub profile_id: i64,
    /// Instagram's own number of it.
    pub instagram_pk: Option<i64>,
    /// Its id on the Facebook side.
    pub fbid: Option<String>,
    /// Its handle when last seen.
    pub username: String,
}

/// The accounts that bear a handle or bore it.
pub async fn accounts_called(db: impl PgExecutor<'_>, username: &str) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as!(
        Account,
        r#"
        select profile_id, instagram_pk, fbid, username
        from profiles
        where username = $1 or profile_id in (select profile_id from profile_names where username = $1)
        order by profile_id
        "#,
        username,
    )
    .fetch_all(db)
    .await
}

/// The account with this number: Instagram's, or our own.
pub async fn account_of_number(
    db: impl PgExecutor<'_>,
    instagram_pk: Option<i64>,
    profile_id: Option<i64>,
) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"
        select profile_id, instagram_pk, fbid, username
        from profiles
        where instagram_pk = $1 or profile_id = $2
        "#,
        instagram_pk,
        profile_id,
    )
    .fetch_optional(db)
    .await
}

/// The handles that an account bears and bore, and those that tasks which led to it name.
pub async fn handles(db: impl PgExecutor<'_>, profile_id: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select username as "username!" from profiles where profile_id = $1
        union select username from profile_names where profile_id = $1
        union select username from runs where profile_id = $1
        "#,
        profile_id,
    )
    .fetch_all(db)
    .await
}

/// Those of these handles that no other account bears or bore.
pub async fn handles_of_nobody_else(
    db: impl PgExecutor<'_>,
    handles: &[String],
    profile_id: Option<i64>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select handle as "handle!"
        from unnest($1::text[]) as handle
        where not exists (
                select from profiles where username = handle and profile_id is distinct from $2)
            and not exists (
                select from profile_names where username = handle and profile_id is distinct from $2)
        "#,
        handles,
        profile_id,
    )
    .fetch_all(db)
    .await
}

/// The tasks that are about a person: those whose latest run that read an account read theirs; and those that name one of
/// their handles and never read any.
pub async fn tasks(db: impl PgExecutor<'_>, handles: &[String], profile_id: Option<i64>) -> sqlx::Result<Vec<TaskId>> {
    sqlx::query_scalar!(
        r#"
        select t.task_id as "task_id: TaskId"
        from tasks t
        left join lateral (
            select r.profile_id from runs r
            where r.task_id = t.task_id and r.profile_id is not null
            order by r.run_id desc limit 1
        ) as latest on true
        where latest.profile_id = $2 or (latest.profile_id is null and t.username = any($1))
        order by t.created_at, t.task_id
        "#,
        handles,
        profile_id,
    )
    .fetch_all(db)
    .await
}

/// Deletes the tasks, so that no run of them begins any more, and ends those that are active. It raises their leases:
/// whatever a hand still has to write for them, its fence refuses whole. Says which runs it ended.
pub async fn stop(db: impl PgExecutor<'_>, tasks: &[TaskId]) -> sqlx::Result<Vec<RunId>> {
    let tasks: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
    sqlx::query_scalar!(
        r#"
        with deleted as (
            update tasks set state = 'deleted', deleted_at = now(), updated_at = now()
            where task_id = any($1) and state = 'active'
        )
        update runs
        set state = 'cancelled', reason = 'cancelled_by_client', lease = lease + 1, claimable_at = null,
            cancel_requested_at = coalesce(cancel_requested_at, now()), finished_at = now(), updated_at = now(),
            state_xid = pg_current_xact_id()
        where task_id = any($1) and state in ('queued', 'running', 'waiting')
        returning run_id as "run_id: RunId"
        "#,
        &tasks as &[&str],
    )
    .fetch_all(db)
    .await
}

/// The next transaction of the cluster: what has a snapshot of before now, has one of before it.
pub async fn moment(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as "moment!""#)
        .fetch_one(db)
        .await
}

/// Whether a client of this database still works with what it saw before a moment.
pub async fn somebody_sees_before(db: impl PgExecutor<'_>, moment: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
                and backend_xmin is not null and age(backend_xmin) > age(xid($1::bigint::text::xid8))) as "exists!"
        "#,
        moment,
    )
    .fetch_one(db)
    .await
}

/// Whose rows are removed.
#[derive(Clone, Debug)]
pub struct Person {
    /// Our own number of the account, where a run has read it.
    pub profile_id: Option<i64>,
    /// The tasks that are about them.
    pub tasks: Vec<TaskId>,
    /// All handles by which they are known.
    pub handles: Vec<String>,
}

/// What was removed, or made bare: a table, and how many of its rows.
pub type Removed = Vec<(&'static str, u64)>;

/// Removes all rows of a person and leaves of their runs the bare statistics, under this name, which nobody bears. Runs in a
/// transaction of its own: all of it is done, or nothing.
pub async fn erase(db: &mut PgConnection, person: &Person, name: &str, author: &Author) -> sqlx::Result<Removed> {
    lock(&mut *db, person).await?;
    stop(&mut *db, &person.tasks).await?;
    let runs = runs_of(&mut *db, person).await?;
    let mut removed = Removed::new();
    logs(&mut *db, &runs, &mut removed).await?;
    if let Some(profile_id) = person.profile_id {
        account(&mut *db, profile_id, &mut removed).await?;
    }
    answers(&mut *db, person, &runs, &mut removed).await?;
    bare(&mut *db, person, &runs, name, &mut removed).await?;
    let counts: serde_json::Map<String, Value> =
        removed.iter().map(|(table, rows)| ((*table).to_owned(), json!(rows))).collect();
    sqlx::query!(
        "insert into audit (who, act, object, details, request_id, address)
         values ($1, 'profiles.purge', $2, $3, $4, $5)",
        author.who,
        name,
        Value::Object(counts),
        author.request_id,
        author.address,
    )
    .execute(db)
    .await?;
    Ok(removed)
}

/// From here on no run that reads the account can write of it, and nobody sums up what was read of its logs.
async fn lock(db: &mut PgConnection, person: &Person) -> sqlx::Result<()> {
    summaries::hold(&mut *db).await?;
    sqlx::query!("select profile_id from profiles where profile_id = $1 for update", person.profile_id)
        .fetch_optional(db)
        .await?;
    Ok(())
}

/// The runs that are theirs.
pub async fn runs(db: impl PgExecutor<'_>, tasks: &[TaskId], profile_id: Option<i64>) -> sqlx::Result<Vec<RunId>> {
    let tasks: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
    sqlx::query_scalar!(
        r#"select run_id as "run_id: RunId" from runs where task_id = any($1) or profile_id = $2"#,
        &tasks as &[&str],
        profile_id,
    )
    .fetch_all(db)
    .await
}

async fn runs_of(db: &mut PgConnection, person: &Person) -> sqlx::Result<Vec<Uuid>> {
    let tasks: Vec<&str> = person.tasks.iter().map(TaskId::as_str).collect();
    sqlx::query_scalar!(
        "select run_id from runs where task_id = any($1) or profile_id = $2 order by run_id for update",
        &tasks as &[&str],
        person.profile_id,
    )
    .fetch_all(db)
    .await
}

async fn logs(db: &mut PgConnection, runs: &[Uuid], removed: &mut Removed) -> sqlx::Result<()> {
    let done = sqlx::query!("delete from events where run_id = any($1)", runs).execute(&mut *db).await?;
    removed.push(("events", done.rows_affected()));
    let done = sqlx::query!("delete from run_exchanges where run_id = any($1)", runs).execute(&mut *db).await?;
    removed.push(("run_exchanges", done.rows_affected()));
    let done = sqlx::query!("delete from run_archives where run_id = any($1)", runs).execute(&mut *db).await?;
    removed.push(("run_archives", done.rows_affected()));
    Ok(())
}

async fn account(db: &mut PgConnection, profile_id: i64, removed: &mut Removed) -> sqlx::Result<()> {
    macro_rules! remove {
        ($($table:literal),+ $(,)?) => {$(
            let done = sqlx::query!("delete from " + $table + " where profile_id = $1", profile_id).execute(&mut *db).await?;
            removed.push(($table, done.rows_affected()));
        )+};
    }
    // Who counts its posts has taken the first of these, and no other will.
    remove!(
        "account_rollups",
        "engagement_weeks",
        "reel_days",
        "media_snapshots",
        "media_captions",
        "media",
        "scans",
        "profile_days",
        "profile_snapshots",
        "profile_names",
        "profiles",
    );
    Ok(())
}

/// What was answered to clients and is kept for a day: all that names one of the tasks, runs or handles.
async fn answers(db: &mut PgConnection, person: &Person, runs: &[Uuid], removed: &mut Removed) -> sqlx::Result<()> {
    let tasks = person.tasks.iter().map(TaskId::to_string);
    let names: Vec<String> =
        tasks.chain(runs.iter().map(Uuid::to_string)).chain(person.handles.iter().cloned()).collect();
    let done = sqlx::query!(
        r#"
        delete from idempotency_keys
        where exists (
            select from unnest($1::text[]) as name
            where strpos(body, '"' || name || '"') > 0 or location like '%/' || replace(name, '_', '\_')
                or location like '%/' || replace(name, '_', '\_') || '/%')
        "#,
        &names,
    )
    .execute(db)
    .await?;
    removed.push(("idempotency_keys", done.rows_affected()));
    Ok(())
}

/// Leaves of the runs and tasks what names nobody.
async fn bare(
    db: &mut PgConnection,
    person: &Person,
    runs: &[Uuid],
    name: &str,
    removed: &mut Removed,
) -> sqlx::Result<()> {
    let tasks: Vec<&str> = person.tasks.iter().map(TaskId::as_str).collect();
    let names: Vec<String> = (1..=tasks.len()).map(|number| format!("{name}.{number}")).collect();
    let done = sqlx::query!(
        r#"
        update audit a
        set object = renamed.name, details = a.details - 'username'
        from unnest($1::text[], $2::text[]) as renamed (task_id, name)
        where a.act = 'tasks.delete' and a.object = renamed.task_id
        "#,
        &tasks as &[&str],
        &names,
    )
    .execute(&mut *db)
    .await?;
    removed.push(("audit", done.rows_affected()));
    let done = sqlx::query!(
        r#"
        update runs r
        set task_id = coalesce(
                (select renamed.name from unnest($2::text[], $3::text[]) as renamed (task_id, name)
                 where renamed.task_id = r.task_id),
                r.task_id),
            username = $4, profile_id = null, checkpoint = null, began_at = null, erased_at = now(), updated_at = now(),
            state_xid = pg_current_xact_id()
        where r.run_id = any($1)
        "#,
        runs,
        &tasks as &[&str],
        &names,
        name,
    )
    .execute(&mut *db)
    .await?;
    removed.push(("runs", done.rows_affected()));
    // As bare as their runs, and counted with these.
    sqlx::query!(
        r#"
        update run_summaries
        set message = null, endpoint = null, http_status = null, failure = null, upstream_message = null
        where run_id = any($1) and message is not null
        "#,
        runs,
    )
    .execute(&mut *db)
    .await?;
    let done = sqlx::query!(
        r#"
        update tasks t
        set task_id = renamed.name, username = $3, state = 'deleted', deleted_at = coalesce(t.deleted_at, now()),
            updated_at = now()
        from unnest($1::text[], $2::text[]) as renamed (task_id, name)
        where t.task_id = renamed.task_id
        "#,
        &tasks as &[&str],
        &names,
        name,
    )
    .execute(db)
    .await?;
    removed.push(("tasks", done.rows_affected()));
    Ok(())
}

/// Whether tasks of these names have runs, which began while the person was being erased.
pub async fn has_runs(db: impl PgExecutor<'_>, tasks: &[TaskId]) -> sqlx::Result<bool> {
    let tasks: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
    sqlx::query_scalar!(r#"select exists (select from runs where task_id = any($1)) as "exists!""#, &tasks as &[&str],)
        .fetch_one(db)
        .await
}
