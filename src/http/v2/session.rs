//! A browser's session: signed in with a key, held by a cookie.

use axum::Json;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::App;
use super::super::auth::{COOKIE, Caller, unauthorized};
use super::super::error::ApiError;
use super::super::serve::Peer;
use super::query::{Body, NoQuery};
use crate::db::keys::Scope;
use crate::keys::{Key, SESSION_SECONDS};

/// Who asks.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Session {
    /// Whether it was a browser's cookie that showed it.
    signed_in: bool,
    /// The key; null where none was shown and none is needed.
    #[schema(required = true, example = "k3v9x2m4q7ab")]
    key_id: Option<String>,
    /// What the key is for.
    #[schema(required = true, example = "dashboard")]
    name: Option<String>,
    /// What may be done.
    scope: Scope,
}

impl Session {
    fn of(key: &Key, signed_in: bool) -> Self {
        let (key_id, name) = (Some(key.key_id.to_string()), Some(key.name.to_string()));
        Self { signed_in, key_id, name, scope: key.scope }
    }
}

/// A key to sign in with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SignIn {
    /// The key, whole.
    #[schema(example = "igt_k3v9x2m4q7ab_…")]
    key: String,
}

/// Sign a browser in
///
/// The cookie that comes with the answer, `igt_session`, stands for the key for twelve hours, or until the key expires, is
/// revoked, or the session is ended. A key has a hundred sessions at most: one more ends its oldest. A page of another origin
/// cannot sign anybody in.
#[utoipa::path(post, path = "/session", tag = "access", security(()), request_body = SignIn,
    responses(
        (status = 200, description = "Signed in", body = Session,
         headers(("Set-Cookie" = String, description = "The session"))),
        (status = 400, description = "A field is not as documented"),
        (status = 401, description = "`unauthorized`: the key is wrong, unknown, expired or revoked"),
        (status = 403, description = "`cross-origin`: a page of another origin asks"),
        (status = 413, description = "The body has more than 64 KiB"),
        (status = 415, description = "The body is not JSON by its Content-Type"),
        (status = 429, description = "`too-many-requests`: too many wrong keys came from this address, or this key has made \
         more requests than it may")))]
pub(in crate::http) async fn sign_in(
    State(app): State<App>,
    headers: HeaderMap,
    extensions: Extensions,
    Body { read: SignIn { key }, .. }: Body<SignIn>,
) -> Result<Response, ApiError> {
    let peer = extensions.get::<Peer>().map(|Peer(address)| address.ip());
    let key = app.gate.key(key.trim(), peer).await?;
    app.gate.count(&key).1?;
    let begun = app.gate.keys.sign_in(&app.database(), &key).await?;
    let token = begun.ok_or_else(|| unauthorized("The key was revoked a moment ago; ask an operator for another"))?;
    let cookie = cookie(&token, SESSION_SECONDS, app.gate.is_by_tls(&headers));
    Ok(([(header::SET_COOKIE, cookie)], Json(Session::of(&key, true))).into_response())
}

/// Show who asks
///
/// By whatever the request shows: a key or a session. Where none is needed and none is shown, everything may be done.
#[utoipa::path(get, path = "/session", tag = "access",
    responses((status = 200, description = "Who asks, and what they may do", body = Session)))]
pub(in crate::http) async fn show(NoQuery: NoQuery, extensions: Extensions) -> Json<Session> {
    let nobody = || Session { signed_in: false, key_id: None, name: None, scope: Scope::Admin };
    let caller = extensions.get::<Caller>();
    Json(caller.map_or_else(nobody, |caller| Session::of(&caller.key, caller.session.is_some())))
}

/// Sign a browser out
///
/// Its session ends on every replica, and its cookie is taken back. Without a session there is nothing to do.
#[utoipa::path(delete, path = "/session", tag = "access",
    responses((status = 204, description = "There is no session any more",
               headers(("Set-Cookie" = String, description = "Takes the cookie back")))))]
pub(in crate::http) async fn sign_out(
    State(app): State<App>,
    NoQuery: NoQuery,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Response, ApiError> {
    if let Some(session) = extensions.get::<Caller>().and_then(|caller| caller.session) {
        app.gate.keys.sign_out(&app.database(), &session).await?;
    }
    let cookie = cookie("", 0, app.gate.is_by_tls(&headers));
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Scripts cannot read it, and pages of other sites cannot have it sent with what changes something.
fn cookie(token: &str, seconds: u32, by_tls: bool) -> HeaderValue {
    let secure = if by_tls { "; Secure" } else { "" };
    let text = format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut cookie = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    cookie.set_sensitive(true);
    cookie
}
