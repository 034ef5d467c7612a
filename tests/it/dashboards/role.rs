//! The role `ig_dashboard`: made by a command, and tried at every table, function and schema.

use ig_tracking::db::dashboard_role::NAME;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::history;
use crate::harness::{Database, call};

/// The role is the server's: whoever tests it there takes turns, other test processes too. The turn lasts as long as the
/// connection.
async fn turn(database: &Database) -> PgConnection {
    let mut connection = PgConnection::connect(&database.url_in("postgres")).await.unwrap();
    let lock = "select pg_advisory_lock(hashtext('ig-tracking.tests.dashboard-role'))";
    sqlx::query(lock).execute(&mut connection).await.unwrap();
    connection
}

/// Does something while the role is as the command makes it for this database.
pub(super) async fn with_role(database: &Database, work: impl AsyncFnOnce(&str)) {
    let _turn = turn(database).await;
    let made = call(&["dashboard-role"], &settings(database)).finished().await;
    assert_eq!(made.code, Some(0), "{made:?}");
    work(NAME).await;
}

fn settings(database: &Database) -> [(&str, &str); 1] {
    [("DATABASE_URL", database.url.as_str())]
}

async fn execute(database: &Database, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&database.pool).await.unwrap();
}

/// What the server answered: nothing, or the code of its refusal.
async fn refusal(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await;
    done.err().map(|error| error.as_database_error().unwrap_or_else(|| panic!("{error}")).code().unwrap().into_owned())
}

const FORBIDDEN: &str = "42501";

