//! What a filter lets through of events that are not rows: the same as of rows.
//!
//! What is exact is decided here. Which letters are the same but for their case, the database alone knows (it depends on
//! its locale), so it is asked about the texts that could have what is looked for.

use chrono::{DateTime, Utc};
use regex::bytes::{Regex, RegexBuilder};
use sqlx::PgExecutor;

use super::event_lists::{Filter, Terms};
use super::index;
use super::status::Event;

/// A filter, ready for many events.
pub(super) struct Sieve<'f> {
    terms: Terms<'f>,
    since: Option<i64>,
    until: Option<i64>,
    /// What is looked for where it is ASCII, in any case.
    text: Option<Regex>,
}

impl<'f> Sieve<'f> {
    pub(super) fn of(filter: &'f Filter) -> Self {
        let (since, until) = (filter.since.map(micros), filter.until.map(micros));
        let text = filter.text.as_ref().filter(|text| text.is_ascii()).and_then(|text| {
            RegexBuilder::new(&regex::escape(text)).case_insensitive(true).unicode(false).build().ok()
        });
        Self { terms: filter.terms(), since, until, text }
    }

    /// What it lets through, in its order.
    pub(super) async fn sift<T>(
        &self,
        db: impl PgExecutor<'_>,
        mut found: Vec<T>,
        event: impl Fn(&T) -> &Event,
    ) -> sqlx::Result<Vec<T>> {
        found.retain(|found| self.could_let(event(found)));
        let Some(pattern) = self.terms.pattern.as_deref().filter(|_| !found.is_empty()) else { return Ok(found) };
        let messages: Vec<_> = found.iter().map(|found| event(found).message.as_str()).collect();
        let fields: Vec<_> = found.iter().map(|found| event(found).fields.as_str()).collect();
        let let_through = sqlx::query_scalar!(
            r#"
            select n as "n!" from unnest($1::text[], $2::text[]) with ordinality as e (message, fields, n)
            where e.message ilike $3 or e.fields ilike $3
            "#,
            &messages as &[&str],
            &fields as &[&str],
            pattern,
        )
        .fetch_all(db)
        .await?;
        let mut has_it = vec![false; found.len()];
        let_through.into_iter().for_each(|n| has_it[index(n)] = true);
        let mut has_it = has_it.into_iter();
        found.retain(|_| has_it.next() == Some(true));
        Ok(found)
    }

    /// Whether it lets an event through but for its text, and whether that could have what is looked for.
    ///
    /// In any locale, two letters of ASCII that are the same to `ilike` are the same but for their case; what else is the
    /// same as one of them (K, the sign of kelvins, say) the database is asked.
    pub(super) fn could_let(&self, event: &Event) -> bool {
        let Terms { types, levels, reasons, .. } = &self.terms;
        let could_have =
            |text: &str| self.text.as_ref().is_none_or(|wanted| !text.is_ascii() || wanted.is_match(text.as_bytes()));
        let at = event.at.timestamp_micros();
        types.is_none_or(|types| types.contains(&event.event_type))
            && levels.as_ref().is_none_or(|levels| levels.contains(&event.level.as_str()))
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && reasons.as_ref().is_none_or(|reasons| reason(event).is_some_and(|r| reasons.contains(&r.as_str())))
            && (could_have(&event.message) || could_have(&event.fields))
    }
}

/// The reason that an event names, as `fields ->> 'reason'` gives it where it is a text: others are no reason's name.
pub(super) fn reason(event: &Event) -> Option<String> {
    if !event.fields.contains("reason") {
        return None;
    }
    let fields: serde_json::Value = serde_json::from_str(&event.fields).ok()?;
    fields.get("reason")?.as_str().map(str::to_owned)
}

/// A time as the database has it: to the microsecond before.
fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}
