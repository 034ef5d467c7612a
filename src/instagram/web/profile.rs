//! An account: `web_profile_info`, its page as the second opinion, and a document that knows it by number.

use serde_json::{Value, json};

use super::endpoints::{Document, HOME_PAGE, PROFILE_INFO, PROFILE_INFO_PATH, PROFILE_PAGE};
use super::graphql::{Question, note_errors};
use super::request::{Ask, Reply};
use super::timeline::{self, Onward};
use super::{Visit, fell_back, other_endpoint_may_know, page};
use crate::instagram::reader::{Field, Notes};
use crate::instagram::{Account, Failure, FailureKind, Page, Post, Profile, Reading, Username};

/// A profile whose number is known: no web endpoint tells of an account without it.
pub(super) struct Found {
    pub(super) pk: i64,
    pub(super) profile: Profile,
}

/// The account of one answer, with its number.
pub(super) struct User {
    pub(super) pk: i64,
    pub(super) account: Account,
}

/// The account and the first posts of one answer.
pub(super) type Read = (User, Option<Page<Post>>);

/// Which endpoint is asked first; the other is the second opinion.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opinion {
    Info,
    Page,
}

pub(super) fn page_path(username: &Username) -> String {
    format!("/{username}/")
}

impl Visit {
    pub(super) async fn find_account(&mut self, username: &Username) -> Result<Found, Failure> {
        // An endpoint that asked us to wait is not asked first again: the other may be open.
        let waits = self.asked_to_wait.contains(PROFILE_INFO) && !self.asked_to_wait.contains(PROFILE_PAGE);
        let (first, second) = if waits { (Opinion::Page, Opinion::Info) } else { (Opinion::Info, Opinion::Page) };
        match self.opinion(first, username).await {
            Err(failure) if other_endpoint_may_know(failure.kind) => {
                let news = fell_back(&failure);
                let mut found = self.second_opinion(second, username, failure).await?;
                found.profile.unread.push(news);
                Ok(found)
            }
            other => other,
        }
    }

    /// One endpoint's word is not enough to call an account gone, and one that cannot be read is no word at all.
    async fn second_opinion(&mut self, asked: Opinion, username: &Username, first: Failure) -> Result<Found, Failure> {
        self.opinion(asked, username).await.map_err(|second| {
            if second.kind != FailureKind::NotFound {
                return second;
            }
            let message = format!("{} ({}); {} ({})", first.message, first.endpoint, second.message, second.endpoint);
            Failure { message, ..first }
        })
    }

    async fn opinion(&mut self, asked: Opinion, username: &Username) -> Result<Found, Failure> {
        match asked {
            Opinion::Info => self.account_by_info(username).await,
            Opinion::Page => self.account_by_page(username).await,
        }
    }

    async fn account_by_info(&mut self, username: &Username) -> Result<Found, Failure> {
        let onward = self.onward();
        let ask = Ask::get(PROFILE_INFO, PROFILE_INFO_PATH, &page_path(username)).query("username", username.as_str());
        let reading = self.ask(&ask, |reply, notes| read_info(reply, notes, username, onward)).await?;
        let (User { pk, account }, first_posts) = reading.value;
        Ok(Found { pk, profile: Profile { account, first_posts, unread: reading.unread } })
    }

    async fn account_by_page(&mut self, username: &Username) -> Result<Found, Failure> {
        let onward = self.onward();
        let ask = Ask::page(PROFILE_PAGE, &page_path(username));
        let reading = self.ask(&ask, |reply, notes| read_page(reply, notes, username, onward)).await?;
        let (User { pk, account }, first_posts) = reading.value;
        let mut profile = Profile { account, first_posts, unread: reading.unread };
        if self.has_session() && (profile.account.followers.is_none() || profile.account.posts.is_none()) {
            self.complete(pk, &mut profile).await?;
        }
        Ok(Found { pk, profile })
    }

