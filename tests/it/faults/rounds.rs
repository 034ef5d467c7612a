//! Random rounds over one world: in each one to three faults at random moments, and then the judge. The seed makes the
//! same choices again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::dice::{Dice, setting};
use super::report::{keep, say};
use super::server::read_only;
use super::stage::Stage;
use crate::harness::{Frozen, MortalServer};

/// How many rounds there are on an ordinary day.
const EVERY_DAY: u64 = 8;

const REPLICAS: usize = 3;

/// Between the seeds of two worlds. The first has the seed that was given: any world can be had again alone.
const SEEDS_APART: u64 = 1_000;

/// A fault and whom it meets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Process(usize, Process),
    Network(usize, Network),
    Server(Server),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Process {
    Kill,
    Terminate,
    Pause,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Network {
    Cut,
    CutOff,
    CutListen,
    DeafenListen,
    CutAtByte(usize),
    Stall,
    KeepAnswers,
    LoseAnswers,
    ForgetServer,
    ForgetClients,
    Delay(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Server {
    StopFast,
    StopImmediately,
    Kill,
    Pause,
    ReadOnly,
}

/// The worlds are played side by side, each on a thread of its own, until the rounds are used up.
#[test]
fn whatever_happens_at_whatever_moment_nothing_is_lost_and_nothing_is_stuck() {
    let (worlds, rounds) = (setting("IGT_FAULT_WORLDS", 1), setting("IGT_FAULT_ROUNDS", EVERY_DAY));
    let seed = setting("IGT_FAULT_SEED", std::process::id().into());
    eprintln!("fault: {rounds} random rounds in {worlds} worlds, IGT_FAULT_SEED={seed}");
    let left = AtomicU64::new(rounds);
    std::thread::scope(|scope| {
        for world in 0..worlds {
            let (seed, left) = (seed.wrapping_add(world * SEEDS_APART), &left);
            // Its name is in the words of its panic.
            let thread = std::thread::Builder::new().name(format!("world {world}, IGT_FAULT_SEED={seed}"));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            thread.spawn_scoped(scope, move || runtime.block_on(play(world, seed, left))).unwrap();
        }
    });
}

/// A round that is played. Where it fails, the other worlds end with theirs, and it is said how to have it again.
struct Round<'a> {
    number: u64,
    world: u64,
    seed: u64,
    left: &'a AtomicU64,
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.left.store(0, Ordering::SeqCst);
            let Self { number, world, seed, .. } = *self;
            let rounds = number + 1;
            eprintln!(
                "fault: world {world} round {number} failed; that world alone: IGT_FAULT_WORLDS=1 IGT_FAULT_SEED={seed} \
                 IGT_FAULT_ROUNDS={rounds}"
            );
        }
    }
}

/// Plays rounds in one world for as long as there are some left.
async fn play(world: u64, seed: u64, left: &AtomicU64) {
    let mut dice = Dice::new(seed);
    let mut stage = Stage::rough(MortalServer::start().await, REPLICAS, seed).await;
    for number in 0.. {
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            break;
        }
        let _round = Round { number, world, seed, left };
        stage.begin().await;
        let faults = choose(&mut dice);
        let name = format!("world {world} round {number} IGT_FAULT_SEED={seed}: {faults:?}");
        eprintln!("fault: {name}");
        let mut frozen = None;
        for fault in &faults {
            tokio::time::sleep(dice.millis(0, 300)).await;
            begin(&mut stage, *fault, &mut frozen).await;
        }
        tokio::time::sleep(dice.millis(100, 3_500)).await;
        end(&mut stage, &faults, frozen).await;
        let cost = stage.reckon(&name).await;
        say(&name, cost);
        for fault in faults {
            keep(&format!("random: {}", fault.name()), 1, cost);
        }
    }
    stage.end().await;
}

