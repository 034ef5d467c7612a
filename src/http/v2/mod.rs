//! Version 2: resources. Times are RFC 3339 with microseconds; errors are problems (RFC 9457).
//!
//! A file a resource. A route is documented where it is handled; one without its documentation cannot be entered here.

mod accept;
pub(super) mod analytics;
pub(super) mod audit;
pub(super) mod events;
pub(super) mod filter;
pub(super) mod handle;
pub(super) mod idempotency;
pub(super) mod index;
pub(super) mod keys;
mod log;
pub(super) mod page;
pub(super) mod path;
pub(super) mod post_mortem;
pub(super) mod posts;
pub(super) mod problems;
pub(super) mod profiles;
pub(super) mod query;
mod run;
pub(super) mod runs;
pub(super) mod session;
pub(super) mod streams;
pub(super) mod tasks;
pub(super) mod time;
mod wait;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;

/// The routes below [`super::V2_PATH`] that read or write the database.
pub(super) fn of_the_database() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(tasks::list, tasks::create))
        .routes(routes!(tasks::get, tasks::change, tasks::delete))
        .routes(routes!(profiles::list))
        .routes(routes!(profiles::get))
        .routes(routes!(profiles::history))
        .routes(routes!(profiles::posts))
        .routes(routes!(profiles::reels))
        .routes(routes!(analytics::analytics))
        .routes(routes!(analytics::analytics_posts))
        .routes(routes!(posts::get))
        .routes(routes!(posts::history))
        .routes(routes!(posts::captions))
        .routes(routes!(posts::reel))
        .routes(routes!(posts::reel_history))
        .routes(routes!(analytics::curve))
        .routes(routes!(analytics::velocity))
        .routes(routes!(streams::board::board))
        .routes(routes!(streams::log::log))
        .routes(routes!(streams::socket::socket))
        .routes(routes!(session::sign_in, session::show, session::sign_out))
        .routes(routes!(keys::list))
        .routes(routes!(keys::revoke))
        .routes(routes!(audit::list))
        .merge(of_runs())
}

/// Those of runs and what they say.
fn of_runs() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(runs::start))
        .routes(routes!(runs::list))
        .routes(routes!(runs::get))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::retry))
        .routes(routes!(post_mortem::get))
        .routes(routes!(events::of_run))
        .routes(routes!(events::one))
        .routes(routes!(events::requests))
        .routes(routes!(events::search))
}

/// The routes that answer without it.
pub(super) fn of_themselves() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(index::index)).routes(routes!(problems::list)).routes(routes!(problems::get))
}
