//! The table of contents of the interface.

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::{App, V1_PATH, V2_PATH, layers, openapi, operations, v1, v2};

/// Every route of the service, behind its layers.
pub fn router(app: App) -> Router {
    // Named whole, and not nested below their common path: that would be taken off the path of each request.
    let path = |path: &str| format!("{V1_PATH}{path}");
    let version_1 = Router::new()
        .route(&path("/create_task"), post(v1::tasks::create_profile_task))
        .route(&path("/create_reel_task"), post(v1::tasks::create_reel_task))
        .route(&path("/tasks"), get(v1::tasks::list))
        .route(&path("/task/{task_id}"), delete(v1::tasks::delete))
        .route(&path("/task_details/{task_id}"), get(v1::details::task_details))
        .route(&path("/force_scrape/{task_id}"), post(v1::scrape::force_scrape))
        .route(&path("/force_scrape_reel/{task_id}"), post(v1::scrape::force_scrape_reel))
        .route(&path("/cancel/{task_id}"), post(v1::scrape::cancel))
        .route(&path("/task_status/{task_id}"), get(v1::status::task_status))
        .method_not_allowed_fallback(operations::wrong_method);
    let version_1 = layers::version_1(version_1, app.availability.clone(), app.v1_dates);

    let (documented, document) = documented(&app).split_for_parts();
    let document = openapi::text(&openapi::complete(document));

    let gate = Arc::clone(&app.gate);
    let routes = Router::new()
        .merge(version_1)
        .merge(documented)
        .route(openapi::PATH, get(move || openapi::told(document.clone())))
        .route(openapi::PAGE, get(openapi::to_page))
        .route("/docs/", get(openapi::page))
        .route("/docs/{file}", get(openapi::page_part))
        .fallback(operations::unknown_path)
        .method_not_allowed_fallback(operations::wrong_method)
        .with_state(app);
    layers::wrap(routes, gate)
}

/// Version 2 and what those ask who run the service, with their document.
fn documented(app: &App) -> OpenApiRouter<App> {
    let need_database = |routes: OpenApiRouter<App>| {
        let (routes, document) = routes.split_for_parts();
        let routes = layers::need_database(routes, app.availability.clone());
        OpenApiRouter::from(routes).merge(only(document))
    };
    let version_2 = need_database(v2::of_the_database()).merge(v2::of_themselves());
    let of_operators = need_database(operations::of_the_database()).merge(operations::of_themselves());
    only(openapi::document()).merge(of_operators).nest(V2_PATH, version_2)
}

/// A document without routes of its own.
fn only(document: OpenApi) -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document)
}
