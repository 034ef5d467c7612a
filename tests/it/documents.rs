//! The two documents that the service was asked for from: every fence in them is run, or held against a live answer,
//! as it stands there.
//!
//! They are read where they lie, `../shared/spec` beside the project (or IGT_SPEC_DIR); where they are not, these
//! tests say so, and the project's own clients (`clients`) still show the same flows.

mod commands;
pub(crate) mod fences;
mod samples;
mod snippets;

use fences::{Document, Fence};
use futures_util::future::join_all;

use crate::harness::World;
use samples::Sample;
use snippets::{Snippet, Stage};

/// What becomes of a fence.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Treatment {
    /// A client's Python: run, and called where it only defines.
    Snippet(Snippet),
    /// A sample answer: a live one has its keys and types.
    Sample(Sample),
    /// The first service's route: an oracle for ours.
    Backend,
    /// Commands: run by a real shell with a real curl.
    Commands,
    /// A request's method and path: sent.
    Request,
}

/// A heading, a language, and what becomes of the fence there; in the order of the document.
type Row = (&'static str, &'static str, Treatment);

use Kind::{Profile, Reel};
use Treatment::{Backend, Commands, Request};

/// The two kinds of task.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Profile,
    Reel,
}

impl Kind {
    fn create(self) -> &'static str {
        match self {
            Profile => "create_task",
            Reel => "create_reel_task",
        }
    }

    fn force_scrape(self) -> &'static str {
        match self {
            Profile => "force_scrape",
            Reel => "force_scrape_reel",
        }
    }
}

const UPDATE_6: &[Row] = &[
    ("Old Response (Blocking)", "json", Treatment::Sample(Sample::OldStart(Profile))),
    ("New Response (Immediate)", "json", Treatment::Sample(Sample::Start(Profile))),
    ("Old Response (Blocking)", "json", Treatment::Sample(Sample::OldStart(Reel))),
    ("New Response (Immediate)", "json", Treatment::Sample(Sample::Start(Reel))),
    ("Response - Not Processing", "json", Treatment::Sample(Sample::NeverRan)),
    ("Response - Currently Processing", "json", Treatment::Sample(Sample::Processing)),
    ("Basic Usage (Backward Compatible)", "python", Treatment::Snippet(Snippet::Basic)),
    ("Enhanced Usage (New Features)", "python", Treatment::Snippet(Snippet::Monitored)),
    ("Profile Tracking Workflow", "python", Treatment::Snippet(Snippet::Workflow(Profile))),
    ("Reel Tracking Workflow", "python", Treatment::Snippet(Snippet::Workflow(Reel))),
    ("1. **Task Already Processing (409)**", "json", Treatment::Sample(Sample::Busy)),
    ("2. **Background Processing Errors**", "json", Treatment::Sample(Sample::FailsLater)),
    ("Recommended Implementation", "python", Treatment::Snippet(Snippet::Tracker)),
    ("1. **Test Immediate Response**", "python", Treatment::Snippet(Snippet::TestOfSpeed)),
    ("2. **Test Background Processing**", "python", Treatment::Snippet(Snippet::TestOfBackground)),
    ("3. **Test Error Handling**", "python", Treatment::Snippet(Snippet::TestOfErrors)),
];

const UPDATE_7: &[Row] = &[
    ("Endpoint", "", Request),
    ("New Enhanced Response", "json", Treatment::Sample(Sample::Processing)),
    ("Backward Compatible Response (when no logs available)", "json", Treatment::Sample(Sample::NeverRan)),
    ("Backend (`ig_tracking_routes.py`)", "python", Backend),
    ("Get Default Logs (10)", "python", Treatment::Snippet(Snippet::DefaultLogs)),
    ("Get Specific Number of Logs", "python", Treatment::Snippet(Snippet::SoManyLogs)),
    ("Profile Tracking", "python", Treatment::Snippet(Snippet::LivePoll(Profile))),
    ("Reel Tracking", "python", Treatment::Snippet(Snippet::LivePoll(Reel))),
    ("Example Migration", "python", Treatment::Snippet(Snippet::Migration)),
    ("Test Commands", "bash", Commands),
];

