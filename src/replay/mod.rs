//! A run's last attempt, played back: the very pipeline over the recorded answers, without the network, and with a ledger
//! that only collects. What it says now stands beside what it said then, so that a mend is proved on the failure itself.
//!
//! It reads nothing but its [`Evidence`], and writes nothing anywhere.

mod compare;
mod ledger;
mod text;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use self::ledger::Collecting;
use crate::credentials::GUEST;
use crate::db::RunId;
use crate::db::evidence::Request;
use crate::db::journal::{NewEvent, Transition};
use crate::db::runs::{Reason, RunState};
use crate::db::status::Event as Told;
use crate::evidence::{self, Evidence};
use crate::instagram::{Client, End, Open, Recorded, Recording, Source, Username, UsernameError};
use crate::runs::{AskedAs, Beginning, Ending, Policy, on_losing};
use crate::scrape::{self, Event, Interruption, Job};

pub use compare::{Line, Mark};

/// What a replay showed.
#[derive(Clone, Debug, Serialize)]
pub struct Replay {
    /// The run.
    pub run_id: RunId,
    /// The attempt that was played back: the last.
    pub attempt: i32,
    /// How the run stands since then.
    pub then: Stand,
    /// How it would now.
    pub now: Outcome,
    /// What it said then and says now.
    pub events: Vec<Line>,
    /// The requests that were played, in the order of the playing.
    pub requests: Vec<PlayedRequest>,
    /// How many recorded requests of the attempt were not asked for any more.
    pub requests_left: usize,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stand {
    /// Its state.
    pub state: RunState,
    /// Why it waits or did not succeed.
    pub reason: Option<Reason>,
}

/// How a replay came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The attempt would end the run, or have it wait.
    Ends(Stand),
    /// The recording does not say how it would go on.
    RecordingEnds(String),
}

/// A request that was played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlayedRequest {
    /// Its number in the run.
    pub seq: i64,
    /// The endpoint.
    pub endpoint: String,
    /// Where the address is another now, that one.
    pub asked_now: Option<String>,
}

/// Why a run cannot be played back at all.
#[derive(Debug, thiserror::Error)]
pub enum NotPlayable {
    /// It asked nothing.
    #[error("run {0} made no request in its last attempt: there is nothing to play back")]
    NothingAsked(RunId),
    /// Where its last attempt began is not known.
    #[error(
        "run {0} was taken up again and it is not kept how far it was then: that is so of a run that has not ended, or that \
         ended well, or under an older version"
    )]
    BeginningUnknown(RunId),
    /// The name of its account is not known any more.
    #[error("whose account it was is not known any more: {0}")]
    Username(#[from] UsernameError),
}

/// One use of a credential in the attempt.
struct Stretch<'a> {
    source: Source,
    credential: &'a str,
}

impl Stretch<'_> {
    fn has_session(&self) -> bool {
        self.credential != GUEST
    }

    fn asked_as(&self) -> AskedAs<'_> {
        if self.has_session() { AskedAs::of(self.source, self.credential) } else { AskedAs::Guest }
    }
}

/// Plays a run's last attempt back.
pub async fn play(evidence: &Evidence) -> Result<Replay, NotPlayable> {
    let run = &evidence.run;
    let began_at = evidence.beginning().ok_or(NotPlayable::BeginningUnknown(run.run_id))?;
    let asked: Vec<&Request> =
        evidence.requests.iter().filter(|request| request.seq > began_at.after_request).collect();
    if asked.is_empty() {
        return Err(NotPlayable::NothingAsked(run.run_id));
    }
    let job = Job {
        kind: run.kind,
        username: Username::parse(&run.username)?,
        max_posts: evidence.settings.max_posts,
        refreshed_posts: evidence.settings.refresh_posts,
        full_scan_every: evidence.settings.full_scan_every,
    };
    let said: Vec<&Told> = evidence.events.iter().filter(|event| event.seq > began_at.after_event).collect();
    let recording = Arc::new(Recording::new(asked.iter().map(|request| recorded(request, &said)).collect()));
    let (said_now, stand) = Attempt { evidence, job: &job, recording: &recording, said: &said }.pursue(began_at).await;

    let now = match recording.end() {
        Some(end) => Outcome::RecordingEnds(explained(&end, evidence)),
        None => Outcome::Ends(stand),
    };
    let played = recording.played();
    let endpoint = |seq: i64| asked.iter().find(|request| request.seq == seq).map(|request| request.endpoint.clone());
    let requests: Vec<PlayedRequest> = played
        .into_iter()
        .map(|one| PlayedRequest {
            seq: one.seq,
            endpoint: endpoint(one.seq).unwrap_or_default(),
            asked_now: one.asked_now,
        })
        .collect();
    Ok(Replay {
        run_id: run.run_id,
        attempt: run.attempt,
        then: Stand { state: run.state, reason: run.reason },
        now,
        events: compare::side_by_side(&said, &said_now),
        requests_left: asked.len() - requests.len(),
        requests,
    })
}

