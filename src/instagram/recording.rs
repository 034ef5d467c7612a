//! Requests and their answers as a run made them, to be played back in the place of the network.
//!
//! A question is answered by the first recorded request of the same endpoint, method and address that was not played
//! yet; else by one that differs in its query alone, which is said. Where there is none, or its answer was not kept, the
//! recording has come to its end: from then on nothing is answered any more ([`FailureKind::NotAsked`]), and
//! [`Recording::end`] says why. What was never recorded is never invented.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};

use super::transport::{Received, no_answer};
use super::wire::{Outcome, Outgoing};
use super::{Failure, FailureKind};

/// The headers of an answer on which its reading depends, beside its body, and the longest value that is kept of one.
const TELLING: [HeaderName; 6] = [
    LOCATION,
    RETRY_AFTER,
    DATE,
    CONTENT_TYPE,
    HeaderName::from_static("x-app-usage"),
    HeaderName::from_static("x-business-use-case-usage"),
];
const LONGEST_HEADER: usize = 4096;

/// Of an answer's headers those on which its reading depends. An address loses its query, which may hold a secret; the
/// date is there for a wait that is one, too; the type of the content where the answer failed, since its failure tells it.
pub(super) fn telling(headers: &HeaderMap, has_failed: bool) -> Vec<(String, String)> {
    let wants_date = headers.contains_key(RETRY_AFTER);
    let mut kept = Vec::new();
    let tells = |name: &HeaderName| (*name != DATE || wants_date) && (*name != CONTENT_TYPE || has_failed);
    for name in TELLING.into_iter().filter(tells) {
        for text in headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()) {
            let text = if name == LOCATION { text.split(['?', '#']).next().unwrap_or_default() } else { text };
            // One that is cut could be read as another.
            if text.len() <= LONGEST_HEADER {
                kept.push((name.as_str().to_owned(), text.to_owned()));
            }
        }
    }
    kept
}

/// A request as it was made and answered.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its number in the run.
    pub seq: i64,
    /// The short name of the endpoint.
    pub endpoint: String,
    /// `GET` or `POST`.
    pub method: String,
    /// The address asked.
    pub url: String,
    /// The HTTP status; `None` where no answer came.
    pub status: Option<u16>,
    /// The headers of the answer on which its reading depends.
    pub headers: Vec<(String, String)>,
    /// From the request to the last byte of the answer.
    pub duration: Duration,
    /// The name of the failure, where there was one.
    pub failure: Option<String>,
    /// What was said of it, where that is known.
    pub said: Option<String>,
    /// What came.
    pub body: RecordedBody,
}

/// The body of a recorded answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedBody {
    /// All of it, which may be nothing.
    Whole(Vec<u8>),
    /// The beginning; there was more than is kept of one.
    Cut(Vec<u8>),
    /// It was not kept, or is not any more.
    NotKept,
}

/// Why a recording answers no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// This was not asked then.
    NeverAsked {
        /// The endpoint.
        endpoint: String,
        /// `GET` or `POST`.
        method: String,
        /// The address.
        url: String,
    },
    /// The answer to this request was not kept, or is not any more.
    NotKept(i64),
    /// Of the answer to this request only the beginning was kept.
    Cut(i64),
}

/// A request that was played back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// Its number in the run.
    pub seq: i64,
    /// The address that is asked now, where it is not the one of then.
    pub asked_now: Option<String>,
}

/// Requests and their answers, each of which is played once.
#[derive(Debug)]
pub struct Recording {
    answers: Vec<Recorded>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of the playing: places in the list of answers.
    played: Vec<(usize, Option<String>)>,
    end: Option<End>,
}

impl Recording {
    /// Of these, in the order in which they were made.
    pub fn new(answers: Vec<Recorded>) -> Self {
        Self { answers, state: Mutex::default() }
    }

    /// What was played so far, in its order.
    pub fn played(&self) -> Vec<Played> {
        let played = |(place, asked_now): &(usize, Option<String>)| {
            Some(Played { seq: self.answers.get(*place)?.seq, asked_now: asked_now.clone() })
        };
        self.lock().played.iter().filter_map(played).collect()
    }

    /// Why it answers no more; `None` while it does.
    pub fn end(&self) -> Option<End> {
        self.lock().end.clone()
    }

    /// The address of the first request, without its query.
    pub(super) fn address(&self) -> Option<Url> {
        let mut url = Url::parse(&self.answers.first()?.url).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    }