    pub(super) async fn find_by_id(&mut self, pk: i64, last_known: &Username) -> Result<Reading<Account>, Failure> {
        // Its own page may be gone, so the tokens are those of the site's first one.
        let page = (HOME_PAGE, "/");
        if self.tokens.is_none() {
            self.renew_tokens(page).await?;
        }
        let question = Question {
            document: Document::Profile,
            variables: json!({"id": pk.to_string(), "render_surface": "PROFILE"}),
            page,
        };
        let Reading { value, unread } = self.document(&question, |data| by_id(data, pk, last_known)).await?;
        let account = value.ok_or_else(|| Failure {
            kind: FailureKind::NotFound,
            endpoint: Document::Profile.endpoint(),
            status: Some(200),
            message: "data.user is null".to_owned(),
            retry_after: None,
        })?;
        Ok(Reading { value: account, unread })
    }

    /// A list that says 404 is one word for the account being gone; its page has the other.
    pub(super) async fn gone_or_broken(&mut self, username: &Username, first: Failure) -> Failure {
        match self.account_by_page(username).await {
            Ok(_) => {
                let message = format!("{}; but the account's page is there", first.message);
                Failure { kind: FailureKind::EndpointBroken, message, ..first }
            }
            Err(second) if second.kind == FailureKind::NotFound => first,
            Err(second) => second,
        }
    }

    /// Fills from the document what the page left open. A failure costs nothing that is known: its exchange tells. But a
    /// question that was not asked is none that failed: it is asked when its turn has come.
    async fn complete(&mut self, pk: i64, profile: &mut Profile) -> Result<(), Failure> {
        let account = profile.account.clone();
        let path = page_path(&account.username);
        let question = Question {
            document: Document::Profile,
            variables: json!({"id": pk.to_string(), "render_surface": "PROFILE"}),
            page: (PROFILE_PAGE, &path),
        };
        let read = |data: &Field<'_>| read_v1(&data.at("user"), &account.username, Some(pk));
        match self.document(&question, read).await {
            Ok(reading) => {
                profile.unread.extend(reading.unread);
                fill(&mut profile.account, reading.value.account);
            }
            Err(failure) if failure.kind == FailureKind::NotAsked => return Err(failure),
            Err(_) => {}
        }
        Ok(())
    }
}

/// The user of the document that knows it by number: `Some(None)` where nobody has the number, `None` where the answer
/// does not say whose it is.
pub(super) fn by_id(data: &Field<'_>, asked: i64, last_known: &Username) -> Option<Option<Account>> {
    let user = data.at("user");
    if user.is_there() && !user.is_some() {
        return Some(None);
    }
    let told = user.at("pk");
    if told.is_some() && told.id() != Some(asked) {
        return told.unreadable("the number that was asked for");
    }
    // Its handle is what it is asked for; the one that is known is no answer.
    user.at("username").some_text().and_then(|name| Username::parse(&name).ok())?;
    read_v1(&user, last_known, Some(asked)).map(|user| Some(user.account))
}

pub(super) fn read_info(reply: &Reply, notes: &Notes, username: &Username, onward: Onward) -> Result<Read, Failure> {
    let user = Field::root(&reply.json, notes).at("data.user");
    if !user.is_there() {
        return Err(reply.lacks("data.user"));
    }
    if !user.is_some() {
        return Err(reply.fail(FailureKind::NotFound, "data.user is null"));
    }
    note_errors(reply, notes);
    let read = read_legacy(&user, username)
        .ok_or_else(|| reply.fail(FailureKind::UnexpectedShape, "data.user.id is missing or cannot be read"))?;
    age_gate(reply, &user, &read.account)?;
    let connection = user.at("edge_owner_to_timeline_media");
    let first_posts = first_posts(&read, &connection, onward);
    Ok((read, first_posts))
}

