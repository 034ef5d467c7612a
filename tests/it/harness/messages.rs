//! What a client of Postgres says, message by message: enough of the protocol to know which statement is meant.

use std::collections::HashMap;

/// Takes bytes in and gives whole messages.
#[derive(Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    greeted: bool,
}

/// One message with its head.
pub(super) struct Message {
    kind: u8,
    /// As it was sent.
    pub(super) bytes: Vec<u8>,
}

impl Messages {
    pub(super) fn take_in(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn next(&mut self) -> Option<Message> {
        // The first has no kind: it is the greeting, or the question for TLS, which these tests never ask.
        let head = if self.greeted { 1 } else { 0 };
        let length = self.bytes.get(head..head + 4)?;
        let length = head + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        if self.bytes.len() < length {
            return None;
        }
        let bytes: Vec<u8> = self.bytes.drain(..length).collect();
        let kind = if self.greeted { bytes[0] } else { 0 };
        self.greeted = true;
        Some(Message { kind, bytes })
    }
}

impl Message {
    /// The statement that this message has executed: as a text, or as one that was prepared.
    pub(super) fn statement(&self, prepared: &mut HashMap<Vec<u8>, String>) -> Option<String> {
        let mut parts = self.bytes.get(5..)?.split(|byte| *byte == 0);
        let mut next = || parts.next().map(<[u8]>::to_vec).unwrap_or_default();
        match self.kind {
            b'Q' => Some(String::from_utf8_lossy(&next()).into_owned()),
            b'P' => {
                let name = next();
                prepared.insert(name, String::from_utf8_lossy(&next()).into_owned());
                None
            }
            // A portal, then the statement that it is of.
            b'B' => {
                next();
                prepared.get(&next()).cloned()
            }
            _ => None,
        }
    }
}
