//! A world of one account and nine posts, and what is expected of it, worked out beside each number.

use serde_json::{Value, json};

use super::{filled, walk};
use crate::harness::Replica;

/// Anna in June 2025; the second was a Monday.
const ANNA: &str = "
    insert into profiles (username, run_id, seq) values ('anna', uuid_v7(), 1);
    insert into profile_snapshots (profile_id, observed_from, observed_until, followers_count, following_count, posts_count,
                                   run_id, seq)
    select profile_id, since::timestamptz, until::timestamptz, followers, following, posts, uuid_v7(), 1
    from profiles, (values
        ('2025-06-01 00:00Z', '2025-06-03 00:00Z', 1000, 50, 8),
        ('2025-06-04 00:00Z', '2025-06-05 00:00Z', 1100, null, 9),
        ('2025-06-08 00:00Z', '2025-06-08 12:00Z', 1250, 50, 10)) seen (since, until, followers, following, posts);
    insert into media (profile_id, shortcode, instagram_pk, is_reel, is_pinned, taken_at, hashtags, mentions, last_seen_at,
                       run_id, seq)
    select profile_id, code, ascii(code), code = 'G', false, taken_at::timestamptz, tags::text[], '{}', '2025-06-10 20:00Z',
           uuid_v7(), 1
    from profiles, (values
        ('H', '2025-06-01 06:00Z', '{sun}'), ('I', '2025-06-01 12:00Z', '{}'), ('A', '2025-06-02 10:00Z', '{sun,sea}'),
        ('B', '2025-06-03 06:00Z', '{}'), ('G', '2025-06-05 00:00Z', '{sun}'), ('D', '2025-06-05 12:00Z', '{sun}'),
        ('C', '2025-06-06 18:00Z', '{sea}'), ('E', '2025-06-10 12:00Z', '{}'), ('F', '2025-06-10 13:00Z', '{}'))
        post (code, taken_at, tags);
    insert into media_snapshots (profile_id, shortcode, observed_from, observed_until, likes_count, likes_hidden,
                                 comments_count, plays_count, views_count, run_id, seq)
    select profile_id, code, since::timestamptz, until::timestamptz, likes, code = 'D', comments, plays, views, uuid_v7(), 1
    from profiles, (values
        ('H', '2025-06-01 12:00Z', '2025-06-08 12:00Z', 70, 10, null, null),
        ('I', '2025-06-01 18:00Z', '2025-06-08 12:00Z', 0, 0, null, null),
        ('A', '2025-06-02 12:00Z', '2025-06-02 13:00Z', 20, 4, null, null),
        ('A', '2025-06-04 12:00Z', '2025-06-08 12:00Z', 80, 20, null, null),
        ('B', '2025-06-03 12:00Z', '2025-06-08 12:00Z', 40, 10, null, null),
        ('G', '2025-06-05 00:30Z', '2025-06-05 00:30Z', 5, 0, 100, null),
        ('G', '2025-06-05 04:30Z', '2025-06-05 06:30Z', 30, 3, 500, null),
        ('G', '2025-06-06 12:00Z', '2025-06-06 12:00Z', 100, 10, 2000, 1000),
        ('D', '2025-06-05 18:00Z', '2025-06-08 12:00Z', null, 7, null, null),
        ('C', '2025-06-07 00:00Z', '2025-06-08 12:00Z', 25, 0, null, null),
        ('E', '2025-06-10 20:00Z', '2025-06-10 20:00Z', 40, 10, null, null),
        ('F', '2025-06-10 20:00Z', '2025-06-10 20:00Z', 40, 10, null, null))
        seen (code, since, until, likes, comments, plays, views);";

const WINDOW: &str = "since=2025-06-01T00:00:00Z&until=2025-06-11T00:00:00Z";

async fn told(replica: &Replica, more: &str) -> Value {
    replica.v2_get(&format!("/profiles/anna/analytics?{WINDOW}{more}")).await
}

fn figure(value: impl Into<Value>) -> Value {
    json!({"value": value.into(), "reason": null})
}

/// What is told beside the row that it is of, which it has to name.
fn of_one_row(told: &Value) -> Value {
    let mut told = told.clone();
    let fields = told.as_object_mut().unwrap();
    let [run_id, seq, event] = ["run_id", "seq", "event"].map(|name| fields.shift_remove(name).unwrap());
    let address = format!("/api/v2/runs/{}/events/{seq}", run_id.as_str().unwrap());
    assert_eq!((seq, event), (json!(1), json!(address)));
    told
}