pub(super) fn read_page(reply: &Reply, notes: &Notes, username: &Username, onward: Onward) -> Result<Read, Failure> {
    let found = page::user(&reply.html, username.as_str());
    let Some(user) = &found.user else {
        if let Some(reason) = found.unreadable {
            return Err(reply.fail(FailureKind::UnexpectedShape, format!("the user's script cannot be read: {reason}")));
        }
        let title = page::title(&reply.html).unwrap_or_else(|| "without a title".to_owned());
        let kind = match title.as_str() {
            _ if title.starts_with("Restricted") || reply.html.contains("Restricted profile") => {
                FailureKind::AgeRestricted
            }
            // The login page, in the place of the profile's.
            _ if title.starts_with("Login") => FailureKind::HtmlInsteadOfJson,
            _ if found.is_nobody || page::says_that_it_is_not_there(&reply.html) => FailureKind::NotFound,
            // Its data may stand under another name: that says nothing of the account.
            _ => FailureKind::UnexpectedShape,
        };
        return Err(reply.fail(kind, format!("the page ({title}) shows no user")));
    };
    let user = Field::part(user, "xig_user_by_username", notes);
    let read = read_v1(&user, username, None)
        .ok_or_else(|| reply.fail(FailureKind::UnexpectedShape, "xig_user_by_username.pk is missing or unreadable"))?;
    note_missing_followers(&user, "follower_count");
    age_gate(reply, &user, &read.account)?;
    let timeline = found.timeline.as_ref().unwrap_or(&Value::Null);
    // What the page leaves out of posts that are not kept is no news.
    let aside = Notes::default();
    let connection = Field::part(timeline, "polaris_ordered_timeline_connection", &aside);
    let first_posts = first_posts(&read, &connection, onward);
    if first_posts.is_some() {
        notes.extend(aside.into_unread());
    }
    Ok((read, first_posts))
}

/// A user of `web_profile_info`; `None` where it has no number.
fn read_legacy(user: &Field<'_>, asked: &Username) -> Option<User> {
    let pk = user.at("id").id()?;
    note_missing_followers(user, "edge_followed_by.count");
    let (external_url, external_url_told) = link(user);
    let account = Account {
        pk: Some(pk),
        fbid: user.at("fbid").id().map(|id| id.to_string()),
        username: username(user, asked),
        full_name: user.at("full_name").text(),
        biography: user.at("biography").text(),
        followers: user.at("edge_followed_by.count").count(),
        following: user.at("edge_follow.count").count(),
        posts: user.at("edge_owner_to_timeline_media.count").count(),
        is_private: user.at("is_private").flag(),
        is_verified: user.at("is_verified").flag(),
        category: user.at("category_name").some_text(),
        external_url,
        external_url_told,
        profile_pic_url: user.at("profile_pic_url_hd").some_text().or_else(|| user.at("profile_pic_url").some_text()),
    };
    Some(User { pk, account })
}

/// A user of a profile page or of the document; `None` where neither it nor the caller knows its number.
fn read_v1(user: &Field<'_>, asked: &Username, known: Option<i64>) -> Option<User> {
    user.value()?;
    let pk = user.at("pk").id().or(known)?;
    let all_media = user.at("all_media_count").count();
    let (external_url, external_url_told) = link(user);
    let account = Account {
        pk: Some(pk),
        fbid: user.at("fbid").id().map(|id| id.to_string()),
        username: username(user, asked),
        full_name: user.at("full_name").text(),
        biography: user.at("biography").text(),
        followers: user.at("follower_count").count(),
        following: user.at("following_count").count(),
        posts: all_media.or_else(|| user.at("media_count").count()),
        is_private: user.at("is_private").flag(),
        is_verified: user.at("is_verified").flag(),
        category: user.at("category_name").some_text().or_else(|| user.at("category").some_text()),
        external_url,
        external_url_told,
        profile_pic_url: user
            .at("hd_profile_pic_url_info.url")
            .some_text()
            .or_else(|| user.at("profile_pic_url").some_text()),
    };
    Some(User { pk, account })
}

