//! One failure of the database, told to all whom it meets.

use std::ops::Deref;
use std::sync::Arc;

use super::health;
use crate::batcher::{BrokenOff, Fault};

/// An error of the database that several may have to be told of: a batch failed, or a whole request took too long.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Failure(Arc<sqlx::Error>);

impl Failure {
    /// Whether it is about what a statement said, which then has done nothing: not about a connection, or the server.
    pub fn is_of_the_statement(&self) -> bool {
        matches!(&*self.0, sqlx::Error::Database(error) if !health::is_of_the_server(error.as_ref()))
    }
}

impl Deref for Failure {
    type Target = sqlx::Error;

    fn deref(&self) -> &sqlx::Error {
        &self.0
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl Fault for Failure {
    fn may_be_one_of_them(&self) -> bool {
        self.is_of_the_statement()
    }
}

impl From<BrokenOff> for Failure {
    fn from(_: BrokenOff) -> Self {
        sqlx::Error::WorkerCrashed.into()
    }
}
