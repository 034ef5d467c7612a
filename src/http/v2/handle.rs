//! An account's handle as a request writes it.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::instagram::Username;

/// An account's handle, with or without an `@`; upper and lower case are the same.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = String, pattern = "^@?[A-Za-z0-9._]{1,30}$", example = "nasa")]
pub(in crate::http) struct Handle(pub(in crate::http) Username);

impl Handle {
    /// In lower case, without `@`.
    pub(in crate::http) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        // What a person pastes, a program sends without the spaces around it.
        if text.trim() != text {
            return Err(serde::de::Error::custom("is none: it begins or ends with a space; send it without"));
        }
        Username::parse(&text).map(Self).map_err(|error| serde::de::Error::custom(format!("is none: {error}")))
    }
}
