//! The forms in which a log is told, a page at a time or whole: JSON, a JSON object a line, or lines for a person.

use std::io::Write as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::error::ApiError;
use super::accept;
use super::run::Event;
use crate::db::event_lists::{self, Filter, Place};
use crate::db::{Pool, RunId};

/// How many hits there are, and where the next page begins: for the forms that have no other place for it.
const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");

/// How many events of a log that is told whole are in memory at a time.
const PORTION: i64 = 200;

/// A page of a run's log.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct EventPage {
    /// What is on the page, in the order that was asked for.
    pub(super) items: Vec<Event>,
    /// How many events the filters let through, on this page and all others, whatever `after`, `before`, `offset` and
    /// `cursor` say.
    #[schema(minimum = 0, example = 15)]
    pub(super) total: i64,
    /// Where the next page begins, to be sent as `cursor`; null on the last page.
    #[schema(required = true, example = "WzE1XQ")]
    pub(super) next_cursor: Option<String>,
}

/// A form in which a log is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object.
    Json,
    /// A JSON object a line.
    Lines,
    /// A line of text an event.
    Text,
}

impl Form {
    /// The one that the client likes best.
    pub(super) fn accepted(headers: &HeaderMap) -> Result<Self, ApiError> {
        accept::best(
            headers,
            &[("application/json", Self::Json), ("application/x-ndjson", Self::Lines), ("text/plain", Self::Text)],
        )
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    fn file_ending(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Lines => "ndjson",
            Self::Text => "txt",
        }
    }

    /// Writes an event; `is_first`: of all that are told in one answer.
    fn write(self, event: &Event, is_first: bool, out: &mut Vec<u8>) {
        if self == Self::Json && !is_first {
            out.push(b',');
        }
        // Writing into memory cannot fail, and an event has no form that is not JSON.
        let _ = match self {
            Self::Json | Self::Lines => serde_json::to_writer(&mut *out, event).map_err(std::io::Error::from),
            Self::Text => write_line(event, out),
        };
        if self != Self::Json {
            out.push(b'\n');
        }
    }
}

/// An event on one line, whatever its message has in it.
fn write_line(event: &Event, out: &mut Vec<u8>) -> std::io::Result<()> {
    let at = event.at.0.to_rfc3339_opts(SecondsFormat::Micros, true);
    let message = event.message.replace(char::is_control, " ");
    write!(out, "{:>5}  {at}  {:<7}  {:<20}  {message}", event.seq, event.level.as_str(), event.event_type)
}

/// A page in a form.
pub(super) fn page(form: Form, page: &EventPage) -> Response {
    let mut body = Vec::new();
    if form == Form::Json {
        // Its parts are always JSON.
        body = serde_json::to_vec(page).unwrap_or_default();
    } else {
        page.items.iter().for_each(|event| form.write(event, false, &mut body));
    }
    let mut answer = Body::from(body).into_response();
    say(answer.headers_mut(), form, page.total);
    if let Some(Ok(cursor)) = page.next_cursor.as_ref().map(HeaderValue::try_from) {
        answer.headers_mut().insert(NEXT_CURSOR, cursor);
    }
    answer
}

fn say(headers: &mut HeaderMap, form: Form, total: i64) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(TOTAL_COUNT, HeaderValue::from(total));
}

/// A log that is told whole, as far as it goes now: read and sent a portion at a time.
pub(super) struct Whole {
    pub(super) pool: Pool,
    pub(super) run_id: RunId,
    pub(super) filter: Filter,
    /// What is left to be read of it.
    pub(super) place: Place,
    pub(super) total: i64,
    pub(super) form: Form,
}

/// How far it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Some,
    All,
}

/// A file to be saved; `None` where the log is there no more.
pub(super) async fn download(mut whole: Whole) -> sqlx::Result<Option<Response>> {
    let (form, total) = (whole.form, whole.total);
    let name = format!("attachment; filename=\"run-{}.{}\"", whole.run_id, form.file_ending());
    let Some((first, told)) = whole.next(Told::Nothing).await? else { return Ok(None) };
    // Whoever reads an answer that breaks off is told so by its end that does not come.
    let further = stream::try_unfold((whole, told), |(mut whole, told)| async move {
        if told == Told::All {
            return Ok(None);
        }
        let next = whole.next(told).await.and_then(|next| next.ok_or(sqlx::Error::RowNotFound));
        let (portion, told) = next.inspect_err(|error| {
            tracing::warn!(%error, run_id = %whole.run_id, "a download broke off");
        })?;
        Ok(Some((portion, (whole, told))))
    });
    let portions = stream::once(async { Ok::<_, sqlx::Error>(first) }).chain(further);
    let mut answer = Body::from_stream(portions).into_response();
    say(answer.headers_mut(), form, total);
    if let Ok(name) = HeaderValue::try_from(name) {
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(Some(answer))
}

impl Whole {
    /// The next portion, and how far it goes; `None` where the log is there no more.
    async fn next(&mut self, told: Told) -> sqlx::Result<Option<(Bytes, Told)>> {
        let wanted = Place { limit: self.place.limit.min(PORTION), ..self.place };
        let events = event_lists::of_run(&self.pool.for_request(), self.run_id, &self.filter, wanted).await?;
        let Some(events) = events else { return Ok(None) };
        let is_last = (events.len() as i64) < wanted.limit || wanted.limit == self.place.limit;
        self.place.limit -= events.len() as i64;
        self.place.offset = 0;
        if let Some(last) = events.last() {
            match self.place.newest_first {
                true => self.place.before = last.seq,
                false => self.place.after = last.seq,
            }
        }
        let mut portion = Vec::new();
        if told == Told::Nothing && self.form == Form::Json {
            portion.extend_from_slice(br#"{"items":["#);
        }
        for (place, event) in events.into_iter().enumerate() {
            self.form.write(&event.into(), told == Told::Nothing && place == 0, &mut portion);
        }
        if is_last && self.form == Form::Json {
            // Writing into memory cannot fail.
            let _ = write!(portion, r#"],"total":{},"next_cursor":null}}"#, self.total);
        }
        Ok(Some((portion.into(), if is_last { Told::All } else { Told::Some })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::journal::Level;
    use crate::db::status;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let event = status::Event {
            seq: 7,
            at: chrono::DateTime::UNIX_EPOCH,
            level: Level::Warning,
            event_type: "rate_limited".to_owned(),
            message: "two\nlines\r\u{1b}[31m".to_owned(),
            fields: r#"{"a":"\n"}"#.to_owned(),
        };
        let told = |form: Form| {
            let mut out = Vec::new();
            form.write(&event.clone().into(), true, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            told(Form::Text),
            "    7  1970-01-01T00:00:00.000000Z  warning  rate_limited          two lines  [31m\n"
        );
        assert_eq!(told(Form::Lines).matches('\n').count(), 1);
        assert_eq!(told(Form::Lines).trim_end(), told(Form::Json));
    }
}
