//! The posts of an account: one in every slot of its rhythm, so that which exist is a pure function of the time.
//! One account in seven has few posts and publishes no more: how many it has is the same at every hour.
//!
//! A post's number carries its account's key, masked, so that the number alone leads back to the account; and its
//! creation time, as Instagram's numbers do: `(pk >> 23) + 1314220021721` is the creation in milliseconds.

use chrono::{DateTime, Utc};

use crate::instagram::Shortcode;

use super::dice::Dice;
use super::text;
use super::world::{Account, BEGINNING_MS, World};

/// The moment from which Instagram's numbers count, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_314_220_021_721;
/// The low bits of a post's number that carry the masked key: 23 that are no time, 17 of milliseconds (131 s).
const KEY_BITS: u32 = 40;
const KEY_MASK: u64 = (1 << KEY_BITS) - 1;
/// The low bits of the time that the key takes.
const TIME_BITS: u32 = KEY_BITS - 23;
/// An owner archives old posts this many at a time, which bounds the count without moving a page's end at every post.
const BATCH: i64 = 64;

/// What a post shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One picture.
    Image,
    /// Several pictures.
    Carousel,
    /// A video that is no reel.
    Video,
    /// A reel.
    Reel,
}

/// How a post's likes are kept from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    /// The wire says −1.
    MinusOne,
    /// The wire says 3, whatever the truth.
    FakeThree,
}

/// A post, without its numbers.
#[derive(Clone, Debug)]
pub(super) struct Post {
    /// Its number.
    pub(super) pk: i64,
    /// The code in its address.
    pub(super) code: Shortcode,
    /// What it shows.
    pub(super) kind: Kind,
    /// When it was published, in milliseconds since 1970.
    pub(super) created_ms: i64,
    /// Whether it is pinned.
    pub(super) is_pinned: bool,
    /// Its text.
    pub(super) caption: Option<String>,
    /// How its likes are hidden, where they are.
    pub(super) hidden: Option<Hidden>,
    /// Whether the wire says `null` for its plays and views.
    pub(super) without_plays: bool,
    /// A video's length in seconds.
    pub(super) seconds: Option<f64>,
    /// Somebody tagged in it.
    pub(super) tagged: Option<&'static str>,
    /// Likes and plays that it may reach: see `growth`.
    pub(super) reach: f64,
}

/// The posts that an account has at one moment: their numbers, in the order of its page.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    /// Pinned posts, newest first.
    pub(super) pinned: Vec<i64>,
    /// All others, newest first.
    pub(super) rest: Vec<i64>,
}

impl Shelf {
    /// How many posts there are.
    pub(super) fn len(&self) -> usize {
        self.pinned.len() + self.rest.len()
    }

    /// Only the posts for which this holds.
    pub(super) fn only(mut self, keep: impl Fn(i64) -> bool) -> Self {
        self.pinned.retain(|pk| keep(*pk));
        self.rest.retain(|pk| keep(*pk));
        self
    }
}

impl World {
    /// The posts of an account at a moment.
    pub(super) fn shelf(self, account: &Account, now: DateTime<Utc>) -> Shelf {
        let (oldest, newest) = self.slots(account, now);
        let mut dice = Dice::new(self.seed, "pinned", account.key ^ (oldest as u64));
        let mut pinned: Vec<i64> =
            (0..account.pinned).map(|_| oldest + dice.below(account.archive as u64) as i64).collect();
        pinned.sort_unstable_by(|a, b| b.cmp(a));
        pinned.dedup();
        let rest = (oldest..=newest).rev().filter(|slot| !pinned.contains(slot)).map(|slot| self.pk_in(account, slot));
        Shelf { rest: rest.collect(), pinned: pinned.iter().map(|slot| self.pk_in(account, *slot)).collect() }
    }