/// An attempt that is made once more.
struct Attempt<'a> {
    evidence: &'a Evidence,
    job: &'a Job,
    recording: &'a Arc<Recording>,
    /// What it said then.
    said: &'a [&'a Told],
}

impl Attempt<'_> {
    /// Everything that it says, and where that leaves the run.
    async fn pursue(self, began_at: Beginning) -> (Vec<NewEvent>, Stand) {
        let Self { evidence, job, recording, .. } = self;
        let run = &evidence.run;
        let stretches = stretches(&evidence.requests, began_at.after_request);
        let mut ledger = Collecting::new(&evidence.known, run.attempt, self.elapsed_seconds(), began_at.checkpoint);
        let mut checkpoint = ledger.checkpoint().clone();
        let policy = self.policy();
        let mut stretches = stretches.iter().peekable();
        let mut transition = Transition::Stay;
        while let Some(stretch) = stretches.next() {
            let doc_ids = evidence.settings.web_doc_ids.clone();
            let client = Client::recorded(stretch.source, Arc::clone(recording), stretch.has_session(), doc_ids);
            let mut visit = client.visit(Arc::new(Open), checkpoint.asked_to_wait());
            let ended = scrape::run(job, &mut visit, &mut ledger, &mut checkpoint).await;
            if recording.end().is_some() {
                break;
            }
            let ending = self.ending(stretch, &policy);
            let (event, reached) = match ended {
                Ok(conclusion) => ending.concluded(ledger.checkpoint(), conclusion),
                Err(Interruption::Failure(failure)) => match stretches.peek() {
                    // As then, another credential goes on.
                    Some(next) => {
                        let (from, to) = (stretch.credential.into(), next.credential.into());
                        let message = on_losing(&failure, stretch.asked_as());
                        let attempt = run.attempt;
                        let event = Event::CredentialChanged { message, failure: Some(failure), from, to, attempt };
                        ledger.say(event);
                        checkpoint = ledger.checkpoint().clone();
                        continue;
                    }
                    None => ending.failed(&mut ledger.checkpoint().clone(), failure, 0.5),
                },
                // This ledger takes everything.
                Err(Interruption::Halt(_)) => break,
            };
            ledger.say(event);
            transition = reached;
            break;
        }
        (ledger.into_said(), self.stand(transition))
    }

    fn ending<'b>(&self, stretch: &'b Stretch<'_>, policy: &'b Policy) -> Ending<'b>
    where
        Self: 'b,
    {
        let run = &self.evidence.run;
        let now = self.said.last().map_or(run.updated_at, |last| last.at);
        Ending {
            username: self.job.username.as_str(),
            attempt: run.attempt,
            policy,
            asked_as: stretch.asked_as(),
            elapsed_seconds: self.elapsed_seconds(),
            now,
            left: (run.deadline_at - now).to_std().unwrap_or_default(),
        }
    }

    /// How the run was worked: where its log tells how often it might be tried, so.
    fn policy(&self) -> Policy {
        let told = self.evidence.events.iter().rev().find_map(|event| {
            let fields: Value = serde_json::from_str(&event.fields).ok()?;
            i32::try_from(fields["max_attempts"].as_i64()?).ok()
        });
        let policy = self.evidence.settings.policy();
        Policy { max_attempts: told.unwrap_or(policy.max_attempts), ..policy }
    }

    /// How long the run took, as its last word says, or else as its row does.
    fn elapsed_seconds(&self) -> f64 {
        let run = &self.evidence.run;
        let told = self.said.last().and_then(|last| {
            let fields: Value = serde_json::from_str(&last.fields).ok()?;
            fields["duration_ms"].as_f64().filter(|_| last.event_type.starts_with("scrape_"))
        });
        let by_row = || {
            (run.finished_at.unwrap_or(run.updated_at) - run.started_at.unwrap_or(run.requested_at)).as_seconds_f64()
        };
        told.map_or_else(by_row, |millis| Duration::from_secs_f64(millis.max(0.0) / 1000.0).as_secs_f64())
    }

    fn stand(&self, transition: Transition) -> Stand {
        match transition {
            Transition::Finish(state, reason) => Stand { state, reason },
            Transition::Wait(_, reason) => Stand { state: RunState::Waiting, reason: Some(reason) },
            Transition::HandOver => Stand { state: RunState::Queued, reason: None },
            Transition::Stay => Stand { state: RunState::Running, reason: None },
        }
    }
}

