//! The programs of the benchmark that want Rust: peers of the service, and clients that time it from within.
//!
//! Each is a subcommand that does its part, prints one line of JSON and ends; `plain` serves until it is killed.
//! `bench/run` builds and starts them.

mod dictionary;
mod first_request;
mod http;
mod journal;
mod maintenance;
mod plain;
mod start;
mod streams;
mod unnest;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// As the service has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a program ends with when it goes wrong: the words for standard error.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The programs of the benchmark that want Rust
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    program: Program,
    /// Said by `cargo bench` to every program that it runs; means nothing here
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Program {
    /// Answer task_status and force_scrape with one query each and nothing else, until killed
    Plain(plain::Settings),
    /// Write events through the service's journal
    Journal(journal::Settings),
    /// Insert events by unnest on one connection
    Unnest(unnest::Settings),
    /// Start runs one after another and time the first request of each to its upstream
    FirstRequest(first_request::Settings),
    /// Start the runs of many tasks
    Start(start::Settings),
    /// Follow one run with many viewers, and time its events
    Streams(streams::Settings),
    /// Summarise all runs that have ended
    Summaries(maintenance::Settings),
    /// Count the posts and reels of all accounts that were read
    Rollups(maintenance::Settings),
    /// Train the dictionary of packed logs on invented ones
    Dictionary(dictionary::Settings),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().program {
        Program::Plain(settings) => plain::serve(settings).await,
        Program::Journal(settings) => journal::measure(settings).await,
        Program::Unnest(settings) => unnest::measure(settings).await,
        Program::FirstRequest(settings) => first_request::measure(settings).await,
        Program::Start(settings) => start::measure(settings).await,
        Program::Streams(settings) => streams::measure(settings).await,
        Program::Summaries(settings) => maintenance::summaries(settings).await,
        Program::Rollups(settings) => maintenance::rollups(settings).await,
        Program::Dictionary(settings) => dictionary::train(settings).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("programs: {error}");
            ExitCode::FAILURE
        }
    }
}
