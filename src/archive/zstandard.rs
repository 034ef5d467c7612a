//! zstd with the program's own dictionary. What it takes to compress and to decompress is made once a thread.

use std::cell::RefCell;
use std::io;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe;

use super::Unreadable;

const DICTIONARY: &[u8] = include_bytes!("dictionary_1");

/// Beyond it ten times the work saves two hundredths.
const LEVEL: i32 = 12;

/// Beyond this a content size is that of no log.
const MAX_CONTENT: u64 = 64 << 20;

static TO_COMPRESS: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static TO_DECOMPRESS: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// What every frame begins with, and is left out: the version says what it is.
const MAGIC: [u8; 4] = zstd_safe::MAGICNUMBER.to_le_bytes();

/// Appends a frame.
pub(super) fn compress(content: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(compressor()?),
        };
        let frame = compressor.compress(content)?;
        out.extend(frame.strip_prefix(&MAGIC).ok_or(io::ErrorKind::InvalidData)?);
        Ok(())
    })
}

fn compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::with_prepared_dictionary(&TO_COMPRESS)?;
    compressor.include_checksum(true)?;
    // The version says it.
    compressor.include_dictid(false)?;
    Ok(compressor)
}

/// The content of a frame.
pub(super) fn decompress(frame: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let frame = &[&MAGIC, frame].concat();
    let size = zstd_safe::get_frame_content_size(frame).ok().flatten();
    let size = size.filter(|size| *size <= MAX_CONTENT).ok_or(Unreadable("it says no size that it can have"))?;
    let read = DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::with_prepared_dictionary(&TO_DECOMPRESS)?),
        };
        decompressor.decompress(frame, size as usize)
    });
    read.map_err(|_| Unreadable("it is damaged"))
}
