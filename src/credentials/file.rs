//! The file of credentials: TOML, one entry a session or a token. Whatever is wrong with it, the error names the file,
//! the entry, the key and what to write instead, and shows no value: any of them may be a secret in the wrong place.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use toml::{Table, Value};

use super::{Credential, GUEST, PaceSettings, Secret};

/// How a proxy is written.
pub(super) const PROXY: &str = "write proxy = \"socks5://user:password@host:1080\", or with http:// or https://";

/// What may stand in the file, for whoever wrote something else.
const TOP: &str = "write [[session]] or [[token]] before each entry";

/// A file of credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there, or may not be read.
    #[error("IGT_CREDENTIALS is {}, which cannot be read: {error}; give a file that this user may read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is no TOML. Where, but not what: the line may hold a secret.
    #[error("{}: line {line} cannot be read as TOML; see credentials.example.toml", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Something in it makes no sense.
    #[error("{}: {place}: {problem}", path.display())]
    Makes {
        /// The file.
        path: PathBuf,
        /// Which entry and which key.
        place: String,
        /// What is wrong, and what to write instead.
        problem: String,
    },
}

impl FileError {
    pub(super) fn entry(path: &Path, entry: &str, key: &str, problem: impl Into<String>) -> Self {
        Self::Makes { path: path.to_owned(), place: entry.to_owned(), problem: format!("{key} {}", problem.into()) }
    }
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Vec<Credential>, FileError> {
    let unreadable = |error| FileError::Unreadable { path: path.to_owned(), error };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    // A warning and no refusal: files that a container is given as secrets are open to all who are in it, and nobody
    // else is.
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0) {
        tracing::warn!(path = %path.display(), "every user of this machine may read the file of credentials; chmod 600 it");
    }
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let line = 1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
        FileError::NotToml { path: path.to_owned(), line }
    })?;
    credentials(path, table)
}

fn credentials(path: &Path, table: Table) -> Result<Vec<Credential>, FileError> {
    let mut all = Vec::new();
    let mut names = HashSet::new();
    for (section, value) in table {
        let sort = match section.as_str() {
            "session" => Sort::Session,
            "token" => Sort::Token,
            other => {
                let problem = format!("{} is not known; {TOP}", shown(other));
                return Err(FileError::Makes { path: path.to_owned(), place: "the file".to_owned(), problem });
            }
        };
        let Value::Array(entries) = value else {
            let problem = format!("{section} is no list of entries; {TOP}");
            return Err(FileError::Makes { path: path.to_owned(), place: "the file".to_owned(), problem });
        };
        for (place, entry) in entries.into_iter().enumerate() {
            let Value::Table(keys) = entry else {
                let problem = format!("{section} is no list of entries; {TOP}");
                return Err(FileError::Makes { path: path.to_owned(), place: "the file".to_owned(), problem });
            };
            let entry = Entry { path, label: format!("[[{section}]] number {}", place + 1), keys };
            let credential = entry.credential(sort)?;
            if !names.insert(Arc::clone(&credential.name)) {
                let entry = format!("{section} \"{}\"", credential.name);
                return Err(FileError::entry(path, &entry, "name", "is taken by another entry; write another one"));
            }
            all.push(credential);
        }
    }
    Ok(all)
}

#[derive(Clone, Copy)]
enum Sort {
    Session,
    Token,
}

/// One entry, whose keys are taken out one by one.
struct Entry<'a> {
    path: &'a Path,
    label: String,
    keys: Table,
}

