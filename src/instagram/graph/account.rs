//! An account as Business Discovery tells of it, with its first page of media.

use serde_json::Value;

use super::fields::{Fields, Wanted};
use super::media::{self, Found};
use super::request::Reply;
use super::{Visit, cursor::Place};
use crate::instagram::reader::{Field, Notes};
use crate::instagram::{Account, Failure, FailureKind, Page, Post, Profile, Reading, Username};

/// The short names, as exchanges, events and metrics show them.
pub(super) const BUSINESS_DISCOVERY: &str = "business_discovery";
pub(super) const BUSINESS_DISCOVERY_MEDIA: &str = "business_discovery_media";

impl Visit {
    pub(super) async fn find_account(&mut self, username: &Username) -> Result<Profile, Failure> {
        let read = |reply: &Reply, notes: &Notes, fields: &Fields| read_account(reply, notes, username, fields);
        let Reading { value: (account, found), unread } = self.discover(username, Wanted::Account, read).await?;
        let first_posts = found.and_then(|found| self.first_posts(&account, found));
        Ok(Profile { account, first_posts, unread })
    }

    /// Asks, and where the source refuses a field, once more without it. What it refused is not asked for again.
    pub(super) async fn discover<T: Send>(
        &mut self,
        username: &Username,
        wanted: Wanted<'_>,
        read: impl Fn(&Reply, &Notes, &Fields) -> Result<T, Failure> + Send + Sync,
    ) -> Result<Reading<T>, Failure> {
        let endpoint = match wanted {
            Wanted::Account => BUSINESS_DISCOVERY,
            Wanted::Media(_) => BUSINESS_DISCOVERY_MEDIA,
        };
        let fields = self.fields.clone();
        let expression = fields.expression(username, wanted);
        let failure = match self.ask(endpoint, &expression, |reply, notes| read(reply, notes, &fields)).await {
            Err(failure) if failure.kind == FailureKind::FieldsRefused => failure,
            other => return other,
        };
        if matches!(wanted, Wanted::Media(Some(_))) && media::means_the_cursor(&failure) {
            let kind = FailureKind::CursorRefused;
            if let Some(exchange) = self.exchanges.last_mut() {
                exchange.failure = Some(kind.as_str());
            }
            return Err(Failure { kind, ..failure });
        }
        let Some((fewer, refused)) = fields.fewer(&failure.message, wanted) else { return Err(failure) };
        let expression = fewer.expression(username, wanted);
        let mut reading = self.ask(endpoint, &expression, |reply, notes| read(reply, notes, &fewer)).await?;
        self.fields = fewer;
        reading.unread.extend(refused);
        Ok(reading)
    }

    /// The posts beside the account. An empty list beside a count above zero says nothing about the posts.
    fn first_posts(&mut self, account: &Account, found: Found) -> Option<Page<Post>> {
        if found.posts.is_empty() && account.posts != Some(0) {
            return None;
        }
        self.keep_reels(&account.username, &found.posts);
        let next = found.after.and_then(|after| Place::After(after).cursor());
        Some(Page { items: found.posts, next, unread: Vec::new() })
    }
}

pub(super) fn read_account(
    reply: &Reply,
    notes: &Notes,
    asked: &Username,
    fields: &Fields,
) -> Result<(Account, Option<Found>), Failure> {
    let user = Field::root(&reply.json, notes).at("business_discovery");
    let account = account(&user, asked, fields).ok_or_else(|| reply.lacks("business_discovery"))?;
    let edge = user.at("media");
    // An account without media may come without the edge, too.
    let found = match edge.is_some() {
        true => media::page(&edge, fields),
        false if account.posts == Some(0) => Some(Found::default()),
        false => edge.unreadable("a page of media"),
    };
    Ok((account, found))
}

/// The account; `None` where the answer names none.
fn account(user: &Field<'_>, asked: &Username, fields: &Fields) -> Option<Account> {
    user.value().filter(|value| value.is_object())?;
    let fbid = user.at("id").id_text();
    let username = user.at("username");
    let told =
        username.text().and_then(|name| Username::parse(&name).ok().or_else(|| username.unreadable("a username")));
    if fbid.is_none() && told.is_none() {
        return None;
    }
    // These two are told of every account, so their absence is news; what else is absent is empty or hidden.
    for count in ["followers_count", "media_count"] {
        let field = user.at(count);
        if fields.has(count) && !field.is_there() {
            field.unreadable::<()>("a count of zero or more");
        }
    }
    let website = user.at("website");
    Some(Account {
        pk: None,
        fbid,
        username: told.unwrap_or_else(|| asked.clone()),
        full_name: user.at("name").text(),
        biography: user.at("biography").text(),
        followers: user.at("followers_count").count(),
        following: user.at("follows_count").count(),
        posts: user.at("media_count").count(),
        is_private: None,
        is_verified: None,
        category: None,
        external_url: website.some_text(),
        // Where an account has none it is left out.
        external_url_told: fields.has("website") && website.value().is_none_or(Value::is_string),
        profile_pic_url: user.at("profile_picture_url").some_text(),
    })
}
