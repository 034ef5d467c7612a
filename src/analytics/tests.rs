//! Formulas against numbers worked out by hand, and what holds of them whatever they are given.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;

use super::anomalies::Anomalies;
use super::cadence::{Cadence, Covered};
use super::curve::{AGES, Ages, AtAge, Curve, at_age, per_hour};
use super::engagement::{AnalysedPost, Engagement};
use super::growth::Growth;
use super::heat_map::HeatMap;
use super::lift::Lifts;
use super::performance::{Standing, compare};
use super::statistics::{Scale, Spread, median, modified_z_scores};
use super::{Missing, Quartiles};
use crate::db::RunId;
use crate::db::analytics::{Around, Counted, Day, Distance, Metric, Origin, Point, Post, Reach, Seen, Segment, Window};

/// What brought a number says nothing of what is made of it.
const ORIGIN: Origin = Origin { run_id: RunId(uuid::Uuid::nil()), seq: 1 };

/// So many hours into a week that began on a Monday.
fn hour(hours: f64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_272_000, 0).unwrap() + TimeDelta::milliseconds((hours * 3_600_000.0) as i64)
}

fn seen(at: f64, count: f64) -> Point {
    Point { at: hour(at), count }
}

/// A post that was published at hour 0 and had so many likes on so many followers.
fn post(likes: i64, followers: Option<i64>) -> Post {
    Post {
        shortcode: format!("p{likes}"),
        taken_at: hour(0.0),
        weekday: 1,
        hour: 0,
        is_reel: false,
        hashtags: Some(Vec::new()),
        mentions: Some(Vec::new()),
        followers: followers.map(|followers| Distance { followers, seconds: 0.0, origin: ORIGIN }),
        likes_hidden: Some(false),
        engagement: Some(Seen { at: hour(24.0), likes, comments: 0, base: 0, origin: ORIGIN }),
        plays: None,
        views: None,
    }
}

fn analysed(post: Post) -> AnalysedPost {
    let unknown: Ages = [Err(Missing::NotSeenAround); AGES.len()];
    AnalysedPost::of(post, unknown, unknown)
}

#[test]
fn quartiles_lie_between_numbers_as_those_of_postgres_do() {
    // select percentile_cont(array[0.25, 0.5, 0.75]) within group (order by n) from unnest('{1,2,4,8,16,32}'::float8[]) n
    let spread = Spread::of([32.0, 1.0, 4.0, 2.0, 16.0, 8.0], 5);
    assert_eq!(spread, Spread { n: 6, quartiles: Ok(Quartiles { q1: 2.5, median: 6.0, q3: 14.0 }) });
    assert_eq!(Spread::of([1.0; 4], 5), Spread { n: 4, quartiles: Err(Missing::TooFew) });
    assert_eq!((median([]), median([3.0]), median([3.0, 5.0])), (None, Some(3.0), Some(4.0)));
}

#[test]
fn a_modified_z_score_is_measured_by_the_median_deviation_and_where_that_is_0_by_the_mean() {
    // The median is 3, the deviations are 2 1 1 0 1 1 97, their median is 1: the last is 0.6745 · 97.
    let scored = modified_z_scores(&[1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 100.0], 7).unwrap();
    assert_eq!((scored.median, scored.deviation, scored.scale), (3.0, 1.0, Scale::Median));
    assert!((scored.scores[6] - 65.4265).abs() < 1e-12);
    // Six of seven are equal: the deviations are 0 but for 7, their mean is 1.
    let scored = modified_z_scores(&[5.0, 5.0, 5.0, 12.0, 5.0, 5.0, 5.0], 7).unwrap();
    assert_eq!((scored.median, scored.deviation, scored.scale), (5.0, 1.0, Scale::Mean));
    assert!((scored.scores[3] - 7.0 / 1.253314).abs() < 1e-12);
    assert_eq!(modified_z_scores(&[5.0; 7], 7), Err(Missing::AllEqual));
    assert_eq!(modified_z_scores(&[1.0, 2.0], 7), Err(Missing::TooFew));
}

