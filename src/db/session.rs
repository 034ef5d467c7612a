//! What is said on a connection that belongs to no table: where a transaction begins and ends.

use sqlx::{Connection as _, PgConnection};

/// What stands between us and the server, and so how a transaction begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing: what is said on a connection stays on it.
    Direct,
    /// A pooler that gives each transaction another server connection. Then each statement is a transaction of its own,
    /// and nothing may be left on the connection: no prepared statement, no LISTEN.
    Pooled,
}

impl Way {
    /// Says once on a new connection what holds for all that is asked on it.
    ///
    /// A transaction that says nothing for 2 s is ended by the server: its process was stopped or cut off, and the rows
    /// that it locked must not wait for it. Statements are planned once and not for each array that they are given:
    /// all of them look up by key, and to plan one costs more than to execute it. A page that an index points to is taken to
    /// cost little more than the next one of a table, or what is planned while the tables are nearly empty would read them
    /// from end to end, until the server has counted their rows anew.
    pub async fn introduce(self, connection: &mut PgConnection) -> sqlx::Result<()> {
        match self {
            Self::Direct => {
                let settings =
                    "set idle_in_transaction_session_timeout = '2s'; set plan_cache_mode = force_generic_plan;
                                set random_page_cost = 1.1";
                sqlx::raw_sql(settings).execute(connection).await.map(drop)
            }
            // It would be said to a server connection that somebody else has next.
            Self::Pooled => Ok(()),
        }
    }

    /// Begins a transaction.
    pub async fn begin(self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let limited = "begin; set local idle_in_transaction_session_timeout = '2s'";
        self.begin_by(connection, "begin", limited).await
    }

    /// Begins one that reads, and all of whose statements see the same.
    pub async fn begin_snapshot(self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let limited = "begin isolation level repeatable read, read only;
                       set local idle_in_transaction_session_timeout = '2s'";
        self.begin_by(connection, "begin isolation level repeatable read, read only", limited).await
    }

    async fn begin_by(
        self,
        connection: &mut PgConnection,
        direct: &'static str,
        pooled: &'static str,
    ) -> sqlx::Result<()> {
        match self {
            Self::Direct => sqlx::raw_sql(direct).execute(connection).await.map(drop),
            Self::Pooled => {
                sqlx::raw_sql(pooled).execute(&mut *connection).await?;
                // Whatever somebody else left prepared on this server connection.
                sqlx::raw_sql("deallocate all").execute(connection).await.map(drop)
            }
        }
    }

    /// Commits.
    pub async fn commit(self, connection: &mut PgConnection) -> sqlx::Result<()> {
        if self == Self::Pooled {
            // The server connection goes to others.
            connection.clear_cached_statements().await?;
        }
        sqlx::raw_sql("commit").execute(connection).await.map(drop)
    }

    /// Does what is one statement: through a pooler it has to be a transaction of its own.
    pub async fn alone<T>(
        self,
        connection: &mut PgConnection,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        if self == Self::Direct {
            return statement(connection).await;
        }
        self.begin(connection).await?;
        let answer = statement(connection).await?;
        self.commit(connection).await?;
        Ok(answer)
    }
}
