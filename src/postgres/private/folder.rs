//! The data folder: what lies where in it, whose it is, and who may get in.
//!
//! Root owns the folder itself and what is written here; only `data`, `log` and the socket's folder belong to the user
//! whom the server runs as, so that nothing of that user's making is ever written through by root.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, geteuid};
use tokio::process::Command;
use uuid::Uuid;

use super::Error;

/// The longest path of a socket that every system takes (macOS has 104 bytes with the closing zero, Linux 108).
const LONGEST_SOCKET: usize = 103;

/// The name Postgres gives its socket, from the port number it would have.
pub(super) const SOCKET: &str = ".s.PGSQL.5432";

#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    socket_dir: PathBuf,
}

impl Folder {
    /// Makes the folder if it is not there.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(root).map_err(Error::files("find", root))?;
        if !root.exists() {
            fs::create_dir_all(&root).map_err(Error::files("make", &root))?;
            // The server's user must get through where it is not ours; else it is nobody's business.
            let mode = if geteuid().is_root() { 0o755 } else { 0o700 };
            fs::set_permissions(&root, Permissions::from_mode(mode)).map_err(Error::files("open up", &root))?;
        }
        Self::at(&root)
    }

    /// The folder as it is there now.
    pub(super) fn at(root: &Path) -> Result<Self, Error> {
        // Links are followed once, here, so that permissions are checked on what is really passed.
        let root = root.canonicalize().map_err(Error::files("find", root))?;
        let socket_dir = root.join("socket");
        let folder = Self { root, socket_dir };
        match folder.recorded_socket_dir()? {
            Some(elsewhere) if folder.socket_is_too_long() => Ok(Self { socket_dir: elsewhere, ..folder }),
            _ => Ok(folder),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where data are made, to become `data` in one step when they are whole.
    pub(super) fn unfinished_data(&self) -> PathBuf {
        self.root.join("data.new")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.socket_dir.join(SOCKET)
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Postgres's own note of its process; it is the last thing that a stopping server removes.
    pub(super) fn postmaster_pid(&self) -> PathBuf {
        self.root.join("data/postmaster.pid")
    }

    pub(super) fn settings(&self) -> PathBuf {
        self.root.join("server.conf")
    }

    pub(super) fn watchdog_log(&self) -> PathBuf {
        self.root.join("watchdog.log")
    }

    /// Locked, shared, by every process that uses the server.
    pub(super) fn in_use(&self) -> PathBuf {
        self.root.join("in-use.lock")
    }

    /// Locked by the one who is starting or stopping the server.
    pub(super) fn starting(&self) -> PathBuf {
        self.root.join("start.lock")
    }

    /// Locked by the watchdog for as long as it lives.
    pub(super) fn watched(&self) -> PathBuf {
        self.root.join("watchdog.lock")
    }

    /// The major version that made the data, if there are any.
    pub(super) fn data_version(&self) -> Result<Option<u32>, Error> {
        let path = self.data().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| Error::NotData(self.data())),
            Err(error) if error.kind() == ErrorKind::NotFound && !self.data().exists() => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::NotData(self.data())),
            Err(error) => Err(Error::files("read", path)(error)),
        }
    }

    /// Makes what the server's user needs to own, and settles where the socket is.
    pub(super) fn lay_out(&mut self, user: &ServerUser) -> Result<(), Error> {
        user.may_reach(&self.root)?;
        make_private(&self.log(), user)?;
        if self.socket_is_too_long() {
            self.socket_dir = match self.recorded_socket_dir()? {
                Some(dir) if is_private(&dir, user) => dir,
                _ => self.choose_socket_dir(user)?,
            };
        } else {
            self.socket_dir = self.root.join("socket");
            make_private(&self.socket_dir, user)?;
        }
        Ok(())
    }

    /// Writes a file of ours, whole or not at all, for the server's user to read.
    pub(super) fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        let unfinished = path.with_extension("new");
        let write = || {
            remove_if_there(&unfinished)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&unfinished)?;
            // The umask may have taken away what the server's user needs.
            file.set_permissions(Permissions::from_mode(0o644))?;
            file.write_all(text.as_bytes())?;
            fs::rename(&unfinished, path)
        };
        write().map_err(Error::files("write", path))
    }

    fn socket_is_too_long(&self) -> bool {
        self.root.join("socket").join(SOCKET).as_os_str().len() > LONGEST_SOCKET
    }

    fn socket_dir_record(&self) -> PathBuf {
        self.root.join("socket-dir")
    }

    fn recorded_socket_dir(&self) -> Result<Option<PathBuf>, Error> {
        match fs::read_to_string(self.socket_dir_record()) {
            Ok(path) => Ok(Some(PathBuf::from(path))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::files("read", self.socket_dir_record())(error)),
        }
    }

    /// A short folder under a name that nobody could have taken beforehand.
    fn choose_socket_dir(&self, user: &ServerUser) -> Result<PathBuf, Error> {
        let name = format!("igt-{}", Uuid::new_v4().simple());
        let short = |dir: &PathBuf| dir.join(SOCKET).as_os_str().len() <= LONGEST_SOCKET;
        let dir = Some(std::env::temp_dir().join(&name)).filter(short).unwrap_or_else(|| Path::new("/tmp").join(&name));
        user.may_reach(dir.parent().unwrap_or(&dir))?;
        make_private(&dir, user)?;
        self.write(&self.socket_dir_record(), &dir.to_string_lossy())?;
        Ok(dir)
    }
}

