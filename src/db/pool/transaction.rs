//! A transaction on a connection of the pool.

use std::ops::{Deref, DerefMut};

use deadpool::managed::Object;
use sqlx::PgConnection;

use super::super::session::Way;
use super::connections::Connections;

/// A transaction. Dropped before its commit it is undone at once, and its connection with it.
pub struct Transaction {
    object: Option<Object<Connections>>,
    way: Way,
}

impl Transaction {
    pub(super) async fn begin(object: Object<Connections>, way: Way) -> sqlx::Result<Self> {
        let mut transaction = Self { object: Some(object), way };
        way.begin(&mut transaction).await?;
        Ok(transaction)
    }

    /// The same for one that reads, and all of whose statements see the same.
    pub(super) async fn begin_snapshot(object: Object<Connections>, way: Way) -> sqlx::Result<Self> {
        let mut transaction = Self { object: Some(object), way };
        way.begin_snapshot(&mut transaction).await?;
        Ok(transaction)
    }

    /// Commits. An error leaves open whether it was done.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        self.way.commit(&mut self).await?;
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
