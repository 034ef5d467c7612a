//! Starts the runs of many tasks as fast as the service takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::Failed;
use super::http::{Connection, V1};

#[derive(Args)]
pub(crate) struct Settings {
    /// The service's host and port
    #[arg(long)]
    service: String,
    /// What the tasks' names begin with; numbers from 1 follow
    #[arg(long)]
    prefix: String,
    /// How many tasks
    #[arg(long)]
    tasks: usize,
    /// How many connections ask at a time
    #[arg(long, default_value_t = 16)]
    connections: usize,
}

/// Starts them all, and prints how long that took.
pub(crate) async fn measure(settings: Settings) -> Result<(), Failed> {
    let next = Arc::new(AtomicUsize::new(1));
    let began = Instant::now();
    let clients: Vec<_> = (0..settings.connections)
        .map(|_| {
            tokio::spawn(ask(settings.service.clone(), settings.prefix.clone(), settings.tasks, Arc::clone(&next)))
        })
        .collect();
    for client in clients {
        client.await??;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({"tasks": settings.tasks, "seconds": seconds, "rate": settings.tasks as f64 / seconds}));
    Ok(())
}

async fn ask(service: String, prefix: String, tasks: usize, next: Arc<AtomicUsize>) -> Result<(), Failed> {
    let mut connection = Connection::open(&service).await?;
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n > tasks {
            return Ok(());
        }
        let path = format!("{V1}/force_scrape/{prefix}{n}");
        let status = connection.post(&path).await?;
        if status != 200 {
            return Err(format!("{path} was answered {status}").into());
        }
    }
}
