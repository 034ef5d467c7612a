//! What a visit knows and must not tell: its cookies and the tokens of the page it was given.

use secrecy::{ExposeSecret, SecretString};

use super::Visit;
use super::page::{self, Tokens};
use crate::instagram::reader::shorten;
use crate::instagram::secrets::Secrets;
use crate::instagram::{Failure, Unread};

/// No secret is longer: a header with it would be refused.
const LONGEST: usize = 16 * 1024;

/// How much is kept of what an answer said, in characters.
const SAID_LIMIT: usize = 300;

/// The cookies that a visit sends. No general store: the session's own, and the csrf token that the site sets.
#[derive(Clone, Default)]
pub(super) struct Cookies(Vec<(String, String)>);

impl Cookies {
    pub(super) fn of(header: Option<&SecretString>) -> Self {
        let header = header.map(ExposeSecret::expose_secret).unwrap_or_default();
        let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
        Self(pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has_session(&self) -> bool {
        self.get("sessionid").is_some_and(|session| !session.is_empty())
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// What is secret about them.
    pub(super) fn secrets(&self) -> Secrets {
        Secrets::of(self.0.iter().map(|(_, value)| value.as_str()))
    }

    pub(super) fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

impl Visit {
    fn secrets(&self) -> Secrets {
        let tokens = self.tokens.iter().flat_map(Tokens::values);
        self.web.secrets.clone().and(self.cookies.secrets()).and(Secrets::of(tokens.chain(self.claim.as_deref())))
    }

    /// What an answer said, fit to be kept: no secret, not too long.
    fn in_short(&self, said: &str) -> String {
        shorten(self.secrets().scrub(said).trim(), SAID_LIMIT)
    }

    pub(super) fn without_secrets(&self, failure: Failure) -> Failure {
        Failure { message: self.in_short(&failure.message), ..failure }
    }

    pub(super) fn scrub_unread(&self, unread: Unread) -> Unread {
        Unread { found: self.in_short(&unread.found), ..unread }
    }

    pub(super) fn scrub_headers(&self, headers: Vec<(String, String)>) -> Vec<(String, String)> {
        let secrets = self.secrets();
        headers.into_iter().map(|(name, value)| (name, secrets.scrub(&value))).collect()
    }

    /// The beginning of a body, which stays byte for byte as it came where no secret is in it.
    pub(super) fn scrub_bytes(&self, body: &[u8], limit: usize) -> Vec<u8> {
        // It may be the page that brings tokens which the visit does not know yet.
        let is_page = body.trim_ascii_start().starts_with(b"<");
        let own = if is_page { page::tokens(&String::from_utf8_lossy(body)) } else { None }.unwrap_or_default();
        let looked_at = &body[..body.len().min(limit + 2 * LONGEST)];
        let text = String::from_utf8_lossy(looked_at);
        let csrf = if is_page { page::csrf_tokens(&text).collect() } else { Vec::new() };
        let scrubbed = self.secrets().and(Secrets::of(own.values().chain(csrf))).scrub(&text);
        let mut kept = if scrubbed == text { looked_at.to_vec() } else { scrubbed.into_bytes() };
        if looked_at.len() < body.len() {
            // At its end half a secret may stand, which was not found.
            kept.truncate(kept.len().saturating_sub(LONGEST));
        }
        kept.truncate(limit);
        kept
    }
}