fn username(user: &Field<'_>, asked: &Username) -> Username {
    let field = user.at("username");
    let told = field.text().and_then(|name| Username::parse(&name).ok().or_else(|| field.unreadable("a username")));
    told.unwrap_or_else(|| asked.clone())
}

/// The link of a user, and whether it was told, or that there is none.
fn link(user: &Field<'_>) -> (Option<String>, bool) {
    let (external, links) = (user.at("external_url"), user.at("bio_links"));
    if let Some(url) = external.some_text() {
        return (Some(url), true);
    }
    let none_there = external.value().is_none_or(Value::is_string);
    match links.items().first().map(|link| link.at("url").always_told("an address")) {
        Some(url) => (url.some_text(), url.value().is_some_and(Value::is_string)),
        None => {
            let none_here = links.value().is_none_or(Value::is_array);
            (None, none_there && none_here && (external.is_there() || links.is_there()))
        }
    }
}

/// A null count is one that we are not told. A field that is gone altogether is news of the upstream.
fn note_missing_followers(user: &Field<'_>, keys: &str) {
    let (parent, last) = keys.rsplit_once('.').map_or((user.clone(), keys), |(parent, last)| (user.at(parent), last));
    let missing = !parent.is_there() || parent.value().is_some_and(|value| value.get(last).is_none());
    if missing {
        user.at(keys).unreadable::<()>("a count of zero or more");
    }
}

/// An account that is shown to adults only comes with zeros in the place of its numbers.
fn age_gate(reply: &Reply, user: &Field<'_>, account: &Account) -> Result<(), Failure> {
    let told = [account.followers, account.following, account.posts];
    let no_numbers = told.iter().all(|count| count.is_none_or(|count| count == 0));
    let gated = ["gating", "gating_info"].into_iter().any(|key| user.at(key).is_some());
    if user.at("is_regulated_c18").flag() == Some(true) || (gated && no_numbers) {
        return Err(reply.fail(FailureKind::AgeRestricted, "the account is shown to adults only"));
    }
    Ok(())
}

/// The posts beside the account, where they are told whole. An answer may show them without their times and numbers, or
/// videos of which it does not say whether they are reels: the lists tell them. An empty list beside a count above zero
/// says nothing about the posts.
fn first_posts(user: &User, connection: &Field<'_>, onward: Onward) -> Option<Page<Post>> {
    let User { pk, account } = user;
    if account.is_private == Some(true) {
        return None;
    }
    let more = connection.at("page_info.has_next_page").flag();
    let edges = connection.at("edges").items();
    if edges.is_empty() {
        let none_at_all = account.posts == Some(0) && more != Some(true);
        return none_at_all.then(|| Page { items: Vec::new(), next: None, unread: Vec::new() });
    }
    let items = timeline::posts_of(edges.iter().map(|edge| edge.at("node")), *pk);
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let more = more.unwrap_or_else(|| account.posts.is_none_or(|posts| posts > count));
    let next = more.then(|| onward.after(&items, *pk));
    let is_whole = items.iter().all(|post| post.taken_at.is_some() && post.is_reel.is_some());
    (!items.is_empty() && is_whole).then_some(Page { items, next, unread: Vec::new() })
}

/// Takes from `other` what `account` does not know.
fn fill(account: &mut Account, other: Account) {
    fn take<T>(known: &mut Option<T>, other: Option<T>) {
        if known.is_none() {
            *known = other;
        }
    }
    take(&mut account.fbid, other.fbid);
    take(&mut account.full_name, other.full_name);
    take(&mut account.biography, other.biography);
    take(&mut account.followers, other.followers);
    take(&mut account.following, other.following);
    take(&mut account.posts, other.posts);
    take(&mut account.is_private, other.is_private);
    take(&mut account.is_verified, other.is_verified);
    take(&mut account.category, other.category);
    take(&mut account.external_url, other.external_url);
    account.external_url_told |= other.external_url_told;
    take(&mut account.profile_pic_url, other.profile_pic_url);
}