/// Whom the server runs as.
#[derive(Debug, Clone)]
pub(super) struct ServerUser {
    name: String,
    uid: u32,
    gid: u32,
    /// Somebody else than who we are, which only root can arrange.
    other: bool,
}

impl ServerUser {
    /// Us; or, where we are root (as whom Postgres refuses to run), whoever it ran as before, `postgres` or `nobody`.
    pub(super) fn choose(folder: &Folder) -> Result<Self, Error> {
        let we = geteuid();
        let owner_of = |path| fs::symlink_metadata(path).ok().map(|metadata| metadata.uid());
        if !we.is_root() {
            if let Some(uid) = owner_of(folder.data()).filter(|uid| *uid != we.as_raw()) {
                return Err(Error::OtherOwner { folder: folder.data(), uid });
            }
            return Ok(Self {
                name: name_of(we),
                uid: we.as_raw(),
                gid: nix::unistd::getegid().as_raw(),
                other: false,
            });
        }
        let look_up = |name| User::from_name(name).ok().flatten();
        let owner = owner_of(folder.data()).or_else(|| owner_of(folder.log())).filter(|uid| *uid != 0);
        let before = owner.and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
        let user = before.or_else(|| look_up("postgres")).or_else(|| look_up("nobody")).ok_or(Error::NoUser)?;
        Ok(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), other: true })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Has the program run as this user.
    pub(super) fn run(&self, command: &mut Command) {
        if self.other {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives the folder to this user.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        if self.other {
            chown(path, Some(self.uid), Some(self.gid)).map_err(Error::files("change the owner of", path))?;
        }
        Ok(())
    }

    /// Refuses a folder on the way to which one lets this user not pass.
    fn may_reach(&self, folder: &Path) -> Result<(), Error> {
        match self.barrier(folder)? {
            Some(folder) => Err(Error::ShutOut { user: self.name.clone(), folder }),
            None => Ok(()),
        }
    }

    /// The first folder on the way, seen from the end, that does not let this user pass.
    pub(super) fn barrier(&self, folder: &Path) -> Result<Option<PathBuf>, Error> {
        for step in folder.ancestors().filter(|_| self.other) {
            let metadata = fs::metadata(step).map_err(Error::files("look at", step))?;
            let passage = match (metadata.uid() == self.uid, metadata.gid() == self.gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if metadata.mode() & passage == 0 {
                return Ok(Some(step.to_owned()));
            }
        }
        Ok(None)
    }
}

pub(super) fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A folder for the server's user alone.
pub(super) fn make_private(path: &Path, user: &ServerUser) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => user.own(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(path).map_err(Error::files("look at", path))?;
            if metadata.uid() != user.uid || !metadata.is_dir() {
                return Err(Error::OtherOwner { folder: path.to_owned(), uid: metadata.uid() });
            }
            fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(Error::files("close", path))
        }
        Err(error) => Err(Error::files("make", path)(error)),
    }
}

fn is_private(path: &Path, user: &ServerUser) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user.uid && metadata.mode() & 0o077 == 0)
}

fn name_of(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}