    /// The account and the post of this number, where it exists at that moment.
    pub(super) fn post_by_pk(self, pk: i64, now: DateTime<Utc>) -> Option<(Account, Post)> {
        let number = u64::try_from(pk).ok()?;
        let key = (number & KEY_MASK) ^ self.mask(number >> KEY_BITS);
        let account = self.account_of_key(key);
        let slot = created_ms(pk).div_euclid(account.interval_ms);
        let (oldest, newest) = self.slots(&account, now);
        let exists = (oldest..=newest).contains(&slot) && self.pk_in(&account, slot) == pk;
        exists.then(|| {
            let is_pinned = self.shelf(&account, now).pinned.contains(&pk);
            let post = self.post(&account, pk, is_pinned);
            (account, post)
        })
    }

    /// What this number of the account's shows.
    pub(super) fn kind(self, account: &Account, pk: i64) -> Kind {
        // Every fifth slot is a reel, so that any twenty posts have some; of the others a quarter: 40 % in all.
        if created_ms(pk).div_euclid(account.interval_ms) % 5 == 0 {
            return Kind::Reel;
        }
        match Dice::new(self.seed, "kind", pk as u64).unit() {
            part if part < 0.25 => Kind::Reel,
            part if part < 0.58 => Kind::Image,
            part if part < 0.88 => Kind::Carousel,
            _ => Kind::Video,
        }
    }

    /// The post of this number, which has to be one of the account's.
    pub(super) fn post(self, account: &Account, pk: i64, is_pinned: bool) -> Post {
        let kind = self.kind(account, pk);
        let is_video = matches!(kind, Kind::Reel | Kind::Video);
        let mut dice = Dice::new(self.seed, "post", pk as u64);
        let hidden = match dice.unit() {
            part if part < 0.04 => Some(Hidden::MinusOne),
            part if part < 0.07 => Some(Hidden::FakeThree),
            _ => None,
        };
        Post {
            pk,
            // A post's number is positive for as long as its time is after 2011, which `slots` sees to.
            code: Shortcode::from_pk(pk).expect("a post's number is positive"),
            kind,
            created_ms: created_ms(pk),
            is_pinned,
            caption: text::caption(&mut dice),
            hidden,
            without_plays: is_video && dice.chance(0.05),
            seconds: is_video.then(|| (dice.log_normal(22.0, 0.6).clamp(3.0, 180.0) * 100.0).round() / 100.0),
            tagged: dice.chance(0.15).then(|| text::friend(&mut dice)),
            reach: account.followers * dice.log_normal(0.9, 0.7),
        }
    }

    /// The first and the last slot that hold a post. The sandbox's time has to be after 2012.
    fn slots(self, account: &Account, now: DateTime<Utc>) -> (i64, i64) {
        let now_ms = now.timestamp_millis().max(EPOCH_MS + 400 * 86_400_000 * 2);
        let now_ms = if account.is_dormant() { now_ms.min(BEGINNING_MS) } else { now_ms };
        let slot = now_ms.div_euclid(account.interval_ms);
        let newest = if created_ms(self.pk_in(account, slot)) <= now_ms { slot } else { slot - 1 };
        (newest.div_euclid(BATCH) * BATCH - account.archive + 1, newest)
    }

    fn pk_in(self, account: &Account, slot: i64) -> i64 {
        // Between a tenth and eight tenths of the slot: the time's low bits, given to the key, cannot leave it.
        let jitter = 0.1 + 0.7 * Dice::new(self.seed, "jitter", account.key ^ (slot as u64)).unit();
        let time = slot * account.interval_ms + (jitter * account.interval_ms as f64) as i64 - EPOCH_MS;
        let high = (time as u64) >> TIME_BITS;
        ((high << KEY_BITS) | (account.key ^ self.mask(high))) as i64
    }

    /// What hides the key in a post's number, so that the codes of one account do not all end alike.
    fn mask(self, high: u64) -> u64 {
        Dice::new(self.seed, "mask", high).next() & KEY_MASK
    }
}

impl Account {
    /// Whether it publishes no more: its last post was made before the beginning of the world.
    fn is_dormant(&self) -> bool {
        self.archive < BATCH
    }
}

