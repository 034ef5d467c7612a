//! Hashtags and mentions where SQL can ask for them: written with each post, and once for those that were there before.

use ig_tracking::db::media::Tags;
use ig_tracking::db::session::Way;
use ig_tracking::db::{Line, Pool, captions};
use ig_tracking::instagram::caption;
use ig_tracking::maintenance;
use serde_json::Value;

use crate::harness::{World, eventually};

#[tokio::test]
async fn what_a_caption_names_is_kept_with_its_post_and_follows_its_edits() {
    let (world, replica) = World::with_replica().await;
    world.scrape_reels(&replica, "t", "anna.tags").await;
    let pool = &world.database.pool;
    let kept = "select caption, hashtags, mentions from media";
    let posts: Vec<(Option<String>, Vec<String>, Vec<String>)> = sqlx::query_as(kept).fetch_all(pool).await.unwrap();
    assert!(posts.len() == 60 && posts.iter().any(|(_, tags, _)| !tags.is_empty()));
    for (text, hashtags, mentions) in &posts {
        let text = text.as_deref().unwrap_or_default();
        assert_eq!(hashtags, &caption::hashtags(text), "{text}");
        assert_eq!(mentions, &caption::mentions(text).iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>());
    }
    // A scan that tells another caption tells its tags.
    sqlx::query("update media set caption = '#old', hashtags = '{old}'").execute(pool).await.unwrap();
    world.scrape_reels(&replica, "again", "anna.tags").await;
    let again: Vec<(Option<String>, Vec<String>, Vec<String>)> = sqlx::query_as(kept).fetch_all(pool).await.unwrap();
    assert!(again.iter().all(|(_, tags, _)| !tags.contains(&"old".to_owned())));
}

/// Posts as the version before left them.
const BEFORE: &str = "
    insert into media (profile_id, shortcode, instagram_pk, is_reel, is_pinned, caption, run_id, seq)
    select n % 7, 'p' || n, n, false, false, case when n % 3 > 0 then 'Guten Morgen #Straße' || n || ' @Anna_' || n end,
           uuid_v7(), 1
    from generate_series(1, 1800) n";

const UNREAD: &str = "select count(*) from media where hashtags is null or mentions is null";

#[tokio::test]
async fn captions_that_were_there_before_are_read_once_whoever_is_cut_off_and_however_many_read() {
    let world = World::new().await;
    let pool = &world.database.pool;
    sqlx::raw_sql(BEFORE).execute(pool).await.unwrap();
    sqlx::query("update caption_walk set finished_at = null").execute(pool).await.unwrap();
    // A reader that is cut off between both statements leaves nothing, one that was slower than others writes nothing.
    let page = captions::next_page(pool, 500).await.unwrap().unwrap();
    let tags = vec![Tags { hashtags: vec!["late".to_owned()], mentions: Vec::new() }; 500];
    assert_eq!(sqlx::query_scalar::<_, i64>(UNREAD).fetch_one(pool).await.unwrap(), 1800);
    // Then replicas read, three at once.
    let replicas = [world.replica(&[]).await, world.replica(&[]).await, world.replica(&[]).await];
    eventually("all captions are read", async || {
        let over = "select finished_at is not null from caption_walk";
        sqlx::query_scalar::<_, bool>(over).fetch_one(pool).await.unwrap().then_some(())
    })
    .await;
    assert_eq!(sqlx::query_scalar::<_, i64>(UNREAD).fetch_one(pool).await.unwrap(), 0);
    assert_eq!(captions::keep(pool, &page, &tags).await.unwrap(), None);
    let (tags, names): (Vec<String>, Vec<String>) =
        sqlx::query_as("select hashtags, mentions from media where shortcode = 'p1000'").fetch_one(pool).await.unwrap();
    assert_eq!((tags, names), (vec!["straße1000".to_owned()], vec!["anna_1000".to_owned()]));
    let empty = "select count(*) from media where caption is null and hashtags = '{}' and mentions = '{}'";
    assert_eq!(sqlx::query_scalar::<_, i64>(empty).fetch_one(pool).await.unwrap(), 600);
    // One of them says so, once it has read something.
    eventually("a replica says so", async || {
        let said = |line: &Value| line.to_string().contains("read the captions of older posts");
        replicas.iter().any(|replica| replica.log().iter().any(said)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn all_captions_are_read_at_once_where_somebody_asks_for_it() {
    let world = World::new().await;
    sqlx::raw_sql(BEFORE).execute(&world.database.pool).await.unwrap();
    sqlx::query("update caption_walk set finished_at = null").execute(&world.database.pool).await.unwrap();
    let line = Line::new(world.database.url.parse().unwrap(), Way::Direct);
    let pool = Pool::new(line, 1);
    // A run has read this one meanwhile.
    sqlx::query("update media set hashtags = '{mine}', mentions = '{}' where shortcode = 'p1'")
        .execute(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(maintenance::read_captions(&pool).await.unwrap(), 1799);
    assert_eq!(maintenance::read_captions(&pool).await.unwrap(), 0);
    let mine = "select hashtags from media where shortcode = 'p1'";
    let mine: Vec<String> = sqlx::query_scalar(mine).fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(mine, ["mine"]);
}
