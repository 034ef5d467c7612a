//! Whether a web page of another origin is behind a request, as browsers say: by `Sec-Fetch-Site`, and where that is not
//! sent, by an `Origin` that is not the host that is asked. A request with neither is no page of another origin.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};

/// The origins whose pages may read answers and ask without a key of their own where nobody needs one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// All of them.
    any: bool,
    listed: Vec<HeaderValue>,
}

impl Origins {
    /// Reads a list such as `https://a.example,http://localhost:3000`, or `*`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut origins = Self::default();
        for origin in text.split(',').map(str::trim) {
            let host = ["https://", "http://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
            let is_host = |host: &str| {
                !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
            };
            match (origin, HeaderValue::from_str(origin)) {
                ("*", _) => origins.any = true,
                // As a browser writes it.
                (_, Ok(value)) if host.is_some_and(is_host) && origin == origin.to_ascii_lowercase() => {
                    origins.listed.push(value);
                }
                _ => {
                    return Err(format!(
                        "{origin:?} is no origin; give such as https://app.example.com, without a path, or *"
                    ));
                }
            }
        }
        Ok(origins)
    }

    /// Whether there are none.
    pub(in crate::http) fn is_empty(&self) -> bool {
        !self.any && self.listed.is_empty()
    }

    /// Whether pages of any origin may.
    pub(in crate::http) fn any(&self) -> bool {
        self.any
    }

    /// The origin of a request, where its pages may.
    pub(in crate::http) fn of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        headers.get(header::ORIGIN).filter(|origin| self.any || self.listed.contains(origin))
    }

    /// Whether the page behind a request may.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        self.of(headers).is_some()
    }
}

/// Whether a browser says that a page of another origin is behind this request.
pub(super) fn is_foreign(request: &Request) -> bool {
    let headers = request.headers();
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let of_origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host.as_bytes());
    of_origin.is_none() || of_origin != host(request)
}

/// Whether the host that a request names is this machine by its own names: `localhost`, or an address, which no name server
/// gives. A request that names none is no browser's.
pub(super) fn names_this_machine(request: &Request) -> bool {
    let Some(named) = host(request) else { return true };
    let Ok(named) = Authority::try_from(named) else { return false };
    let host = named.host().trim_end_matches('.').to_ascii_lowercase();
    let is_local_name = host == "localhost" || host.ends_with(".localhost");
    is_local_name || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// The host that a request names, with its port where it says one: as HTTP/1.1 does, or as HTTP/2.
fn host(request: &Request) -> Option<&[u8]> {
    let of_header = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    of_header.or_else(|| request.uri().authority().map(|authority| authority.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_page_of_another_origin_is_told_by_what_its_browser_sends() {
        for (headers, expected) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false),
            (&[("origin", "http://here.example:8080")], false),
            (&[("origin", "http://here.example")], true),
            (&[("origin", "http://here.example:8080.evil.example")], true),
            (&[("origin", "null")], true),
        ] {
            let mut request = Request::builder().uri("/x").header("host", "here.example:8080");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            assert_eq!(is_foreign(&request.body(Body::empty()).unwrap()), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_machine_is_named_by_its_own_names_and_by_addresses() {
        for (host, expected) in [
            (Some("localhost:8080"), true),
            (Some("LOCALHOST"), true),
            (Some("app.localhost:8080"), true),
            (Some("127.0.0.1:8080"), true),
            (Some("[::1]:8080"), true),
            (None, true),
            (Some("evil.example:8080"), false),
            (Some("localhost.evil.example"), false),
            (Some("127.0.0.1.evil.example"), false),
            (Some(""), false),
            (Some("localhost:8080/"), false),
        ] {
            let request = Request::builder().uri("/x");
            let request = host.into_iter().fold(request, |request, host| request.header("host", host));
            assert_eq!(names_this_machine(&request.body(Body::empty()).unwrap()), expected, "{host:?}");
        }
    }

    #[test]
    fn origins_are_read_as_a_browser_writes_them() {
        let origins = Origins::parse("https://a.example, http://localhost:3000").unwrap();
        let of = |origins: &Origins, origin: &'static str| {
            let headers: HeaderMap = [(header::ORIGIN, HeaderValue::from_static(origin))].into_iter().collect();
            origins.allow(&headers)
        };
        assert!(of(&origins, "https://a.example") && of(&origins, "http://localhost:3000"));
        assert!(!of(&origins, "http://a.example") && !of(&origins, "https://b.a.example") && !of(&origins, "null"));
        assert!(of(&Origins::parse("*").unwrap(), "https://b.example"));
        for text in [
            "",
            "a.example",
            "https://",
            "https://a.example/",
            "https://A.example",
            "https://*.a.example",
            "null",
            "https://a.example,",
        ] {
            assert!(Origins::parse(text).is_err(), "{text:?}");
        }
    }
}
