//! What must be told nowhere: secret texts, in every form in which an answer or an error might repeat them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// What stands in the place of a secret.
const REMOVED: &str = "[removed]";

/// Shorter ones are not looked for: they would be found everywhere.
const SHORTEST: usize = 6;

/// What an address writes in another way than it is; the sign that tokens have beside letters and digits is `|`.
const IN_ADDRESSES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Secret texts, longest first: a shorter one that is a part of a longer one must not tear it, and leave the rest.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    /// These texts, in every form.
    pub(super) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let forms = texts.into_iter().filter(|text| text.len() >= SHORTEST).flat_map(forms);
        Self(forms.map(SecretString::from).collect()).in_order()
    }

    /// The password in the address of a proxy: as it is written there, as it is, and as it is sent.
    pub(super) fn of_proxy(address: &Url) -> Self {
        let Some(written) = address.password() else { return Self::default() };
        let plain = |text| percent_decode_str(text).decode_utf8_lossy();
        let sent = BASE64_STANDARD.encode(format!("{}:{}", plain(address.username()), plain(written)));
        Self::of([written, &sent])
    }

    /// With others.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self.in_order()
    }

    fn in_order(mut self) -> Self {
        self.0.sort_by(|one, other| {
            let (one, other) = (one.expose_secret(), other.expose_secret());
            other.len().cmp(&one.len()).then_with(|| one.cmp(other))
        });
        self.0.dedup_by(|one, other| one.expose_secret() == other.expose_secret());
        self
    }

    /// A text without them.
    pub fn scrub(&self, text: &str) -> String {
        let looked_for = self.0.iter().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= SHORTEST);
        looked_for.fold(
            text.to_owned(),
            |text, secret| {
                if text.contains(secret) { text.replace(secret, REMOVED) } else { text }
            },
        )
    }
}

impl FromIterator<Self> for Secrets {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), Self::and)
    }
}

/// A text as it is, as it is meant where it was written for an address (a cookie's `1%3Aabc` is `1:abc`), both as addresses
/// write them, with large and small digits, and with the slashes of JSON.
fn forms(text: &str) -> Vec<String> {
    let meant = percent_decode_str(text).decode_utf8_lossy();
    let mut forms = Vec::new();
    for text in [text, &meant] {
        for set in [NON_ALPHANUMERIC, IN_ADDRESSES] {
            let encoded = utf8_percent_encode(text, set).to_string();
            forms.extend([with_small_digits(&encoded), encoded]);
        }
        forms.extend([with_small_digits(text), text.replace('/', "\\/"), text.to_owned()]);
    }
    forms
}

/// `%3A` as `%3a`.
fn with_small_digits(encoded: &str) -> String {
    let mut small = String::with_capacity(encoded.len());
    let mut digits = 0;
    for letter in encoded.chars() {
        small.push(if digits > 0 { letter.to_ascii_lowercase() } else { letter });
        digits = if letter == '%' { 2 } else { i32::max(digits - 1, 0) };
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_in_which_it_is_repeated() {
        let proxy = Url::parse("https://anna:p%40ss%20word@proxy.test").unwrap();
        let secrets = Secrets::of(["tok|en-1"]).and(Secrets::of_proxy(&proxy));
        let told = "a=tok|en-1 tok%7Cen-1 tok%7cen-1 tok%7Cen%2D1 p%40ss%20word p@ss word YW5uYTpwQHNzIHdvcmQ= end";
        assert_eq!(secrets.scrub(told), format!("a={} end", [REMOVED; 7].join(" ")));
        assert!(!format!("{secrets:?}").contains("word"));
        let none = Secrets::of_proxy(&Url::parse("http://proxy.test").unwrap()).and(Secrets::of(["short"]));
        assert_eq!(none.scrub("a short text"), "a short text");
    }

    #[test]
    fn a_session_id_is_found_as_the_cookie_writes_it_and_as_it_is_meant() {
        let secrets = Secrets::of(["1789%3Aplan/ted%3A2"]);
        for form in [
            "1789%3Aplan/ted%3A2",
            "1789:plan/ted:2",
            "1789:plan\\/ted:2",
            "1789%3aplan/ted%3a2",
            "1789%3aplan%2fted%3a2",
            "1789%3Aplan%2Fted%3A2",
            "1789%253Aplan%2Fted%253A2",
        ] {
            assert_eq!(secrets.scrub(&format!("<{form}>")), format!("<{REMOVED}>"));
        }
    }

    #[test]
    fn a_secret_that_is_a_part_of_another_does_not_save_the_rest_of_it() {
        // As a browser's cookies have it: the number of the account is the beginning of the session's id.
        let secrets = Secrets::of(["17891234", "17891234%3Aplanted%3A2"]).and(Secrets::of(["7891"]));
        assert_eq!(secrets.scrub("17891234:planted:2 17891234"), format!("{REMOVED} {REMOVED}"));
    }
}
