//! Where a page ends: an opaque text that stays true while new posts appear, and after the sandbox is restarted.
//!
//! It holds the last post's number, not an offset, and the account's name, so that whoever resumes with a number
//! and a cursor is answered as before.

use std::fmt::Write as _;

use crate::instagram::Username;

use super::dice::hash;
use super::posts::Shelf;

/// The list that a cursor belongs to; another list refuses it, as the real site does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// The timeline, as the GraphQL document and the feed endpoint page it.
    Timeline,
    /// The first posts inside the old profile answer; nothing here takes it back.
    Legacy,
    /// The reels tab.
    Reels,
    /// The media of the official source.
    Official,
}

/// The end of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Which list it pages.
    pub(super) list: List,
    /// Whether the page ended among the pinned posts.
    pub(super) pinned: bool,
    /// The last post's number.
    pub(super) pk: i64,
    /// How many pages lie before it.
    pub(super) pages: u32,
    /// The account's name, where the sandbox knew it.
    pub(super) username: Option<Username>,
}

/// One page: the numbers of its posts, pinned ones marked, and where it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The posts' numbers and whether they are pinned.
    pub(super) items: Vec<(i64, bool)>,
    /// Where the next page begins; `None` at the end.
    pub(super) next: Option<Cursor>,
}

impl Cursor {
    /// The opaque text.
    pub(super) fn encode(&self) -> String {
        let list = match self.list {
            List::Timeline => 't',
            List::Legacy => 'l',
            List::Reels => 'r',
            List::Official => 'g',
        };
        let name = self.username.as_ref().map_or("", Username::as_str);
        let plain = format!("{list}{}:{}:{}:{name}", if self.pinned { 'p' } else { 'c' }, self.pk, self.pages);
        let mut text = format!("QVF{:04x}", hash(&plain) & 0xFFFF);
        for byte in plain.bytes() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Reads it back, or the id of a post (`<pk>_<owner's pk>`), behind which a timeline goes on as on the real site.
    /// `None` for any other text.
    pub(super) fn decode(text: &str) -> Option<Self> {
        Self::opaque(text).or_else(|| Self::behind_post(text))
    }

    fn behind_post(text: &str) -> Option<Self> {
        let (pk, owner) = text.split_once('_')?;
        let (pk, _) = (pk.parse().ok()?, owner.parse::<i64>().ok()?);
        Some(Self { list: List::Timeline, pinned: false, pk, pages: 1, username: None })
    }

    fn opaque(text: &str) -> Option<Self> {
        let body = text.strip_prefix("QVF").filter(|body| body.is_ascii())?;
        let (check, hex) = body.split_at_checked(4)?;
        let bytes: Option<Vec<u8>> =
            (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).ok()).collect();
        let plain = String::from_utf8(bytes?).ok()?;
        if u64::from_str_radix(check, 16).ok()? != hash(&plain) & 0xFFFF {
            return None;
        }
        let mut parts = plain.splitn(4, ':');
        let head = parts.next()?;
        let list = match head.chars().next()? {
            't' => List::Timeline,
            'l' => List::Legacy,
            'r' => List::Reels,
            'g' => List::Official,
            _ => return None,
        };
        Some(Self {
            list,
            pinned: head.ends_with('p'),
            pk: parts.next()?.parse().ok()?,
            pages: parts.next()?.parse().ok()?,
            username: parts.next().and_then(|name| Username::parse(name).ok()),
        })
    }
}

/// The page after `cursor` (the first without one), with `repeat` posts of the page before it at its beginning.
pub(super) fn page(
    shelf: &Shelf,
    list: List,
    username: Option<&Username>,
    cursor: Option<&Cursor>,
    count: usize,
    repeat: usize,
) -> Page {
    let pinned = shelf.pinned.len();
    let start = match cursor {
        None => 0,
        Some(cursor) if cursor.pinned => {
            shelf.pinned.iter().position(|pk| *pk == cursor.pk).map_or(pinned, |place| place + 1)
        }
        Some(cursor) => pinned + shelf.rest.partition_point(|pk| *pk >= cursor.pk),
    };
    let end = (start + count).min(shelf.len());
    let at = |place: usize| match shelf.pinned.get(place) {
        Some(pk) => (*pk, true),
        None => (shelf.rest[place - pinned], false),
    };
    let items: Vec<(i64, bool)> = (start.saturating_sub(repeat)..end).map(at).collect();
    let next = (end < shelf.len() && end > start).then(|| {
        let (pk, pinned) = at(end - 1);
        Cursor { list, pinned, pk, pages: cursor.map_or(0, |cursor| cursor.pages) + 1, username: username.cloned() }
    });
    Page { items, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(rest: impl IntoIterator<Item = i64>) -> Shelf {
        Shelf { pinned: vec![20, 10], rest: rest.into_iter().collect() }
    }

    fn walk(shelves: impl Fn(usize) -> Shelf, count: usize) -> Vec<i64> {
        let mut cursor: Option<Cursor> = None;
        let mut seen = Vec::new();
        for round in 0.. {
            let page = page(&shelves(round), List::Timeline, None, cursor.as_ref(), count, 0);
            seen.extend(page.items.iter().map(|(pk, _)| *pk));
            let Some(next) = page.next else { break };
            cursor = Cursor::decode(&next.encode());
            assert_eq!(cursor, Some(next));
        }
        seen
    }

    #[test]
    fn pages_together_are_the_whole_list_once() {
        for count in [1, 2, 3, 12, 100] {
            let expected: Vec<i64> = [20, 10].into_iter().chain((30..80).rev()).collect();
            assert_eq!(walk(|_| shelf((30..80).rev()), count), expected, "pages of {count}");
        }
    }

    #[test]
    fn posts_that_appear_while_somebody_pages_move_nothing() {
        let grown = |round: usize| shelf((30..80 + 3 * round as i64).rev());
        let expected: Vec<i64> = [20, 10].into_iter().chain((30..80).rev()).collect();
        assert_eq!(walk(grown, 12), expected);
    }

    #[test]
    fn the_id_of_a_post_leads_to_what_follows_it() {
        let cursor = Cursor::decode("40_7").unwrap();
        let page = page(&shelf((30..80).rev()), List::Timeline, None, Some(&cursor), 2, 0);
        assert_eq!(page.items, [(39, false), (38, false)]);
        assert_eq!(Cursor::decode("40_x"), None);
    }

    #[test]
    fn a_cursor_carries_the_name_and_refuses_what_was_changed() {
        let username = Username::parse("some.body").ok();
        let cursor = Cursor { list: List::Reels, pinned: false, pk: 42, pages: 3, username };
        let text = cursor.encode();
        assert_eq!(Cursor::decode(&text), Some(cursor));
        let mut changed = text.clone();
        changed.replace_range(8..9, if &text[8..9] == "0" { "1" } else { "0" });
        for wrong in ["", "QVF", "x", "QVF0000zz", "QVFé000", &changed] {
            assert_eq!(Cursor::decode(wrong), None, "{wrong}");
        }
    }
}
