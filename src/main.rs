//! The command line: see `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ig_tracking::cli::main()
}
