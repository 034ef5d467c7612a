//! The answers of an attempt that went well, held for the case that the run does not: then they are kept, too, so that
//! what led to its end can be played back. A run that succeeds lets them go unwritten.
//!
//! They are held in memory, the latest of them, and all hands of a replica have one room for them: where that is full, a
//! run forgets its own oldest, and then keeps none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers that an attempt holds.
const MAX_ANSWERS: usize = 20;

/// How much of them, as it is held.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// How much all hands of a replica hold together.
const ROOM: usize = 32 * 1024 * 1024;

/// The room that the hands of a replica share.
pub(super) struct Room {
    taken: AtomicUsize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { taken: AtomicUsize::new(0), bytes: ROOM }
    }
}

impl Room {
    fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.bytes);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Share { room: Arc::clone(self), bytes })
    }
}

/// A part of the room, given back when it is dropped.
struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The answers of one attempt.
pub(super) struct Answers {
    room: Arc<Room>,
    /// Oldest first.
    held: VecDeque<Held>,
}

struct Held {
    /// The number of its request in the run.
    seq: i64,
    body: Vec<u8>,
    is_packed: bool,
    share: Share,
}

impl Answers {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self { room, held: VecDeque::new() }
    }

    /// Holds one more. The latest stays as it came until the next comes, so that a run with a single answer packs none.
    pub(super) fn hold(&mut self, seq: i64, body: Vec<u8>) {
        if let Some(Held { seq, body, share, .. }) = self.held.pop_back_if(|latest| !latest.is_packed)
            && let Some(packed) = pack(&body)
        {
            drop((body, share));
            self.push(seq, packed, true);
        }
        self.push(seq, body, false);
        while self.held.len() > MAX_ANSWERS || self.bytes() > MAX_BYTES {
            self.held.pop_front();
        }
    }

    fn push(&mut self, seq: i64, mut body: Vec<u8>, mut is_packed: bool) {
        loop {
            if let Some(share) = self.room.take(body.len()) {
                return self.held.push_back(Held { seq, body, is_packed, share });
            }
            match pack(&body).filter(|_| !is_packed) {
                Some(packed) => (body, is_packed) = (packed, true),
                None if self.held.pop_front().is_some() => {}
                None => return,
            }
        }
    }

    fn bytes(&self) -> usize {
        self.held.iter().map(|held| held.share.bytes).sum()
    }

    /// All that are held, packed, with the numbers of their requests.
    pub(super) fn take(&mut self) -> Vec<(i64, Vec<u8>)> {
        let held = std::mem::take(&mut self.held).into_iter();
        held.filter_map(|held| Some((held.seq, if held.is_packed { held.body } else { pack(&held.body)? }))).collect()
    }
}

/// A body as it is kept: compressed.
pub(super) fn pack(body: &[u8]) -> Option<Vec<u8>> {
    let mut packed = zstd::bulk::compress(body, zstd::DEFAULT_COMPRESSION_LEVEL).ok()?;
    packed.shrink_to_fit();
    Some(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: usize) -> (Arc<Room>, Answers) {
        let room = Arc::new(Room { taken: AtomicUsize::new(0), bytes });
        (Arc::clone(&room), Answers::new(room))
    }

    /// A body that cannot be packed to less.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .take(length)
        .collect()
    }

    fn seqs(answers: &mut Answers) -> Vec<i64> {
        answers.take().into_iter().map(|(seq, _)| seq).collect()
    }

    #[test]
    fn the_latest_twenty_are_held_and_given_back_as_they_came() {
        let (room, mut answers) = of(ROOM);
        for seq in 1..=25 {
            answers.hold(seq, format!("{seq}").repeat(1000).into_bytes());
        }
        let taken = answers.take();
        assert_eq!(taken.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (6..=25).collect::<Vec<_>>());
        for (seq, body) in taken {
            assert_eq!(zstd::decode_all(&body[..]).unwrap(), format!("{seq}").repeat(1000).into_bytes());
        }
        assert_eq!((seqs(&mut answers).len(), room.taken.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn of_large_ones_as_many_of_the_latest_are_held_as_there_is_room_for() {
        let (room, mut answers) = of(ROOM);
        for seq in 1..=12 {
            answers.hold(seq, noise(256 * 1024));
        }
        assert!(room.taken.load(Ordering::Relaxed) <= MAX_BYTES);
        // What cannot be packed is a few bytes larger for it.
        assert_eq!(seqs(&mut answers), (6..=12).collect::<Vec<_>>());
    }

    #[test]
    fn where_the_replicas_room_is_full_a_run_packs_forgets_its_own_oldest_and_takes_nothing_from_another() {
        let (room, mut answers) = of(10_000);
        let mut other = Answers::new(Arc::clone(&room));
        other.hold(1, noise(6_000));
        answers.hold(1, noise(3_000));
        answers.hold(2, vec![b'x'; 9_000]);
        assert_eq!(
            answers.held.iter().map(|held| (held.seq, held.is_packed)).collect::<Vec<_>>(),
            [(1, true), (2, true)]
        );
        answers.hold(3, noise(3_500));
        assert_eq!(answers.held.iter().map(|held| held.seq).collect::<Vec<_>>(), [2, 3], "the oldest made room");
        answers.hold(4, noise(9_000));
        assert!(seqs(&mut answers).is_empty(), "there is none");
        drop(answers);
        assert_eq!((room.taken.load(Ordering::Relaxed), seqs(&mut other)), (6_000, vec![1]));
    }
}
