//! Where a list of media goes on. A cursor names its source, so that one of another source is never sent to this one.

use crate::instagram::Cursor;

/// A longer cursor cannot be sent back in an address, and is none.
const MAX_CURSOR: usize = 4096;

/// What stands before a cursor of this source.
const PREFIX: &str = "graph";

/// The place that a cursor stands for. One of another source stands for the beginning: the list repeats what was read,
/// and nothing is taken for what it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing was read yet.
    Start,
    /// The media edge from its beginning, after what a visit has read already was told.
    Beginning,
    /// Behind this cursor.
    After(String),
}

impl Place {
    pub(super) fn of(cursor: Option<&Cursor>) -> Self {
        match cursor.and_then(|cursor| cursor.0.split_once(':')) {
            Some((PREFIX, "")) => Self::Beginning,
            Some((PREFIX, at)) if can_be_sent(at) => Self::After(at.to_owned()),
            _ => Self::Start,
        }
    }

    pub(super) fn after(&self) -> Option<&str> {
        match self {
            Self::After(at) => Some(at),
            Self::Start | Self::Beginning => None,
        }
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::Start => None,
            Self::Beginning => Some(Cursor(format!("{PREFIX}:"))),
            Self::After(at) => Some(Cursor(format!("{PREFIX}:{at}"))),
        }
    }
}

/// Whether a text can stand between the brackets of `after(…)` and is taken for nothing else there.
pub(super) fn can_be_sent(at: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"(){},\"'\\".contains(&byte);
    (1..=MAX_CURSOR).contains(&at.len()) && at.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_one_of_another_source_is_the_start() {
        for place in [Place::Beginning, Place::After("QVFIUm9f-=".to_owned()), Place::After("a:b".to_owned())] {
            assert_eq!(Place::of(place.cursor().as_ref()), place);
        }
        for text in ["feed:900_77", "timeline:QVFI", "clips:x", "reels:", "graph", "", "graph:a){id}", "graph:a b"] {
            assert_eq!(Place::of(Some(&Cursor(text.to_owned()))), Place::Start, "{text}");
        }
        assert_eq!(Place::of(None), Place::Start);
        assert!(!can_be_sent(&"x".repeat(MAX_CURSOR + 1)));
    }
}
