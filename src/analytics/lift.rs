//! Whether posts with a hashtag or a mention do better than those without.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Missing;
use super::engagement::AnalysedPost;
use super::statistics::median;
use crate::db::analytics::Post;

/// A lift is told of so many posts on each side.
const EACH_SIDE_AT_LEAST: usize = 3;

/// So many tags are told, the most used first.
pub const TAGS_AT_MOST: usize = 50;

/// Posts with a tag beside those without.
#[derive(Clone, Debug, PartialEq)]
pub struct Lift {
    /// The hashtag, or the handle that is mentioned.
    pub tag: String,
    /// How many posts have it.
    pub n_with: usize,
    /// How many do not.
    pub n_without: usize,
    /// The median engagement of those that have it.
    pub median_with: Option<f64>,
    /// That of the others; `None` where all have it.
    pub median_without: Option<f64>,
    /// The first by the second.
    pub lift: Result<f64, Missing>,
}

/// All tags of the posts whose engagement is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Lifts {
    /// How many posts these are.
    pub n: usize,
    /// How many were left out because their captions were not read yet.
    pub unread: usize,
    /// How many tags there are.
    pub count: usize,
    /// The most used ones.
    pub most_used: Vec<Lift>,
}

impl Lifts {
    /// Of what `tags` says that a post has.
    pub(super) fn of(posts: &[AnalysedPost], tags: impl Fn(&Post) -> Option<&Vec<String>>) -> Self {
        let known: Vec<_> = posts.iter().filter_map(|post| Some((tags(&post.post), post.settled().ok()?))).collect();
        let read: Vec<_> = known.iter().filter_map(|(tags, percent)| Some(((*tags)?, *percent))).collect();
        let mut used: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, (tags, _)) in read.iter().enumerate() {
            for tag in *tags {
                used.entry(tag).or_default().push(place);
            }
        }
        let count = used.len();
        let mut most_used: Vec<_> = used.into_iter().collect();
        most_used.sort_by_key(|(_, places)| Reverse(places.len()));
        most_used.truncate(TAGS_AT_MOST);
        let percents: Vec<f64> = read.iter().map(|(_, percent)| *percent).collect();
        let most_used = most_used.into_iter().map(|(tag, places)| lift(tag, &places, &percents)).collect();
        Self { n: read.len(), unread: known.len() - read.len(), count, most_used }
    }
}

/// The posts at these places, which are in order, beside the others.
fn lift(tag: &str, places: &[usize], percents: &[f64]) -> Lift {
    let has_it = |place: &usize| places.binary_search(place).is_ok();
    let (with, without): (Vec<usize>, Vec<usize>) = (0..percents.len()).partition(has_it);
    let of = |places: &[usize]| median(places.iter().map(|place| percents[*place]));
    let (median_with, median_without) = (of(&with), of(&without));
    let lift = match (median_with, median_without) {
        _ if with.len().min(without.len()) < EACH_SIDE_AT_LEAST => Err(Missing::TooFew),
        (Some(with), Some(without)) if without > 0.0 => Ok(with / without),
        _ => Err(Missing::ZeroBase),
    };
    Lift { tag: tag.to_owned(), n_with: with.len(), n_without: without.len(), median_with, median_without, lift }
}
