//! Values by which lists are filtered, each with what it may be.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// How often a parameter may be repeated.
const MAX_VALUES: usize = 50;

/// A parameter that may be repeated: each value once. None is as good as not asked for.
#[derive(Clone, Debug)]
pub(super) struct Many<T>(Vec<T>);

impl<T> Many<T> {
    /// The values; `None` where there is none.
    pub(super) fn wanted(self) -> Option<Vec<T>> {
        (!self.0.is_empty()).then_some(self.0)
    }
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de> + PartialEq> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Vec::<T>::deserialize(deserializer)?;
        if given.len() > MAX_VALUES {
            return Err(D::Error::custom(format!(
                "is given {} times; give it {MAX_VALUES} times at most",
                given.len()
            )));
        }
        let mut values = Vec::with_capacity(given.len());
        for value in given {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        Ok(Self(values))
    }
}

/// A type of event: a word of the vocabulary, or one that there may be some day.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, pattern = "^[a-z][a-z0-9_]{0,63}$", example = "rate_limited")]
pub(in crate::http) struct EventType(pub(super) String);

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_one = matches!(text.len(), 1..=64)
            && text.bytes().all(allowed)
            && text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if is_one {
            return Ok(Self(text.into_owned()));
        }
        Err(D::Error::custom("is no event type; one is a word such as rate_limited (a-z 0-9 _, up to 64)"))
    }
}

/// A text that is looked for, in characters.
const MAX_TEXT: usize = 200;

/// A text to look for.
#[derive(Clone, Debug)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        match text.chars().count() {
            length if length > MAX_TEXT => {
                Err(D::Error::custom(format!("has {length} characters; it may have {MAX_TEXT} at most")))
            }
            _ => Ok(Self(text.into_owned())),
        }
    }
}

/// A number that counts something, from 0 on; beyond what the database counts it is as good as the greatest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) i64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(D::Error::custom(format!("is {text}; it must be a whole number from 0 on")));
        }
        text.parse().map(Self).map_err(|_| D::Error::custom(format!("is {text}; it must be {} at most", i64::MAX)))
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub(super) enum Switch {
    /// Yes.
    #[serde(rename = "1")]
    On,
    /// No.
    #[serde(rename = "0")]
    Off,
}
