//! Who sits at the command line, for the audit.

use nix::unistd::{User, getuid};

use crate::db::audit::Author;

/// The user of the system that runs this command.
pub(super) fn author() -> Author {
    let uid = getuid();
    // A container may run as a user that has no name.
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    Author { who: format!("cli:{name}"), request_id: None, address: None }
}
