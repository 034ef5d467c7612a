//! A transaction on a connection of the pool.

use std::ops::{Deref, DerefMut};

use deadpool::managed::Object;
use sqlx::PgConnection;

use super::super::session;
use super::connections::{Connections, Line};

/// A transaction. Dropped before its commit it is undone at once, and its connection with it.
pub struct Transaction {
    object: Option<Object<Connections>>,
    is_pooled: bool,
}

impl Transaction {
    pub(super) async fn begin(object: Object<Connections>, line: &Line) -> sqlx::Result<Self> {
        let mut transaction = Self { object: Some(object), is_pooled: line.is_pooled };
        match line.is_pooled {
            false => session::begin(&mut transaction).await?,
            true => session::begin_afresh(&mut transaction).await?,
        }
        Ok(transaction)
    }

    /// Commits. An error leaves open whether it was done.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        match self.is_pooled {
            false => session::commit(&mut self).await?,
            true => session::commit_and_forget(&mut self).await?,
        }
        drop(self.object.take());
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        drop(self.object.take().map(Object::take));
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        let Some(object) = &self.object else { unreachable!("taken only at its end") };
        &object.raw
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        let Some(object) = &mut self.object else { unreachable!("taken only at its end") };
        &mut object.raw
    }
}
