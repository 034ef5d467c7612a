//! `GET /profiles/{username}/analytics`.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::super::super::App;
use super::super::super::error::ApiError;
use super::super::handle::Handle;
use super::super::query::Query;
use super::super::wait::Known;
use super::super::{path, profiles};
use super::crowd::{EngagementOfAll, PerformanceOfAll, PostsKnown, Reels};
use super::growth::GrowthOfAll;
use super::habits::{Cadence, Lifts, Week};
use super::unusual::Anomalies;
use super::window::{WantedWindow, Window};
use crate::analytics;

/// What an account's history says in a window.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Analytics {
    /// The account's handle when last seen.
    #[schema(example = "nasa")]
    username: String,
    window: Window,
    growth: GrowthOfAll,
    posts: PostsKnown,
    engagement: EngagementOfAll,
    reels: Reels,
    performance: PerformanceOfAll,
    heat_map: Week,
    hashtags: Lifts,
    mentions: Lifts,
    anomalies: Anomalies,
    cadence: Cadence,
}

/// Analyse a profile's history
///
/// Growth, engagement, curves, habits, and what is out of the ordinary, of the posts that were published in a window and
/// of what was seen by its end. Numbers that were hidden, not told or not seen take part in nothing and are never 0; beside each
/// number stands of how many it was made, and where there is none, why. docs/ANALYTICS.md has the formulas.
#[utoipa::path(get, path = "/profiles/{username}/analytics", tag = "profiles",
    params(("username" = inline(Handle), Path, description = "The account's handle"), WantedWindow),
    responses(
        (status = 200, description = "What its history says", body = Analytics,
         headers(("ETag" = String, description = "Another one as soon as the answer is another"))),
        (status = 304, description = "It is as the tag says"),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read an account of this handle")))]
pub(in crate::http) async fn analytics(
    State(app): State<App>,
    path::Of(username): path::Of<Handle>,
    Query(wanted): Query<WantedWindow>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let account = profiles::account(&app, &username).await?;
    let window = wanted.settle(&app, None).await?;
    let analysis = analytics::of_account(&app.database(), account.profile_id, &window).await?;
    let posts = &analysis.posts;
    let told = Analytics {
        username: account.username,
        window: window.into(),
        growth: (&analysis).into(),
        posts: (&analysis).into(),
        engagement: posts.into(),
        reels: posts.into(),
        performance: posts.into(),
        heat_map: posts.heat_map().into(),
        hashtags: posts.hashtags().into(),
        mentions: posts.mentions().into(),
        anomalies: (&analysis).into(),
        cadence: (&analysis.cadence).into(),
    };
    // Texts and numbers, and none of these infinite, have no form that is not JSON.
    Ok(tagged(&headers, serde_json::to_vec(&told).unwrap_or_default()))
}

/// An answer with a tag of its bytes; without them where the client knows it.
fn tagged(headers: &HeaderMap, body: Vec<u8>) -> Response {
    let digest = Sha256::digest(&body);
    let tag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let mut answer = match Known::of(headers).has(&tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}
