//! The pages for people: the profile with its data in script blocks, the login page, the page that is not there.

use serde_json::{Value, json};

use super::cursor::{self, List};
use super::dice::Dice;
use super::fault::Fault;
use super::legacy::{bio_links, gating};
use super::scene::Scene;
use super::xdt;

/// How many posts the page shows.
const FIRST_POSTS: usize = 12;

/// The script blocks of a profile's page, in their order: tokens first, then parts of the account to be merged.
pub(super) fn profile_blocks(scene: &Scene) -> Vec<Value> {
    let account = &scene.account;
    let counts = scene.counts();
    let mut dice = Dice::new(scene.world.seed, "page", account.key);
    // On the page `id` is an id of the graph, not the account's number.
    let id = format!("178{:014}", dice.below(100_000_000_000_000));
    let names = json!({
        "id": id,
        "pk": account.pk.to_string(),
        "username": account.username,
        "full_name": account.full_name,
        "is_private": scene.has(Fault::Private),
        "is_verified": account.is_verified,
        "is_regulated_c18": scene.has(Fault::Regulated),
        "gating": scene.has(Fault::AgeGated).then(gating),
        "profile_pic_url": account.picture(),
    });
    let numbers = json!({
        "id": id,
        "pk": account.pk.to_string(),
        "biography": account.biography,
        "bio_links": bio_links(scene),
        "follower_count": counts.followers,
        "following_count": counts.following,
        "all_media_count": if scene.is_guest { Value::Null } else { json!(counts.posts) },
    });
    let shelf = scene.shelf();
    let page = cursor::page(&shelf, List::Legacy, account.username.as_ref(), None, FIRST_POSTS, 0);
    let timeline = json!({
        "id": id,
        "polaris_ordered_timeline_connection": xdt::connection(scene, &page, |post| xdt::stub(scene, post)),
    });
    vec![
        tokens(scene),
        preloaded("PolarisProfilePageContentDirectQuery", names),
        preloaded("PolarisProfileHeaderQuery", numbers),
        preloaded("PolarisProfilePostsDirectQuery", timeline),
    ]
}

/// The script blocks of a post's page: the tokens. What it shows of the post is asked for by GraphQL.
pub(super) fn post_blocks(scene: &Scene) -> Vec<Value> {
    vec![tokens(scene)]
}

/// A page of the account, or of one of its posts, from its blocks.
pub(super) fn render(scene: &Scene, blocks: &[Value]) -> String {
    let title = if scene.is_restricted() {
        "Restricted profile".to_owned()
    } else {
        format!("{} (@{})", escape(&scene.account.full_name), scene.username())
    };
    let scripts: String = blocks
        .iter()
        .map(|block| {
            // Within a script element only this sign could end it.
            let text = block.to_string().replace('<', "\\u003C");
            format!("<script type=\"application/json\" data-content-len=\"{}\" data-sjs>{text}</script>\n", text.len())
        })
        .collect();
    shell(&title, &scripts)
}

/// The first page of the site: tokens, and nothing of anybody.
pub(super) fn home() -> String {
    let tokens = r#"<script>["LSD",[],{"token":"sandbox-home-lsd"},323],["DTSGInitialData",[],{"token":"sandbox-home-dtsg"},258]</script>"#;
    shell("Instagram", tokens)
}

/// The page of an account that does not exist.
pub(super) fn missing() -> String {
    shell("Page not found", "<p>Sorry, this page isn't available.</p>")
}

/// The page that asks for a password.
pub(super) fn login() -> String {
    shell("Login", "<form id=\"loginForm\" method=\"post\"></form>")
}

/// The frame of every page.
pub(super) fn shell(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" id=\"facebook\"><head><meta charset=\"utf-8\"><title>{title} • Instagram</title>\
         </head>\n<body>\n{body}\n</body></html>\n"
    )
}

/// The script block that defines the tokens which GraphQL wants to see again.
fn tokens(scene: &Scene) -> Value {
    json!({ "require": [["ScheduledServerJS", "handle", null, [{ "__bbox": { "define": [
        ["LSD", [], { "token": token(scene, "lsd", 11) }, 323],
        ["DTSGInitialData", [], { "token": format!("{}:0:0", token(scene, "dtsg", 40)) }, 258],
        ["SiteData", [], { "server_revision": 1_012_345_678, "hsi": "7400000000000000000" }, 317],
    ] } }]]] })
}

/// A token of the page, the same for as long as the seed is.
fn token(scene: &Scene, purpose: &str, length: usize) -> String {
    Dice::new(scene.world.seed, purpose, 0).token(length)
}

fn preloaded(query: &str, user: Value) -> Value {
    json!({ "require": [["ScheduledServerJS", "handle", null, [{ "__bbox": { "require": [[
        "RelayPrefetchedStreamCache", "next", [], [
            format!("adp_{query}RelayPreloader_sandbox"),
            { "__bbox": {
                "complete": true,
                "result": { "data": { "xig_user_by_username": user }, "extensions": { "is_final": true } },
                "sequence_number": 0,
            } },
        ],
    ]] } }]]] })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
