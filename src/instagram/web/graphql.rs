//! The GraphQL endpoint: documents whose numbers rotate, and the tokens that it wants with them.

use serde_json::Value;

use super::Visit;
use super::classify::what_was_said;
use super::endpoints::{Document, GRAPHQL_PATH};
use super::request::{Ask, Reply};
use crate::instagram::reader::{Field, Notes};
use crate::instagram::{Failure, FailureKind, Reading, Unread};

/// A question to the GraphQL endpoint, and the page of the site that asks it.
pub(super) struct Question<'a> {
    pub(super) document: Document,
    pub(super) variables: Value,
    /// The page from which the tokens are taken: its endpoint's name and its path.
    pub(super) page: (&'static str, &'a str),
}

impl Visit {
    /// Asks with each number of the document until one brings data; `read` returns `None` where there is none.
    ///
    /// The tokens are read from the page once a visit, and once more where the endpoint refuses them.
    pub(super) async fn document<T: Send>(
        &mut self,
        question: &Question<'_>,
        read: impl Fn(&Field<'_>) -> Option<T> + Send + Sync,
    ) -> Result<Reading<T>, Failure> {
        if self.has_session() && self.tokens.is_none() {
            self.renew_tokens(question.page).await?;
        }
        let web = self.web.clone();
        let mut failed: Vec<(&String, Failure)> = Vec::new();
        for id in question.document.ids(&web.doc_ids) {
            if self.stale.contains(id) {
                continue;
            }
            match self.document_by_id(question, id, &read).await {
                Ok(mut reading) => {
                    // What another number could answer was no fault of the account.
                    for (id, failure) in failed {
                        self.stale.insert(id.clone());
                        reading.unread.push(stale(id, &failure));
                    }
                    return Ok(reading);
                }
                // A number that was rotated is answered without data, or refused as stale tokens are.
                Err(failure) if matches!(failure.kind, FailureKind::UnexpectedShape | FailureKind::Forbidden) => {
                    failed.push((id, failure));
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(failed.pop().map_or_else(|| no_number_left(question.document), |(_, failure)| failure))
    }

    async fn document_by_id<T: Send>(
        &mut self,
        question: &Question<'_>,
        id: &str,
        read: &(impl Fn(&Field<'_>) -> Option<T> + Send + Sync),
    ) -> Result<Reading<T>, Failure> {
        let first = self.ask(&self.form(question, id), |reply, notes| data_of(reply, notes, id, read)).await;
        match first {
            Err(failure) if failure.kind == FailureKind::Forbidden && !self.refreshed => {
                self.refreshed = true;
                if !self.renew_tokens(question.page).await? {
                    return Err(failure);
                }
                self.ask(&self.form(question, id), |reply, notes| data_of(reply, notes, id, read)).await
            }
            other => other,
        }
    }

    /// Loads a page for its tokens and its csrf cookie; false where there is no such page, which is not for the one
    /// who needs tokens to judge.
    pub(super) async fn renew_tokens(&mut self, page: (&'static str, &str)) -> Result<bool, Failure> {
        match self.load_page(page).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.kind == FailureKind::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn load_page(&mut self, (endpoint, path): (&'static str, &str)) -> Result<(), Failure> {
        let ask = Ask { for_its_tokens: true, ..Ask::page(endpoint, path) };
        self.ask(&ask, |_, _| Ok(())).await.map(|_| ())
    }

    /// Remembers for this visit that no number of the document is served any more.
    pub(super) fn give_up(&mut self, document: Document) {
        let ids = document.ids(&self.web.doc_ids).to_vec();
        self.stale.extend(ids);
    }

    fn form(&self, question: &Question<'_>, id: &str) -> Ask {
        let name = question.document.friendly_name();
        let mut fields = Vec::new();
        let tokens = self.tokens.clone().unwrap_or_default();
        fields.extend(tokens.fb_dtsg.map(|token| ("fb_dtsg", token)));
        fields.extend(tokens.lsd.map(|token| ("lsd", token)));
        fields.extend([
            ("fb_api_caller_class", "RelayModern".to_owned()),
            ("fb_api_req_friendly_name", name.to_owned()),
            ("server_timestamps", "true".to_owned()),
            ("variables", question.variables.to_string()),
            ("doc_id", id.to_owned()),
        ]);
        let ask = Ask::get(question.document.endpoint(), GRAPHQL_PATH, question.page.1).form(fields);
        Ask { friendly_name: Some(name), ..ask }
    }
}

/// The data of an answer. Errors beside data cost a note each; errors without data are a failure.
pub(super) fn data_of<T>(
    reply: &Reply,
    notes: &Notes,
    id: &str,
    read: &impl Fn(&Field<'_>) -> Option<T>,
) -> Result<T, Failure> {
    let found = read(&Field::root(&reply.json, notes).at("data"));
    match found {
        Some(found) => {
            note_errors(reply, notes);
            Ok(found)
        }
        None => {
            let said = what_was_said(&reply.json);
            Err(reply.fail(FailureKind::UnexpectedShape, format!("document {id} brought no data: {said}")))
        }
    }
}

/// Notes what an answer says went wrong beside the data that it brought.
pub(super) fn note_errors(reply: &Reply, notes: &Notes) {
    if reply.json.get("errors").is_some_and(|errors| !errors.is_null() && *errors != Value::Array(Vec::new())) {
        notes.add(Unread::ERRORS, "an answer without errors", what_was_said(&reply.json));
    }
}

fn stale(id: &str, failure: &Failure) -> Unread {
    Unread {
        path: format!("doc_id {id}"),
        expected: "a document that is still served",
        found: failure.message.clone(),
        is_loss: false,
    }
}

fn no_number_left(document: Document) -> Failure {
    Failure {
        kind: FailureKind::UnexpectedShape,
        endpoint: document.endpoint(),
        status: None,
        message: format!("none of the known documents {} is served any more", document.friendly_name()),
        retry_after: None,
    }
}