/// The document's fences with their rows. A fence without a row, or a row without its fence, fails.
fn treated(document: &Document) -> Vec<(&Fence, Treatment)> {
    let rows = if document.update == 6 { UPDATE_6 } else { UPDATE_7 };
    let found: Vec<_> = document.fences.iter().map(|fence| (&*fence.heading, &*fence.language)).collect();
    let known: Vec<_> = rows.iter().map(|(heading, language, _)| (*heading, *language)).collect();
    assert_eq!(found, known, "update {}: a fence that no test knows, or one that has gone", document.update);
    document.fences.iter().zip(rows).map(|(fence, row)| (fence, row.2)).collect()
}

fn fence(document: &Document, treatment: Treatment) -> &Fence {
    treated(document).into_iter().find(|(_, its)| *its == treatment).unwrap().0
}

#[tokio::test]
async fn every_client_snippet_of_update_6_works_as_it_stands() {
    let Some([document, _]) = Document::both() else { return };
    run_snippets(&document).await;
}

#[tokio::test]
async fn every_client_snippet_of_update_7_works_as_it_stands() {
    let Some([_, document]) = Document::both() else { return };
    run_snippets(&document).await;
}

async fn run_snippets(document: &Document) {
    let stage = Stage::new(document.update).await;
    let snippets: Vec<_> = treated(document)
        .into_iter()
        .filter_map(|(fence, treatment)| match treatment {
            Treatment::Snippet(snippet) => Some((fence, snippet)),
            _ => None,
        })
        .collect();
    // The one that measures goes alone.
    for (fence, snippet) in &snippets {
        if *snippet == Snippet::TestOfSpeed {
            snippet.plays(&stage, fence).await;
        }
    }
    let others = snippets.iter().filter(|(_, snippet)| *snippet != Snippet::TestOfSpeed);
    join_all(others.map(|(fence, snippet)| snippet.plays(&stage, fence))).await;
}

#[tokio::test]
async fn every_sample_answer_of_the_documents_is_what_the_service_says() {
    let Some(documents) = Document::both() else { return };
    for document in &documents {
        for (fence, treatment) in treated(document) {
            if let Treatment::Sample(sample) = treatment {
                sample.holds(fence).await;
            }
        }
    }
}

#[tokio::test]
async fn an_active_run_is_told_as_the_first_service_told_it() {
    let Some([_, document]) = Document::both() else { return };
    commands::backend_agrees(fence(&document, Backend)).await;
}

#[tokio::test]
async fn the_commands_of_update_7_work_as_they_stand() {
    let Some([_, document]) = Document::both() else { return };
    commands::curl_is_answered(fence(&document, Commands)).await;
}

#[tokio::test]
async fn every_request_that_the_documents_name_is_served() {
    let Some(documents) = Document::both() else { return };
    let [_, update_7] = &documents;
    assert_eq!(update_7.requests()[0], fence(update_7, Request).text.trim().split_once(' ').unwrap());
    let (_, replica) = World::with_replica().await;
    let all: Vec<_> = documents.iter().flat_map(Document::requests).collect();
    assert!(all.len() >= 4, "{all:?}");
    for (method, path) in all {
        let path = path.replace("<task_id>", "nobody");
        let answer = replica.ask(method.parse().unwrap(), &path, None).await;
        match method {
            "GET" => assert_eq!(answer.ok()["response"]["task_id"], "nobody"),
            _ => assert_eq!(answer.error(404), "Task not found", "{method} {path}"),
        }
    }
}

#[tokio::test]
async fn every_event_type_of_update_6_occurs_in_a_reel_run() {
    let Some([document, _]) = Document::both() else { return };
    commands::event_types_occur(&document.section("Event Types")).await;
}

#[tokio::test]
async fn the_test_cases_that_update_7_lists_hold() {
    let Some([_, document]) = Document::both() else { return };
    commands::test_cases_hold(&document.section("Test Cases")).await;
}
