//! The command line: see `cli`.

use std::process::ExitCode;

/// The system's own allocator spends a fifth of a busy replica's time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ig_tracking::cli::main()
}