#[test]
fn growth_is_what_lies_between_the_ends_of_what_is_known() {
    let counted = |from_at, from_count, to_at, to_count| Counted {
        metric: Metric::Followers,
        snapshots: 3,
        from_at: hour(from_at),
        from_count,
        from_run_id: ORIGIN.run_id,
        from_seq: ORIGIN.seq,
        to_at: hour(to_at),
        to_count,
        to_run_id: ORIGIN.run_id,
        to_seq: ORIGIN.seq,
    };
    // 60 more on 1000 in three days and a half.
    let grown = Growth::of(Some(&counted(0.0, 1000, 84.0, 1060)));
    assert_eq!((grown.n, grown.absolute, grown.percent, grown.weekly), (3, Ok(60), Ok(6.0), Ok(120.0)));
    let short = Growth::of(Some(&counted(0.0, 0, 23.0, 60)));
    assert_eq!((short.absolute, short.percent, short.weekly), (Ok(60), Err(Missing::ZeroBase), Err(Missing::TooShort)));
    let once = Growth::of(Some(&counted(5.0, 1000, 5.0, 1000)));
    assert_eq!(
        (once.absolute, once.percent, once.weekly),
        (Err(Missing::TooFew), Err(Missing::TooFew), Err(Missing::TooFew))
    );
    let none = Growth::of(None);
    assert_eq!((none.n, none.from, none.absolute), (0, None, Err(Missing::NotTold)));
}

#[test]
fn a_number_at_an_age_lies_on_the_line_between_both_sides_and_nowhere_beyond_them() {
    let at = |hours, around: Option<Around>| at_age(hour(0.0), hours, around.as_ref(), hour(1000.0));
    let around = |before, after| Some(Around { before, after });
    // From 100 at hour 4 to 200 at hour 9: at hour 6 two fifths of the way.
    let line = around(seen(4.0, 100.0), Some(seen(9.0, 200.0)));
    assert_eq!(at(6.0, line), Ok(AtAge { value: 140.0, is_interpolated: true }));
    assert_eq!(at(6.0, around(seen(6.0, 7.0), None)), Ok(AtAge { value: 7.0, is_interpolated: false }));
    assert_eq!(at(6.0, around(seen(4.0, 100.0), None)), Err(Missing::NotSeenAround));
    assert_eq!(at(6.0, None), Err(Missing::NotSeenAround));
    // Nine hours apart at the age of six are one and a half times the age; more is too far.
    assert!(at(6.0, around(seen(1.0, 0.0), Some(seen(10.0, 9.0)))).is_ok());
    assert_eq!(at(6.0, around(seen(1.0, 0.0), Some(seen(10.5, 9.0)))), Err(Missing::TooFarApart));
    assert_eq!(at_age(hour(0.0), 6.0, line.as_ref(), hour(5.0)), Err(Missing::TooYoung));
    let segment = Segment { from: hour(4.0), until: hour(9.0), from_count: 100, until_count: 90 };
    assert_eq!(per_hour(&segment), -2.0);
}

#[test]
fn likes_that_are_hidden_or_not_told_are_in_no_sum_and_said() {
    let hidden = Post { likes_hidden: Some(true), ..post(30, Some(1000)) };
    let silent = Post { engagement: None, ..post(30, Some(1000)) };
    let fresh = Post {
        engagement: Some(Seen { at: hour(23.9), likes: 900, comments: 0, base: 0, origin: ORIGIN }),
        ..post(30, Some(1000))
    };
    let others = (1..=5).map(|n| post(10 * n, Some(1000)));
    let more = [hidden, silent, fresh, post(30, None), post(30, Some(0))];
    let posts: Vec<_> = others.chain(more).map(analysed).collect();
    let Engagement { percent, left_out } = Engagement::on_followers(&posts);
    // 1, 2, 3, 4 and 5 per cent.
    assert_eq!(percent, Spread { n: 5, quartiles: Ok(Quartiles { q1: 2.0, median: 3.0, q3: 4.0 }) });
    let why = [Missing::NotTold, Missing::LikesHidden, Missing::ZeroBase, Missing::FollowersUnknown, Missing::TooYoung];
    assert_eq!(left_out, why.into_iter().map(|missing| (missing, 1)).collect());
}

