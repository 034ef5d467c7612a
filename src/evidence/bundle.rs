//! One file with all that a run left: a tar archive, compressed with zstd, of plain files that a person can read and edit.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `manifest.json` | the format's number, the program's version, the schema's, the time |
//! | `settings.json` | the settings on which the run's course depends |
//! | `run.json` | the run's row, with its checkpoint |
//! | `events.ndjson` | its log, an event a line |
//! | `requests.ndjson` | its requests, one a line |
//! | `bodies/<request>.json`, `.html` or `.txt` | the answers that are kept, unpacked |
//! | `known.json` | what was known before the run |
//! | `post-mortem.txt`, `post-mortem.json` | what is to be said of it all |
//!
//! No file has a secret in it: nothing that is written of a run has.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Evidence, RecordedBody, body};
use crate::db::evidence::Request;

/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// The largest bundle that is read, unpacked: some times what the largest one has that is written.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// What stands at the head of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Manifest {
    /// The format's number.
    pub format: u32,
    /// The program that wrote it.
    pub program: String,
    /// The version of the schema of the database that it is from.
    pub schema: Option<i64>,
    /// When it was made, on the database's clock.
    pub made_at: chrono::DateTime<chrono::Utc>,
}

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is no archive, or breaks off.
    #[error("it is no bundle, or not whole: {0}; `ig-tracking runs post-mortem RUN --bundle FILE` makes one")]
    Archive(#[from] std::io::Error),
    /// A file is not in it.
    #[error("it has no {0}; `ig-tracking runs post-mortem RUN --bundle FILE` makes one")]
    Lacks(&'static str),
    /// A file in it cannot be read.
    #[error("its {0} cannot be read: {1}")]
    Unreadable(&'static str, serde_json::Error),
    /// Another version's.
    #[error("it is of format {0}, and this version reads format {FORMAT}; use the version that made it")]
    Format(u32),
    /// It would not fit into memory.
    #[error("it has more than {} MiB, unpacked", MAX_BYTES / 1024 / 1024)]
    TooLarge,
}

/// A bundle to be written.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    /// What the run left.
    pub evidence: &'a Evidence,
    /// The version of the schema.
    pub schema: Option<i64>,
    /// The post-mortem as text, and as JSON.
    pub post_mortem: (&'a str, &'a str),
}

impl Bundle<'_> {
    /// Writes it.
    pub fn write(&self, out: impl Write) -> std::io::Result<()> {
        let Evidence { run, events, requests, known, settings } = self.evidence;
        let mut archive = tar::Builder::new(zstd::Encoder::new(out, 0)?);
        let made_at = run.now;
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(made_at.timestamp().try_into().unwrap_or_default());
            archive.append_data(&mut header, name, content)
        };
        let program = format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let manifest = Manifest { format: FORMAT, program, schema: self.schema, made_at };
        add("manifest.json", &json(&manifest)?)?;
        add("settings.json", &json(settings)?)?;
        add("run.json", &json(run)?)?;
        add("events.ndjson", &lines(events)?)?;
        add("requests.ndjson", &lines(requests)?)?;
        add("known.json", &json(known)?)?;
        add("post-mortem.txt", self.post_mortem.0.as_bytes())?;
        add("post-mortem.json", self.post_mortem.1.as_bytes())?;
        for request in requests.iter().filter(|request| request.body.is_some()) {
            let (RecordedBody::Whole(body) | RecordedBody::Cut(body)) = body(request) else { continue };
            add(&format!("bodies/{}.{}", request.seq, ending(&body)), &body)?;
        }
        archive.into_inner()?.finish()?.flush()
    }
}

/// What a body looks like, for the programs that open it.
fn ending(body: &[u8]) -> &'static str {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => "json",
        Some(b'<') => "html",
        _ => "txt",
    }
}

fn json(value: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

fn lines<T: Serialize>(values: &[T]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for value in values {
        serde_json::to_writer(&mut text, value)?;
        text.push(b'\n');
    }
    Ok(text)
}

impl Evidence {
    /// Reads it out of a bundle.
    pub fn of_bundle(from: impl Read) -> Result<Self, BundleError> {
        let mut archive = tar::Archive::new(zstd::Decoder::new(from)?.take(MAX_BYTES + 1));
        let (mut files, mut bodies, mut bytes) = (HashMap::new(), HashMap::new(), 0);
        for entry in archive.entries()? {
            let mut entry = entry?;
            bytes += entry.size();
            if bytes > MAX_BYTES {
                return Err(BundleError::TooLarge);
            }
            let path = entry.path()?.into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            // Repacked by hand, names may begin with `./`.
            match (path.strip_prefix(".").unwrap_or(&path), number_of_body(&path)) {
                (_, Some(request)) => drop(bodies.insert(request, content)),
                (name, None) => drop(files.insert(name.to_string_lossy().into_owned(), content)),
            }
        }
        let files = Files(files);
        let manifest: Manifest = files.json("manifest.json")?;
        if manifest.format != FORMAT {
            return Err(BundleError::Format(manifest.format));
        }
        let mut requests: Vec<Request> = files.lines("requests.ndjson")?;
        for request in &mut requests {
            request.body = bodies
                .get(&request.seq)
                .map(|body| zstd::bulk::compress(body, zstd::DEFAULT_COMPRESSION_LEVEL))
                .transpose()?;
        }
        Ok(Self {
            run: files.json("run.json")?,
            events: files.lines("events.ndjson")?,
            requests,
            known: files.json("known.json")?,
            settings: files.json("settings.json")?,
        })
    }
}

/// The number of the request whose body this is.
fn number_of_body(path: &Path) -> Option<i64> {
    let in_bodies = path.parent().is_some_and(|parent| parent.ends_with("bodies"));
    path.file_stem().filter(|_| in_bodies)?.to_str()?.parse().ok()
}

struct Files(HashMap<String, Vec<u8>>);

impl Files {
    fn get(&self, name: &'static str) -> Result<&[u8], BundleError> {
        self.0.get(name).map(Vec::as_slice).ok_or(BundleError::Lacks(name))
    }

    fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, BundleError> {
        serde_json::from_slice(self.get(name)?).map_err(|error| BundleError::Unreadable(name, error))
    }

    fn lines<T: DeserializeOwned>(&self, name: &'static str) -> Result<Vec<T>, BundleError> {
        let lines = self.get(name)?.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let read = |line| serde_json::from_slice(line).map_err(|error| BundleError::Unreadable(name, error));
        lines.map(read).collect()
    }
}