fn missing(reason: &str) -> Value {
    json!({"value": null, "reason": reason})
}

fn spread(n: usize, [q1, median, q3]: [f64; 3]) -> Value {
    json!({"n": n, "q1": q1, "median": median, "q3": q3, "reason": null})
}

fn too_few(n: usize) -> Value {
    json!({"n": n, "q1": null, "median": null, "q3": null, "reason": "too_few"})
}

/// Equal, numbers to the last digits.
fn assert_same(found: &Value, expected: &Value) {
    let same = match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            (found - expected).abs() <= 1e-12 * expected.abs().max(1.0)
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            found.iter().zip(expected).for_each(|(found, expected)| assert_same(found, expected));
            true
        }
        (Value::Object(found), Value::Object(expected)) if found.keys().eq(expected.keys()) => {
            found.iter().for_each(|(name, found)| assert_same(found, &expected[name]));
            true
        }
        (found, expected) => found == expected,
    };
    assert!(same, "{found:#} is not {expected:#}");
}

#[tokio::test]
async fn growth_is_told_between_the_ends_of_what_was_seen_with_its_gaps() {
    let (_world, replica) = filled(ANNA).await;
    let mut growth = told(&replica, "").await["growth"].clone();
    for end in ["from", "to"] {
        growth["followers"][end] = of_one_row(&growth["followers"][end]);
    }
    // 1000 when the window began, 1250 seven days and a half later.
    let followers = json!({
        "n": 3,
        "from": {"at": "2025-06-01T00:00:00.000000Z", "count": 1000},
        "to": {"at": "2025-06-08T12:00:00.000000Z", "count": 1250},
        "absolute": figure(250), "percent": figure(25.0), "weekly": figure(250.0 * 7.0 / 7.5),
    });
    assert_same(&growth["followers"], &followers);
    // Not told in the second snapshot: seen equal before and after.
    assert_same(&growth["following"]["n"], &json!(2));
    assert_same(&growth["following"]["absolute"], &figure(0));
    // From the third to the fourth is a day, which is no gap.
    let gaps = json!({"longer_than_hours": 24.0, "count": 2, "first": [
        {"from": "2025-06-05T00:00:00.000000Z", "until": "2025-06-08T00:00:00.000000Z"},
        {"from": "2025-06-08T12:00:00.000000Z", "until": "2025-06-11T00:00:00.000000Z"}]});
    assert_same(&growth["gaps"], &gaps);
    // A window in a gap knows nothing, and one that begins in a snapshot begins at its own begin.
    let of = async |window: &str| replica.v2_get(&format!("/profiles/anna/analytics?{window}")).await["growth"].clone();
    let silent = of("since=2025-06-05T06:00:00Z&until=2025-06-07T00:00:00Z").await;
    assert_same(
        &silent["followers"],
        &json!({"n": 0, "from": null, "to": null, "absolute": missing("not_told"),
        "percent": missing("not_told"), "weekly": missing("not_told")}),
    );
    assert_same(
        &silent["gaps"]["first"],
        &json!([{"from": "2025-06-05T06:00:00.000000Z", "until": "2025-06-07T00:00:00.000000Z"}]),
    );
    let short = of("since=2025-06-04T12:00:00Z&until=2025-06-05T06:00:00Z").await;
    assert_same(&of_one_row(&short["followers"]["from"]), &json!({"at": "2025-06-04T12:00:00.000000Z", "count": 1100}));
    assert_same(&short["followers"]["absolute"], &figure(0));
    assert_same(&short["followers"]["weekly"], &missing("too_short"));
}

