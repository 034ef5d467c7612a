//! What could not be read: told once a path, remembered to the end of the run.

use serde::{Deserialize, Serialize};

use super::{Event, Shortfall};
use crate::db::runs::Reason;
use crate::instagram::Unread;

/// Beyond so many different paths the answer as a whole has changed, and more events would say nothing new.
const MAX_PATHS: usize = 20;

/// The paths that could not be read in this run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Drift {
    /// Every path that was told.
    told: Vec<String>,
    /// Those of them that left something missing.
    missing: Vec<String>,
    /// Whether anything is missing, told or not.
    lost: bool,
}

impl Drift {
    /// Takes in what an answer held that could not be read; an event for each path that was not told before.
    pub fn note(&mut self, unread: Vec<Unread>) -> Vec<Event> {
        let mut events = Vec::new();
        for unread in unread {
            self.lost |= unread.is_loss;
            let path = without_indices(&unread.path);
            if self.told.len() < MAX_PATHS && !self.told.contains(&path) {
                if unread.is_loss {
                    self.missing.push(path.clone());
                }
                self.told.push(path);
                events.push(Event::UpstreamChanged { unread });
            }
        }
        events
    }

    /// Whether something that was asked for is missing because it could not be read.
    pub fn lost(&self) -> bool {
        self.lost
    }

    /// What this leaves missing at the end of a run that read everything else.
    pub fn shortfall(&self) -> Option<Shortfall> {
        let (errors, paths): (Vec<&str>, Vec<&str>) =
            self.missing.iter().map(String::as_str).partition(|path| *path == Unread::ERRORS);
        let mut parts = Vec::new();
        if !paths.is_empty() {
            parts.push(format!("what Instagram sent could not be read at {}", paths.join(", ")));
        }
        if !errors.is_empty() {
            parts.push("Instagram sent errors beside its data, so something may be missing".to_owned());
        }
        let message = format!("{}; the events upstream_changed tell more", parts.join("; "));
        (!parts.is_empty()).then_some(Shortfall { reason: Reason::UpstreamChanged, message })
    }
}

/// `items[3].pk` and `items[7].pk` are one path.
fn without_indices(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => {
                inside = true;
                out.push(c);
            }
            ']' => {
                inside = false;
                out.push(c);
            }
            _ if inside && c.is_ascii_digit() => {}
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(path: &str) -> Unread {
        Unread { path: path.to_owned(), expected: "a whole number", found: "\"many\"".to_owned(), is_loss: true }
    }

    #[test]
    fn a_path_is_told_once_whatever_its_index() {
        let mut drift = Drift::default();
        assert!(drift.shortfall().is_none());
        assert_eq!(drift.note(vec![unread("items[1].pk"), unread("items[22].pk"), unread("user.pk")]).len(), 2);
        assert_eq!(drift.note(vec![unread("items[5].pk")]).len(), 0);
        assert!(drift.shortfall().unwrap().message.contains("items[].pk, user.pk"));
    }

    #[test]
    fn errors_beside_data_are_no_field_that_could_not_be_read() {
        let mut drift = Drift::default();
        drift.note(vec![unread(Unread::ERRORS)]);
        let message = drift.shortfall().unwrap().message;
        assert!(message.contains("errors beside its data") && !message.contains("could not be read"), "{message}");
    }

    #[test]
    fn what_another_endpoint_had_is_told_and_leaves_nothing_missing() {
        let mut drift = Drift::default();
        assert_eq!(drift.note(vec![Unread { is_loss: false, ..unread("timeline") }]).len(), 1);
        assert!(drift.shortfall().is_none());
    }

    #[test]
    fn no_more_than_twenty_paths_are_told() {
        let mut drift = Drift::default();
        let many = (0..100).map(|n| unread(&format!("field_{n}"))).collect();
        assert_eq!(drift.note(many).len(), MAX_PATHS);
    }
}
