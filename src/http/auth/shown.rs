//! What a request shows of itself: a key in a header, or a session in a cookie. The first of these counts:
//! `Authorization: Bearer`, `X-API-Key`, the cookie.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The cookie of a browser that is signed in.
pub(in crate::http) const COOKIE: &str = "igt_session";

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a request shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// What ought to be a key.
    Key(&'a str),
    /// A header that is no text.
    Unreadable,
    /// What ought to be a session.
    Session(&'a str),
}

impl<'a> Shown<'a> {
    /// Reads what is shown. What is meant for somebody in front of this service (`Authorization: Basic`) is passed over.
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let text = |value: &'a HeaderValue| value.to_str().map_or(Self::Unreadable, |text| Self::Key(text.trim()));
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let (scheme, rest) = value.as_bytes().split_at_checked(7).unwrap_or((value.as_bytes(), b""));
            if scheme.eq_ignore_ascii_case(b"bearer ") {
                return std::str::from_utf8(rest).map_or(Self::Unreadable, |text| Self::Key(text.trim()));
            }
        }
        if let Some(value) = headers.get(API_KEY) {
            return text(value);
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == COOKIE).map_or(Self::Nothing, |(_, token)| Self::Session(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_header_comes_before_a_cookie() {
        let shown = |headers: &[(&'static str, &'static str)]| {
            let headers: HeaderMap =
                headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
            format!("{:?}", Shown::of(&headers))
        };
        for (headers, expected) in [
            (&[][..], "Nothing"),
            (&[("authorization", "Bearer igt_a")], r#"Key("igt_a")"#),
            (&[("authorization", "bearer  igt_a ")], r#"Key("igt_a")"#),
            (&[("authorization", "Bearer ")], r#"Key("")"#),
            (&[("authorization", "Basic YTpi")], "Nothing"),
            (&[("authorization", "Bearer")], "Nothing"),
            (&[("authorization", "Basic YTpi"), ("x-api-key", "igt_b")], r#"Key("igt_b")"#),
            (&[("x-api-key", "igt_b"), ("authorization", "Bearer igt_a")], r#"Key("igt_a")"#),
            (&[("cookie", "a=b; igt_session=c; d=e")], r#"Session("c")"#),
            (&[("cookie", "a=b"), ("cookie", "igt_session=c")], r#"Session("c")"#),
            (&[("cookie", "igt_session=c"), ("x-api-key", "igt_b")], r#"Key("igt_b")"#),
            (&[("cookie", "xigt_session=c; igt_session")], "Nothing"),
        ] {
            assert_eq!(shown(headers), expected, "{headers:?}");
        }
    }
}
