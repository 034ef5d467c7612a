//! The role that reads the views of the schema `dashboard` and nothing else.
//!
//! These are statements that take no parameters: whatever is put into them is a number, or was quoted by the server.

use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

/// The role's name. Roles are the server's, so all databases of one share it.
pub const NAME: &str = "ig_dashboard";

/// How many connections it may have at a time: a careless notebook must not take the service's.
pub const CONNECTIONS: u32 = 20;

/// A role of this name as it is.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whether it may log in.
    pub can_login: bool,
    /// Whether it has powers over the server, or those of another role.
    pub has_powers: bool,
    /// Its settings, as `name=value`.
    pub settings: Vec<String>,
}

/// Looks at the role; `None` where there is none.
pub async fn find(db: impl PgExecutor<'_>) -> sqlx::Result<Option<Standing>> {
    sqlx::query_as!(
        Standing,
        r#"
        select rolcanlogin as "can_login!",
               (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
                or exists (select from pg_auth_members m where m.member = r.oid)) as "has_powers!",
               coalesce(rolconfig, '{}') as "settings!"
        from pg_roles r
        where rolname = $1
        "#,
        NAME,
    )
    .fetch_optional(db)
    .await
}

/// Makes the role. It may log in once it has a password.
pub async fn create(db: &mut PgConnection) -> sqlx::Result<()> {
    execute(db, &creation()).await
}

/// The statement that makes the role.
pub fn creation() -> String {
    format!(
        "create role {NAME} login nosuperuser nocreatedb nocreaterole noreplication noinherit connection limit {CONNECTIONS}"
    )
}

/// The statements that set what holds in its sessions until they say otherwise: they write nothing, no statement takes
/// longer than so many seconds, and none is compiled first, which would take longer than most of them.
pub fn limits(statement_seconds: u32) -> [String; 3] {
    [
        format!("alter role {NAME} set default_transaction_read_only = on"),
        format!("alter role {NAME} set statement_timeout = '{statement_seconds}s'"),
        format!("alter role {NAME} set jit = off"),
    ]
}

/// Whether a role with these settings has these limits.
pub fn is_limited(settings: &[String], statement_seconds: u32) -> bool {
    let has = |setting: &str| settings.iter().any(|is| is == setting);
    has("default_transaction_read_only=on") && has(&format!("statement_timeout={statement_seconds}s")) && has("jit=off")
}

/// Sets these limits.
pub async fn limit(db: &mut PgConnection, statement_seconds: u32) -> sqlx::Result<()> {
    for statement in limits(statement_seconds) {
        execute(db, &statement).await?;
    }
    Ok(())
}

/// Sets its password, given as a SCRAM-SHA-256 verifier: the password itself goes into no log of the server.
pub async fn set_password(db: &mut PgConnection, verifier: &str) -> sqlx::Result<()> {
    let statement = sqlx::query_scalar!(
        r#"select format('alter role %I login password %L', $1::text, $2::text) as "statement!""#,
        NAME,
        verifier,
    )
    .fetch_one(&mut *db)
    .await?;
    execute(db, &statement).await
}

/// Lets it read the views, those of later versions too, and connect to this database.
pub async fn grant(db: &mut PgConnection) -> sqlx::Result<()> {
    for statement in [
        format!("grant usage on schema dashboard to {NAME}"),
        format!("grant select on all tables in schema dashboard to {NAME}"),
        format!("alter default privileges in schema dashboard grant select on tables to {NAME}"),
    ] {
        execute(db, &statement).await?;
    }
    let connect = sqlx::query_scalar!(
        r#"
        select format('grant connect on database %I to %I', current_database(), $1::text) as "statement!"
        where not has_database_privilege($1, current_database(), 'connect')
        "#,
        NAME,
    );
    if let Some(statement) = connect.fetch_optional(&mut *db).await? {
        execute(db, &statement).await?;
    }
    Ok(())
}

/// What else it may read or write in this database, because that was granted to it or to everybody: tables, views and
/// sequences outside of the schema, and the server's own aside.
pub async fn beyond(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select c.oid::regclass::text as "name!"
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        where n.nspname not in ('dashboard', 'pg_catalog', 'information_schema') and n.nspname !~ '^pg_'
            and case
                when c.relkind = 'S' then has_sequence_privilege($1, c.oid, 'usage, select, update')
                when c.relkind in ('r', 'p', 'v', 'm', 'f') then
                    has_table_privilege($1, c.oid, 'insert, update, delete, truncate')
                        or has_any_column_privilege($1, c.oid, 'select, insert, update')
            end
        order by 1
        "#,
        NAME,
    )
    .fetch_all(db)
    .await
}

async fn execute(db: &mut PgConnection, statement: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(db).await.map(drop)
}

/// Whether the server refused because this user may not do it.
pub fn is_forbidden(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42501")
}
