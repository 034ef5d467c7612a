//! The two documents as they lie beside the project, and the fences cut from them. No copy of them is kept.

use std::fs;
use std::io::Write as _;

use regex::Regex;

use crate::harness::machine::project;

/// One of the two documents.
pub(crate) struct Document {
    /// The update's number: 6 or 7.
    pub(crate) update: u8,
    pub(crate) text: String,
    pub(crate) fences: Vec<Fence>,
}

/// A piece of code in a document, unmodified.
pub(crate) struct Fence {
    /// The heading that it stands under.
    pub(crate) heading: String,
    /// What its opening line says; may be empty.
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Document {
    /// Both, or `None` (said aloud) where they are not beside the project.
    pub(crate) fn both() -> Option<[Self; 2]> {
        let set = std::env::var_os("IGT_SPEC_DIR");
        let folder = set.as_ref().map_or_else(|| project("../shared/spec"), Into::into);
        if !folder.exists() {
            assert!(set.is_none(), "IGT_SPEC_DIR names {}, which is not there", folder.display());
            // Not println!, which is heard only where a test fails.
            let said = format!("{} is not there: the documents' snippets are not run\n", folder.display());
            std::io::stdout().write_all(said.as_bytes()).unwrap();
            return None;
        }
        let read = |update, name| {
            let path = folder.join(name);
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
            Self { update, fences: cut(&text), text }
        };
        Some([read(6, "update-6-immediate-response.md"), read(7, "update-7-task-status.md")])
    }

    /// The lines under a heading, down to the next.
    pub(crate) fn section(&self, heading: &str) -> Vec<&str> {
        let lines = self.text.lines().skip_while(|line| heading_of(line) != Some(heading)).skip(1);
        let section: Vec<_> = lines.take_while(|line| heading_of(line).is_none()).collect();
        assert!(!section.is_empty(), "update {} has no section {heading:?}", self.update);
        section
    }

    /// Every request that it names with its whole path, as method and path.
    pub(crate) fn requests(&self) -> Vec<(&str, &str)> {
        let named = Regex::new(r"\b(GET|POST|PUT|DELETE) (/codvid-ai/[^\s`]+)").unwrap();
        named
            .captures_iter(&self.text)
            .map(|found| (found.get(1).unwrap().as_str(), found.get(2).unwrap().as_str()))
            .collect()
    }
}

fn heading_of(line: &str) -> Option<&str> {
    let words = line.trim_start_matches('#');
    (words.len() < line.len() && words.starts_with(' ')).then(|| words.trim())
}

/// The fences of a text in Markdown.
pub(crate) fn cut(text: &str) -> Vec<Fence> {
    let (mut fences, mut heading, mut open) = (Vec::new(), String::new(), None::<Fence>);
    for line in text.split_inclusive('\n') {
        match (&mut open, line.trim_end().strip_prefix("```")) {
            (Some(_), Some("")) => fences.extend(open.take()),
            (Some(fence), _) => fence.text.push_str(line),
            (None, Some(language)) => {
                open = Some(Fence { heading: heading.clone(), language: language.to_owned(), text: String::new() });
            }
            (None, None) => {
                if let Some(words) = heading_of(line) {
                    words.clone_into(&mut heading);
                }
            }
        }
    }
    assert!(open.is_none(), "a fence under {heading:?} is not closed");
    fences
}

#[test]
fn fences_are_cut_as_they_stand() {
    let text = "# One\n```json\n{}\n```\ntext\n## Two ##x\n```\n# no heading\n\n  x\n```\n";
    let fences = cut(text);
    let seen: Vec<_> = fences.iter().map(|fence| (&*fence.heading, &*fence.language, &*fence.text)).collect();
    assert_eq!(seen, [("One", "json", "{}\n"), ("Two ##x", "", "# no heading\n\n  x\n")]);
}
