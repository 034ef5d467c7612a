//! The numbers of an account's reels: the reels tab with a session, the REST list without one.

use std::collections::HashSet;

use serde_json::json;

use super::cursor::Place;
use super::endpoints::{CLIPS, CLIPS_PATH, Document, PAGE_SIZE, PROFILE_PAGE, REELS_TAB};
use super::graphql::{Question, note_errors};
use super::profile::page_path;
use super::request::{Ask, Reply};
use super::timeline::{onward, page_info_next, refused};
use super::{Owner, Visit, fell_back};
use crate::instagram::reader::{Field, Notes};
use crate::instagram::{Cursor, Failure, FailureKind, Page, Reading, ReelNumbers, node};

/// The reels of one answer, and where the next begin.
pub(super) type Found = (Vec<ReelNumbers>, Option<String>);

impl Visit {
    pub(super) async fn list_reels(
        &mut self,
        account: &Owner,
        after: Option<&Cursor>,
    ) -> Result<Page<ReelNumbers>, Failure> {
        match self.tab_or_clips(account, after).await {
            Err(failure) if failure.kind == FailureKind::NotFound => {
                Err(self.gone_or_broken(&account.username, failure).await)
            }
            Err(failure) => Err(refused(after, failure)),
            other => other,
        }
    }

    async fn tab_or_clips(&mut self, account: &Owner, after: Option<&Cursor>) -> Result<Page<ReelNumbers>, Failure> {
        let asked = Place::of(after);
        let at = match &asked {
            Place::Clips(at) => return self.clips(account, at.as_deref()).await,
            Place::Reels(at) => at.as_deref(),
            Place::Start | Place::Feed(_) | Place::Timeline(_) => None,
        };
        // The two lists share no cursors: the other one begins at its beginning, and repeats what was read.
        if !self.has_session() || self.asked_to_wait.contains(REELS_TAB) {
            return self.clips(account, None).await;
        }
        match self.reels_tab(account, at).await {
            Err(failure) if self.turns_to_another(failure.kind) => {
                let mut page = self.clips(account, None).await?;
                page.unread.push(fell_back(&failure));
                Ok(page)
            }
            other => other,
        }
    }

    async fn reels_tab(&mut self, account: &Owner, after: Option<&str>) -> Result<Page<ReelNumbers>, Failure> {
        let path = page_path(&account.username);
        let pk = account.pk.to_string();
        let question = Question {
            document: Document::Reels,
            variables: json!({
                "after": after,
                "before": null,
                "data": {"include_feed_video": true, "page_size": PAGE_SIZE, "target_user_id": pk},
                "first": PAGE_SIZE,
                "id": pk,
                "last": null,
            }),
            page: (PROFILE_PAGE, &path),
        };
        let Reading { value: (items, next), unread } = self.document(&question, read_reels_tab).await?;
        let asked = Place::Reels(after.map(str::to_owned));
        Ok(Page { items, next: next.and_then(|at| Place::Reels(Some(at)).unless(&asked)), unread })
    }

    async fn clips(&mut self, account: &Owner, max_id: Option<&str>) -> Result<Page<ReelNumbers>, Failure> {
        let path = page_path(&account.username);
        let mut fields = vec![
            ("target_user_id", account.pk.to_string()),
            ("page_size", PAGE_SIZE.to_string()),
            ("include_feed_video", "true".to_owned()),
        ];
        fields.extend(max_id.map(|max_id| ("max_id", max_id.to_owned())));
        let ask = Ask::get(CLIPS, CLIPS_PATH, &format!("{path}reels/")).form(fields);
        let reading = match self.ask(&ask, read_clips).await {
            // A POST needs the csrf cookie, which a guest has only from an answer of this visit.
            Err(failure) if failure.kind == FailureKind::Forbidden && !self.refreshed => {
                self.refreshed = true;
                if !self.renew_tokens((PROFILE_PAGE, &path)).await? {
                    return Err(failure);
                }
                self.ask(&ask, read_clips).await?
            }
            other => other?,
        };
        let (items, next) = reading.value;
        let asked = Place::Clips(max_id.map(str::to_owned));
        Ok(Page { items, next: next.and_then(|at| Place::Clips(Some(at)).unless(&asked)), unread: reading.unread })
    }
}

pub(super) fn read_reels_tab(data: &Field<'_>) -> Option<Found> {
    let connection = data.at("fetch__XDTUserDict.clips_connection");
    connection.value()?;
    let edges = connection.at("edges").list()?;
    let items = reels_of(edges.iter().map(|edge| edge.at("node.media")));
    Some((items, page_info_next(&connection, || None)))
}

pub(super) fn read_clips(reply: &Reply, notes: &Notes) -> Result<Found, Failure> {
    let root = Field::root(&reply.json, notes);
    let items = root.at("items").list();
    let items = items.ok_or_else(|| reply.lacks("items"))?;
    note_errors(reply, notes);
    let reels = reels_of(items.iter().map(|item| item.at("media")));
    let paging = root.at("paging_info");
    Ok((reels, onward(&paging.at("more_available"), &paging.at("max_id"), || None)))
}

/// The reels of a list, each once.
fn reels_of<'a>(nodes: impl Iterator<Item = Field<'a>>) -> Vec<ReelNumbers> {
    let mut seen = HashSet::new();
    nodes.filter_map(|item| node::reel(&item)).filter(|reel| seen.insert(reel.code.clone())).collect()
}
