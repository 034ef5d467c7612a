//! A page of a list, and how one asks for the next: by an opaque cursor, which names the last item told and not how many
//! there were, so that what comes and goes meanwhile shifts nothing.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::super::error::ApiError;
use super::super::problem::Location;

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Page<T> {
    /// What is on the page, in the order that was asked for.
    pub(in crate::http) items: Vec<T>,
    /// Where the next page begins, to be sent as `cursor`; null on the last page.
    #[schema(required = true, example = "WyJiYXJiYXJhIiwxXQ")]
    pub(in crate::http) next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of what was found, of which one more was asked for than the page takes.
    pub(in crate::http) fn of<C: Serialize>(mut items: Vec<T>, limit: Limit, cursor: impl Fn(&T) -> C) -> Self {
        let is_last = items.len() <= limit.rows();
        items.truncate(limit.rows());
        let next_cursor = items.last().filter(|_| !is_last).map(|last| Cursor(cursor(last)).to_text());
        Self { items, next_cursor }
    }

    /// The same page with its items told otherwise.
    pub(in crate::http) fn map<U>(self, told: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(told).collect(), next_cursor: self.next_cursor }
    }
}

/// Which page of a list that is not filtered.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Paging {
    /// How many at most.
    #[param(inline)]
    #[serde(default)]
    pub(in crate::http) limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(nullable = false, min_length = 1)]
    pub(in crate::http) cursor: Option<String>,
}

/// How many items a page has at most.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Limit(u16);

impl Limit {
    const MAX: u16 = 1000;

    /// As a number of rows.
    pub(in crate::http) fn rows(self) -> usize {
        usize::from(self.0)
    }

    /// What to ask the database for: one more, which tells whether there is a next page.
    pub(in crate::http) fn and_one(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = i64::deserialize(deserializer)?;
        let limit = u16::try_from(wanted).ok().filter(|limit| (1..=Self::MAX).contains(limit));
        let wrong = || serde::de::Error::custom(format!("is {wanted}; it must be from 1 to {}", Self::MAX));
        limit.map(Self).ok_or_else(wrong)
    }
}

impl PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
        let number = number.minimum(Some(1)).maximum(Some(Self::MAX));
        number.default(Some(Self::default().0.into())).into()
    }
}

impl ToSchema for Limit {}

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Order {
    /// The oldest or least first.
    Asc,
    /// The newest or greatest first.
    Desc,
}

/// What a cursor says: the place of the last item told.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Cursor<C>(pub(in crate::http) C);

impl<C: Serialize> Cursor<C> {
    /// As it is sent.
    pub(in crate::http) fn to_text(&self) -> String {
        // A place is texts and numbers, which are always JSON.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&self.0).unwrap_or_default())
    }
}

impl<C: DeserializeOwned> Cursor<C> {
    /// Reads the one that was sent in a query.
    pub(in crate::http) fn read(text: Option<&str>) -> Result<Option<C>, ApiError> {
        let Some(text) = text else { return Ok(None) };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).filter(|_| text.len() <= MAX_CURSOR);
        let wrong = || {
            ApiError::field(
                Location::Query,
                "cursor",
                "is none of this list; send the next_cursor of its last page, \
                or leave it out to begin anew",
            )
        };
        place.map(Some).ok_or_else(wrong)
    }
}

/// A longer cursor is none of ours.
const MAX_CURSOR: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_any_other_text_is_none() {
        let text = Cursor(("barbara", 1)).to_text();
        assert_eq!(Cursor::<(String, i64)>::read(Some(&text)).unwrap(), Some(("barbara".to_owned(), 1)));
        assert_eq!(Cursor::<(String, i64)>::read(None).unwrap(), None);
        for other in ["x", "%", "WyJiIl0", &Cursor((1, 1)).to_text(), &Cursor(("b".repeat(1000), 1)).to_text()] {
            assert!(Cursor::<(String, i64)>::read(Some(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn the_last_page_has_no_next_one() {
        let page = |found: Vec<i64>| Page::of(found, Limit(2), |last| (*last,));
        assert_eq!(page(vec![1, 2]).next_cursor, None);
        let first = page(vec![1, 2, 3]);
        assert_eq!(first.items, [1, 2]);
        assert_eq!(Cursor::<(i64,)>::read(first.next_cursor.as_deref()).unwrap(), Some((2,)));
    }
}
