//! Which of the content types that a path gives a client would rather have (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

use super::super::error::ApiError;
use super::super::problem::ProblemType;

/// The first of those offered that the client likes best; without an `Accept` header the first of all.
pub(super) fn best<T: Copy>(headers: &HeaderMap, offered: &[(&str, T)]) -> Result<T, ApiError> {
    let accepted: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<Range<'_>> = accepted.iter().flat_map(|list| list.split(',')).filter_map(Range::read).collect();
    let none_is_named = !headers.contains_key(header::ACCEPT) || accepted.iter().all(|list| list.trim().is_empty());
    let mut best: Option<(u16, T)> = None;
    for (content_type, what) in offered {
        let quality = if none_is_named { 1000 } else { quality(&ranges, content_type) };
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, *what));
        }
    }
    best.map(|(_, what)| what).ok_or_else(|| {
        let offered: Vec<_> = offered.iter().map(|(content_type, _)| *content_type).collect();
        let detail = format!("Accept names nothing that is given here; there is {}", offered.join(", "));
        ApiError::new(ProblemType::NotAcceptable, detail)
    })
}

/// How much a content type is liked, in thousandths: what the range says that fits it most narrowly.
fn quality(ranges: &[Range<'_>], content_type: &str) -> u16 {
    let fitting =
        ranges.iter().filter_map(|range| range.fits(content_type).map(|narrowness| (narrowness, range.quality)));
    fitting.max_by_key(|(narrowness, _)| *narrowness).map_or(0, |(_, quality)| quality)
}

/// An entry of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: u16,
}

impl<'a> Range<'a> {
    /// What is no entry is passed over.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut quality = 1000;
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            if name.trim().eq_ignore_ascii_case("q") {
                let given: f32 = value.trim().parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
                quality = (given * 1000.0).round() as u16;
            }
        }
        Some(Self { kind, subtype, quality })
    }

    /// How narrowly it fits: by the whole name, by its first half, as any does, or not at all.
    fn fits(&self, content_type: &str) -> Option<u8> {
        let (kind, subtype) = content_type.split_once('/')?;
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (of, "*") if of.eq_ignore_ascii_case(kind) => Some(1),
            (of, name) if of.eq_ignore_ascii_case(kind) && name.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_is_given_and_of_equals_the_first() {
        let offered = [("application/json", 'j'), ("application/x-ndjson", 'n'), ("text/plain", 't')];
        for (accept, expected) in [
            (None, Some('j')),
            (Some(""), Some('j')),
            (Some("*/*"), Some('j')),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some('j')),
            (Some("text/plain"), Some('t')),
            (Some("TEXT/Plain; charset=utf-8"), Some('t')),
            (Some("text/*;q=0.5, application/x-ndjson;q=0.4"), Some('t')),
            (Some("text/plain;q=0.1, application/json;q=0.2"), Some('j')),
            (Some("application/json;q=0, */*"), Some('n')),
            (Some("application/json;q=0, application/*;q=0.2, text/plain;q=0.1"), Some('n')),
            (Some("application/x-ndjson ; Q=1.0 , */* ; q=0.1"), Some('n')),
            (Some("image/png"), None),
            (Some("*/*;q=0"), None),
            (Some("nonsense"), None),
            (Some("application/json;q=nonsense, text/plain;q=0.1"), Some('t')),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(best(&headers, &offered).ok(), expected, "{accept:?}");
        }
    }
}