#[tokio::test]
async fn engagement_is_on_the_followers_at_publish_and_says_which_posts_it_leaves_out() {
    let (_world, replica) = filled(ANNA).await;
    let told = told(&replica, "").await;
    assert_same(&told["posts"], &json!({"n": 9, "reels": 1, "is_cut": false, "undated": 0}));
    // H 80 on 1000, I 0, A 100, B 50, G 110 on 1100, C 25 on 1250: 8, 0, 10, 5, 10 and 2 per cent. A 0 that was seen is one.
    let engagement = json!({
        "percent": spread(6, [2.75, 6.5, 9.5]),
        "left_out": [{"reason": "likes_hidden", "posts": 1}, {"reason": "followers_unknown", "posts": 1},
                     {"reason": "too_young", "posts": 1}],
    });
    assert_same(&told["engagement"]["on_followers"], &engagement);

    let posts = walk(&replica, &format!("/profiles/anna/analytics/posts?{WINDOW}")).await;
    let codes: Vec<_> = posts.iter().map(|post| post["shortcode"].as_str().unwrap()).collect();
    assert_eq!(codes, ["F", "E", "C", "D", "G", "B", "A", "I", "H"]);
    let of = |code: &str| &posts[codes.iter().position(|known| *known == code).unwrap()];
    let near = |count: i64, hours: f64| json!({"count": count, "distance_seconds": hours * 3600.0});
    // True at the time; six hours before; 30 hours after and not 42 before; 48 hours before; 49 are too far.
    for (code, followers, percent) in [
        ("A", near(1000, 0.0), figure(10.0)),
        ("B", near(1000, 6.0), figure(5.0)),
        ("C", near(1250, 30.0), figure(2.0)),
        ("E", near(1250, 48.0), figure(4.0)),
        ("F", Value::Null, missing("followers_unknown")),
        ("D", near(1100, 12.0), missing("likes_hidden")),
    ] {
        match &of(code)["followers_at_publish"] {
            Value::Null => assert!(followers.is_null(), "{code}"),
            near => assert_same(&of_one_row(near), &followers),
        }
        assert_same(&of(code)["percent_of_followers"], &percent);
    }
    assert_same(
        &of_one_row(&of("C")["latest"]),
        &json!({"seen_at": "2025-06-08T12:00:00.000000Z", "age_hours": 42.0, "likes_count": 25, "comments_count": 0}),
    );
    assert_eq!((&of("D")["likes_hidden"], &of("D")["latest"]), (&json!(true), &Value::Null));
    assert_eq!(of("A")["reel"], Value::Null);
}

#[tokio::test]
async fn reels_are_laid_side_by_side_at_the_same_age() {
    let (_world, replica) = filled(ANNA).await;
    let curve = async |of: &str| replica.v2_get(&format!("/reels/G/curve{of}")).await;
    let at_age = |age: f64, value: Option<f64>, interpolated: Option<bool>, reason: Option<&str>| json!({"age_hours": age, "value": value, "is_interpolated": interpolated, "reason": reason});
    let plays = curve("").await;
    assert_eq!((&plays["of"], &plays["taken_at"]), (&json!("plays"), &json!("2025-06-05T00:00:00.000000Z")));
    let told: Vec<Value> = plays["ages"].as_array().unwrap().iter().map(|age| {
        json!({"age_hours": age["age_hours"], "value": age["value"], "is_interpolated": age["is_interpolated"], "reason": age["reason"]})
    }).collect();
    // At one hour an eighth of the way from 100 to 500; at six it was seen; at 24 17.5 of 29.5 hours from 500 to 2000.
    let beyond = |age| at_age(age, None, None, Some("not_seen_around"));
    assert_same(
        &json!(told),
        &json!([
            at_age(1.0, Some(150.0), Some(true), None),
            at_age(6.0, Some(500.0), Some(false), None),
            at_age(24.0, Some(500.0 + 1500.0 * 17.5 / 29.5), Some(true), None),
            beyond(72.0),
            beyond(168.0),
            beyond(672.0)
        ]),
    );
    let first = &plays["ages"][0];
    assert_same(&of_one_row(&first["before"]), &json!({"at": "2025-06-05T00:30:00.000000Z", "count": 100.0}));
    assert_same(&of_one_row(&first["after"]), &json!({"at": "2025-06-05T04:30:00.000000Z", "count": 500.0}));
    let history = replica.v2_get("/posts/G/history").await;
    for side in ["before", "after"] {
        let mut rows = history["items"].as_array().unwrap().iter();
        let row = rows.find(|row| row["plays_count"].as_f64() == first[side]["count"].as_f64()).unwrap();
        assert_eq!(row["event"], first[side]["event"], "{side}");
    }
    // Views were told once, when it was older than a day.
    assert_same(&curve("?of=views").await["ages"][2]["reason"], &json!("not_seen_around"));
    assert_same(&curve("?of=likes").await["ages"][1]["value"], &json!(30.0));

    let velocity = walk(&replica, "/reels/G/velocity").await;
    let told: Vec<Value> = velocity
        .iter()
        .map(|segment| json!([segment["from_age_hours"], segment["until_age_hours"], segment["per_hour"]]))
        .collect();
    assert_same(&json!(told), &json!([[0.5, 4.5, 100.0], [4.5, 6.5, 0.0], [6.5, 36.0, 1500.0 / 29.5]]));
    assert_same(&velocity[2]["until_count"], &json!(2000));
    assert_eq!(walk(&replica, "/reels/G/velocity?of=views").await, Vec::<Value>::new());

    let reels = told_reels(&replica).await;
    assert_same(&reels["n"], &json!(1));
    assert_same(&reels["on_plays"]["percent"], &too_few(1));
    assert_same(&reels["curve"][1], &json!({"age_hours": 6.0, "plays": too_few(1)}));
    let posts = replica.v2_get(&format!("/profiles/anna/analytics/posts?{WINDOW}")).await;
    let reel = &posts["items"][4]["reel"];
    // 110 on 2000 plays, and on 1000 views.
    assert_same(&reel["percent_of_plays"], &figure(5.5));
    assert_same(&reel["percent_of_views"], &figure(11.0));
    assert_same(&reel["plays"]["reason"], &json!("too_few"));
}

