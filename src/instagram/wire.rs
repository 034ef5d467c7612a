//! What a request goes out on: the network, or a recording of how it was answered once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use super::Failure;
use super::recording::Recording;
use super::transport::{Line, Received};

/// Where requests go.
pub(super) enum Wire {
    /// Out.
    Network(Line),
    /// Nowhere: each is answered as it was.
    Recording(Arc<Recording>),
}

/// A request to be sent.
pub(super) struct Outgoing<'a> {
    pub(super) endpoint: &'static str,
    pub(super) url: &'a Url,
    pub(super) headers: HeaderMap,
    /// A form makes it a POST.
    pub(super) form: Option<&'a [(&'static str, String)]>,
    /// Whether the beginning of the answer is enough: of a page that is loaded for its tokens nothing else is read.
    pub(super) wants_beginning: bool,
}

impl Outgoing<'_> {
    pub(super) fn method(&self) -> Method {
        if self.form.is_some() { Method::POST } else { Method::GET }
    }
}

/// What became of a request.
pub(super) struct Outcome {
    /// The answer, as far as it came.
    pub(super) received: Option<Received>,
    /// Why it did not come whole.
    pub(super) broken: Option<Failure>,
    /// From the request to the last byte.
    pub(super) duration: Duration,
}

impl Wire {
    /// Sends a request and reads its answer, as far as either goes.
    pub(super) async fn send(&self, outgoing: Outgoing<'_>) -> Outcome {
        let line = match self {
            Self::Network(line) => line,
            Self::Recording(recording) => return recording.answer(&outgoing),
        };
        let method = outgoing.method();
        // Nothing of it is kept while the answer is waited for.
        let Outgoing { endpoint, url, headers, form, .. } = outgoing;
        let mut request = line.request(method, url.clone()).headers(headers);
        if let Some(form) = form {
            request = request.form(form);
        }
        let started = Instant::now();
        let (received, broken) = line.receive(endpoint, request).await;
        Outcome { received, broken, duration: started.elapsed() }
    }
}
