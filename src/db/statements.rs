//! What takes one statement after another.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr};

use super::{Pool, Transaction};

/// What takes one statement after another: a pool, each on any connection of it, or one connection.
#[derive(Debug)]
pub enum Statements<'d> {
    /// The service's pool.
    Pool(&'d Pool),
    /// One of sqlx's own.
    PgPool(&'d PgPool),
    /// One connection.
    Connection(&'d mut PgConnection),
}

impl<'d> From<&'d Pool> for Statements<'d> {
    fn from(pool: &'d Pool) -> Self {
        Self::Pool(pool)
    }
}

impl<'d> From<&'d PgPool> for Statements<'d> {
    fn from(pool: &'d PgPool) -> Self {
        Self::PgPool(pool)
    }
}

impl<'d> From<&'d mut PgConnection> for Statements<'d> {
    fn from(connection: &'d mut PgConnection) -> Self {
        Self::Connection(connection)
    }
}

impl<'d> From<&'d mut Transaction> for Statements<'d> {
    fn from(transaction: &'d mut Transaction) -> Self {
        Self::Connection(transaction)
    }
}

impl<'c> Executor<'c> for &'c mut Statements<'_> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self {
            Statements::Pool(pool) => pool.fetch_many(query),
            Statements::PgPool(pool) => pool.fetch_many(query),
            Statements::Connection(connection) => connection.fetch_many(query),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self {
            Statements::Pool(pool) => pool.fetch_optional(query),
            Statements::PgPool(pool) => pool.fetch_optional(query),
            Statements::Connection(connection) => connection.fetch_optional(query),
        }
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        match self {
            Statements::Pool(pool) => pool.prepare_with(sql, types),
            Statements::PgPool(pool) => pool.prepare_with(sql, types),
            Statements::Connection(connection) => connection.prepare_with(sql, types),
        }
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        match self {
            Statements::Pool(pool) => pool.describe(sql),
            Statements::PgPool(pool) => pool.describe(sql),
            Statements::Connection(connection) => connection.describe(sql),
        }
    }
}