async fn told_reels(replica: &Replica) -> Value {
    told(replica, "").await["reels"].clone()
}

#[tokio::test]
async fn posts_are_held_against_the_middle_half_at_the_same_age() {
    let (_world, replica) = filled(ANNA).await;
    let told = told(&replica, "").await;
    // At six hours B 50, C 25, H 80, I 0 and G 33; at a day the same, but G 33 and 17.5 of 29.5 parts of 77.
    let g = 33.0 + 77.0 * 17.5 / 29.5;
    let at = |place: usize| &told["engagement"]["curve"][place]["likes_and_comments"];
    assert_same(at(1), &spread(5, [25.0, 33.0, 50.0]));
    assert_same(at(2), &spread(5, [25.0, 50.0, g]));
    // A, B, H and I are seen at three days.
    assert_same(at(3), &too_few(4));
    let performance = &told["performance"];
    for (name, posts) in [("n", 5), ("above", 1), ("within", 3), ("below", 1)] {
        assert_same(&performance[name], &json!(posts));
    }
    let best = json!({"shortcode": "H", "likes_and_comments": {"n": 5, "age_hours": 24.0, "value": 80.0, "median": 50.0,
        "ratio": 1.6, "standing": "above", "reason": null}});
    assert_same(&performance["best"][0], &best);
    assert_same(&performance["best"][1]["likes_and_comments"]["ratio"], &json!(g / 50.0));
    let posts = replica.v2_get(&format!("/profiles/anna/analytics/posts?{WINDOW}")).await;
    // A was seen at three days only, at which there are too few.
    let compared = json!({"n": 0, "age_hours": null, "value": null, "median": null, "ratio": null, "standing": null, "reason": "too_few"});
    assert_same(&posts["items"][6]["likes_and_comments"], &compared);
}

#[tokio::test]
async fn hours_are_those_of_the_time_zone() {
    let (_world, replica) = filled(ANNA).await;
    let cells = |map: &Value| {
        let week = map["posts"].as_array().unwrap();
        let cell = |day: usize, hour: usize| {
            (map["posts"][day][hour] != 0)
                .then(|| (day, hour, map["n"][day][hour].clone(), map["median_percent"][day][hour].clone()))
        };
        (0..week.len()).flat_map(|day| (0..24).filter_map(move |hour| cell(day, hour))).collect::<Vec<_>>()
    };
    let utc = cells(&told(&replica, "").await["heat_map"]);
    let known = |day, hour, percent: f64| (day, hour, json!(1), json!(percent));
    let unknown = |day, hour| (day, hour, json!(0), Value::Null);
    assert_eq!(
        utc,
        [
            known(0, 10, 10.0),
            known(1, 6, 5.0),
            unknown(1, 12),
            unknown(1, 13),
            known(3, 0, 10.0),
            unknown(3, 12),
            known(4, 18, 2.0),
            known(6, 6, 8.0),
            known(6, 12, 0.0)
        ]
    );
    // Four hours behind: what was Thursday at midnight is Wednesday at eight in the evening.
    let new_york = cells(&told(&replica, "&timezone=America/New_York").await["heat_map"]);
    assert!(new_york.contains(&known(2, 20, 10.0)) && new_york.contains(&known(0, 6, 10.0)), "{new_york:?}");
}

