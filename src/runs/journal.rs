//! The event writer: one statement for what all hands of this replica have to say.
//!
//! It has no timer. Idle, it writes at once; busy, what arrives is the next batch.

use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::db::journal::{Entry, Written, write};
use crate::db::{Pool, RunId};
use crate::live::Live;

/// How many entries one statement takes at most.
const MAX_BATCH: usize = 128;

/// How many entries may wait before a hand has to.
const MAX_WAITING: usize = 1024;

/// Takes entries and answers when they are committed.
#[derive(Clone)]
pub struct Journal {
    inbox: mpsc::Sender<Request>,
    live: Live,
}

struct Request {
    entry: Entry,
    answer: oneshot::Sender<sqlx::Result<Option<Written>>>,
}

impl Journal {
    /// Begins to write; ends when the last handle is dropped.
    pub fn begin(pool: Pool, live: Live) -> Self {
        let (inbox, requests) = mpsc::channel(MAX_WAITING);
        tokio::spawn(write_batches(pool, requests));
        Self { inbox, live }
    }

    /// Writes an entry and waits until it is committed. `None`: it was passed over, see [`write()`].
    pub async fn write(&self, entry: Entry) -> sqlx::Result<Option<Written>> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Request { entry, answer }).await.map_err(|_| sqlx::Error::PoolClosed)?;
        let written = answered.await.map_err(|_| sqlx::Error::PoolClosed)??;
        if let Some(written) = &written {
            self.committed(written.run_id);
        }
        Ok(written)
    }

    /// Tells whoever waits that a run has something new.
    pub(super) fn committed(&self, run_id: RunId) {
        self.live.announce_moved([run_id]);
    }
}

async fn write_batches(pool: Pool, mut requests: mpsc::Receiver<Request>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while requests.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let (entries, answers): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|request| (request.entry, request.answer)).unzip();
        let began = Instant::now();
        match write(&pool, &entries).await {
            Ok(written) => {
                for (entry, answer) in entries.iter().zip(answers) {
                    let written = written.iter().find(|written| written.run_id == entry.run_id).copied();
                    // A hand that has gone does not want its answer.
                    let _ = answer.send(Ok(written));
                }
            }
            // One bad entry must not fail its neighbours: each is tried alone.
            Err(sqlx::Error::Database(_)) if entries.len() > 1 => {
                for (entry, answer) in entries.into_iter().zip(answers) {
                    let alone = write(&pool, std::slice::from_ref(&entry)).await;
                    let _ = answer.send(alone.map(|written| written.into_iter().next()));
                }
                continue;
            }
            Err(error) => {
                let said = error.to_string();
                let mut first = Some(error);
                for answer in answers {
                    let error = first.take().unwrap_or_else(|| sqlx::Error::Protocol(said.clone()));
                    let _ = answer.send(Err(error));
                }
                continue;
            }
        }
        metrics::histogram!("igt_journal_batch_entries").record(entries.len() as f64);
        metrics::histogram!("igt_journal_write_seconds").record(began.elapsed().as_secs_f64());
    }
}
