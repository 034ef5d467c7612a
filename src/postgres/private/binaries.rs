//! Where Postgres's own programs are: a folder counts only if initdb, pg_ctl and postgres are all there and run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::folder::{Folder, ServerUser};
use super::{Error, default_data_dir};

/// The oldest major version that serves: the oldest that its makers still support.
const OLDEST: u32 = 14;

const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// The places where initdb, pg_ctl and postgres are looked for.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The one folder to use, if the user has named it (`PG_BIN_DIR`): then no other is looked at.
    pub named: Option<PathBuf>,
    /// The folders of `PATH`.
    pub path: OsString,
    /// Folders of versions, with `bin` below each: `/usr/lib/postgresql/17/bin`.
    pub versioned: Vec<PathBuf>,
    /// The folders where `make setup` puts a server.
    pub ours: Vec<PathBuf>,
}

impl Places {
    /// Where a system may have them: `PG_BIN_DIR`, `PATH`, Debian's folders, Homebrew's, and those of `make setup`.
    pub fn from_environment() -> Self {
        Self {
            named: std::env::var_os("PG_BIN_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            path: std::env::var_os("PATH").unwrap_or_default(),
            versioned: ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"].map(PathBuf::from).into(),
            // The same two folders as in scripts/setup.
            ours: vec!["/usr/local/lib/ig-tracking/postgres/bin".into(), default_data_dir().join("postgres/bin")],
        }
    }

    /// Every folder to look at, best first.
    fn folders(&self) -> Vec<PathBuf> {
        if let Some(named) = &self.named {
            return vec![named.clone()];
        }
        let mut folders: Vec<PathBuf> = std::env::split_paths(&self.path).filter(|dir| dir.is_absolute()).collect();
        for parent in &self.versioned {
            folders.extend(newest_first(parent));
        }
        folders.extend(self.ours.iter().cloned());
        folders
    }
}

/// Postgres's programs of one version.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    folder: PathBuf,
    version: u32,
}

impl Binaries {
    /// The best programs that can work with the data there are, or with new data where there are none.
    pub(super) async fn find(places: &Places, folder: &Folder, user: &ServerUser) -> Result<Self, Error> {
        let wanted = folder.data_version()?;
        let mut others = BTreeMap::new();
        let mut rejected = Vec::new();
        for dir in places.folders() {
            match Self::look(&dir, user).await {
                Ok(Some(found)) if wanted.is_none_or(|version| version == found.version) => return Ok(found),
                Ok(Some(found)) => drop(others.insert(found.version, dir)),
                Ok(None) if places.named.is_none() => {}
                Ok(None) => rejected.push(format!("PG_BIN_DIR is {}, which lacks one of them", dir.display())),
                Err(why) => rejected.push(why),
            }
        }
        match wanted {
            Some(data) if !others.is_empty() => {
                Err(Error::OtherVersion { folder: folder.data(), data, found: others.into_keys().collect() })
            }
            _ => Err(Error::NoBinaries(rejected)),
        }
    }

    /// `program` of this version, ready for its arguments.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The programs in `dir`; `None` where they are not, and why where they are and do not serve.
    async fn look(dir: &Path, user: &ServerUser) -> Result<Option<Self>, String> {
        // The links in /usr/local/bin or Homebrew are followed, and those that lead nowhere passed over.
        let [Ok(_), Ok(_), Ok(postgres)] = PROGRAMS.map(|name| dir.join(name).canonicalize()) else {
            return Ok(None);
        };
        let folder = postgres.parent().unwrap_or(dir).to_owned();
        let found = |why: String| format!("{}: {why}", dir.display());
        if let Some(barrier) = user.barrier(&folder).map_err(|error| found(error.to_string()))? {
            return Err(found(format!("user `{}` cannot get past {}", user.name(), barrier.display())));
        }
        if let Some(missing) = PROGRAMS.iter().find(|name| !folder.join(name).is_file()) {
            return Err(found(format!("{missing} is missing beside postgres")));
        }
        let version = version_of(&postgres, user).await.map_err(found)?;
        if version < OLDEST {
            return Err(found(format!("version {version} is too old")));
        }
        Ok(Some(Self { folder, version }))
    }
}

/// Asks the program itself, as the user who is to run it: this shows too whether it runs at all.
async fn version_of(postgres: &Path, user: &ServerUser) -> Result<u32, String> {
    let mut command = Command::new(postgres);
    command.arg("--version").stdin(Stdio::null()).current_dir("/");
    user.run(&mut command);
    let output = command.output().await.map_err(|error| format!("does not run as user `{}`: {error}", user.name()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    major(&said).ok_or_else(|| {
        format!("`postgres --version` says {:?} {:?}", said.trim(), String::from_utf8_lossy(&output.stderr).trim())
    })
}

/// The major version in `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`; also of a beta (`18beta1`).
fn major(said: &str) -> Option<u32> {
    let number = said.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

/// The `bin` of each version below a folder, as in `17/bin` or `postgresql@17/bin`.
fn newest_first(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.strip_prefix("postgresql@").unwrap_or(&name).parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says_of_itself() {
        assert_eq!(major("postgres (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 18"), Some(18));
        assert_eq!(major("nonsense"), None);
    }

    #[test]
    fn a_named_folder_is_the_only_one_looked_at() {
        let places = Places { named: Some("/named".into()), path: "/path".into(), ..Places::default() };
        assert_eq!(places.folders(), [PathBuf::from("/named")]);
    }

    #[test]
    fn newer_versions_come_first_and_ours_last() -> std::io::Result<()> {
        let parent = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        for name in ["9", "14", "postgresql@18", "17", "not-a-version"] {
            fs::create_dir_all(parent.join(name))?;
        }
        let places = Places { versioned: vec![parent.clone()], ours: vec!["/ours".into()], ..Places::default() };
        let expected = ["postgresql@18", "17", "14", "9"].map(|name| parent.join(name).join("bin"));
        assert_eq!(places.folders(), [&expected[..], &["/ours".into()]].concat());
        fs::remove_dir_all(parent)
    }
}
