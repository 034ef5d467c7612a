//! The latest of what is told, rendered once for all who follow it, in chunks that are shared and never copied.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// How many bytes are kept of one thing that is followed. Who is further behind reads from the database.
const KEEP: usize = 64 * 1024;

/// Where a message stands in the text of its chunk.
struct Line<K, M> {
    key: K,
    frame: Range<usize>,
    json: Range<usize>,
    mark: M,
}

/// Messages in one piece: all there is with `after < key <= until`.
pub(super) struct Chunk<K, M> {
    after: K,
    until: K,
    text: Bytes,
    lines: Arc<[Line<K, M>]>,
}

impl<K: Copy, M> Clone for Chunk<K, M> {
    fn clone(&self) -> Self {
        Self { after: self.after, until: self.until, text: self.text.clone(), lines: self.lines.clone() }
    }
}

impl<K: Ord + Copy, M> Chunk<K, M> {
    /// Of these items, in their order. `render` writes one whole frame and says where in it the JSON stands.
    pub(super) fn of<T>(
        (after, until): (K, K),
        items: &[T],
        render: impl Fn(&T, &mut Vec<u8>) -> Range<usize>,
        key: impl Fn(&T) -> (K, M),
    ) -> Self {
        let mut text = Vec::new();
        let lines = items.iter().map(|item| {
            let begin = text.len();
            let json = render(item, &mut text);
            let (key, mark) = key(item);
            Line { key, frame: begin..text.len(), json, mark }
        });
        let lines = lines.collect();
        text.shrink_to_fit();
        Self { after, until, text: text.into(), lines }
    }

    pub(super) fn until(&self) -> K {
        self.until
    }

    /// The frames behind a key, in one piece.
    pub(super) fn frames(&self, seen: K) -> Bytes {
        let first = self.lines.partition_point(|line| line.key <= seen);
        self.lines.get(first).map_or_else(Bytes::new, |line| self.text.slice(line.frame.start..))
    }

    /// The frames behind a key whose marks are wanted, in one piece.
    pub(super) fn frames_of(&self, seen: K, wanted: impl Fn(&M) -> bool) -> Bytes {
        let lines = || self.lines.iter().filter(|line| line.key > seen);
        if lines().all(|line| wanted(&line.mark)) {
            return self.frames(seen);
        }
        let wanted = lines().filter(|line| wanted(&line.mark));
        wanted.flat_map(|line| &self.text[line.frame.clone()]).copied().collect()
    }

    /// The messages behind a key as JSON, one by one.
    pub(super) fn jsons(&self, seen: K) -> Vec<Bytes> {
        let lines = self.lines.iter().filter(|line| line.key > seen);
        lines.map(|line| self.text.slice(line.json.clone())).collect()
    }
}

/// The latest chunks, without a gap: all there is with `after < key <= until`.
pub(super) struct Window<K, M> {
    after: K,
    until: K,
    chunks: Vec<Chunk<K, M>>,
}

impl<K: Copy, M> Clone for Window<K, M> {
    fn clone(&self) -> Self {
        Self { after: self.after, until: self.until, chunks: self.chunks.clone() }
    }
}

/// What a window has for one who has seen all up to a key.
pub(super) enum Found<'a, K, M> {
    /// It does not reach back so far.
    TooLate,
    /// The next chunk.
    Chunk(&'a Chunk<K, M>),
    /// Nothing: all is seen.
    Nothing,
}

impl<K: Ord + Copy, M> Window<K, M> {
    /// An empty one that begins behind a key.
    pub(super) fn behind(after: K) -> Self {
        Self { after, until: after, chunks: Vec::new() }
    }

    /// Behind which key it begins.
    pub(super) fn after(&self) -> K {
        self.after
    }

    /// The last key that it knows all up to.
    pub(super) fn until(&self) -> K {
        self.until
    }

