//! Answers mangled by chance, and what may come out of them: what stands in them, under the keys that it is read from.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};

use super::Shortcode;

/// A search for as long as FUZZ_SECONDS says, from a seed by which FUZZ_SEED does the same once more.
pub(crate) struct Search {
    pub(crate) dice: StdRng,
    seed: u64,
    begun: Instant,
    time: Duration,
}

impl Search {
    pub(crate) fn begin(what: &str) -> Self {
        let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let time = Duration::from_secs(variable("FUZZ_SECONDS").unwrap_or(10));
        let seed = variable("FUZZ_SEED").unwrap_or_else(rand::random);
        println!("{what}: seed {seed}, for {} s", time.as_secs());
        Self { dice: StdRng::seed_from_u64(seed), seed, begun: Instant::now(), time }
    }

    pub(crate) fn goes_on(&self) -> bool {
        self.begun.elapsed() < self.time
    }

    /// Mangles an answer at up to a dozen places.
    pub(crate) fn mutate(&mut self, answer: &mut Value) {
        for _ in 0..self.dice.random_range(0..12) {
            mutate(answer, &mut |below: usize| self.dice.random_range(0..below.max(1)));
        }
    }

    pub(crate) fn status(&mut self) -> u16 {
        const STATUSES: [u16; 11] = [200, 200, 200, 200, 302, 400, 401, 403, 404, 429, 500];
        STATUSES[self.dice.random_range(0..STATUSES.len())]
    }

    /// Says what became of it, and its seed once more.
    pub(crate) fn end(&self, what: &str, Tally { read, failed, spoilt }: &Tally) {
        let answers = read + failed;
        println!(
            "{what}: seed {}, {answers} answers, {read} read, {failed} failures by name, {spoilt} of all with spoilt bytes",
            self.seed
        );
    }
}

/// What became of the answers of a search.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) read: u64,
    pub(crate) failed: u64,
    pub(crate) spoilt: u64,
}

/// What stands in an answer.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Every whole number, also as text and as a part of an id such as `1_2`; and of every text that is a post's code, or
    /// has one in it as an address has, the post's number, which the code stands for.
    numbers: HashSet<i64>,
    /// Whole numbers by their key; those called `count` also by the key of their object.
    counts: HashMap<String, HashSet<i64>>,
    /// Texts by their key.
    texts: HashMap<String, HashSet<String>>,
    /// Texts, and numbers as text: whatever an id or a cursor can be made of.
    ids: HashSet<String>,
}

impl Standing {
    pub(crate) fn of(answer: &Value) -> Self {
        let mut standing = Self::default();
        standing.take_in(answer, "", "");
        standing
    }

