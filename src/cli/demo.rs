//! `demo`: the service and an invented Instagram in one process, with a scrape of each kind to watch.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::sandbox::WorldSettings;
use super::serve::heed_signals;
use super::{Failed, tail};
use crate::config::{DatabaseSettings, ServeSettings};
use crate::db::runs::{RunState, Trigger};
use crate::db::tasks::{self, Creation, TaskKind};
use crate::db::{self, TaskId};
use crate::http::V1_PATH;
use crate::postgres::{Database, private};
use crate::runs::StartOutcome;
use crate::sandbox;
use crate::service::Service;
use crate::telemetry;

/// How the demo behaves.
#[derive(Args)]
pub(super) struct DemoSettings {
    /// End when both scrapes are done, with 0 if both succeeded
    #[arg(long)]
    once: bool,
    /// The invented Instagram.
    #[command(flatten)]
    world: WorldSettings,
    /// The service; the address of the web source is the demo's own.
    #[command(flatten)]
    serve: ServeSettings,
}

/// Seconds for which the demo's guest is not asked with once it was turned away, where no setting says otherwise: nobody has
/// to be spared, and the next that is tried waits for it.
const THROTTLE_SECONDS: u64 = 2;

/// The two tasks of the demo.
const TASKS: [(&str, TaskKind, &str); 2] =
    [("demo-profile", TaskKind::Profile, "aurora.kitchen"), ("demo-reel", TaskKind::Reel, "nordic.trails")];

/// Starts everything, scrapes both tasks before the reader's eyes, and stays up unless told not to.
pub(super) async fn demo(mut settings: DemoSettings, mut database: DatabaseSettings) -> Result<ExitCode, Failed> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let sandbox_url = format!("http://{}", listener.local_addr()?);
    settings.serve.source.web_url.clone_from(&sandbox_url);
    settings.serve.source.web_cookie = None;
    settings.serve.source.credentials = None;
    settings.serve.source.throttle_seconds.get_or_insert(THROTTLE_SECONDS);
    settings.serve.http.check()?;
    let credentials = settings.serve.source.credentials()?;
    let stop = heed_signals()?;
    let metrics = telemetry::begin_metrics()?;

    let sandbox_stop = CancellationToken::new();
    let sandbox = sandbox::serve(listener, settings.world.options(), sandbox_stop.clone().cancelled_owned());
    let sandbox = tokio::spawn(sandbox);
    // Invented rows stay apart from real ones: the demo's private server has a folder of its own.
    if database.database_url.is_none() {
        database.data_dir = Some(database.data_dir.unwrap_or_else(private::default_data_dir).join("demo"));
    }
    let database = Arc::new(Database::connect_disposable(&database).await?);
    let place = database.private_server().map(|server| server.data_dir().to_owned());
    let service = Service::start(&settings.serve, &credentials, database, metrics).await?;

    let shown = stop.run_until_cancelled(show(&service)).await;
    if matches!(shown, Some(Ok(_))) && !settings.once {
        say_what_next(&service, &sandbox_url, place);
        stop.cancelled().await;
    }
    service.run_until(std::future::ready(())).await;
    sandbox_stop.cancel();
    sandbox.await??;
    // Told to stop before the end is no failure.
    let all_well = shown.unwrap_or(Ok(true))?;
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Scrapes both tasks, one after the other; whether both succeeded.
async fn show(service: &Service) -> Result<bool, Failed> {
    let mut moved = service.runs().live().moved();
    let mut all_well = true;
    for (name, kind, username) in TASKS {
        let task_id = TaskId::parse(name)?;
        if tasks::create(service.pool(), &task_id, kind, username).await? == Creation::Taken {
            return Err(
                format!("task {name} of this database is not the demo's; give the demo a database of its own").into()
            );
        }
        println!("\n$ force_scrape of {name}: the {} of @{username}", kind.as_str());
        let run_id = match service.runs().start(task_id.clone(), kind, Trigger::Demo).await? {
            StartOutcome::Started(run_id) => run_id,
            // A demo that was killed half-way left its run active: this one takes it up.
            StartOutcome::Busy => {
                let latest = db::runs::latest(service.pool(), &task_id).await?;
                latest.ok_or("the demo's earlier run is not there any more")?.run_id
            }
            other => return Err(format!("task {name} cannot be scraped: {other:?}").into()),
        };
        let ended = tail::follow(service.pool(), &mut moved, run_id).await?;
        println!("  → {}", ended.state.as_str());
        all_well &= ended.state == RunState::Succeeded;
    }
    Ok(all_well)
}

/// The program, as it was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned())
}

fn say_what_next(service: &Service, sandbox_url: &str, data_dir: Option<PathBuf>) {
    let base = format!("http://{}{V1_PATH}", service.address());
    println!(
        "\nThe service is up. Any plain username exists in its invented Instagram ({sandbox_url}). Try:\n\n\
         \x20 curl {base}/task_status/demo-profile?logs_count=5\n\
         \x20 curl {base}/task_details/demo-reel\n\
         \x20 curl -X POST {base}/force_scrape/demo-profile\n\
         \x20 curl {base}/create_task -d '{{\"username\": \"throttledonce.anna\", \"task_id\": \"anna\"}}'\n\
         \x20 curl -X POST {base}/force_scrape/anna    # meets a 429, waits as told, goes on\n\
         \x20 curl http://{}/metrics\n",
        service.address()
    );
    if let Some(dir) = data_dir {
        println!("Its rows are in a private Postgres under {}; to follow a run:\n", dir.display());
        println!("  {} runs tail demo-profile --data-dir {}\n", program(), dir.display());
    }
    println!("Ctrl-C stops it.");
}
