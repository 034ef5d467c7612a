//! What stands in a path: an id that no task, run or account can have is one that is not there.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::super::error::ApiError;
use super::super::problem::ProblemType;

/// The parameters of a path.
pub(in crate::http) struct Of<T>(pub(in crate::http) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Of<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = Path::<T>::from_request_parts(parts, state).await;
        found.map(|Path(found)| Self(found)).map_err(|_| nothing(parts.uri.path()))
    }
}

fn nothing(path: &str) -> ApiError {
    ApiError::new(ProblemType::NotFound, format!("Nothing stands at {path}: an id in it is none that there can be"))
}
