//! The two names of a post: its number (`pk`) and the short text in its address.
//!
//! Base 64 over `A–Z a–z 0–9 - _`, most significant digit first, no padding.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A public shortcode has at most this many characters (64 bits).
const PUBLIC_LENGTH: usize = 11;

/// A private post's code carries this many characters more, which do not belong to the number.
const PRIVATE_SUFFIX: usize = 28;

/// The moment from which posts' numbers count, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_314_220_021_721;

/// How many of a number's low bits are no time.
const NO_TIME: u32 = 23;

/// The code in a post's address, `https://www.instagram.com/p/<shortcode>/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shortcode(String);

/// Why a text is no shortcode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a shortcode: 1 to 39 of A–Z a–z 0–9 - _ that stand for a number of 63 bits")]
pub struct ShortcodeError(String);

impl Shortcode {
    /// Checks and keeps a code as it stands.
    pub fn parse(text: &str) -> Result<Self, ShortcodeError> {
        let code = Self(text.to_owned());
        match text.len() {
            1..=39 => code.number().map(|_| code.clone()).ok_or_else(|| ShortcodeError(text.to_owned())),
            _ => Err(ShortcodeError(text.to_owned())),
        }
    }

    /// The code of the post with this number; `None` for a number that no post has (zero and below).
    pub fn from_pk(pk: i64) -> Option<Self> {
        let mut rest = u64::try_from(pk).ok().filter(|pk| *pk > 0)?;
        let mut digits = Vec::with_capacity(PUBLIC_LENGTH);
        while rest > 0 {
            digits.push(char::from(ALPHABET[(rest % 64) as usize]));
            rest /= 64;
        }
        Some(Self(digits.into_iter().rev().collect()))
    }

    /// The post's number (`pk`).
    pub fn pk(&self) -> i64 {
        // Both constructors have checked that the digits stand for a positive number of 63 bits.
        self.number().unwrap_or_default()
    }

    /// When the post's number was given out, to the millisecond; it may have been published later.
    pub fn created_at(&self) -> DateTime<Utc> {
        // A number of 63 bits without its low 23 is far within what a time can hold.
        DateTime::from_timestamp_millis((self.pk() >> NO_TIME) + EPOCH_MS).unwrap_or_default()
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn number(&self) -> Option<i64> {
        let text = &self.0;
        let public = if text.len() > PRIVATE_SUFFIX { text.len() - PRIVATE_SUFFIX } else { text.len() };
        let mut pk: i64 = 0;
        for (place, byte) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
            if place < public {
                pk = pk.checked_mul(64)?.checked_add(digit as i64)?;
            }
        }
        (pk > 0).then_some(pk)
    }
}

impl fmt::Display for Shortcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Shortcode {
    type Error = ShortcodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Shortcode> for String {
    fn from(code: Shortcode) -> Self {
        code.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_its_number_are_two_names_of_one_post() {
        let code = Shortcode::parse("CPv3UqsBFvg").unwrap();
        assert_eq!(code.pk(), 2_589_531_623_544_609_760);
        assert_eq!(Shortcode::from_pk(code.pk()), Some(code));
        assert_eq!(Shortcode::from_pk(i64::MAX).map(|code| code.pk()), Some(i64::MAX));
    }

    #[test]
    fn a_number_of_either_end_has_its_code_and_its_time() {
        for (code, pk, created_at) in [
            ("B", 1, "2011-08-24T21:07:01.721Z"),
            ("_", 63, "2011-08-24T21:07:01.721Z"),
            ("BA", 64, "2011-08-24T21:07:01.721Z"),
            ("CAAAA", 1 << 25, "2011-08-24T21:07:01.725Z"),
            ("CPv3UqsBFvg", 2_589_531_623_544_609_760, "2021-06-05T18:04:06.833Z"),
            ("H__________", i64::MAX, "2046-06-27T17:00:49.496Z"),
        ] {
            let read = Shortcode::parse(code).unwrap();
            assert_eq!((read.pk(), Shortcode::from_pk(pk)), (pk, Some(read.clone())), "{code}");
            assert_eq!(read.created_at(), created_at.parse::<DateTime<Utc>>().unwrap(), "{code}");
        }
        assert!(Shortcode::parse("IAAAAAAAAAA").is_err(), "2^63 is one too many");
    }

    #[test]
    fn a_private_code_carries_28_characters_that_are_not_the_number() {
        let private = format!("CPv3UqsBFvg{}", "x".repeat(28));
        assert_eq!(Shortcode::parse(&private).unwrap().pk(), 2_589_531_623_544_609_760);
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for text in ["", "CPv3 UqsBFvg", "é", "A", &"_".repeat(12), &"B".repeat(40)] {
            assert!(Shortcode::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Shortcode::from_pk(0), None);
        assert_eq!(Shortcode::from_pk(-1), None);
    }
}
