//! A username, and the many ways in which people write one: `name`, `@name`, a profile's address.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An account's handle: 1 to 30 of `a–z 0–9 . _`, stored in lower case because Instagram ignores case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(String);

/// Why a text is no username; each says what to send instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// Nothing was left after trimming.
    #[error("username is empty; give an Instagram username such as nasa, @nasa or https://www.instagram.com/nasa/")]
    Empty,
    /// More than 30 characters.
    #[error("username has {0} characters; Instagram allows at most 30")]
    TooLong(usize),
    /// A character outside the alphabet.
    #[error("username contains {0:?}; Instagram allows only letters, digits, periods and underscores")]
    Character(char),
    /// An address of another site.
    #[error("{0:?} is not an instagram.com address; give a username or https://www.instagram.com/<username>/")]
    OtherSite(String),
    /// An instagram.com address that does not name an account.
    #[error(
        "the address names {0:?}, not an account; give the account's username or https://www.instagram.com/<username>/"
    )]
    NotAnAccount(String),
}

/// First path segments of instagram.com that are pages of the site, not accounts.
const PAGES: [&str; 12] =
    ["p", "reel", "reels", "tv", "explore", "accounts", "direct", "about", "developer", "legal", "api", "graphql"];

impl Username {
    /// The username as text, in lower case, without `@`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads what a person may have typed or pasted: `name`, `@name`, or the address of the account's page.
    pub fn parse(text: &str) -> Result<Self, UsernameError> {
        let text = text.trim();
        match path_of_address(text)? {
            Some(path) => Self::from_path(path),
            None => Self::from_handle(text.strip_prefix('@').unwrap_or(text)),
        }
    }

    fn from_path(path: &str) -> Result<Self, UsernameError> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let first = match segments.next() {
            // A story's address names its account second.
            Some("stories") => segments.next(),
            first => first,
        };
        let first = first.ok_or(UsernameError::Empty)?;
        if PAGES.contains(&first.to_ascii_lowercase().as_str()) {
            return Err(UsernameError::NotAnAccount(path.trim_matches('/').to_owned()));
        }
        Self::from_handle(first.strip_prefix('@').unwrap_or(first))
    }

    fn from_handle(handle: &str) -> Result<Self, UsernameError> {
        if handle.is_empty() {
            return Err(UsernameError::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
        if let Some(other) = handle.chars().find(|c| !allowed(*c)) {
            return Err(UsernameError::Character(other));
        }
        if handle.len() > 30 {
            return Err(UsernameError::TooLong(handle.len()));
        }
        Ok(Self(handle.to_ascii_lowercase()))
    }
}

/// The path of an address, or `None` where the text is no address. An address has a scheme or begins with the
/// site's name; a bare `name.with.dots` is a username.
fn path_of_address(text: &str) -> Result<Option<&str>, UsernameError> {
    let lower = text.to_ascii_lowercase();
    let scheme = ["https://", "http://"].into_iter().find(|scheme| lower.starts_with(scheme));
    let rest = &text[scheme.map_or(0, str::len)..];
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.to_ascii_lowercase();
    let ours = matches!(host.as_str(), "instagram.com" | "www.instagram.com" | "m.instagram.com");
    match (scheme, ours) {
        (_, true) => Ok(Some(path)),
        (Some(_), false) => Err(UsernameError::OtherSite(text.to_owned())),
        (None, false) => Ok(None),
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Username {
    type Err = UsernameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Username {
    type Error = UsernameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Username> for String {
    fn from(username: Username) -> Self {
        username.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<String, UsernameError> {
        Username::parse(text).map(String::from)
    }

    #[test]
    fn a_username_is_read_from_every_form_people_paste() {
        for text in [
            "Nasa.Gov_1",
            " @nasa.gov_1 ",
            "https://www.instagram.com/nasa.gov_1/",
            "http://instagram.com/NASA.gov_1?hl=en",
            "instagram.com/nasa.gov_1",
            "www.instagram.com/@nasa.gov_1/reels/",
            "https://www.instagram.com/nasa.gov_1/reel/CPv3UqsBFvg/",
            "https://www.instagram.com/stories/nasa.gov_1/123/",
        ] {
            assert_eq!(name(text).as_deref(), Ok("nasa.gov_1"), "{text}");
        }
    }

    #[test]
    fn what_names_no_account_is_refused_with_the_reason() {
        assert_eq!(name("  "), Err(UsernameError::Empty));
        assert_eq!(name("https://www.instagram.com/"), Err(UsernameError::Empty));
        assert_eq!(name("two words"), Err(UsernameError::Character(' ')));
        assert_eq!(name("nul\0"), Err(UsernameError::Character('\0')));
        assert_eq!(name(&"x".repeat(31)), Err(UsernameError::TooLong(31)));
        assert_eq!(name(&"x".repeat(30)).as_deref(), Ok("x".repeat(30).as_str()));
        assert!(matches!(name("https://example.com/nasa"), Err(UsernameError::OtherSite(_))));
        assert!(matches!(name("https://www.instagram.com/reel/CPv3UqsBFvg/"), Err(UsernameError::NotAnAccount(_))));
        assert!(matches!(name("https://www.instagram.com/p/CPv3UqsBFvg/"), Err(UsernameError::NotAnAccount(_))));
    }
}
