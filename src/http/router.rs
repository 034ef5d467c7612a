//! The table of contents of the interface.

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::{App, V1_PATH, V2_PATH, layers, openapi, operations, v1, v2};

/// Every route of the service, behind its layers.
pub fn router(app: App) -> Router {
    let version_1 = Router::new()
        .route("/create_task", post(v1::tasks::create_profile_task))
        .route("/create_reel_task", post(v1::tasks::create_reel_task))
        .route("/tasks", get(v1::tasks::list))
        .route("/task/{task_id}", delete(v1::tasks::delete))
        .route("/task_details/{task_id}", get(v1::details::task_details))
        .route("/force_scrape/{task_id}", post(v1::scrape::force_scrape))
        .route("/force_scrape_reel/{task_id}", post(v1::scrape::force_scrape_reel))
        .route("/cancel/{task_id}", post(v1::scrape::cancel))
        .route("/task_status/{task_id}", get(v1::status::task_status))
        .method_not_allowed_fallback(operations::wrong_method);
    let version_1 = layers::version_1(version_1, app.availability.clone(), app.v1_dates);

    let (version_2, document) = version_2(&app).split_for_parts();
    let document = openapi::text(&openapi::complete(document));

    let of_the_database =
        Router::new().route("/readyz", get(operations::readyz)).route("/version", get(operations::version));
    let of_the_database = layers::need_database(of_the_database, app.availability.clone());

    let gate = Arc::clone(&app.gate);
    let routes = Router::new()
        .nest(V1_PATH, version_1)
        .merge(version_2)
        .merge(of_the_database)
        .route("/healthz", get(operations::healthz))
        .route("/metrics", get(operations::metrics))
        .route(openapi::PATH, get(move || openapi::told(document.clone())))
        .route(openapi::PAGE, get(openapi::to_page))
        .route("/docs/", get(openapi::page))
        .route("/docs/{file}", get(openapi::page_part))
        .fallback(operations::unknown_path)
        .method_not_allowed_fallback(operations::wrong_method)
        .with_state(app);
    layers::wrap(routes, gate)
}

/// Version 2, with its document.
fn version_2(app: &App) -> OpenApiRouter<App> {
    let (of_the_database, document) = v2::of_the_database().split_for_parts();
    let of_the_database = layers::need_database(of_the_database, app.availability.clone());
    let routes = OpenApiRouter::from(of_the_database).merge(documented(document)).merge(v2::of_themselves());
    documented(openapi::document()).nest(V2_PATH, routes)
}

/// A document without routes of its own.
fn documented(document: OpenApi) -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document)
}