#[test]
fn a_post_stands_above_within_or_below_the_middle_half_at_the_greatest_age_that_both_know() {
    let known = |value| Ok(AtAge { value, is_interpolated: false });
    let mut all: Vec<Ages> = Vec::new();
    for value in [10.0, 20.0, 30.0, 40.0, 80.0] {
        all.push([known(value), known(10.0 * value), Err(Missing::TooYoung), known(1.0), known(1.0), known(1.0)]);
    }
    let mut spreads = Curve::of(all.iter()).ages;
    // A day and more are known of fewer than five.
    spreads[3..].fill(Spread::of([1.0; 4], 5));
    let of = |ages: &Ages| compare(ages, &spreads);
    let best = of(&all[4]).unwrap();
    assert_eq!(
        (best.age_hours, best.value, best.median, best.n, best.ratio),
        (6.0, 800.0, 300.0, 5, Ok(800.0 / 300.0))
    );
    let standings: Vec<_> = all.iter().map(|ages| of(ages).unwrap().standing).collect();
    assert_eq!(standings, [Standing::Below, Standing::Within, Standing::Within, Standing::Within, Standing::Above]);
    let mut late = all[0];
    late[..2].fill(Err(Missing::NotSeenAround));
    assert_eq!(of(&late), Err(Missing::TooFew));
    assert_eq!(of(&[Err(Missing::TooYoung); 6]), Err(Missing::NotSeenAround));
}

#[test]
fn a_heat_map_counts_posts_where_they_were_published_and_tells_no_engagement_of_none() {
    let at = |weekday, hour, likes, followers| analysed(Post { weekday, hour, ..post(likes, followers) });
    let map = HeatMap::of(&[at(1, 0, 10, Some(1000)), at(1, 0, 30, Some(1000)), at(7, 23, 10, None)]);
    assert_eq!((map.posts[0][0], map.n[0][0], map.median_percent[0][0]), (2, 2, Some(2.0)));
    assert_eq!((map.posts[6][23], map.n[6][23], map.median_percent[6][23]), (1, 0, None));
    assert_eq!(map.posts.iter().flatten().sum::<usize>(), 3);
}

#[test]
fn a_lift_is_the_median_with_a_tag_by_the_median_without() {
    let tagged = |likes, tags: Option<&[&str]>| {
        let hashtags = tags.map(|tags| tags.iter().map(|tag| (*tag).to_owned()).collect());
        analysed(Post { hashtags, ..post(likes, Some(1000)) })
    };
    let posts = [
        tagged(60, Some(&["sun", "all"])),
        tagged(70, Some(&["sun", "all"])),
        tagged(90, Some(&["sun", "all"])),
        tagged(10, Some(&["all"])),
        tagged(20, Some(&["all"])),
        tagged(30, Some(&["all"])),
        tagged(99, None),
    ];
    let lifts = Lifts::of(&posts, |post| post.hashtags.as_ref());
    assert_eq!((lifts.n, lifts.unread, lifts.count), (6, 1, 2));
    let [all, sun] = &lifts.most_used[..] else { panic!("{lifts:?}") };
    assert_eq!((all.tag.as_str(), all.n_with, all.n_without, all.median_without), ("all", 6, 0, None));
    assert_eq!(all.lift, Err(Missing::TooFew));
    // 7 per cent with it, 2 without.
    assert_eq!((sun.n_with, sun.n_without, sun.lift), (3, 3, Ok(3.5)));
}

#[test]
fn a_change_is_of_days_that_follow_each_other_and_none_crosses_a_day_that_nobody_saw() {
    let day = |day, followers| Day { day: NaiveDate::from_ymd_opt(2026, 6, day).unwrap(), followers };
    let mut days: Vec<Day> = (1..=9).map(|n| day(n, 1000 + i64::from(n) * 10 + i64::from(n % 2))).collect();
    days.push(day(10, 1500));
    // Two days that nobody saw: how many came on which of them is not known.
    days.push(day(13, 9000));
    let found = Anomalies::of_days(&days);
    // Changes 9, 11, 9, 11, 9, 11, 9, 11 and 409: the median is 11, the deviations 2, 0 … and 398, their median is 2.
    assert_eq!((found.n, found.count), (9, 1));
    let anomaly = &found.farthest[0];
    assert_eq!((anomaly.what, anomaly.value), (days[9].day, 409.0));
    assert!((anomaly.score - 0.6745 * 398.0 / found.ordinary.unwrap().deviation).abs() < 1e-9);
}

