//! What was scraped for a task, from the database.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::App;
use super::super::error::ApiError;
use super::{KnownTaskId, status_word};
use crate::db::Pool;
use crate::db::media::{self, Media};
use crate::db::profiles::{self, Profile};
use crate::db::runs::RunState;
use crate::db::status;
use crate::db::tasks::{self, TaskKind};

/// `GET task_details/<task_id>`: the task and the account with its latest posts, as the latest scrapes left them.
///
/// Before the first scrape the numbers are null and the lists empty. A reel task has `scraped_reels` beside
/// `scraped_posts`.
pub(in crate::http) async fn task_details(
    State(app): State<App>,
    KnownTaskId(task_id): KnownTaskId,
) -> Result<Response, ApiError> {
    let database = app.database();
    let task = tasks::find(&database, &task_id).await?.ok_or_else(ApiError::no_such_task)?;
    let status = status::of_task(&database, &task_id).await?;
    let profile = profiles::of_task(&database, &task_id, &task.username).await?;

    let limit = i64::try_from(app.max_posts).unwrap_or(i64::MAX);
    let mut data = match &profile {
        Some(profile) => profile_data(profile),
        None => json!({"username": task.username, "followers_count": null, "following_count": null,
                       "posts_count": null, "run_id": null, "seq": null, "last_scraped_at": null}),
    };
    data["scraped_posts"] = posts(&database, profile.as_ref(), false, limit).await?;
    if task.kind == TaskKind::Reel {
        data["scraped_reels"] = posts(&database, profile.as_ref(), true, limit).await?;
    }

    let response = json!({
        "task_id": task.task_id,
        "task_type": task.kind,
        "username": task.username,
        "created_at": task.created_at.timestamp(),
        "is_processing": status.is_some_and(|status| status.state.is_active()),
        "status": status.map(|status| status_word(status.state)),
        "reason": status.filter(|status| status.state != RunState::Waiting).and_then(|status| status.reason),
        "target_profile_data": data,
    });
    Ok(Json(json!({"result": true, "response": response})).into_response())
}

async fn posts(database: &Pool, profile: Option<&Profile>, reels_only: bool, limit: i64) -> Result<Value, ApiError> {
    let Some(profile) = profile else { return Ok(json!([])) };
    let posts = media::latest(database, profile.profile_id, reels_only, limit).await?;
    Ok(posts.iter().map(post_data).collect())
}

fn profile_data(profile: &Profile) -> Value {
    json!({
        // Beyond what a JavaScript number holds exactly: a text.
        "instagram_id": profile.instagram_pk.map(|pk| pk.to_string()),
        "username": profile.username,
        "full_name": profile.full_name,
        "biography": profile.biography,
        "category": profile.category,
        "external_url": profile.external_url,
        "profile_pic_url": profile.profile_pic_url,
        "is_private": profile.is_private,
        "is_verified": profile.is_verified,
        "followers_count": profile.followers_count,
        "following_count": profile.following_count,
        "posts_count": profile.posts_count,
        "run_id": profile.run_id,
        "seq": profile.seq,
        "last_scraped_at": profile.last_seen_at.timestamp(),
    })
}

fn post_data(post: &Media) -> Value {
    json!({
        "instagram_id": post.instagram_pk.to_string(),
        "shortcode": post.shortcode,
        "url": format!("https://www.instagram.com/{}/{}/", if post.is_reel { "reel" } else { "p" }, post.shortcode),
        "media_type": post.kind,
        "is_reel": post.is_reel,
        "is_pinned": post.is_pinned,
        "taken_at": post.taken_at.map(|at| at.timestamp()),
        "caption": post.caption,
        "duration_seconds": post.duration_seconds,
        "display_url": post.display_url,
        "likes_count": post.likes_count,
        "likes_hidden": post.likes_hidden,
        "comments_count": post.comments_count,
        "plays_count": post.plays_count,
        "views_count": post.views_count,
        "run_id": post.run_id,
        "seq": post.seq,
        "last_scraped_at": post.last_seen_at.timestamp(),
    })
}
