//! What the official source refuses to tell, or tells in another form: what was known stays.

use serde_json::json;

use super::{THREE_PAGES, ample, assert_one_history, end, of_token, replica, scrape};
use crate::drift::told;
use crate::harness::World;

#[tokio::test]
async fn a_caption_that_is_refused_or_of_another_type_stays_as_it_was_on_every_page() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let file = of_token(&ample(), "");
    let replica = replica(&world, &file, &[]).await;
    let username = &world.instagram.with_posts("captions.official", THREE_PAGES).await;
    let status = scrape(&world, &replica, "profile", "t", username, "graph").await;
    assert_eq!(end(&status), ("completed", None), "{status:#}");
    let before = told(pool).await;
    assert!(before.iter().any(|row| row["caption"].is_string()));
    for (n, (fault, endpoint)) in
        [("captionrefused", "official"), ("retyped", "business_discovery"), ("retyped", "business_discovery_media")]
            .into_iter()
            .enumerate()
    {
        world.instagram.fault(username, json!({"fault": fault, "endpoint": endpoint})).await;
        let status = scrape(&world, &replica, "profile", &format!("t{n}"), username, "graph").await;
        world.instagram.mend(username).await;
        assert_eq!(end(&status), ("partial", Some("upstream_changed")), "{fault} at {endpoint}: {status:#}");
        assert!(status.to_string().contains("data[].caption"), "{fault} at {endpoint}: {status:#}");
        // A post may have appeared meanwhile.
        let after = told(pool).await;
        assert!(before.iter().all(|row| after.contains(row)), "{fault} at {endpoint}");
        assert!(after.iter().all(|row| row.get("observed_from").is_none()), "no caption was edited: {after:?}");
    }
    assert_one_history(pool).await;
}
