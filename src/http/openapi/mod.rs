//! The OpenAPI document of version 2, gathered from its routes, and the page on which a person reads and tries them.

mod answers;
mod examples;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa_swagger_ui::Config;

use super::auth;
use super::error::ApiError;
use super::operations::Message;
use super::problem::{FieldError, Problem, ProblemType};
use super::v2::filter::EventType;
use crate::db::keys::Scope;

/// Where the document is.
pub(super) const PATH: &str = "/openapi.json";

/// Where the page is.
pub(super) const PAGE: &str = "/docs";

/// What stands above the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "ig-tracking", description = "Tracks Instagram profiles and reels: a scrape is asked for and answered at \
        once, worked in the background, and every step of it can be read at any time.\n\nTimes are RFC 3339 in UTC with \
        microseconds. Lists are pages: `next_cursor` leads on. Queries and bodies are read strictly: a name that is not \
        documented is an error. Every error is a problem (RFC 9457) of a documented type: `GET /api/v2/problems`.", license(name = "MIT OR Apache-2.0")),
    tags(
        (name = "tasks", description = "What to track"),
        (name = "profiles", description = "Accounts as they were last seen, their numbers over time, and their posts"),
        (name = "posts", description = "Posts as they were last seen, and their numbers over time"),
        (name = "reels", description = "The posts that are reels"),
        (name = "streams", description = "What happens, as it happens"),
        (name = "runs", description = "Attempts to bring a task up to date"),
        (name = "events", description = "What runs say and ask"),
        (name = "access", description = "Who may, and what they did"),
        (name = "problems", description = "The kinds of errors"),
        (name = "service", description = "Whether it lives, what it is, where it begins")),
    components(schemas(Problem, FieldError, Message, EventType)))]
struct Document;

/// What the routes' document begins with.
pub(super) fn document() -> OpenApi {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document
}

/// Says of every operation what holds for all: its name, the scope that it needs, its errors, its headers, and examples of
/// its answers.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    add_security(&mut document);
    answers::add_shared(document.components.get_or_insert_default());
    for (path, item) in &mut document.paths.paths {
        let of_methods = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PUT, &mut item.put),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in of_methods {
            let Some(operation) = operation else { continue };
            let scope = auth::needed_scope(&method, path);
            name(operation);
            add_scope(operation, scope);
            answers::complete(operation, &method, path, scope);
        }
    }
    examples::add(&mut document);
    document
}

/// A handler is called as its resource's file makes clear, which many share: `list` of the tag `tasks` is `tasks.list`.
fn name(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    if let (Some(tag), Some(name)) = (tag, &operation.operation_id) {
        operation.operation_id = Some(format!("{tag}.{name}"));
    }
}

/// Says which scope a key has to have, in words and for programs.
fn add_scope(operation: &mut Operation, scope: Option<Scope>) {
    let Some(scope) = scope.map(Scope::as_str) else { return };
    let words = format!("Needs the scope `{scope}`.");
    let before = operation.description.take().map_or_else(String::new, |before| format!("{before}\n\n"));
    operation.description = Some(before + &words);
    operation.extensions = Some(ExtensionsBuilder::new().add("x-required-scope", scope).build());
}

/// The three ways to show who asks, any of which will do; an operation that needs none says so itself.
fn add_security(document: &mut OpenApi) {
    let said = |place: fn(ApiKeyValue) -> ApiKey, name, words| {
        SecurityScheme::ApiKey(place(ApiKeyValue::with_description(name, words)))
    };
    let bearer =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("igt_…").description(Some("A key")).build();
    let schemes = [
        ("bearer", SecurityScheme::Http(bearer)),
        ("api_key", said(ApiKey::Header, "X-API-Key", "A key")),
        (
            "session",
            said(ApiKey::Cookie, auth::COOKIE, "The session of a browser that is signed in (`POST /api/v2/session`)"),
        ),
    ];
    let components = document.components.get_or_insert_default();
    let any = schemes.each_ref().map(|(name, _)| SecurityRequirement::new::<_, [&str; 0], &str>(*name, []));
    components.security_schemes.extend(schemes.map(|(name, scheme)| (name.to_owned(), scheme.into())));
    document.security = Some(any.into());
}

/// `GET /openapi.json`.
pub(super) async fn told(document: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

/// The document as it is sent.
pub(super) fn text(document: &OpenApi) -> Bytes {
    // It is made of texts and numbers, which are always JSON.
    document.to_pretty_json().unwrap_or_default().into()
}

/// `GET /docs`: the page's own address ends with a slash, so that what it loads lies below it.
pub(super) async fn to_page() -> Redirect {
    Redirect::permanent("/docs/")
}

/// `GET /docs/`.
pub(super) async fn page() -> Result<Response, ApiError> {
    page_file("index.html")
}

/// `GET /docs/{file}`: what the page loads, out of this program.
pub(super) async fn page_part(Path(file): Path<String>) -> Result<Response, ApiError> {
    page_file(&file)
}

fn page_file(name: &str) -> Result<Response, ApiError> {
    /// The page runs its own scripts and speaks with this service alone.
    const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
        img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
        form-action 'none'";
    let config = Arc::new(Config::from(PATH).try_it_out_enabled(true).persist_authorization(false).deep_linking(true));
    let nothing = || ApiError::new(ProblemType::NotFound, format!("No such path: {PAGE}/{name}"));
    let file = utoipa_swagger_ui::serve(name, config).ok().flatten().ok_or_else(nothing)?;
    let mut answer = (StatusCode::OK, Body::from(file.bytes.into_owned())).into_response();
    let content_type = HeaderValue::try_from(file.content_type).unwrap_or(HeaderValue::from_static("text/plain"));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(HeaderName::from_static("content-security-policy"), HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(answer)
}
