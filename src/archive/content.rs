//! What stands in a pack of version 1 before it is compressed.

use super::{Line, Unreadable};

pub(super) fn write(lines: &[Line<&str>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() * 256);
    number(lines.len() as u64, &mut out);
    for line in lines {
        for text in [line.event_type, line.message, line.fields] {
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
    }
    out.extend(lines.iter().map(|line| line.level));
    let mut before = 0;
    for line in lines {
        number(line.seq.wrapping_sub(before) as u64, &mut out);
        before = line.seq;
    }
    let mut before = 0;
    for line in lines {
        number(zigzag(line.at.wrapping_sub(before)), &mut out);
        before = line.at;
    }
    out
}

pub(super) fn read(content: &[u8]) -> Result<Vec<Line<String>>, Unreadable> {
    let mut rest = Rest(content);
    let count = usize::try_from(rest.number()?).map_err(|_| CUT)?;
    // Each has three texts at least: a number that is none takes no memory.
    let mut lines = Vec::with_capacity(count.min(content.len() / 3));
    for _ in 0..count {
        let (event_type, message, fields) = (rest.text()?, rest.text()?, rest.text()?);
        lines.push(Line { seq: 0, at: 0, level: 0, event_type, message, fields });
    }
    for line in &mut lines {
        line.level = rest.byte()?;
    }
    let mut before: i64 = 0;
    for line in &mut lines {
        before = before.wrapping_add(rest.number()? as i64);
        line.seq = before;
    }
    let mut before: i64 = 0;
    for line in &mut lines {
        before = before.wrapping_add(unzigzag(rest.number()?));
        line.at = before;
    }
    if rest.0.is_empty() { Ok(lines) } else { Err(Unreadable("something stands behind its end")) }
}

const CUT: Unreadable = Unreadable("it ends early");

/// What is still to be read.
struct Rest<'c>(&'c [u8]);

impl Rest<'_> {
    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Unreadable("a number in it does not end"))
    }

    fn text(&mut self) -> Result<String, Unreadable> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(CUT)?;
        let (text, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        let text = std::str::from_utf8(text).map_err(|_| Unreadable("a text in it is not UTF-8"))?;
        Ok(text.to_owned())
    }
}

/// Seven bits a byte, the lowest first; the eighth says that another follows.
fn number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Numbers near zero, below it too, as small ones.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}