/// One to three, of which no two meet the same.
fn choose(dice: &mut Dice) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let how_many = 1 + dice.below(3);
    while faults.len() < how_many {
        let member = dice.below(REPLICAS);
        let fault = match dice.below(10) {
            0..3 => Fault::Process(member, [Process::Kill, Process::Terminate, Process::Pause][dice.below(3)]),
            3..8 => {
                let kinds = [
                    Network::Cut,
                    Network::CutOff,
                    Network::CutListen,
                    Network::DeafenListen,
                    Network::CutAtByte(dice.below(50_000)),
                    Network::Stall,
                    Network::KeepAnswers,
                    Network::LoseAnswers,
                    Network::ForgetServer,
                    Network::ForgetClients,
                    Network::Delay(1 + dice.below(50) as u64),
                ];
                Fault::Network(member, kinds[dice.below(kinds.len())])
            }
            _ => {
                let kinds = [Server::StopFast, Server::StopImmediately, Server::Kill, Server::Pause, Server::ReadOnly];
                Fault::Server(kinds[dice.below(kinds.len())])
            }
        };
        if !faults.iter().any(|other| other.meets() == fault.meets()) {
            faults.push(fault);
        }
    }
    faults
}

impl Fault {
    /// Whom it meets: of a replica its process or its line, or the server.
    fn meets(self) -> (usize, u8) {
        match self {
            Self::Process(member, _) => (member, 0),
            Self::Network(member, _) => (member, 1),
            Self::Server(_) => (0, 2),
        }
    }

    fn name(self) -> String {
        let debug = match self {
            Self::Process(_, process) => format!("replica {process:?}"),
            Self::Network(_, network) => format!("line {network:?}"),
            Self::Server(server) => format!("server {server:?}"),
        };
        debug.split('(').next().unwrap_or_default().to_owned()
    }
}

async fn begin(stage: &mut Stage, fault: Fault, frozen: &mut Option<Frozen>) {
    match fault {
        Fault::Process(member, Process::Kill) => stage.members[member].kill().await,
        Fault::Process(member, Process::Terminate) => stage.members[member].tell_to_stop(),
        Fault::Process(member, Process::Pause) => stage.members[member].pause(),
        Fault::Network(member, network) => {
            let proxy = &stage.members[member].proxy;
            match network {
                Network::Cut => proxy.cut(),
                Network::CutOff => {
                    proxy.refuse();
                    proxy.cut();
                }
                Network::CutListen => drop(proxy.cut_listeners()),
                Network::DeafenListen => drop(proxy.deafen_listeners()),
                Network::CutAtByte(bytes) => proxy.cut_after(bytes),
                Network::Stall => proxy.stall(),
                Network::KeepAnswers => proxy.keep_answers(),
                Network::LoseAnswers => {
                    proxy.keep_answers();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    proxy.cut();
                    proxy.mend();
                }
                Network::ForgetServer => proxy.forget_server(),
                Network::ForgetClients => proxy.forget_clients(),
                Network::Delay(millis) => proxy.delay(Duration::from_millis(millis)),
            }
        }
        Fault::Server(server) => {
            let there = stage.server.as_ref().unwrap();
            match server {
                Server::StopFast => there.stop(Signal::SIGINT).await,
                Server::StopImmediately => there.stop(Signal::SIGQUIT).await,
                Server::Kill => there.kill().await,
                Server::Pause => *frozen = Some(there.freeze().await),
                Server::ReadOnly => read_only(&there.database_url, true).await,
            }
        }
    }
}

/// All is as before: the server first, then the lines, then the replicas, which need both to start.
async fn end(stage: &mut Stage, faults: &[Fault], frozen: Option<Frozen>) {
    for fault in faults {
        let Fault::Server(server) = fault else { continue };
        match server {
            Server::StopFast | Server::StopImmediately | Server::Kill => stage.server.as_mut().unwrap().revive().await,
            Server::ReadOnly => read_only(&stage.server.as_ref().unwrap().database_url, false).await,
            Server::Pause => {}
        }
    }
    if let Some(frozen) = frozen {
        frozen.thaw().await;
    }
    stage.members.iter().for_each(|member| member.proxy.mend());
    for fault in faults {
        let Fault::Process(member, process) = fault else { continue };
        let member = &mut stage.members[*member];
        match process {
            Process::Kill => {}
            Process::Terminate => drop(member.terminate(0).await),
            Process::Pause => member.go_on(),
        }
        member.revive().await;
    }
}
