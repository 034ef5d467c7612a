//! Times as version 2 tells and reads them: RFC 3339, in UTC, with microseconds.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Time(pub(in crate::http) DateTime<Utc>);

impl From<DateTime<Utc>> for Time {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        // A plus that was not encoded is read as a space in a query.
        let at = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
        let at = at.map(|at| at.with_timezone(&Utc)).ok().filter(|at| (1..=9999).contains(&chrono::Datelike::year(at)));
        at.map(Self).ok_or_else(|| {
            serde::de::Error::custom("is no time; send one such as 2026-11-22T04:16:44Z (RFC 3339, years 1 to 9999)")
        })
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
        let time = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).format(format);
        time.examples(["2026-11-22T04:16:44.512093Z"]).into()
    }
}

impl ToSchema for Time {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_microseconds_and_is_read_with_any_offset() {
        for (text, told) in [
            ("2026-11-22T04:16:44Z", "2026-11-22T04:16:44.000000Z"),
            ("2026-11-22T06:16:44.5+02:00", "2026-11-22T04:16:44.500000Z"),
            ("2026-11-22T06:16:44.123456789 02:00", "2026-11-22T04:16:44.123456Z"),
        ] {
            let time: Time = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(time).unwrap(), told);
        }
        for bad in ["", "today", "2026-11-22", "2026-11-22T04:16:44", "0000-01-01T00:00:00Z"] {
            assert!(serde_json::from_value::<Time>(bad.into()).is_err(), "{bad}");
        }
    }
}