    fn take_in(&mut self, value: &Value, key: &str, parent: &str) {
        match value {
            Value::Number(number) => {
                self.ids.insert(number.to_string());
                let Some(number) = number.as_i64() else { return };
                self.numbers.insert(number);
                self.counts.entry(key.to_owned()).or_default().insert(number);
                if key == "count" {
                    self.counts.entry(parent.to_owned()).or_default().insert(number);
                }
            }
            Value::String(text) => {
                self.numbers.extend(text.split('_').filter_map(|part| part.parse::<i64>().ok()));
                self.numbers.extend(text.split('/').filter_map(|part| Some(Shortcode::parse(part).ok()?.pk())));
                self.texts.entry(key.to_owned()).or_default().insert(text.clone());
                self.ids.insert(text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| self.take_in(item, key, parent)),
            Value::Object(fields) => fields.iter().for_each(|(name, field)| self.take_in(field, name, key)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    pub(crate) fn has(&self, number: i64) -> bool {
        self.numbers.contains(&number)
    }

    pub(crate) fn has_id(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Whether a count stands under one of these keys, so that a zero is no other field's.
    pub(crate) fn counts(&self, number: i64, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.counts.get(*key).is_some_and(|numbers| numbers.contains(&number)))
    }

    /// Whether a text stands under this key.
    pub(crate) fn says(&self, text: &str, key: &str) -> bool {
        self.texts.get(key).is_some_and(|texts| texts.contains(text))
    }
}

/// Changes one place of an answer. `choose` gives a number below its argument.
pub(crate) fn mutate(answer: &mut Value, choose: &mut impl FnMut(usize) -> usize) {
    let places = count(answer);
    let mut place = choose(places);
    change(answer, &mut place, choose);
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Walks to the place and changes it; true once that is done.
fn change(value: &mut Value, place: &mut usize, choose: &mut impl FnMut(usize) -> usize) -> bool {
    if *place == 0 {
        spoil(value, choose);
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(item, place, choose)),
        Value::Object(fields) => {
            let found = fields.values_mut().any(|field| change(field, place, choose));
            if found && choose(4) == 0 {
                drop_or_rename(fields, choose);
            }
            found
        }
        _ => false,
    }
}

fn drop_or_rename(fields: &mut Map<String, Value>, choose: &mut impl FnMut(usize) -> usize) {
    let keys: Vec<String> = fields.keys().cloned().collect();
    let Some(key) = keys.get(choose(keys.len().max(1))).cloned() else { return };
    let Some(value) = fields.remove(&key) else { return };
    if choose(2) == 0 {
        let other = keys[choose(keys.len())].clone();
        let name = if choose(2) == 0 { format!("{key}_v2") } else { other };
        fields.insert(name, value);
    }
}

/// Puts something else in the place of a value; never a zero.
fn spoil(value: &mut Value, choose: &mut impl FnMut(usize) -> usize) {
    let old = value.take();
    *value = match choose(21) {
        0 => Value::Null,
        1 => json!([old]),
        2 => json!({"count": old}),
        3 => json!(old.to_string()),
        4 => old.as_str().and_then(|text| text.parse::<i64>().ok()).map_or(json!("x"), |number| json!(number)),
        5 => json!(-1),
        6 => json!(3),
        7 => json!(1.5),
        8 => json!(u64::MAX),
        9 => json!(i64::MAX),
        10 => json!(f64::MAX),
        11 => json!(""),
        12 => json!(true),
        13 => json!([]),
        14 => json!({}),
        15 => json!("\u{0}\u{202e}é😀"),
        16 => json!([old.clone(), old, Value::Null]),
        17 => old.as_i64().map_or(Value::Null, |number| json!(number as f64)),
        18 => json!("_".repeat(choose(60))),
        19 => json!("Q".repeat(choose(6_000))),
        _ => json!(format!("{}x", old.as_str().unwrap_or("9"))),
    };
}

/// Flips, removes, repeats and inserts bytes.
pub(crate) fn spoil_bytes(body: &mut Vec<u8>, dice: &mut StdRng) {
    const PIECES: [&[u8]; 12] = [
        b"\\ud83d",
        b"\"",
        b"{",
        b"]",
        b"1e999",
        b"\0",
        b"\xff",
        b"</script>",
        b"<script",
        b"null",
        b"-1",
        b"for (;;);",
    ];
    for _ in 0..dice.random_range(1..8) {
        let at = dice.random_range(0..=body.len());
        match dice.random_range(0..4) {
            0 if at < body.len() => body[at] = dice.random(),
            1 => body.truncate(at),
            2 => drop(body.splice(at..at, PIECES[dice.random_range(0..PIECES.len())].iter().copied())),
            _ => {
                let end = (at + dice.random_range(0..64)).min(body.len());
                let piece: Vec<u8> = body[at..end].to_vec();
                if dice.random_ratio(1, 2) {
                    body.splice(at..at, piece);
                } else {
                    body.drain(at..end);
                }
            }
        }
    }
}

#[test]
fn a_count_stands_under_its_own_key_alone() {
    let standing = Standing::of(&json!({"items": [{"like_count": 0, "filter_type": 7, "edge_follow": {"count": 9}}],
        "id": "12_13", "permalink": "https://www.instagram.com/reel/CPv3UqsBFvg/"}));
    assert!(standing.counts(0, &["comment_count", "like_count"]) && !standing.counts(0, &["comment_count"]));
    assert!(standing.counts(9, &["edge_follow"]) && !standing.counts(7, &["edge_follow"]));
    assert!(standing.has(12) && standing.has(13) && standing.has(2_589_531_623_544_609_760) && !standing.has(1));
    assert!(standing.has_id("12_13") && standing.has_id("7") && standing.says("12_13", "id"));
}