#[tokio::test]
async fn the_role_reads_the_views_and_nothing_else_whatever_it_tries() {
    let database = history().await;
    with_role(database, async |role: &str| {
        let mut connection = PgConnection::connect(&database.url_of(role)).await.unwrap();
        let db = &mut connection;
        let views: Vec<String> = sqlx::query_scalar(
            "select oid::regclass::text from pg_class where relnamespace = 'dashboard'::regnamespace order by 1",
        )
        .fetch_all(&mut *db)
        .await
        .unwrap();
        assert!(views.len() > 15, "{views:?}");
        for view in &views {
            assert_eq!(refusal(db, &format!("select * from {view} limit 1")).await, None, "{view}");
        }
        // Also where it takes off what keeps it from writing by accident.
        assert_eq!(refusal(db, "create table mine (n int)").await.as_deref(), Some("25006"), "read-only");
        assert_eq!(refusal(db, "set default_transaction_read_only = off").await, None);
        for view in &views {
            for write in [format!("delete from {view}"), format!("insert into {view} default values")] {
                let refused = refusal(db, &write).await;
                // A view that could not be written to by anybody is refused for that.
                assert!(matches!(refused.as_deref(), Some("42501" | "55000")), "{write}: {refused:?}");
            }
        }
        let others: Vec<(String, String)> = sqlx::query_as(
            "select c.oid::regclass::text, c.relkind::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'dashboard')
                 and c.relkind in ('r', 'p', 'v', 'm', 'S') order by 1",
        )
        .fetch_all(&mut *db)
        .await
        .unwrap();
        assert!(others.len() > 30, "{others:?}");
        for (name, kind) in &others {
            let tries = match kind.as_str() {
                "S" => vec![format!("select nextval('{name}')"), format!("select * from {name}")],
                _ => vec![
                    format!("select * from {name} limit 1"),
                    format!("select count(*) from {name}"),
                    format!("insert into {name} default values"),
                    format!("update {name} set ctid = ctid"),
                    format!("delete from {name}"),
                    format!("truncate {name}"),
                    format!("do $$ begin lock table {name}; end $$"),
                    format!("copy {name} to stdout"),
                    format!("drop table {name}"),
                ],
            };
            for tried in tries {
                let refused = refusal(db, &tried).await;
                // To set a system column is nonsense before it is forbidden.
                assert!(
                    matches!(refused.as_deref(), Some(FORBIDDEN | "0A000" | "42809")),
                    "{tried}: {refused:?}"
                );
            }
        }
        // Functions that look at tables look with its own eyes; the others only calculate.
        for (tried, expected) in [
            ("select take_slots(array['guest'], array[1], 1, 1)", Some(FORBIDDEN)),
            // Where none is missing it looks and makes nothing.
            ("select ensure_run_partitions(60)", Some(FORBIDDEN)),
            ("select ensure_archive_partition('2001-01-01')", Some(FORBIDDEN)),
            ("select make_run_partition('events', 'events_mine', '2001-01-01', '2001-01-08')", Some(FORBIDDEN)),
            ("select drop_run_partition('events_default', true)", Some(FORBIDDEN)),
            ("select uuid_v7(), uuid_v7_floor(now()), dashboard.run_id_at(now())", None),
            ("create table dashboard.mine (n int)", Some(FORBIDDEN)),
            ("create schema mine", Some(FORBIDDEN)),
            ("create role mine", Some(FORBIDDEN)),
            ("create database mine", Some(FORBIDDEN)),
            ("create function dashboard.mine() returns int language sql as 'select 1'", Some(FORBIDDEN)),
            ("alter role ig_dashboard superuser", Some(FORBIDDEN)),
            ("set role postgres", Some(FORBIDDEN)),
            ("select pg_read_file('/etc/hostname')", Some(FORBIDDEN)),
            ("copy (select 1) to program 'true'", Some(FORBIDDEN)),
        ] {
            assert_eq!(refusal(db, tried).await.as_deref(), expected, "{tried}");
        }
        let functions: Vec<String> = sqlx::query_scalar(
            "select proname::text from pg_proc where pronamespace = 'public'::regnamespace and not prosecdef
                 and provolatile = 'v' and prorettype <> 'trigger'::regtype order by 1",
        )
        .fetch_all(&mut *db)
        .await
        .unwrap();
        let known = [
            "drop_run_partition",
            "ensure_archive_partition",
            "ensure_run_partitions",
            "hear_of_credentials",
            "make_run_partition",
            "take_slots",
            "uuid_v7",
        ];
        assert_eq!(functions, known, "try the new one above");
        let definers: i64 = sqlx::query_scalar(
            "select count(*) from pg_proc where prosecdef and pronamespace in ('public'::regnamespace, 'dashboard'::regnamespace)",
        )
        .fetch_one(&mut *db)
        .await
        .unwrap();
        assert_eq!(definers, 0, "none has other rights than its caller");
        connection.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_statement_of_the_role_that_takes_too_long_is_given_up() {
    let database = Database::fresh().await;
    let _turn = turn(&database).await;
    let made = call(&["dashboard-role", "--statement-timeout", "1"], &settings(&database)).finished().await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let mut connection = PgConnection::connect(&database.url_of(NAME)).await.unwrap();
    assert_eq!(refusal(&mut connection, "select pg_sleep(60)").await.as_deref(), Some("57014"));
    connection.close().await.unwrap();
    // The default again, and said so.
    let made = call(&["dashboard-role"], &settings(&database)).finished().await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let mut connection = PgConnection::connect(&database.url_of(NAME)).await.unwrap();
    let limits: (String, String, String) = sqlx::query_as(
        "select current_setting('statement_timeout'), current_setting('default_transaction_read_only'), current_setting('jit')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(limits, ("30s".to_owned(), "on".to_owned(), "off".to_owned()));
    connection.close().await.unwrap();
}

#[tokio::test]
async fn the_password_is_given_or_shown_once_and_goes_to_the_server_as_a_verifier_alone() {
    let database = Database::fresh().await;
    let _turn = turn(&database).await;
    let stored = async || -> Option<String> {
        sqlx::query_scalar("select rolpassword from pg_authid where rolname = $1")
            .bind(NAME)
            .fetch_one(&database.pool)
            .await
            .unwrap()
    };
    let made = call(&["dashboard-role", "--new-password"], &settings(&database)).finished().await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let shown = made.stdout.strip_suffix('\n').unwrap();
    assert!(shown.len() == 32 && shown.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{made:?}");
    assert!(!made.stderr.contains(shown) && made.stderr.contains("shown this once"), "{made:?}");
    let first = stored().await.unwrap();
    assert!(first.starts_with("SCRAM-SHA-256$4096:"), "{first}");
    // Called again it changes nothing and shows nothing.
    let again = call(&["dashboard-role"], &settings(&database)).finished().await;
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), ""), "{again:?}");
    assert!(again.stderr.contains("with the password that it had"), "{again:?}");
    assert_eq!(stored().await.unwrap(), first);
    // The server takes the password that was given, and no other.
    let given = [settings(&database)[0], ("IGT_DASHBOARD_PASSWORD", "correct horse battery")];
    let given = call(&["dashboard-role"], &given).finished().await;
    assert_eq!((given.code, given.stdout.as_str()), (Some(0), ""), "{given:?}");
    let now = stored().await.unwrap();
    assert_ne!(now, first);
    assert!(verifies(&now, "correct horse battery") && !verifies(&now, "correct horse"), "{now}");
    let short = [settings(&database)[0], ("IGT_DASHBOARD_PASSWORD", "short")];
    let short = call(&["dashboard-role"], &short).finished().await;
    assert_eq!(short.code, Some(1), "{short:?}");
    assert!(short.stderr.contains("shorter than 8"), "{short:?}");
    let empty = call(&["dashboard-role", "--password-stdin"], &settings(&database)).finished().await;
    assert_eq!(empty.code, Some(1), "nothing on standard input is no password: {empty:?}");
}

/// Whether a SCRAM-SHA-256 verifier (RFC 5803) is of this password.
fn verifies(verifier: &str, password: &str) -> bool {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let (parameters, keys) = verifier.strip_prefix("SCRAM-SHA-256$").unwrap().split_once('$').unwrap();
    let (rounds, salt) = parameters.split_once(':').unwrap();
    let (salt, rounds) = (base64.decode(salt).unwrap(), rounds.parse::<u32>().unwrap());
    let stored = base64.decode(keys.split_once(':').unwrap().0).unwrap();
    let mac = |key: &[u8], text: &[u8]| -> Vec<u8> {
        use sha2::{Digest as _, Sha256};
        let mut pad = [0_u8; 64];
        pad[..key.len()].copy_from_slice(key);
        let with = |byte: u8| pad.map(|of_key| of_key ^ byte);
        let inner = Sha256::new().chain_update(with(0x36)).chain_update(text).finalize();
        Sha256::new().chain_update(with(0x5c)).chain_update(inner).finalize().to_vec()
    };
    let mut block = mac(password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
    let mut salted = block.clone();
    for _ in 1..rounds {
        block = mac(password.as_bytes(), &block);
        salted.iter_mut().zip(&block).for_each(|(byte, more)| *byte ^= more);
    }
    use sha2::{Digest as _, Sha256};
    Sha256::digest(mac(&salted, b"Client Key")).to_vec() == stored
}

#[tokio::test]
async fn where_no_role_may_be_made_the_command_says_what_somebody_else_has_to_run() {
    let database = Database::fresh().await;
    let _turn = turn(&database).await;
    let name = format!("igt_plain_{}", std::process::id());
    let drop_role = format!("drop owned by {NAME}; drop role if exists {NAME}");
    // The role may have rights in the databases of other tests, and cannot be dropped then: it is put aside.
    let aside = format!("igt_aside_{}", std::process::id());
    execute(&database, &format!("create role {name} login")).await;
    let had_one: bool = sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
        .bind(NAME)
        .fetch_one(&database.pool)
        .await
        .unwrap();
    if had_one {
        execute(&database, &format!("alter role {NAME} rename to {aside}")).await;
    }
    let schema = format!(
        "grant all on schema public, dashboard to {name};
        do $$ declare view text; begin
            execute (select format('alter database %I owner to {name}', current_database()));
            for view in select oid::regclass from pg_class where relnamespace = 'dashboard'::regnamespace loop
                execute format('alter view %s owner to {name}', view);
            end loop;
        end $$;
        alter schema dashboard owner to {name};
        grant select on all tables in schema public to {name}"
    );
    execute(&database, &schema).await;
    let url = database.url_of(&name);
    let settings = [("DATABASE_URL", url.as_str())];
    let refused = call(&["dashboard-role"], &settings).finished().await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    let statements = refused.stderr.split_once("\n\n").unwrap().1.replace('…', "a long password");
    assert!(statements.contains(&format!("create role {NAME}")), "{statements}");
    // Somebody who may runs just that, and the command does the rest.
    execute(&database, &statements).await;
    let done = call(&["dashboard-role"], &settings).finished().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    let mut connection = PgConnection::connect(&database.url_of(NAME)).await.unwrap();
    assert_eq!(refusal(&mut connection, "select count(*) from dashboard.runs").await, None);
    assert_eq!(refusal(&mut connection, "select count(*) from runs").await.as_deref(), Some(FORBIDDEN));
    connection.close().await.unwrap();
    execute(&database, &drop_role).await;
    if had_one {
        execute(&database, &format!("alter role {aside} rename to {NAME}")).await;
    }
}

#[tokio::test]
async fn a_role_that_may_more_is_not_used_and_what_everybody_may_is_said() {
    let database = Database::fresh().await;
    let _turn = turn(&database).await;
    let made = call(&["dashboard-role"], &settings(&database)).finished().await;
    assert_eq!(made.code, Some(0), "{made:?}");
    execute(&database, &format!("alter role {NAME} createdb")).await;
    let refused = call(&["dashboard-role"], &settings(&database)).finished().await;
    execute(&database, &format!("alter role {NAME} nocreatedb")).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("powers beyond reading"), "{refused:?}");
    execute(&database, "grant select on profiles to public").await;
    let warned = call(&["dashboard-role"], &settings(&database)).finished().await;
    assert_eq!(warned.code, Some(0), "{warned:?}");
    assert!(warned.stderr.contains("beware") && warned.stderr.trim_end().ends_with("profiles"), "{warned:?}");
}