fn created_ms(pk: i64) -> i64 {
    (pk >> 23) + EPOCH_MS
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::instagram::Username;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn account(world: World, name: &str) -> Account {
        world.account(&Username::parse(name).unwrap())
    }

    #[test]
    fn a_number_tells_the_time_the_code_and_the_account() {
        let world = World { seed: 3 };
        let now = at("2026-11-22T02:30:00Z");
        for n in 0..40 {
            let account = account(world, &format!("someone{n}"));
            let shelf = world.shelf(&account, now);
            assert!((20..=400).contains(&shelf.len()), "{} posts", shelf.len());
            for pk in shelf.pinned.iter().chain(&shelf.rest) {
                let (owner, post) = world.post_by_pk(*pk, now).unwrap();
                assert_eq!(owner.pk, account.pk);
                assert_eq!(post.code.pk(), *pk);
                assert_eq!(post.created_ms, (pk >> 23) + 1_314_220_021_721);
                assert!(post.created_ms <= now.timestamp_millis(), "never from the future");
                let neighbour = world.post_by_pk(pk + 1, now);
                assert!(neighbour.is_none_or(|(owner, _)| owner.pk != account.pk), "at most somebody else's");
            }
        }
    }

    #[test]
    fn the_newest_posts_always_hold_reels_and_there_is_every_kind() {
        let world = World { seed: 3 };
        let now = at("2026-11-22T02:30:00Z");
        let mut reels = 0;
        let mut all = 0;
        for n in 0..50 {
            let account = account(world, &format!("a{n}"));
            let shelf = world.shelf(&account, now);
            let newest: Vec<Kind> = shelf.rest.iter().take(60).map(|pk| world.kind(&account, *pk)).collect();
            let here = newest.iter().filter(|kind| **kind == Kind::Reel).count();
            assert!(here > 0);
            reels += here;
            all += newest.len();
        }
        let part = reels as f64 / all as f64;
        assert!((0.35..0.45).contains(&part), "{part}");
    }

    #[test]
    fn posts_come_as_time_goes_by_and_keep_their_order() {
        let world = World { seed: 3 };
        let account = account(world, "nasa");
        let before = world.shelf(&account, at("2026-11-22T02:30:00Z"));
        let after = world.shelf(&account, at("2026-11-22T02:30:00Z") + TimeDelta::hours(40));
        assert!(after.rest[0] > before.rest[0], "something new stands first");
        assert!(after.rest.is_sorted_by(|a, b| a > b));
        assert_eq!(
            world.shelf(&account, at("2026-11-22T02:30:00Z")).rest,
            before.rest,
            "the same time, the same posts"
        );
    }

    #[test]
    fn who_has_few_posts_publishes_no_more_and_all_others_have_a_batch_at_every_hour() {
        let world = World { seed: 3 };
        let accounts: Vec<Account> = (0..200).map(|n| account(world, &format!("size{n}"))).collect();
        let begin = at("2026-11-22T02:30:00Z");
        for (n, account) in accounts.iter().enumerate() {
            let sizes = (0..40).map(|step| world.shelf(account, begin + TimeDelta::hours(31 * step)).len());
            let (least, most) = (sizes.clone().min().unwrap(), sizes.max().unwrap());
            if account.is_dormant() {
                assert_eq!(least, most, "size{n}");
            } else {
                assert!(least >= 64 && most > least, "size{n}: {least} to {most}");
            }
        }
        let dormant = accounts.iter().filter(|account| account.is_dormant()).count();
        assert!((10..60).contains(&dormant), "{dormant}");
    }

    #[test]
    fn pinned_posts_stand_first_and_only_there() {
        let world = World { seed: 3 };
        let now = at("2026-11-22T02:30:00Z");
        let shelves = (0..30).map(|n| world.shelf(&account(world, &format!("pin{n}")), now)).collect::<Vec<_>>();
        assert!(shelves.iter().any(|shelf| shelf.pinned.is_empty()));
        assert!(shelves.iter().any(|shelf| shelf.pinned.len() == 3));
        for shelf in shelves {
            assert!(shelf.pinned.iter().all(|pk| !shelf.rest.contains(pk)));
        }
    }
}
