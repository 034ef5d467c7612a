//! The environment as the command line reads it: an empty variable counts as unset, and a variable that looks like one
//! of ours but is none is told of.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use clap::Command;
use clap::builder::Resettable;

/// What the names of all our variables but DATABASE_URL begin with.
const PREFIX: &str = "IGT_";

/// The command line without its empty variables: `IGT_X=`, as container files write what is not set, means the default.
pub(super) fn without_empty(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(Resettable::Reset),
            _ => arg,
        })
        .mut_subcommands(without_empty)
}

/// Warns of variables that no setting reads: probably misspelt, and then silently not what was meant.
pub(super) fn warn_of_unknown(command: &Command) {
    let known = known(command);
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for variable in set.filter(|name| name.starts_with(PREFIX) && !known.contains(name)) {
        let nearest = nearest(&variable, &known);
        tracing::warn!(variable, nearest, "no setting reads this environment variable; is the nearest one meant?");
    }
}

/// The variables of a command and all below it.
fn known(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|arg| arg.get_env()).map(|name| name.to_string_lossy().into_owned());
    own.chain(command.get_subcommands().flat_map(known)).collect()
}

fn nearest<'a>(variable: &str, known: &'a BTreeSet<String>) -> &'a str {
    known.iter().min_by_key(|name| strsim::damerau_levenshtein(variable, name)).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_led_to_the_one_that_was_meant() {
        let known = known(&super::super::command());
        for (misspelt, meant) in [
            ("IGT_CONCURENCY", "IGT_CONCURRENCY"),
            ("IGT_LEASE_SECS", "IGT_LEASE_SECONDS"),
            ("IGT_WEB_URI", "IGT_WEB_URL"),
        ] {
            assert_eq!(nearest(misspelt, &known), meant);
        }
    }
}