    /// Answers a question as it was answered then.
    pub(super) fn answer(&self, asked: &Outgoing<'_>) -> Outcome {
        let found = self.find(asked).and_then(|recorded| recorded.outcome(asked));
        found.unwrap_or_else(|end| {
            let failure = no_answer(asked.endpoint, FailureKind::NotAsked, end.to_string());
            self.lock().end.get_or_insert(end);
            Outcome { received: None, broken: Some(failure), duration: Duration::ZERO }
        })
    }

    fn find(&self, asked: &Outgoing<'_>) -> Result<&Recorded, End> {
        let (endpoint, method, url) = (asked.endpoint, asked.method(), asked.url);
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Err(end.clone());
        }
        let is_left = |place: &usize| state.played.iter().all(|(played, _)| played != place);
        let of_endpoint = |(_, one): &(usize, &Recorded)| one.endpoint == endpoint && one.method == method.as_str();
        let left: Vec<_> =
            self.answers.iter().enumerate().filter(of_endpoint).filter(|(place, _)| is_left(place)).collect();
        let same = left.iter().find(|(_, one)| same_address(&one.url, url, true)).map(|found| (*found, None));
        let alike = || left.iter().find(|(_, one)| same_address(&one.url, url, false));
        let found = same.or_else(|| alike().map(|found| (*found, Some(url.to_string()))));
        let Some(((place, recorded), asked_now)) = found else {
            let (endpoint, method, url) = (endpoint.to_owned(), method.to_string(), url.to_string());
            return Err(End::NeverAsked { endpoint, method, url });
        };
        state.played.push((place, asked_now));
        Ok(recorded)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a recorded address is the one that is asked, wherever the source was then.
fn same_address(recorded: &str, asked: &Url, with_query: bool) -> bool {
    Url::parse(recorded).is_ok_and(|recorded| {
        recorded.path().ends_with(asked.path()) && (!with_query || recorded.query() == asked.query())
    })
}

impl Recorded {
    fn outcome(&self, asked: &Outgoing<'_>) -> Result<Outcome, End> {
        /// What a page is closed with of which the beginning is enough, so that it is not taken for one that broke off.
        const CLOSED: &[u8] = b"</script></html>";
        let body = match &self.body {
            RecordedBody::Whole(body) => body.clone(),
            RecordedBody::Cut(body) if asked.wants_beginning => [body, CLOSED].concat(),
            RecordedBody::Cut(_) => return Err(End::Cut(self.seq)),
            RecordedBody::NotKept => return Err(End::NotKept(self.seq)),
        };
        let received = self.status.map(|status| Received { status, headers: self.headers(), body });
        Ok(Outcome { received, broken: self.broken(asked.endpoint), duration: self.duration })
    }