impl Entry<'_> {
    fn credential(mut self, sort: Sort) -> Result<Credential, FileError> {
        let name = self.name(sort)?;
        let (secret, example) = match sort {
            Sort::Session => {
                let cookie =
                    self.secret("cookie", "\"sessionid=…; csrftoken=…\", a signed-in browser's Cookie header")?;
                let user_agent = self.text("user_agent", "\"Mozilla/5.0 …\", that browser's navigator.userAgent")?;
                (Secret::Session { cookie, user_agent }, "name, cookie, user_agent, proxy and pace")
            }
            Sort::Token => {
                let token = self.secret("token", "\"EAA…\", a user token of the Graph API")?;
                let user_id = self.text("user_id", USER_ID)?.ok_or_else(|| self.missing("user_id", USER_ID))?;
                if user_id.is_empty() || !user_id.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(self.wrong("user_id", format!("is no number; write user_id = {USER_ID}")));
                }
                (Secret::Token { token, user_id }, "name, token, user_id, proxy and pace")
            }
        };
        let proxy = self.text("proxy", "\"socks5://user:password@host:1080\"")?.map(SecretString::from);
        let pace = self.pace()?;
        if let Some(key) = self.keys.keys().next() {
            return Err(self.wrong(&shown(key), format!("is not known here; an entry has {example}")));
        }
        Ok(Credential { name, secret, proxy, pace })
    }

    fn name(&mut self, sort: Sort) -> Result<Arc<str>, FileError> {
        const NAME: &str = "\"main\", say: a to z, 0 to 9, dots, dashes and underscores, up to 63";
        let name = self.text("name", NAME)?.ok_or_else(|| self.missing("name", NAME))?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !begins || name.len() > 63 || !name.bytes().all(plain) {
            return Err(self.wrong("name", format!("is none; write name = {NAME}")));
        }
        if name == GUEST {
            return Err(self.wrong("name", "is kept for the web source without a session; write another one".into()));
        }
        self.label = match sort {
            Sort::Session => format!("session \"{name}\""),
            Sort::Token => format!("token \"{name}\""),
        };
        Ok(name.into())
    }

    fn pace(&mut self) -> Result<PaceSettings, FileError> {
        const PACE: &str = "pace = { gap_ms = 6000, jitter_ms = 6000, budget = 75, window_seconds = 660 }";
        let Some(value) = self.keys.remove("pace") else { return Ok(PaceSettings::default()) };
        let Value::Table(mut keys) = value else {
            return Err(self.wrong("pace", format!("is no table; write {PACE}")));
        };
        let mut number = |key: &'static str, least: i64, most: i64| match keys.remove(key) {
            None => Ok(None),
            Some(Value::Integer(number)) if (least..=most).contains(&number) => Ok(u32::try_from(number).ok()),
            Some(_) => {
                Err(self.wrong("pace", format!("has no whole number from {least} to {most} as {key}; write {PACE}")))
            }
        };
        let pace = PaceSettings {
            gap_ms: number("gap_ms", 0, 3_600_000)?,
            jitter_ms: number("jitter_ms", 0, 3_600_000)?,
            budget: number("budget", 0, 10_000)?,
            window_seconds: number("window_seconds", 1, 604_800)?,
        };
        match keys.keys().next() {
            Some(key) => Err(self.wrong("pace", format!("has {}, which is not known; write {PACE}", shown(key)))),
            None => Ok(pace),
        }
    }

    fn secret(&mut self, key: &'static str, example: &str) -> Result<SecretString, FileError> {
        let text = self.text(key, example)?.filter(|text| !text.trim().is_empty());
        text.map(SecretString::from).ok_or_else(|| self.missing(key, example))
    }

    fn text(&mut self, key: &'static str, example: &str) -> Result<Option<String>, FileError> {
        match self.keys.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, format!("is no text; write {key} = {example}"))),
        }
    }

    fn missing(&self, key: &str, example: &str) -> FileError {
        self.wrong(key, format!("is missing; write {key} = {example}"))
    }

    fn wrong(&self, key: &str, problem: String) -> FileError {
        FileError::entry(self.path, &self.label, key, problem)
    }
}

const USER_ID: &str = "\"17841400000000000\", the number of the business account that the token belongs to";

