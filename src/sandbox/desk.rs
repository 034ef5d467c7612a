//! The way of every request: written down, held at a gate, delayed, turned away or refused, and only then answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::to_bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::instagram::Username;

use super::answers;
use super::caller::Caller;
use super::callers::Callers;
use super::cursor::{self, Cursor, List, Page};
use super::dice::Dice;
use super::distort::distort;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::graph::refusals;
use super::graph::token::Tokens;
use super::ledger::{Full, Ledger, Whose};
use super::page;
use super::scene::Scene;
use super::world::{Account, World};
use super::{Clock, Options};

/// All that the sandbox's handlers share.
pub(super) struct Desk {
    /// The world.
    pub(super) world: World,
    /// What is remembered.
    pub(super) ledger: Ledger,
    /// Who asked, and when.
    pub(super) callers: Callers,
    /// What the tokens of the official source have asked.
    pub(super) tokens: Tokens,
    clock: Clock,
    delay: Duration,
    closing: CancellationToken,
    answers: AtomicU64,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Ask {
    /// The endpoint.
    pub(super) endpoint: Endpoint,
    /// The account; `None` where there is none.
    pub(super) account: Option<Account>,
    /// The cursor, as it was sent.
    pub(super) cursor: Option<String>,
}

/// What a handler makes of a scene.
pub(super) enum Answer {
    /// JSON.
    Json(Value),
    /// The script blocks of a page.
    Page(Vec<Value>),
    /// Something else altogether.
    Other(Response),
}

impl Desk {
    /// A desk for these options.
    pub(super) fn new(options: &Options, closing: CancellationToken) -> Self {
        Self {
            world: World { seed: options.seed },
            ledger: Ledger::default(),
            callers: Callers::default(),
            tokens: Tokens::default(),
            clock: options.clock.clone(),
            delay: options.delay,
            closing,
            answers: AtomicU64::new(0),
        }
    }

    /// The world's time.
    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// The account that bears this name now, which is remembered from now on; `None` where the one that bore it has
    /// another name and nobody has taken it.
    pub(super) fn bearer(&self, username: &Username) -> Option<Account> {
        let account = match self.ledger.whose_name(username) {
            Whose::Own => return Some(self.by_name(username)),
            Whose::Of(former) => self.world.account(&former),
            Whose::Anothers => self.world.account_of_key(self.world.account(username).key ^ 1),
            Whose::Nobodys => return None,
        };
        self.ledger.introduce(account.pk, username);
        Some(Account { username: Some(username.clone()), ..account })
    }

    /// Gives the account that bears a name another one; with `taken` somebody else bears the old one from then on.
    pub(super) fn rename(&self, from: &Username, to: &Username, taken: bool) -> Result<(), Full> {
        self.ledger.rename(from, to, taken)?;
        self.ledger.introduce(self.world.account(from).pk, to);
        Ok(())
    }

    /// The account that this name brings by itself, which is remembered from now on.
    pub(super) fn by_name(&self, username: &Username) -> Account {
        let account = self.world.account(username);
        self.ledger.introduce(account.pk, username);
        account
    }

    /// The account with this number. Its name is what was heard before, what the cursor carries, or whose page the
    /// caller says to come from; without any of them the account is answered without its name.
    pub(super) fn by_pk(&self, pk: i64, cursor: Option<&str>, caller: &Caller) -> Option<Account> {
        let account = self.world.account_by_pk(pk)?;
        if let Some(username) = self.ledger.name_of(pk) {
            return Some(Account { username: Some(username), ..account });
        }
        let told = cursor.and_then(Cursor::decode).and_then(|cursor| cursor.username);
        let mut names = [told, caller.referring_account()].into_iter().flatten();
        let name = names.find(|name| self.world.account(name).pk == pk);
        Some(name.map_or(account, |name| self.by_name(&name)))
    }

    /// Takes a request its whole way.
    pub(super) async fn answer(&self, ask: Ask, caller: &Caller, build: impl FnOnce(&Scene) -> Answer) -> Response {
        if let Some(name) = caller.name() {
            self.callers.note(name);
        }
        let Some(account) = ask.account else {
            self.pause(self.delay).await;
            let away = caller.turned_away(ask.endpoint);
            return self.dress(away.unwrap_or_else(|| answers::not_found(ask.endpoint)), caller, ask.endpoint);
        };
        let name = account.ledger_name();
        let arrival = self.ledger.arrive(&name, ask.endpoint, ask.cursor, !caller.is_guest());
        let more: u64 = arrival.rules.iter().map(|rule| rule.delay_ms).sum();
        let mut open = match arrival.held {
            Some(held) => self.unless_closing(held.open.cancelled()).await,
            None => true,
        };
        open = open && self.pause(self.jittered() + Duration::from_millis(more)).await;
        let response = if open {
            let scene = Scene {
                world: self.world,
                account,
                now: self.now(),
                rules: arrival.rules,
                edits: arrival.edits,
                is_guest: caller.is_guest(),
            };
            let mut response = self.decide(&scene, ask.endpoint, caller, build).await;
            if let Some(asker) = caller.asker() {
                asker.tell_usage(&scene, &mut response);
            }
            response
        } else {
            answers::closing()
        };
        self.ledger.answered(&name, arrival.order, response.status().as_u16());
        self.dress(response, caller, ask.endpoint)
    }

