//! The command line.

use std::io::Read;
use std::path::PathBuf;

use clap::Parser;
use ig_tracking::postgres::private::{self, Options, PrivatePostgres};

#[derive(Parser)]
enum Command {
    /// Stops the private Postgres when its last user has gone. Started by whoever starts that server.
    #[command(hide = true)]
    PostgresWatchdog {
        #[arg(long)]
        data_dir: PathBuf,
    },
    /// Keeps the private Postgres in use, and prints the connection string of a database on it, until standard input ends.
    #[command(hide = true)]
    PostgresHold {
        #[arg(long)]
        data_dir: PathBuf,
        /// Made if it is not there.
        #[arg(long, default_value = "postgres")]
        database: String,
    },
}

#[tokio::main]
async fn main() {
    if let Err(error) = run(Command::parse()).await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run(command: Command) -> Result<(), private::Error> {
    match command {
        Command::PostgresWatchdog { data_dir } => private::watchdog(&data_dir).await,
        Command::PostgresHold { data_dir, database } => {
            let postgres = PrivatePostgres::start(Options::new(data_dir)?).await?;
            println!("{}", postgres.database(&database).await?);
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            Ok(())
        }
    }
}