#[test]
fn a_cadence_is_of_the_time_whose_posts_are_known() {
    let window = Window { since: hour(0.0), until: hour(336.0), time_zone: "UTC".to_owned() };
    let reach = |oldest: Option<f64>, known, told| Reach {
        oldest: oldest.map(hour),
        read_at: Some(hour(168.0)),
        known,
        undated: 0,
        told: Some(told),
    };
    let times = [100.0, 52.0, 28.0, -50.0];
    let of = |reach: &Reach| {
        let covered = Covered::of(&window, reach, None);
        Cadence::of(times.into_iter().filter(|at| *at >= 0.0).map(hour), covered)
    };
    // All are known: three posts in the week until posts were last read.
    let whole = of(&reach(Some(-50.0), 4, 4));
    assert_eq!((whole.n, whole.posts_per_week, whole.pauses, whole.median_pause_hours), (3, Ok(3.0), 2, Ok(36.0)));
    assert_eq!(whole.longest_pause.unwrap().hours, 48.0);
    // Nothing is known before the oldest: two posts came after it, in 140 hours.
    let part = of(&reach(Some(28.0), 3, 50));
    assert_eq!((part.n, part.posts_per_week, part.pauses), (2, Ok(2.0 * 168.0 / 140.0), 2));
    // An account without posts publishes none, and one that nobody read says nothing.
    let never = Cadence::of([], Covered::of(&window, &reach(None, 0, 0), None));
    assert_eq!((never.n, never.posts_per_week, never.longest_pause), (0, Ok(0.0), Err(Missing::TooFew)));
    let unread = Cadence::of([], Covered::of(&window, &Reach { read_at: None, ..reach(None, 0, 0) }, None));
    assert_eq!((unread.covered, unread.posts_per_week), (None, Err(Missing::NotTold)));
}

fn numbers() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((0..1_000_000_i64).prop_map(|number| number as f64), 0..40)
}

/// Posts of every kind: hidden, silent, without followers, with 0 of all.
fn posts() -> impl Strategy<Value = Vec<Post>> {
    let one = (
        prop::option::of(0..5000_i64),
        prop::option::of(0..3_i64),
        prop::option::of(any::<bool>()),
        0.0..100.0_f64,
        prop::option::of(prop::collection::vec("[ab]", 0..3)),
    );
    let one = one.prop_map(|(likes, thousands, likes_hidden, age, tags)| {
        let engagement = likes.map(|likes| Seen { at: hour(age), likes, comments: 1, base: 0, origin: ORIGIN });
        let followers = thousands.map(|thousands| 1000 * thousands);
        Post { engagement, likes_hidden, hashtags: tags, ..post(0, followers) }
    });
    prop::collection::vec(one, 0..30)
}