/// The credentials that the attempt used one after the other.
fn stretches(requests: &[Request], after: i64) -> Vec<Stretch<'_>> {
    let mut stretches: Vec<Stretch<'_>> = Vec::new();
    for request in requests.iter().filter(|request| request.seq > after) {
        let source = if request.source == Source::Graph.as_str() { Source::Graph } else { Source::Web };
        // Before credentials had names, who was asked as is not known.
        let credential = request.credential.as_deref().unwrap_or(GUEST);
        if stretches.last().is_none_or(|last| (last.source, last.credential) != (source, credential)) {
            stretches.push(Stretch { source, credential });
        }
    }
    stretches
}

/// What was said of a request's failure, by the event that tells of it.
fn said_of(request: &Request, said: &[&Told]) -> Option<String> {
    let failure = request.failure.as_deref()?;
    said.iter().find_map(|event| {
        let fields: Value = serde_json::from_str(&event.fields).ok()?;
        let is_it = fields["failure"] == failure && fields["endpoint"] == request.endpoint.as_str();
        is_it.then(|| fields["upstream_message"].as_str().map(str::to_owned)).flatten()
    })
}

fn recorded(request: &Request, said: &[&Told]) -> Recorded {
    let headers = request.headers.clone().and_then(|headers| serde_json::from_value(headers).ok());
    Recorded {
        seq: request.seq,
        endpoint: request.endpoint.clone(),
        method: request.method.clone(),
        url: request.url.clone(),
        status: request.status.and_then(|status| u16::try_from(status).ok()),
        headers: headers.unwrap_or_default(),
        duration: Duration::from_secs_f64(request.duration_ms.max(0.0) / 1000.0),
        failure: request.failure.clone(),
        said: said_of(request, said),
        body: evidence::body(request),
    }
}

/// Why a recording ended, and why it could.
fn explained(end: &End, evidence: &Evidence) -> String {
    let why = match (end, evidence.run.state) {
        (End::NeverAsked { .. }, _) => "up to here the answers sufficed",
        (End::Cut(_), _) => "the limit is 256 KiB a body",
        (End::NotKept(_), RunState::Succeeded) => {
            "the run succeeded, and of such a run only answers that failed are kept"
        }
        (End::NotKept(_), RunState::Cancelled) => {
            "the run was cancelled, and of such a run only answers that failed are kept"
        }
        (End::NotKept(_), RunState::Queued | RunState::Running | RunState::Waiting) => {
            "the run has not ended: the answers of its last attempt are kept once it ends failed or partial"
        }
        (End::NotKept(_), RunState::Failed | RunState::Partial) => {
            "its time is over (IGT_BODY_RETENTION_DAYS), or there was no room for it (docs/OPERATIONS.md, Limits)"
        }
    };
    format!("{end}; {why}")
}
