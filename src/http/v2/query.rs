//! What a request says in its query and its body, read strictly: what is not as documented is a 400 that names the field.
//!
//! Every handler of version 2 takes one of these, so that no query is passed over: what takes a body takes no query.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::body::read;
use super::super::error::ApiError;
use super::super::problem::{Location, ProblemType};

/// The parameters of a query, as `T` names them: any other, a repeated one where one is asked for, an empty one and one
/// with a NUL are errors.
pub(in crate::http) struct Query<T>(pub(in crate::http) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        read_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let pairs: Vec<(String, String)> = serde_html_form::from_str(query)
        .map_err(|error| ApiError::bad_request(format!("The query cannot be read: {error}")))?;
    for (name, value) in &pairs {
        let wrong = match value.as_str() {
            "" => "is empty; leave it out instead",
            text if text.contains('\0') => "contains a NUL character, which no text here has",
            _ => continue,
        };
        return Err(ApiError::field(Location::Query, name, wrong));
    }
    let read = serde_html_form::Deserializer::from_bytes(query.as_bytes());
    serde_path_to_error::deserialize(read).map_err(|error| fault(Location::Query, &error))
}

/// No query, where a request takes no parameters.
pub(in crate::http) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        no_query(parts.uri.query()).map(|()| Self)
    }
}

fn no_query(query: Option<&str>) -> Result<(), ApiError> {
    /// As it stands in a query, without parameters.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    query.map_or(Ok(()), |query| read_query::<Nothing>(query).map(|Nothing {}| ()))
}

/// A body of JSON, as `T` names it, and no query.
pub(in crate::http) struct Body<T> {
    /// What it says.
    pub(in crate::http) read: T,
    /// The same as it was sent.
    pub(in crate::http) bytes: Vec<u8>,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        no_query(request.uri().query())?;
        let bytes = json_of(request).await?;
        Ok(Self { read: read_body(&bytes)?, bytes })
    }
}

/// The bytes of a body that does not say that it is something else than JSON.
async fn json_of(request: Request) -> Result<Vec<u8>, ApiError> {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if content_type.is_some_and(|given| !is_json(given)) {
        let detail = "The body's Content-Type is not application/json; send JSON, and say so";
        return Err(ApiError::new(ProblemType::UnsupportedMediaType, detail));
    }
    read(request.into_body()).await
}

/// No body, or an empty object, and no query.
pub(in crate::http) struct NoBody;

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        no_query(parts.uri.query())?;
        let bytes = read(body).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self);
        }
        let whole = Request::from_parts(parts, bytes.into());
        // Not a struct without fields, which takes an empty array, too.
        let Body { read: fields, .. } =
            Body::<serde_json::Map<String, serde_json::Value>>::from_request(whole, state).await?;
        match fields.keys().next() {
            Some(name) => Err(ApiError::field(Location::Body, name, "is no field of this request, which takes none")),
            None => Ok(Self),
        }
    }
}

fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

fn read_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.trim_ascii().is_empty() {
        return Err(ApiError::bad_request("The body is empty; send a JSON object"));
    }
    let mut read = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut read).map_err(|error| fault(Location::Body, &error))?;
    read.end().map_err(|error| ApiError::bad_request(format!("The body is not one JSON value: {error}")))?;
    Ok(body)
}

/// A field that cannot be read. The deserializer's own words follow the field's name, unless they name it themselves.
fn fault<E: std::fmt::Display>(location: Location, error: &serde_path_to_error::Error<E>) -> ApiError {
    let (path, words) = (error.path().to_string(), error.inner().to_string());
    let named = words
        .split('`')
        .nth(1)
        .filter(|_| ["unknown field", "missing field", "duplicate field"].iter().any(|begin| words.starts_with(begin)));
    match (named, path.as_str()) {
        (Some(named), "." | "?") => ApiError::field(location, named, missing_or_unknown(&words, location)),
        (Some(named), path) if path == named => ApiError::field(location, named, missing_or_unknown(&words, location)),
        (Some(named), path) => {
            ApiError::field(location, format!("{path}.{named}"), missing_or_unknown(&words, location))
        }
        (None, "." | "?") => {
            let what = if location == Location::Query { "query" } else { "body" };
            ApiError::bad_request(format!("The {what} cannot be read: {words}"))
        }
        (None, path) if words.starts_with("is ") || words.starts_with("has ") || words.starts_with("must ") => {
            ApiError::field(location, path, words)
        }
        (None, path) => ApiError::field(location, path, format!("cannot be read: {words}")),
    }
}

fn missing_or_unknown(words: &str, location: Location) -> String {
    let known = words.split_once("expected ").map(|(_, known)| known.replace('`', ""));
    let what = if location == Location::Query { "parameter" } else { "field" };
    match (words.starts_with("missing"), words.starts_with("duplicate"), known) {
        (true, _, _) => "is missing".to_owned(),
        (_, true, _) => "is given twice; give it once".to_owned(),
        (_, _, Some(known)) => format!("is no {what} of this request; there is {known}"),
        _ => format!("is no {what} of this request, which takes none"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        limit: Option<u16>,
        #[serde(default)]
        kind: Vec<String>,
        name: Option<String>,
    }

    fn told(error: &ApiError) -> Value {
        error.fields()
    }

    #[test]
    fn a_query_is_read_and_what_it_does_not_know_is_named() {
        let read: Wanted = read_query("limit=3&kind=a&kind=b%20c&name=%C3%A9").unwrap();
        assert_eq!((read.limit, read.kind.len(), read.name.as_deref()), (Some(3), 2, Some("é")));
        for (query, field) in [
            ("limit=x", "limit"),
            ("limit=", "limit"),
            ("limit=1&limit=2", "limit"),
            ("limit=-1", "limit"),
            ("limit=99999999999999999999", "limit"),
            ("colour=1", "colour"),
            ("name=%00", "name"),
        ] {
            let error = read_query::<Wanted>(query).unwrap_err();
            assert_eq!(told(&error)[0]["field"], field, "{query}: {error:?}");
            assert_eq!(told(&error)[0]["location"], "query");
        }
    }

    #[test]
    fn where_there_are_no_parameters_each_is_named() {
        for (query, field) in [(None, None), (Some(""), None), (Some("a=1"), Some("a")), (Some("a"), Some("a"))] {
            let fields = no_query(query).map_err(|error| told(&error)[0]["field"].clone());
            assert_eq!(fields.err(), field.map(Value::from), "{query:?}");
        }
    }

    #[test]
    fn a_body_is_read_and_what_it_does_not_know_is_named() {
        let read: Wanted = read_body(br#"{"limit": 3}"#).unwrap();
        assert_eq!(read.limit, Some(3));
        for (body, field) in [
            (r#"{"limit": "x"}"#, "limit"),
            (r#"{"kind": ["a", 3]}"#, "kind[1]"),
            (r#"{"colour": 1}"#, "colour"),
            (r#"{"limit": 1, "limit": 2}"#, "limit"),
        ] {
            let error = read_body::<Wanted>(body.as_bytes()).unwrap_err();
            assert_eq!(
                told(&error)[0],
                json!({"location": "body", "field": field, "detail": told(&error)[0]["detail"]})
            );
        }
        for body in ["", "  ", "[", "[]", "3", "{} {}", "{\"limit\""] {
            let error = read_body::<Wanted>(body.as_bytes()).unwrap_err();
            assert_eq!(told(&error), json!([]), "{body}: {error:?}");
        }
    }
}