#[tokio::test]
async fn tags_are_weighed_by_the_posts_with_and_without_them() {
    let (_world, replica) = filled(ANNA).await;
    let hashtags = told(&replica, "").await["hashtags"].clone();
    // With it A 10, G 10 and H 8, without it B 5, C 2 and I 0. D has it, too, and hides its likes.
    let sun = json!({"tag": "sun", "n_with": 3, "n_without": 3, "median_percent_with": 10.0, "median_percent_without": 2.0, "lift": figure(5.0)});
    let sea = json!({"tag": "sea", "n_with": 2, "n_without": 4, "median_percent_with": 6.0, "median_percent_without": 6.5, "lift": missing("too_few")});
    assert_same(&hashtags, &json!({"n": 6, "unread": 0, "count": 2, "most_used": [sun, sea]}));
}

#[tokio::test]
async fn cadence_is_of_the_time_whose_posts_are_known() {
    let (_world, replica) = filled(ANNA).await;
    // Of ten posts nine are known: before the oldest nothing is. Eight came after it, in 230 hours; the pauses are 6, 22,
    // 20, 42, 12, 30, 90 and 1.
    let cadence = json!({
        "covered": {"from": "2025-06-01T06:00:00.000000Z", "until": "2025-06-10T20:00:00.000000Z", "begins_with_a_post": true},
        "n": 8, "posts_per_week": figure(8.0 * 168.0 / 230.0), "pauses": 8, "median_pause_hours": figure(21.0),
        "longest_pause": {"from": "2025-06-06T18:00:00.000000Z", "until": "2025-06-10T12:00:00.000000Z", "value": 90.0, "reason": null},
    });
    assert_same(&told(&replica, "").await["cadence"], &cadence);
}

#[tokio::test]
async fn a_day_and_a_post_out_of_the_ordinary_are_named() {
    let (world, replica) = filled(ANNA).await;
    let of = |told: &Value| told["anomalies"].clone();
    // Changes of 0, 0, 100 and 0 on the days from the second to the fifth, and six posts: too few to say what is ordinary.
    let few = of(&told(&replica, "").await);
    assert_eq!((&few["follower_changes"]["n"], &few["follower_changes"]["reason"]), (&json!(4), &json!("too_few")));
    assert_eq!((&few["engagement"]["n"], &few["engagement"]["reason"]), (&json!(6), &json!("too_few")));
    // Ten days of 2000 followers from the first of July on, but 2500 on the eighth and 2501 and 2503 after it.
    let more = "
        insert into profile_snapshots (profile_id, observed_from, observed_until, followers_count, run_id, seq)
        select profile_id, at, at, case when n < 8 then 2000 when n = 8 then 2500 when n = 9 then 2501 else 2503 end, run_id, seq
        from profiles, generate_series(1, 10) n cross join lateral (select make_timestamptz(2025, 7, n, 21, 0, 0, 'UTC') as at) as day";
    sqlx::query(more).execute(&world.database.pool).await.unwrap();
    let july =
        of(&replica.v2_get("/profiles/anna/analytics?since=2025-07-01T00:00:00Z&until=2025-07-11T00:00:00Z").await);
    // Nine changes: six of 0, then 500, 1 and 2. Median and MAD are 0; the mean of the deviations is 503 / 9.
    let days = json!({"n": 9, "median": 0.0, "deviation": 503.0 / 9.0, "measure": "mean", "reason": null, "count": 1,
        "farthest": [{"day": "2025-07-08", "change": 500.0, "score": 500.0 / (1.253314 * 503.0 / 9.0)}]});
    assert_same(&july["follower_changes"], &days);
    // In Auckland, twelve hours ahead, it was the ninth.
    let july = of(&replica
        .v2_get(
            "/profiles/anna/analytics?since=2025-07-01T00:00:00Z&until=2025-07-12T00:00:00Z&timezone=Pacific/Auckland",
        )
        .await);
    assert_same(&july["follower_changes"]["farthest"][0]["day"], &json!("2025-07-09"));
}