    /// Hands on an answer that is about no account, as late as any other.
    pub(super) async fn late(&self, response: Response) -> Response {
        if self.pause(self.jittered()).await { response } else { answers::closing() }
    }

    async fn decide(
        &self,
        scene: &Scene,
        endpoint: Endpoint,
        caller: &Caller,
        build: impl FnOnce(&Scene) -> Answer,
    ) -> Response {
        let refusal = || match endpoint.is_official() {
            true => refusals::refusal(scene),
            false => answers::refusal(scene, endpoint),
        };
        if let Some(response) = caller.turned_away(endpoint).or_else(refusal) {
            return response;
        }
        if scene.has(Fault::Endless) {
            return answers::endless(self.closing.clone());
        }
        let response = match build(scene) {
            Answer::Json(mut value) => {
                if scene.has(Fault::FieldException)
                    && let Value::Object(fields) = &mut value
                {
                    let message = "A server error field_exception occured. Check server logs for details.";
                    fields.insert("errors".to_owned(), json!([{ "message": message, "severity": "WARNING" }]));
                }
                distort(scene, &mut value);
                answers::json_of(StatusCode::OK, &value)
            }
            Answer::Page(mut blocks) => {
                blocks.iter_mut().for_each(|block| distort(scene, block));
                answers::html_of(StatusCode::OK, page::render(scene, &blocks))
            }
            Answer::Other(response) => response,
        };
        let breaks = scene.has(Fault::Truncated);
        if breaks || scene.has(Fault::Cut) {
            let (parts, body) = response.into_parts();
            // The body was made here and is whole in memory, so reading it cannot fail.
            let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
            return answers::half(Response::from_parts(parts, axum::body::Body::empty()), &bytes, breaks);
        }
        response
    }

    /// Adds what the real site adds to its answers.
    fn dress(&self, mut response: Response, caller: &Caller, endpoint: Endpoint) -> Response {
        if endpoint.is_official() {
            return response;
        }
        let headers = response.headers_mut();
        let mut dice = Dice::new(self.world.seed, "csrf", 0);
        if !caller.has_csrf_cookie()
            && let Ok(cookie) = HeaderValue::try_from(format!("csrftoken={}; Path=/; Max-Age=31449600", dice.token(32)))
        {
            headers.append(header::SET_COOKIE, cookie);
        }
        if !endpoint.is_page() {
            let claim = if caller.is_guest() { "0" } else { "hmac.sandbox-claim" };
            headers.insert("x-ig-set-www-claim", HeaderValue::from_static(claim));
        }
        response
    }

    /// A page of one of the lists of an account, or the answer instead of it.
    pub(super) fn page(scene: &Scene, list: List, cursor: Option<&str>, count: usize) -> Result<Page, Box<Response>> {
        let name = scene.account.username.as_ref();
        let cursor = match cursor.filter(|text| !text.is_empty()) {
            None => None,
            Some(_) if scene.has(Fault::CursorRefused) => {
                return Err(Box::new(answers::fail(StatusCode::BAD_REQUEST, json!({ "message": "Invalid cursor" }))));
            }
            Some(text) => {
                let read = Cursor::decode(text).filter(|cursor| cursor.list == list);
                let own = read
                    .filter(|cursor| cursor.username.is_none() || name.is_none() || cursor.username.as_ref() == name);
                let refused = || answers::fail(StatusCode::BAD_REQUEST, json!({ "message": "Invalid cursor" }));
                Some(own.ok_or_else(|| Box::new(refused()))?)
            }
        };
        let pages = cursor.as_ref().map_or(0, |cursor| u64::from(cursor.pages));
        if scene.rule(Fault::WallAfter).is_some_and(|rule| pages >= rule.number) {
            return Err(Box::new(answers::please_wait()));
        }
        let shelf = match list {
            List::Reels => scene.reels(),
            List::Official => scene.by_time(),
            List::Timeline | List::Legacy => scene.shelf(),
        };
        let repeat = cursor.as_ref().and(scene.rule(Fault::Repeating)).map_or(0, |rule| rule.number as usize);
        let mut page = cursor::page(&shelf, list, name, cursor.as_ref(), count, repeat);
        if scene.has(Fault::Looping) && (pages >= 2 || page.next.is_none()) {
            let first = cursor::page(&shelf, list, name, None, count, 0);
            let end = |(pk, pinned): &(i64, bool)| Cursor {
                list,
                pinned: *pinned,
                pk: *pk,
                pages: 1,
                username: name.cloned(),
            };
            page.next = first.next.or_else(|| first.items.last().map(end));
        }
        Ok(page)
    }

    fn jittered(&self) -> Duration {
        let order = self.answers.fetch_add(1, Ordering::Relaxed);
        self.delay.mul_f64(0.7 + 0.6 * Dice::new(self.world.seed, "delay", order).unit())
    }

    /// Waits; false where the sandbox closed first.
    async fn pause(&self, time: Duration) -> bool {
        time.is_zero() || self.unless_closing(tokio::time::sleep(time)).await
    }

    async fn unless_closing(&self, until: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = until => true,
            () = self.closing.cancelled() => false,
        }
    }
}