/// A key as it may be shown: one that does not look like a key may be a secret that stands in the wrong place.
fn shown(key: &str) -> String {
    let is_plain = key.len() <= 24 && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_plain { key.to_owned() } else { "a key that is not shown".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Credential>, FileError> {
        let folder =
            std::env::temp_dir().join(format!("igt-credentials-{}-{}", std::process::id(), rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("credentials.toml");
        std::fs::write(&path, text).unwrap();
        let read = read(&path);
        std::fs::remove_dir_all(folder).unwrap();
        read
    }

    #[test]
    fn the_example_in_the_repository_is_read() {
        let example = include_str!("../../credentials.example.toml");
        let entries = parse(example).unwrap();
        assert!(entries.is_empty(), "what is in it is for show: {entries:?}");
        // The same with its entries in force.
        let lines: Vec<_> = example.lines().map(|line| line.strip_prefix("#:").unwrap_or(line)).collect();
        let entries = parse(&lines.join("\n")).unwrap();
        let names: Vec<_> = entries.iter().map(|entry| &*entry.name).collect();
        assert_eq!(names, ["main", "second", "business"]);
        assert!(entries.iter().all(|entry| entry.name.as_ref() == "main" || entry.proxy.is_some()));
        assert_eq!(entries[1].pace.budget, Some(40));
    }

    #[test]
    fn every_complaint_names_the_entry_the_key_and_what_to_write_and_shows_no_value() {
        let session = "[[session]]\nname = \"anna\"\ncookie = \"sessionid=hidden-word\"\n";
        let token = "[[token]]\nname = \"biz\"\ntoken = \"hidden-word\"\n";
        for (text, parts) in [
            ("[[session]]\nname = hidden-word\n".to_owned(), &["line 2", "credentials.example.toml"][..]),
            ("[[session]]\nhidden-word\n".to_owned(), &["line 2"]),
            ("[[sesion]]\nname = \"hidden-word\"\n".to_owned(), &["sesion is not known", "[[session]]"]),
            ("session = \"hidden-word\"\n".to_owned(), &["session is no list", "[[session]]"]),
            ("[session]\nname = \"anna\"\n".to_owned(), &["session is no list", "[[session]]"]),
            ("session = [\"hidden-word\"]\n".to_owned(), &["session is no list"]),
            ("[[session]]\ncookie = \"hidden-word\"\n".to_owned(), &["[[session]] number 1", "name is missing"]),
            ("[[session]]\nname = \"Hidden-word\"\n".to_owned(), &["[[session]] number 1", "name is none"]),
            ("[[session]]\nname = \"guest\"\n".to_owned(), &["name is kept"]),
            ("[[session]]\nname = \"anna\"\n".to_owned(), &["session \"anna\"", "cookie is missing", "sessionid="]),
            ("[[session]]\nname = \"anna\"\ncookie = 7\n".to_owned(), &["session \"anna\"", "cookie is no text"]),
            (format!("{session}password = \"hidden-word\"\n"), &["session \"anna\"", "password is not known", "proxy"]),
            (format!("{session}\"HIDDEN-word hidden-word\" = 1\n"), &["session \"anna\"", "not shown"]),
            (format!("{session}pace = 5\n"), &["pace is no table", "gap_ms"]),
            (format!("{session}pace = {{ gap_ms = -1 }}\n"), &["gap_ms", "from 0 to"]),
            (format!("{session}pace = {{ budget = \"hidden-word\" }}\n"), &["budget", "write pace"]),
            (format!("{session}pace = {{ per_hour = 1 }}\n"), &["per_hour", "not known"]),
            (format!("{session}{session}"), &["session \"anna\"", "name is taken"]),
            (format!("{token}user_id = \"me\"\n"), &["token \"biz\"", "user_id is no number"]),
            (token.to_owned(), &["token \"biz\"", "user_id is missing"]),
        ] {
            let message = parse(&text).unwrap_err().to_string();
            assert!(message.contains("credentials.toml: "), "{message}");
            assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
            assert!(!message.to_lowercase().contains("hidden-word"), "{message}");
        }
        let missing = read(Path::new("/nowhere/credentials.toml")).unwrap_err().to_string();
        assert!(missing.contains("IGT_CREDENTIALS") && missing.contains("/nowhere/credentials.toml"), "{missing}");
    }
}