    /// The same with a chunk that follows, without what is more than may be kept.
    pub(super) fn and(&self, chunk: Chunk<K, M>) -> Self {
        let until = chunk.until;
        if chunk.lines.is_empty() {
            return Self { after: self.after, until, chunks: self.chunks.clone() };
        }
        let mut kept = chunk.text.len();
        let fits = |earlier: &&Chunk<K, M>| {
            kept += earlier.text.len();
            kept <= KEEP
        };
        let fitting = self.chunks.iter().rev().take_while(fits).count();
        let dropped = self.chunks.len() - fitting;
        // All that was told before the first chunk that stays is missing from here.
        let after = match dropped {
            0 => self.after,
            _ => self.chunks.get(dropped).map_or(chunk.after, |first| first.after),
        };
        let mut chunks = Vec::with_capacity(fitting + 1);
        chunks.extend_from_slice(&self.chunks[dropped..]);
        chunks.push(chunk);
        Self { after, until, chunks }
    }

    /// What there is for one who has seen all up to a key.
    pub(super) fn behind_seen(&self, seen: K) -> Found<'_, K, M> {
        if seen < self.after {
            return Found::TooLate;
        }
        let next = self.chunks.partition_point(|chunk| chunk.until <= seen);
        self.chunks.get(next).map_or(Found::Nothing, Found::Chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(after: i64, until: i64, size: usize) -> Chunk<i64, bool> {
        let items: Vec<i64> = (after + 1..=until).collect();
        let render = |seq: &i64, text: &mut Vec<u8>| {
            // A width of a format has sixteen bits.
            let digits = seq.to_string();
            text.extend_from_slice(format!("<{}{digits}>", "0".repeat(size - digits.len())).as_bytes());
            text.len() - size - 1..text.len() - 1
        };
        Chunk::of((after, until), &items, render, |seq| (*seq, seq % 2 == 0))
    }

    fn all(window: &Window<i64, bool>, mut seen: i64) -> Option<Vec<i64>> {
        let mut got = Vec::new();
        loop {
            match window.behind_seen(seen) {
                Found::TooLate => return None,
                Found::Nothing => return Some(got),
                Found::Chunk(chunk) => {
                    let jsons = chunk.jsons(seen);
                    got.extend(jsons.iter().map(|json| std::str::from_utf8(json).unwrap().parse::<i64>().unwrap()));
                    seen = chunk.until();
                }
            }
        }
    }

    #[test]
    fn whoever_is_within_it_gets_all_that_is_behind_what_it_has_seen() {
        let window = Window::behind(3).and(chunk(3, 5, 4)).and(chunk(5, 6, 4)).and(chunk(6, 9, 4));
        assert_eq!(all(&window, 2), None);
        for seen in 3..=9 {
            assert_eq!(all(&window, seen), Some((seen + 1..=9).collect()));
        }
        assert_eq!(all(&window, 12), Some(vec![]));
        assert_eq!(chunk(3, 6, 4).frames(4), "<0005><0006>");
        assert_eq!(chunk(3, 6, 4).frames_of(3, |even| *even), "<0004><0006>");
    }

    #[test]
    fn it_forgets_its_oldest_where_it_would_be_too_large() {
        let mut window = Window::behind(0);
        for seq in 0..1000 {
            window = window.and(chunk(seq, seq + 1, 998));
            let (first, last) = (window.after, window.until());
            assert_eq!(last, seq + 1);
            assert_eq!(all(&window, first), Some((first + 1..=last).collect()));
            assert!(window.chunks.iter().map(|chunk| chunk.text.len()).sum::<usize>() <= KEEP);
        }
        assert_eq!(window.after, 1000 - 65);
        // One that is too large by itself is kept, and nothing beside it.
        let window = window.and(chunk(1000, 1001, KEEP));
        assert_eq!((window.after, window.chunks.len()), (1000, 1));
        // What has no lines moves the end and drops nothing.
        let window = window.and(chunk(1001, 1001, 4)).and(Chunk { until: 1005, ..chunk(1001, 1001, 4) });
        assert_eq!((all(&window, 1000), window.until()), (Some(vec![1001]), 1005));
    }
}
