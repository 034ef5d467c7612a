//! What a key looks like: `igt_`, its id, `_`, its secret and a checksum. The checksum tells a key that was not copied
//! whole from one that is unknown, and lets scanners for secrets be sure of what they have found:
//! `igt_[0-9a-z]{12}_[0-9A-Za-z]{49}`.

use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// What every key begins with.
pub const PREFIX: &str = "igt_";

/// The characters of an id.
const OF_IDS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The characters of a secret.
const OF_SECRETS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const ID: usize = 12;

/// 43 of 62 characters are 256 bits.
const SECRET: usize = 43;

/// The checksum is a CRC-32 in the characters of a secret.
const CHECKSUM: usize = 6;

/// SHA-256. What is hashed here has 256 random bits and is nobody's password: guessing it is hopeless however fast the hash
/// is, and a request can be checked in a microsecond.
pub type Sha256Hash = [u8; 32];

/// A text that cannot be a key, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Something else.
    #[error("it is no key of this service: those begin with igt_")]
    NoKey,
    /// A key with something missing, added or changed.
    #[error("it is not a whole key: its length, characters or checksum are wrong; copy it again")]
    NotWhole,
}

/// A key as a request shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyText<'a> {
    /// Its id, which is no secret.
    pub key_id: &'a str,
    /// SHA-256 of its secret.
    pub secret_sha256: Sha256Hash,
}

impl<'a> KeyText<'a> {
    /// Reads a key.
    pub fn parse(text: &'a str) -> Result<Self, KeyTextError> {
        let rest = text.strip_prefix(PREFIX).ok_or(KeyTextError::NoKey)?;
        let (key_id, rest) = rest.split_once('_').ok_or(KeyTextError::NotWhole)?;
        let is_of = |text: &str, characters: &[u8]| text.bytes().all(|byte| characters.contains(&byte));
        if key_id.len() != ID || rest.len() != SECRET + CHECKSUM || !is_of(key_id, OF_IDS) || !is_of(rest, OF_SECRETS) {
            return Err(KeyTextError::NotWhole);
        }
        let (whole, sum) = text.split_at(text.len() - CHECKSUM);
        if checksum(whole) != sum {
            return Err(KeyTextError::NotWhole);
        }
        Ok(Self { key_id, secret_sha256: sha256(&rest[..SECRET]) })
    }
}

/// A new key. Its text is shown once and kept nowhere.
pub struct FreshKey {
    /// Its id.
    pub key_id: String,
    /// SHA-256 of its secret.
    pub secret_sha256: Sha256Hash,
    /// All of it.
    pub text: String,
}

impl FreshKey {
    /// Makes one.
    pub fn generate() -> Self {
        let (key_id, secret) = (random(OF_IDS, ID), random(OF_SECRETS, SECRET));
        let whole = format!("{PREFIX}{key_id}_{secret}");
        Self { secret_sha256: sha256(&secret), text: format!("{whole}{}", checksum(&whole)), key_id }
    }
}

/// A new secret of 256 bits.
pub fn random_secret() -> String {
    random(OF_SECRETS, SECRET)
}

/// SHA-256 of a text.
pub fn sha256(text: &str) -> Sha256Hash {
    Sha256::digest(text.as_bytes()).into()
}

/// So many of these characters, of a generator that is fit for secrets.
fn random(characters: &[u8], length: usize) -> String {
    let mut generator = rand::rng();
    (0..length).map(|_| char::from(characters[generator.random_range(0..characters.len())])).collect()
}

fn checksum(text: &str) -> String {
    let mut left = crc32fast::hash(text.as_bytes()) as usize;
    let mut sum = [b'0'; CHECKSUM];
    for place in sum.iter_mut().rev() {
        *place = OF_SECRETS[left % OF_SECRETS.len()];
        left /= OF_SECRETS.len();
    }
    sum.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_reads_as_what_it_was_made_as_and_no_two_are_alike() {
        let (one, two) = (FreshKey::generate(), FreshKey::generate());
        let pattern = regex::Regex::new("^igt_[0-9a-z]{12}_[0-9A-Za-z]{49}$").unwrap();
        for key in [&one, &two] {
            let expected = KeyText { key_id: &key.key_id, secret_sha256: key.secret_sha256 };
            assert_eq!(KeyText::parse(&key.text), Ok(expected));
            assert!(pattern.is_match(&key.text), "{}", key.text);
        }
        assert!(one.key_id != two.key_id && one.secret_sha256 != two.secret_sha256);
    }

    #[test]
    fn a_key_with_any_character_changed_swapped_or_missing_is_not_whole() {
        let key = FreshKey::generate().text;
        for at in PREFIX.len()..key.len() {
            let mut changed = key.clone().into_bytes();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(KeyText::parse(std::str::from_utf8(&changed).unwrap()), Err(KeyTextError::NotWhole), "{at}");
            let missing = format!("{}{}", &key[..at], &key[at + 1..]);
            assert_eq!(KeyText::parse(&missing), Err(KeyTextError::NotWhole), "{missing}");
        }
        for text in ["igt_", "igt__", &format!("{key} "), &format!("{key}a"), "igt_ä", &key.replacen('_', "__", 1)] {
            assert_eq!(KeyText::parse(text), Err(KeyTextError::NotWhole), "{text:?}");
        }
        for text in ["", "sk_live_1", &key.to_uppercase(), &format!(" {key}"), "é"] {
            assert_eq!(KeyText::parse(text), Err(KeyTextError::NoKey), "{text:?}");
        }
    }
}
