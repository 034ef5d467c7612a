//! The documents: what they name exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sqlx::AssertSqlSafe;

use crate::harness::Database;

/// Every Markdown file that a reader may meet.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect::<Vec<_>>()
    };
    let found = [of(root), of(&root.join("docs"))].concat();
    assert!(found.len() >= 6, "{found:?}");
    found
}

/// The environment variables of a command and of those below it.
fn variables(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|argument| argument.get_env());
    let own = own.map(|name| name.to_string_lossy().into_owned());
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}

/// What the tests themselves read.
const OF_THE_TESTS: [&str; 8] = [
    "IGT_FAULT_MINUTES",
    "IGT_FAULT_ROUNDS",
    "IGT_FAULT_SEED",
    "IGT_FAULT_STRIDE",
    "IGT_FAULT_WORLDS",
    "IGT_HANGUPS",
    "IGT_MODEL_SEED",
    "IGT_MODEL_WALKS",
];

#[test]
fn every_variable_in_the_documents_is_a_setting_and_every_setting_is_in_the_readme() {
    let settings = variables(&ig_tracking::cli::command());
    let name = regex::Regex::new(r"\bIGT_[A-Z0-9_]*[A-Z0-9]").unwrap();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for found in name.find_iter(&text) {
            let known = settings.contains(found.as_str()) || OF_THE_TESTS.contains(&found.as_str());
            assert!(known, "{}: {} is no setting", document.display(), found.as_str());
        }
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for setting in settings.iter().filter(|setting| setting.starts_with("IGT_")) {
        assert!(readme.contains(&format!("| `{setting}` |")), "README.md does not list {setting}");
    }
}

#[test]
fn every_relative_link_in_the_documents_leads_to_a_file_and_its_heading() {
    let link = regex::Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for target in link.captures_iter(&text).map(|captures| captures[1].to_owned()) {
            if target.contains("://") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            assert!(file.exists(), "{}: {target} leads nowhere", document.display());
            let text = fs::read_to_string(&file).unwrap_or_default();
            let known = heading.is_empty() || text.lines().any(|line| anchor(line).as_deref() == Some(heading));
            assert!(known, "{}: {target} names no heading", document.display());
        }
    }
}

/// The anchor that a heading gets where Markdown is shown: in lower case, spaces as hyphens, no punctuation.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect())
}

/// All Rust below a folder, as one text.
fn rust_below(folder: PathBuf) -> String {
    let mut sources = String::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "rs") => {
                    sources += &fs::read_to_string(path).unwrap();
                }
                false => {}
            }
        }
    }
    sources
}

/// A metric is known where it is counted, and where an operator reads what it counts.
#[test]
fn every_metric_is_in_the_documents_and_every_metric_in_them_is_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = regex::Regex::new(r"\bigt_[a-z0-9_]*[a-z0-9]\b").unwrap();
    let counted = regex::Regex::new(r#"(?:counter|gauge|histogram)!\(\s*"(igt_[a-z0-9_]+)""#).unwrap();
    let sources = rust_below(root.join("src"));
    let known: BTreeSet<&str> = counted.captures_iter(&sources).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(known.len() > 25, "{known:?}");
    let interface = fs::read_to_string(root.join("docs/API.md")).unwrap();
    let rows: String = interface.lines().filter(|line| line.starts_with("| `igt_")).collect();
    let told: BTreeSet<&str> = name.find_iter(&rows).map(|found| found.as_str()).collect();
    assert_eq!(told, known, "the table of metrics in docs/API.md, and what the service counts");
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        // The cookie is called likewise.
        for found in name.find_iter(&text).map(|found| found.as_str()).filter(|name| *name != "igt_session") {
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| found.strip_suffix(end));
            let is_known = known.contains(found) || of_histogram.is_some_and(|name| known.contains(name));
            assert!(is_known, "{}: {found} is no metric", document.display());
        }
    }
}

#[tokio::test]
async fn the_tables_that_the_operators_book_lists_are_those_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let book = fs::read_to_string(root.join("docs/OPERATIONS.md")).unwrap();
    let (_, session) = book.split_once("The tables explain themselves:\n").unwrap();
    let session = session.split("```").nth(1).unwrap();
    let queries: Vec<_> = session.split("$ psql \"$db\" -At -F ': ' -c \"\n").skip(1).collect();
    assert_eq!(queries.len(), 2, "{session}");
    let database = Database::fresh().await;
    for asked in queries {
        let (query, printed) = asked.split_once("\"\n").unwrap();
        let query = query.replace("\n> ", "\n").replacen("> ", "", 1);
        let rows: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&database.pool).await.unwrap();
        let told: String = rows.iter().map(|(name, comment)| format!("{name}: {comment}\n")).collect();
        assert_eq!(printed, told);
    }
}

#[test]
fn every_test_that_the_fault_matrix_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = rust_below(root.join("tests/it"));
    let function = regex::Regex::new(r"\bfn ([a-z0-9_]+)\(").unwrap();
    let tests: Vec<&str> = function.captures_iter(&sources).map(|captures| captures.get(1).unwrap().as_str()).collect();
    let document = fs::read_to_string(root.join("docs/RELIABILITY.md")).unwrap();
    // The last column: names in full, or the parts of one around an ellipsis.
    let name = regex::Regex::new("`([a-z0-9_…]+)`").unwrap();
    let matrix = document.split("\n## ").find(|section| section.starts_with("The fault matrix")).unwrap();
    let cells = matrix.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "));
    let mut named = 0;
    for written in cells.flat_map(|(_, tests)| name.captures_iter(tests)) {
        let parts: Vec<&str> = written[1].split('…').collect();
        let is_there = match parts[..] {
            [whole] => tests.contains(&whole) || sources.contains(&format!("\nmod {whole};")),
            [first, last] => tests.iter().any(|test| test.starts_with(first) && test.ends_with(last)),
            [first, middle, last] => {
                tests.iter().any(|test| test.starts_with(first) && test.contains(middle) && test.ends_with(last))
            }
            _ => false,
        };
        assert!(is_there, "docs/RELIABILITY.md names {}, which is no test", &written[1]);
        named += 1;
    }
    assert!(named > 30, "{named}");
}