proptest! {
    #[test]
    fn the_order_of_numbers_never_counts(numbers in numbers(), turn in 0_usize..40) {
        let mut turned = numbers.clone();
        turned.rotate_left(if numbers.is_empty() { 0 } else { turn % numbers.len() });
        turned.reverse();
        prop_assert_eq!(Spread::of(numbers.clone(), 1), Spread::of(turned.clone(), 1));
        let sorted = |numbers: &[f64]| modified_z_scores(numbers, 1).map(|scored| {
            let mut scores = scored.scores;
            scores.sort_by(f64::total_cmp);
            scores
        });
        prop_assert_eq!(sorted(&numbers), sorted(&turned));
    }

    #[test]
    fn quartiles_are_in_order_and_within_the_numbers(numbers in numbers()) {
        let spread = Spread::of(numbers.clone(), 1);
        prop_assert_eq!(spread.n, numbers.len());
        let Ok(Quartiles { q1, median, q3 }) = spread.quartiles else {
            prop_assert!(numbers.is_empty());
            return Ok(());
        };
        let (least, most) = (numbers.iter().copied().fold(f64::MAX, f64::min), numbers.iter().copied().fold(0.0, f64::max));
        prop_assert!(least <= q1 && q1 <= median && median <= q3 && q3 <= most);
    }

    #[test]
    fn scores_know_no_unit(numbers in numbers(), scale in 1_u8..100, shift in -1000_i32..1000) {
        let moved: Vec<f64> = numbers.iter().map(|number| number * f64::from(scale) + f64::from(shift)).collect();
        match (modified_z_scores(&numbers, 1), modified_z_scores(&moved, 1)) {
            (Ok(one), Ok(other)) => {
                let same = one.scores.iter().zip(&other.scores).all(|(one, other)| (one - other).abs() <= 1e-6 * (1.0 + one.abs()));
                prop_assert!(same, "{:?} {:?}", one.scores, other.scores);
            }
            (one, other) => prop_assert_eq!(one.err(), other.err()),
        }
    }

    /// A number that only grows is at no age more than at a greater one, and never outside of what was seen.
    #[test]
    fn what_only_grows_is_interpolated_so_that_it_only_grows(mut counts in prop::collection::vec(1..1_000_000_i64, 2..30)) {
        counts.sort_unstable();
        let points: Vec<Point> =
            counts.iter().zip(0_i32..).map(|(count, n)| seen(0.5 + 7.9 * f64::from(n), *count as f64)).collect();
        let mut last = 0.0;
        for hours in (0..240).map(f64::from) {
            let place = points.partition_point(|point| point.at <= hour(hours));
            let around = place.checked_sub(1).map(|before| Around { before: points[before], after: points.get(place).copied() });
            match at_age(hour(0.0), hours, around.as_ref(), hour(1000.0)) {
                Ok(AtAge { value, .. }) => {
                    prop_assert!(value >= last && value >= counts[0] as f64, "{value} after {last}");
                    last = value;
                }
                Err(missing) => prop_assert!(missing == Missing::NotSeenAround),
            }
        }
    }

    /// Each post is counted once: in the number, or among those that are left out. No 0 comes of what was not there.
    #[test]
    fn no_post_is_lost_and_no_zero_made(posts in posts()) {
        let zeros = posts.iter().filter(|post| post.engagement.is_some_and(|seen| seen.likes + seen.comments == 0)).count();
        let n = posts.len();
        let posts: Vec<_> = posts.into_iter().map(analysed).collect();
        let engagement = Engagement::on_followers(&posts);
        prop_assert_eq!(engagement.percent.n + engagement.left_out.values().sum::<usize>(), n);
        let told_zero = posts.iter().filter(|post| post.on_followers == Ok(0.0)).count();
        prop_assert!(told_zero <= zeros);
        for post in &posts {
            let is_known = post.post.likes_hidden != Some(true) && post.post.engagement.is_some()
                && post.post.followers.is_some_and(|near| near.followers > 0);
            prop_assert_eq!(post.on_followers.is_ok(), is_known);
        }
        let lifts = Lifts::of(&posts, |post| post.hashtags.as_ref());
        prop_assert_eq!(lifts.n + lifts.unread, engagement.percent.n);
        for lift in &lifts.most_used {
            prop_assert_eq!(lift.n_with + lift.n_without, lifts.n);
            prop_assert!(lift.lift.is_err() || lift.n_with.min(lift.n_without) >= 3);
        }
        let map = HeatMap::of(&posts);
        prop_assert_eq!(map.posts.iter().flatten().sum::<usize>(), n);
        for (n, median) in map.n.iter().flatten().zip(map.median_percent.iter().flatten()) {
            prop_assert_eq!(*n == 0, median.is_none());
        }
    }

    #[test]
    fn the_order_of_posts_never_counts(posts in posts()) {
        let turned: Vec<_> = posts.iter().rev().cloned().map(analysed).collect();
        let posts: Vec<_> = posts.into_iter().map(analysed).collect();
        prop_assert_eq!(Engagement::on_followers(&posts), Engagement::on_followers(&turned));
        prop_assert_eq!(Lifts::of(&posts, |post| post.hashtags.as_ref()), Lifts::of(&turned, |post| post.hashtags.as_ref()));
        prop_assert_eq!(HeatMap::of(&posts), HeatMap::of(&turned));
    }
}
