//! The invented accounts: each a pure function of the seed and its username.
//!
//! The username decides the number (`pk`), and the number decides everything else. So an account that is asked for
//! by number only is the same account, even in a sandbox that has just been restarted. Its posts are in `posts`.

use crate::instagram::Username;

use super::dice::{Dice, hash};
use super::text;

/// An account's number: this many bits from its username, then [`CHECK_BITS`] that tell it from any other number.
const KEY_BITS: u32 = 40;
const KEY_MASK: u64 = (1 << KEY_BITS) - 1;
const CHECK_BITS: u32 = 8;

/// The beginning of the world, in milliseconds since 1970 (2026-01-01).
pub(super) const BEGINNING_MS: i64 = 1_767_225_600_000;

/// The world of one seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    /// What makes this world another than the next.
    pub(super) seed: u64,
}

/// An account, without its posts and without what changes with time.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// Its number.
    pub(super) pk: i64,
    /// The part of the number that its posts' numbers carry (40 bits).
    pub(super) key: u64,
    /// Its handle; `None` where it was asked for by a number whose name this sandbox has not heard yet.
    pub(super) username: Option<Username>,
    /// The id on the Facebook side.
    pub(super) fbid: String,
    /// The display name.
    pub(super) full_name: String,
    /// The text under the name; may be empty.
    pub(super) biography: String,
    /// The category that it shows.
    pub(super) category: Option<&'static str>,
    /// The link in its profile.
    pub(super) external_url: Option<String>,
    /// Whether it wears the badge.
    pub(super) is_verified: bool,
    /// Followers at the beginning of the world.
    pub(super) followers: f64,
    /// How many accounts it follows.
    pub(super) following: i64,
    /// How much of its followers it gains in a year, as a fraction.
    pub(super) yearly_gain: f64,
    /// The time between two posts in milliseconds.
    pub(super) interval_ms: i64,
    /// How many posts it keeps at least, whatever it archives.
    pub(super) archive: i64,
    /// How many posts are pinned.
    pub(super) pinned: usize,
    /// Whether the old profile endpoint answers without its newest posts.
    pub(super) edges_withheld: bool,
}

impl World {
    /// The account of this name. There is one for every name.
    pub(super) fn account(self, username: &Username) -> Account {
        let key = Dice::new(self.seed, "account", hash(username.as_str())).next() & KEY_MASK;
        // Zero is no number of an account; one in a million millions, so it may share the next one's.
        Account { username: Some(username.clone()), ..self.account_of_key(key.max(1)) }
    }

    /// The account with this number, without its name; `None` for a number that this world never gave.
    pub(super) fn account_by_pk(self, pk: i64) -> Option<Account> {
        let number = u64::try_from(pk).ok().filter(|number| *number > 0)?;
        let key = number >> CHECK_BITS;
        (key <= KEY_MASK && self.number(key) == pk).then(|| self.account_of_key(key))
    }

    /// The account whose posts carry this key.
    pub(super) fn account_of_key(self, key: u64) -> Account {
        let mut dice = Dice::new(self.seed, "facts", key);
        let followers = dice.log_normal(60_000.0, 1.9).clamp(180.0, 90_000_000.0);
        // Log-uniform between 3 and 20 hours.
        let hours = 3.0 * (20.0f64 / 3.0).powf(dice.unit());
        Account {
            pk: self.number(key),
            key,
            username: None,
            fbid: format!("178414{:011}", dice.below(100_000_000_000)),
            full_name: text::full_name(&mut dice),
            biography: text::biography(&mut dice),
            category: text::category(&mut dice),
            external_url: dice.chance(0.4).then(|| format!("https://example.org/{}", dice.token(6).to_lowercase())),
            is_verified: dice.chance(if followers > 250_000.0 { 0.7 } else { 0.05 }),
            followers,
            following: dice.log_normal(400.0, 1.0).clamp(0.0, 7_500.0) as i64,
            yearly_gain: dice.unit() * 0.6 - 0.1,
            interval_ms: (hours * 3_600_000.0) as i64,
            archive: dice.between(20, 336) as i64,
            pinned: if dice.chance(0.35) { 0 } else { dice.between(1, 3) as usize },
            edges_withheld: dice.chance(0.1),
        }
    }

    fn number(self, key: u64) -> i64 {
        let check = Dice::new(self.seed, "check", key).below(1 << CHECK_BITS);
        // 48 bits: always a positive i64.
        ((key << CHECK_BITS) | check) as i64
    }
}

impl Account {
    /// The name under which the sandbox keeps what it knows of this account: its handle, else its number.
    pub(super) fn ledger_name(&self) -> String {
        self.username.as_ref().map_or_else(|| self.pk.to_string(), |name| name.as_str().to_owned())
    }

    /// The address of its picture, which nobody serves.
    pub(super) fn picture(&self) -> String {
        format!("https://cdn.example/sandbox/profile/{}.jpg", self.pk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Username {
        Username::parse(text).unwrap()
    }

    #[test]
    fn an_account_is_the_same_whenever_and_by_whichever_name_it_is_asked_for() {
        let world = World { seed: 7 };
        for text in ["nasa", "Nasa", "a", "some.body_1", &"x".repeat(30)] {
            let account = world.account(&name(text));
            let found = world.account_by_pk(account.pk).unwrap();
            assert_eq!(account.pk, world.account(&name(text)).pk);
            assert_eq!(
                (found.fbid, found.full_name, found.interval_ms),
                (account.fbid, account.full_name, account.interval_ms)
            );
            assert_eq!(found.username, None, "a number does not tell the name");
        }
        assert_eq!(world.account(&name("NASA")).pk, world.account(&name("nasa")).pk);
        assert_ne!(World { seed: 8 }.account(&name("nasa")).pk, world.account(&name("nasa")).pk);
    }

    #[test]
    fn a_number_that_the_world_never_gave_is_nobody() {
        let world = World { seed: 7 };
        let pk = world.account(&name("nasa")).pk;
        assert!(world.account_by_pk(pk ^ 1).is_none());
        assert!(world.account_by_pk(0).is_none());
        assert!(world.account_by_pk(-5).is_none());
        assert!(world.account_by_pk(i64::MAX).is_none());
    }

    #[test]
    fn accounts_are_of_every_plausible_size() {
        let world = World { seed: 1 };
        let sizes: Vec<f64> = (0..400).map(|n| world.account(&name(&format!("user{n}"))).followers).collect();
        assert!(sizes.iter().any(|size| *size < 5_000.0), "some are small");
        assert!(sizes.iter().any(|size| *size > 1_000_000.0), "some are large");
    }
}