    fn headers(&self) -> HeaderMap {
        let pairs = self.headers.iter().filter_map(|(name, value)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
        });
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    /// What the network did to it; the rest is told anew by the answer itself.
    fn broken(&self, endpoint: &'static str) -> Option<Failure> {
        let named: Option<FailureKind> = serde_json::from_value(self.failure.as_deref()?.into()).ok();
        let kind = match (named, self.status) {
            (Some(kind @ (FailureKind::TimedOut | FailureKind::TruncatedBody)), _) => kind,
            // A name of another version: what is known is that no answer came.
            (kind, None) => kind.unwrap_or(FailureKind::ConnectionFailed),
            (_, Some(_)) => return None,
        };
        let message = self.said.clone().unwrap_or_else(|| format!("as request {} was recorded", self.seq));
        Some(Failure { status: self.status, ..no_answer(endpoint, kind, message) })
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NeverAsked { endpoint, method, url } => {
                write!(f, "the run did not ask {endpoint} for this, so nobody knows the answer: {method} {url}")
            }
            Self::NotKept(seq) => write!(f, "the answer to request {seq} is not kept"),
            Self::Cut(seq) => write!(f, "of the answer to request {seq} only the beginning is kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(seq: i64, url: &str, body: RecordedBody) -> Recorded {
        Recorded {
            seq,
            endpoint: "feed".to_owned(),
            method: "GET".to_owned(),
            url: url.to_owned(),
            status: Some(200),
            headers: Vec::new(),
            duration: Duration::from_millis(7),
            failure: None,
            said: None,
            body,
        }
    }

    fn whole(text: &str) -> RecordedBody {
        RecordedBody::Whole(text.as_bytes().to_vec())
    }

    fn ask(recording: &Recording, url: &str) -> Result<String, FailureKind> {
        ask_for(recording, url, false)
    }

    fn ask_for(recording: &Recording, url: &str, wants_beginning: bool) -> Result<String, FailureKind> {
        let url = Url::parse(url).unwrap();
        let asked = Outgoing { endpoint: "feed", url: &url, headers: HeaderMap::new(), form: None, wants_beginning };
        let Outcome { received, broken, .. } = recording.answer(&asked);
        match broken {
            Some(failure) => Err(failure.kind),
            None => Ok(String::from_utf8(received.unwrap().body).unwrap()),
        }
    }

    #[test]
    fn each_answer_is_played_once_to_the_question_that_it_was_given_to() {
        let recording = Recording::new(vec![
            recorded(1, "https://a.test/feed?max_id=2", whole("second")),
            recorded(2, "https://a.test/feed", whole("first")),
            recorded(3, "https://a.test/feed", whole("first again")),
        ]);
        // Wherever it stood then.
        assert_eq!(ask(&recording, "http://b.test/feed").unwrap(), "first");
        assert_eq!(ask(&recording, "http://b.test/feed").unwrap(), "first again");
        assert_eq!(ask(&recording, "http://b.test/feed?max_id=3").unwrap(), "second");
        assert_eq!(recording.end(), None);
        let played: Vec<_> = recording.played().into_iter().map(|played| (played.seq, played.asked_now)).collect();
        assert_eq!(played, [(2, None), (3, None), (1, Some("http://b.test/feed?max_id=3".to_owned()))]);
        assert_eq!(ask(&recording, "http://b.test/feed"), Err(FailureKind::NotAsked));
        assert!(matches!(recording.end(), Some(End::NeverAsked { .. })), "{:?}", recording.end());
    }

    #[test]
    fn what_is_not_there_whole_ends_it_and_nothing_is_answered_after_that() {
        let cut = || RecordedBody::Cut(b"<script>".to_vec());
        for (body, end) in [(cut(), End::Cut(4)), (RecordedBody::NotKept, End::NotKept(4))] {
            let recording = Recording::new(vec![
                recorded(4, "https://a.test/feed", body),
                recorded(5, "https://a.test/other", whole("there")),
            ]);
            assert_eq!(ask(&recording, "https://a.test/feed"), Err(FailureKind::NotAsked));
            assert_eq!(ask(&recording, "https://a.test/other"), Err(FailureKind::NotAsked));
            assert_eq!(recording.end(), Some(end));
        }
        let recording = Recording::new(vec![recorded(4, "https://a.test/feed", cut())]);
        let played = ask_for(&recording, "https://a.test/feed", true).unwrap();
        assert_eq!(played, "<script></script></html>", "for its tokens the beginning is enough");
    }

    #[test]
    fn what_the_network_did_is_done_again() {
        for (failure, status, expected) in [
            ("timed_out", None, FailureKind::TimedOut),
            ("connection_failed", None, FailureKind::ConnectionFailed),
            ("truncated_body", Some(200), FailureKind::TruncatedBody),
            ("proxy_refused", None, FailureKind::ProxyRefused),
            ("certificate_refused", None, FailureKind::CertificateRefused),
            ("a name of another version", None, FailureKind::ConnectionFailed),
        ] {
            let one =
                Recorded { failure: Some(failure.to_owned()), status, ..recorded(1, "https://a.test/feed", whole("")) };
            assert_eq!(ask(&Recording::new(vec![one]), "https://a.test/feed"), Err(expected));
        }
    }

    #[test]
    fn of_the_headers_those_are_kept_that_say_something_and_no_query() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/html"),
            ("set-cookie", "csrftoken=secret"),
            ("date", "Sun, 22 Nov 2026 04:16:38 GMT"),
            ("location", "/accounts/login/?next=secret#there"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(telling(&headers, false), [pair("location", "/accounts/login/")]);
        let html = pair("content-type", "text/html");
        assert_eq!(telling(&headers, true), [pair("location", "/accounts/login/"), html]);
        headers.append("retry-after", "30".parse().unwrap());
        headers.append("x-app-usage", "x".repeat(LONGEST_HEADER + 1).parse().unwrap());
        let date = pair("date", "Sun, 22 Nov 2026 04:16:38 GMT");
        assert_eq!(telling(&headers, false), [pair("location", "/accounts/login/"), pair("retry-after", "30"), date]);
    }
}
