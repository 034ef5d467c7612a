//! Which stretch of time is looked at, and in which time zone.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::super::super::App;
use super::super::super::error::ApiError;
use super::super::super::problem::Location;
use super::super::time::Time;
use crate::db::analytics;

/// A window is at most so many days long: ten years.
const DAYS_AT_MOST: i64 = 3660;

/// A time zone's name is at most so long.
const NAME_AT_MOST: usize = 64;

/// Which stretch of time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct WantedWindow {
    /// From when on; 30 days before `until` where nothing is said, and 3660 days before it at most.
    #[param(nullable = false, inline)]
    pub(super) since: Option<Time>,
    /// Until when, and nothing that was seen first after it counts; now where nothing is said or it is in the future.
    #[param(nullable = false, inline)]
    pub(super) until: Option<Time>,
    /// The time zone of days and hours, by its IANA name.
    #[param(inline)]
    #[serde(default)]
    pub(super) timezone: TimeZone,
}

impl WantedWindow {
    /// The window for the database; `until` is settled already where it is a page of one.
    pub(super) async fn settle(&self, app: &App, until: Option<DateTime<Utc>>) -> Result<analytics::Window, ApiError> {
        let since = self.since.map(|since| since.0);
        let until = until.or(self.until.map(|until| until.0));
        let found = analytics::window(&app.database(), since, until, &self.timezone.0).await?;
        let window = found.ok_or_else(|| {
            let detail =
                format!("is {}, which is no time zone; send an IANA name such as Europe/Berlin", self.timezone.0);
            ApiError::field(Location::Query, "timezone", detail)
        })?;
        let length = window.until - window.since;
        if length <= TimeDelta::zero() {
            let detail = "is not before until, nor before now; send an earlier time";
            return Err(ApiError::field(Location::Query, "since", detail));
        }
        if length > TimeDelta::days(DAYS_AT_MOST) {
            let detail = format!("is {} days before until; it may be {DAYS_AT_MOST} at most", length.num_days());
            return Err(ApiError::field(Location::Query, "since", detail));
        }
        Ok(window)
    }
}

/// The name of a time zone.
#[derive(Clone, Debug)]
pub(in crate::http) struct TimeZone(String);

impl Default for TimeZone {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        // A plus that was not encoded is read as a space in a query.
        let text = text.replace(' ', "+");
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
        if text.len() <= NAME_AT_MOST && text.bytes().all(allowed) {
            return Ok(Self(text));
        }
        Err(serde::de::Error::custom("is no time zone; send an IANA name such as Europe/Berlin"))
    }
}

impl PartialSchema for TimeZone {
    fn schema() -> RefOr<Schema> {
        let name = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        let name = name.pattern(Some("^[A-Za-z0-9_+/-]{1,64}$")).default(Some(Self::default().0.into()));
        name.examples(["Europe/Berlin"]).into()
    }
}

impl ToSchema for TimeZone {}

/// The window that an answer is about.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Window {
    /// From when on.
    since: Time,
    /// Until when.
    until: Time,
    /// The time zone of days and hours.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
}

impl From<analytics::Window> for Window {
    fn from(window: analytics::Window) -> Self {
        Self { since: window.since.into(), until: window.until.into(), timezone: window.time_zone }
    }
}
