//! Logs packed small: the events of a run that ended long ago as a few bytes each, and back, byte for byte.
//!
//! Knows no database. A pack is a byte with the version of its form, and what that version says:
//!
//! **Version 1**: a zstd frame (checksum, content size, no dictionary id) without its magic number, compressed with the
//! dictionary `dictionary_1`. Its content, in this order, with *n* as an unsigned LEB128 number:
//!
//! | what | how |
//! | --- | --- |
//! | how many events | *n* |
//! | of each event its type, its message, its fields | UTF-8, each ended by a zero byte, which no text of Postgres has |
//! | of each event its level | a byte: 0 debug, 1 info, 2 warning, 3 error |
//! | of each event its seq, less that of the one before (0 before the first) | *n* |
//! | of each event its time in microseconds since 1970, less that of the one before (0 before the first) | *n*, zigzag |
//!
//! Texts stand beside texts and numbers beside numbers, since that compresses best. The dictionary was trained on invented
//! logs (`bench/programs/dictionary.rs`) and has no word of anybody's; it belongs to the program, so that a row of the
//! database can always be read. A version once written is read for ever: a new form, or a new dictionary, is a new version.

mod content;
mod zstandard;

#[cfg(test)]
mod tests;

/// An event as it is packed, its texts borrowed or its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<T> {
    /// Its number in the run; greater than the one before.
    pub seq: i64,
    /// When it happened, in microseconds since 1970.
    pub at: i64,
    /// How much it matters: 0 debug, 1 info, 2 warning, 3 error.
    pub level: u8,
    /// A word of the vocabulary.
    pub event_type: T,
    /// A sentence for a person.
    pub message: T,
    /// A JSON object, in the text in which the database tells it.
    pub fields: T,
}

/// A pack that is none, or was damaged.
#[derive(Debug, thiserror::Error)]
#[error("a packed log cannot be read: {0}")]
pub struct Unreadable(&'static str);

/// The version that is written.
const VERSION: u8 = 1;

/// Events in one pack at most, and bytes of text, unless one event alone has more: what is unpacked to read one of them.
const MAX_EVENTS: usize = 256;
const MAX_TEXT: usize = 256 * 1024;

/// Packs events; all of them, in this order. A zero byte in a text is not kept.
pub fn pack(lines: &[Line<&str>]) -> std::io::Result<Vec<u8>> {
    let mut packed = vec![VERSION];
    zstandard::compress(&content::write(lines), &mut packed)?;
    Ok(packed)
}

/// What is compressed of these events, for the program that trains dictionaries.
pub fn content_of(lines: &[Line<impl AsRef<str>>]) -> Vec<u8> {
    content::write(&lines.iter().map(Line::borrowed).collect::<Vec<_>>())
}

/// The events of a pack.
pub fn unpack(packed: &[u8]) -> Result<Vec<Line<String>>, Unreadable> {
    match packed.split_first() {
        Some((&VERSION, frame)) => content::read(&zstandard::decompress(frame)?),
        Some(_) => Err(Unreadable("its version is not known to this program")),
        None => Err(Unreadable("it is empty")),
    }
}

/// A log in the parts that are packed each for itself.
pub fn parts<T: AsRef<str>>(mut lines: &[Line<T>]) -> impl Iterator<Item = &[Line<T>]> {
    std::iter::from_fn(move || {
        let mut text = 0;
        let mut fits = |line: &&Line<T>| {
            text += line.event_type.as_ref().len() + line.message.as_ref().len() + line.fields.as_ref().len();
            text <= MAX_TEXT
        };
        let events = lines.iter().take(MAX_EVENTS).take_while(|line| fits(line)).count().max(1);
        let (part, rest) = lines.split_at_checked(events)?;
        lines = rest;
        Some(part)
    })
}

impl<T: AsRef<str>> Line<T> {
    /// The same with its texts borrowed.
    pub fn borrowed(&self) -> Line<&str> {
        let Self { seq, at, level, .. } = *self;
        let (event_type, message, fields) = (self.event_type.as_ref(), self.message.as_ref(), self.fields.as_ref());
        Line { seq, at, level, event_type, message, fields }
    }
}
