//! The names by which rows are known.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A task's name: the client's own, or a version 7 UUID. 1 to 128 of `A–Z a–z 0–9 _ - . :`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_.:-]{1,128}$", example = "nasa-daily")]
#[serde(try_from = "String", into = "String")]
#[sqlx(transparent)]
pub struct TaskId(String);

/// A text that is no task id, and what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task_id must be 1 to 128 characters of A-Z a-z 0-9 _ - . :")]
pub struct TaskIdError;

impl TaskId {
    /// Checks a client's own name for a task.
    pub fn parse(text: &str) -> Result<Self, TaskIdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        match text.len() {
            1..=128 if text.bytes().all(allowed) => Ok(Self(text.to_owned())),
            _ => Err(TaskIdError),
        }
    }

    /// A fresh name for a client that gave none.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TaskId {
    type Error = TaskIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

/// A run's name, made by the database; sorts by the time of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[schema(value_type = Uuid, format = "uuid", example = "01a20178-8408-732e-a18d-da46eb031805")]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// The lowest id that a run can have that is asked for at this time; what `uuid_v7_floor` gives in the database.
    pub fn floor(at: DateTime<Utc>) -> Self {
        let millis = u128::try_from(at.timestamp_millis()).unwrap_or(0).min((1 << 48) - 1);
        Self(Uuid::from_u128(millis << 80))
    }

    /// When it was made, by the id itself; `None` where that is no time.
    pub fn time(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(i64::try_from(self.0.as_u128() >> 80).ok()?)
    }

    /// The id right before this one; `None` before the first.
    pub fn before(self) -> Option<Self> {
        self.0.as_u128().checked_sub(1).map(|id| Self(Uuid::from_u128(id)))
    }

    /// The id right behind this one; `None` behind the last.
    pub fn behind(self) -> Option<Self> {
        self.0.as_u128().checked_add(1).map(|id| Self(Uuid::from_u128(id)))
    }

    /// The least and the greatest id that there can be.
    pub const ALL: (Self, Self) = (Self(Uuid::nil()), Self(Uuid::max()));
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The right to write for a run: raised by each claim, named by each write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Lease(pub i64);

/// One boot of one replica; a restart is somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct WorkerId(pub Uuid);

impl WorkerId {
    /// A new identity, taken at boot.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_is_a_clients_own_text_within_its_alphabet_and_length() {
        for good in ["task_123", "a", "A.b-c:d_9", &"x".repeat(128), "6f1c9f0e-1d1e-4c5e-9c52-0d6f0e6e0c11"] {
            assert!(TaskId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", &"x".repeat(129), "a b", "a/b", "é", "a\0", "a%20"] {
            assert_eq!(TaskId::parse(bad), Err(TaskIdError), "{bad:?}");
        }
        assert!(TaskId::parse(TaskId::generate().as_str()).is_ok());
    }
}
