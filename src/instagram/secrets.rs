//! What must be told nowhere: secret texts, in every form in which an answer or an error might repeat them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// What stands in the place of a secret.
pub(super) const REMOVED: &str = "[removed]";

/// Shorter ones are not looked for: they would be found everywhere.
pub(super) const SHORTEST: usize = 6;

/// What an address writes in another way than it is; the sign that tokens have beside letters and digits is `|`.
const IN_ADDRESSES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Secret texts.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    /// These very texts.
    pub(super) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().map(SecretString::from).collect())
    }

    /// A token, also as addresses write it.
    pub(super) fn of_token(token: &str) -> Self {
        let all_encoded = utf8_percent_encode(token, NON_ALPHANUMERIC).to_string();
        let encoded = utf8_percent_encode(token, IN_ADDRESSES).to_string();
        let lower_case = encoded.replace("%7C", "%7c");
        Self::of([token, &all_encoded, &encoded, &lower_case])
    }

    /// The password in the address of a proxy: as it is written there, as it is, and as it is sent.
    pub(super) fn of_proxy(address: &Url) -> Self {
        let Some(written) = address.password() else { return Self::default() };
        let plain = |text| percent_decode_str(text).decode_utf8_lossy();
        let password = plain(written);
        let sent = BASE64_STANDARD.encode(format!("{}:{password}", plain(address.username())));
        Self::of([written, &password, &sent])
    }

    /// With others.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// A text without them.
    pub fn scrub(&self, text: &str) -> String {
        without(text, self.0.iter().map(ExposeSecret::expose_secret))
    }
}

impl FromIterator<Self> for Secrets {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), Self::and)
    }
}

/// A text without these.
pub(super) fn without<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let looked_for = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST);
    looked_for.fold(
        text.to_owned(),
        |text, secret| {
            if text.contains(secret) { text.replace(secret, REMOVED) } else { text }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_in_which_it_is_repeated() {
        let proxy = Url::parse("https://anna:p%40ss%20word@proxy.test").unwrap();
        let secrets = Secrets::of_token("tok|en-1").and(Secrets::of_proxy(&proxy));
        let told = "a=tok|en-1 tok%7Cen-1 tok%7cen-1 tok%7Cen%2D1 p%40ss%20word p@ss word YW5uYTpwQHNzIHdvcmQ= end";
        assert_eq!(secrets.scrub(told), format!("a={} end", [REMOVED; 7].join(" ")));
        assert!(!format!("{secrets:?}").contains("word"));
        let none = Secrets::of_proxy(&Url::parse("http://proxy.test").unwrap()).and(Secrets::of(["short"]));
        assert_eq!(none.scrub("a short text"), "a short text");
    }
}
