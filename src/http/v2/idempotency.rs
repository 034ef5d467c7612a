//! Requests that are done once, however often they are sent (`Idempotency-Key`).
//!
//! The key, what was asked for and the answer are one transaction: a client that had no answer sends the same again, to
//! any replica, after whatever crash, and has either the answer of the first time or is the first. An error is not kept,
//! for nothing was done: the key is free for the next try.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use futures_util::future::BoxFuture;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::IntoParams;

use super::super::App;
use super::super::auth::who;
use super::super::error::ApiError;
use super::super::problem::{Location, ProblemType};
use crate::db::idempotency::{self, Answer, Found, Key};
use crate::db::{Pool, Transaction};
use crate::runs::RequestError;

/// The header, for the documents of those routes that heed it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct IdempotencyKey {
    /// A name of this very request, such as a UUID: sent again with the same key, by whoever of the same key of the service,
    /// it has the same answer for a day, and is not done twice.
    #[allow(dead_code, reason = "what is read is `Once`")]
    #[param(rename = "Idempotency-Key", nullable = false, value_type = Option<String>, pattern = "^[!#-~]{1,255}$")]
    idempotency_key: Option<String>,
}

const HEADER: &str = "idempotency-key";

/// Says on an answer that it was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key, in characters.
const MAX_KEY: usize = 255;

/// The request as far as its key is for it: who asks for what, and the key if there is one.
pub(in crate::http) struct Once {
    principal: String,
    key: Option<String>,
    method: Method,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Once {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut given = parts.headers.get_all(HEADER).iter();
        let key = match (given.next(), given.next()) {
            (None, _) => None,
            (Some(value), None) => Some(key(value)?),
            (Some(_), Some(_)) => return Err(wrong("is given twice; give it once")),
        };
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        Ok(Self { principal: who(parts), key, method, path })
    }
}

fn wrong(detail: &str) -> ApiError {
    ApiError::field(Location::Header, "Idempotency-Key", detail)
}

/// A key in quotes, as a structured field has it, or bare, as most send it.
fn key(value: &HeaderValue) -> Result<String, ApiError> {
    let text = value.to_str().unwrap_or_default();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_visible = |byte: u8| (b'!'..=b'~').contains(&byte) && byte != b'"';
    match text.len() {
        1..=MAX_KEY if text.bytes().all(is_visible) => Ok(text.to_owned()),
        _ => Err(wrong("must be 1 to 255 visible ASCII characters, such as a UUID")),
    }
}

/// What is answered where all went well.
pub(in crate::http) struct Done(Answer);

impl Done {
    /// With this status, a body, and where the thing is.
    pub(in crate::http) fn new(status: StatusCode, body: &impl Serialize, location: Option<String>) -> Self {
        let status = i16::try_from(status.as_u16()).unwrap_or(200);
        // A resource is texts and numbers, which are always JSON.
        Self(Answer { status, location, body: serde_json::to_string(body).unwrap_or_default() })
    }

    fn told(self, is_replay: bool) -> Response {
        let mut response = Response::new(Body::from(self.0.body));
        *response.status_mut() = u16::try_from(self.0.status)
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok())
            .unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(location) = self.0.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if is_replay {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// What is still to be done when the transaction has been committed.
pub(in crate::http) type Then = Box<dyn FnOnce() + Send>;

/// What an act came to: done, or refused with nothing done.
pub(in crate::http) type Act = Result<(Done, Then), ApiError>;

impl Once {
    /// Whether the client sent a key.
    pub(in crate::http) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Does what is asked for, in a transaction, unless it was done under this key already.
    ///
    /// In a task of its own: a client that hangs up cannot leave a commit of which nobody knows, and a shutdown waits.
    pub(in crate::http) async fn run<A>(self, app: &App, body: &[u8], act: A) -> Result<Response, ApiError>
    where
        A: for<'t> FnOnce(&'t mut Transaction) -> BoxFuture<'t, sqlx::Result<Act>> + Send + 'static,
    {
        let (database, request) = (app.database(), self.hash(body));
        let work = async move { database.in_time(self.work(&database, &request, act)).await };
        app.runs.to_the_end(work).await.map_err(RequestError::from)??
    }

    async fn work<A>(self, database: &Pool, request: &[u8], act: A) -> sqlx::Result<Result<Response, ApiError>>
    where
        A: for<'t> FnOnce(&'t mut Transaction) -> BoxFuture<'t, sqlx::Result<Act>> + Send + 'static,
    {
        let key = self.key.as_deref().map(|key| Key { principal: &self.principal, key });
        let mut transaction = database.begin().await?;
        if let Some(key) = key {
            match idempotency::take(&mut transaction, key, request).await? {
                Found::New => {}
                found => {
                    transaction.commit().await?;
                    return Ok(again(found));
                }
            }
        }
        let (done, then) = match act(&mut transaction).await? {
            Ok(done) => done,
            Err(refused) => {
                if let Some(key) = key {
                    idempotency::give_back(&mut *transaction, key).await?;
                }
                transaction.commit().await?;
                return Ok(Err(refused));
            }
        };
        if let Some(key) = key {
            idempotency::answered(&mut *transaction, key, &done.0).await?;
        }
        transaction.commit().await?;
        then();
        Ok(Ok(done.told(false)))
    }

    /// What was asked for, as far as it tells two requests apart.
    fn hash(&self, body: &[u8]) -> Vec<u8> {
        let mut hash = Sha256::new();
        for part in [self.method.as_str().as_bytes(), self.path.as_bytes(), body] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.finalize().to_vec()
    }
}

/// The answer where the key was used before.
fn again(found: Found) -> Result<Response, ApiError> {
    match found {
        Found::Answered(answer) => Ok(Done(answer).told(true)),
        Found::New | Found::OfAnother => {
            let detail = "This Idempotency-Key was used for another request; choose a new one for each request";
            Err(ApiError::new(ProblemType::IdempotencyKeyReused, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_quotes_or_bare() {
        for (text, expected) in [
            ("abc-1", Some("abc-1")),
            ("\"abc-1\"", Some("abc-1")),
            ("", None),
            ("\"\"", None),
            ("two words", None),
            ("\"open", None),
            (&"k".repeat(256), None),
            ("ключ", None),
        ] {
            let read = key(&HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(read.ok().as_deref(), expected, "{text}");
        }
    }
}
