//! A post-mortem on one screen.

use std::fmt::{self, Write as _};

use chrono::{DateTime, TimeDelta, Utc};

use super::build::in_words;
use super::report::{Answer, Count, Others, PhaseTime, PostMortem, Request, Share, Step, Way};
use crate::db::runs::RunState;

impl fmt::Display for PostMortem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Screen(f);
        self.head(&mut out)?;
        self.steps(&mut out)?;
        self.beside_the_last_good(&mut out)?;
        self.asked(&mut out)?;
        self.not_read(&mut out)?;
        self.others(&mut out)?;
        for missing in &self.missing {
            out.line(&format!("\nnote: {missing}"))?;
        }
        let run = self.run_id;
        write!(out.0, "\nmore: ig-tracking runs show {run} · runs replay {run} · runs post-mortem {run} --bundle FILE")
    }
}

/// Where lines go. What came from outside cannot move a terminal.
struct Screen<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Screen<'_, '_> {
    fn line(&mut self, text: &str) -> fmt::Result {
        for line in text.split('\n') {
            writeln!(self.0, "{}", line.replace(char::is_control, " "))?;
        }
        Ok(())
    }

    fn named(&mut self, name: &str, text: &str) -> fmt::Result {
        self.line(&format!("{name:<9} {}", text.replace('\n', " ")))
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn clock(at: DateTime<Utc>) -> String {
    at.format("%H:%M:%S%.3f").to_string()
}

impl PostMortem {
    fn head(&self, out: &mut Screen<'_, '_>) -> fmt::Result {
        let (kind, source, trigger) = (self.kind.as_str(), self.source.as_str(), self.trigger.as_str());
        out.named("run", &format!("{} ({kind} of @{}, source {source}, by {trigger})", self.run_id, self.username))?;
        out.named("task", self.task_id.as_str())?;
        let reason = self.reason.map_or_else(String::new, |reason| format!(", reason {}", reason.as_str()));
        let when = match (self.finished_at, self.started_at) {
            (Some(finished), started) => {
                let took = in_words(finished.0 - started.unwrap_or(self.requested_at).0);
                format!(" at {} after {took}", time(finished.0))
            }
            (None, Some(started)) => format!(", begun at {}, to end by {}", time(started.0), time(self.deadline_at.0)),
            (None, None) => format!(", asked for at {}", time(self.requested_at.0)),
        };
        out.named("state", &format!("{}{reason}{when}, attempt {}", self.state.as_str(), self.attempt))?;
        out.named("what", &self.summary)?;
        if let Some(place) = self.place() {
            out.named("where", &place)?;
        }
        if let Some(way) = self.way.as_ref().and_then(way) {
            out.named("after", &way)?;
        }
        if let Some(advice) = self.advice {
            out.named("means", advice.meaning)?;
            out.named("do", advice.action)?;
        }
        Ok(())
    }

    /// The stage, the request and the event.
    fn place(&self) -> Option<String> {
        let mut parts: Vec<String> = self.stage.map(|stage| format!("stage {stage}")).into_iter().collect();
        if let Some(failure) = &self.failure {
            let number = failure.request.map_or_else(String::new, |request| format!(" {request}"));
            let with = failure.credential.as_ref().map_or_else(String::new, |name| format!(" with {name}"));
            let status = failure.http_status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            parts.push(format!("request{number}, {}{with}: {status}, {}", failure.endpoint, failure.name));
            parts.push(format!("event {}", failure.seq));
        } else if let Some(unread) = &self.unread {
            let answer =
                unread.answer.as_ref().map(|answer| format!("request {}, {}", answer.request, answer.endpoint));
            parts.extend(answer);
            parts.extend(unread.fields.first().map(|field| format!("event {}", field.seq)));
        }
        (!parts.is_empty()).then(|| parts.join(" · "))
    }

    fn steps(&self, out: &mut Screen<'_, '_>) -> fmt::Result {
        if self.last_steps.is_empty() {
            return Ok(());
        }
        out.line("\nlast steps")?;
        for Step { seq, at, event_type, message, .. } in &self.last_steps {
            out.line(&format!("  {seq:>4}  {}  {event_type:<20} {}", clock(at.0), message.replace('\n', " ")))?;
        }
        Ok(())
    }

    fn beside_the_last_good(&self, out: &mut Screen<'_, '_>) -> fmt::Result {
        let good = self.last_good.map_or_else(
            || "no run of the task succeeded before".to_owned(),
            |good| format!("last good: {}, {}", good.run_id, time(good.finished_at.0)),
        );
        out.line(&format!("\n{:<18} {:>10} {:>10}   {good}", "where time went", "this run", "last good"))?;
        for PhaseTime { phase, seconds, last_good_seconds } in &self.phases {
            let (here, there) = (seconds_or_none(*seconds), seconds_or_none(*last_good_seconds));
            out.line(&format!("  {:<16} {here:>10} {there:>10}", phase.as_str()))?;
        }
        out.line("what it has")?;
        for Count { of, count, last_good_count } in &self.counts {
            let or_none = |count: &Option<i64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
            let (here, there) = (or_none(count), or_none(last_good_count));
            out.line(&format!("  {:<16} {here:>10} {there:>10}", of.replace('_', " ")))?;
        }
        Ok(())
    }

    fn asked(&self, out: &mut Screen<'_, '_>) -> fmt::Result {
        let requests = &self.requests;
        if requests.count == 0 {
            return out.line("\nno requests");
        }
        let shown = requests.latest.len();
        let failed = match requests.failed {
            Some(failed) => format!("{failed} failed"),
            None => "how many failed is not known any more".to_owned(),
        };
        let (count, attempt) = (requests.count, self.attempt);
        out.line(&format!("\nrequests: {count} in all, {failed}; of attempt {attempt} the latest {shown}"))?;
        for Request { seq, at, credential, endpoint, http_status, duration_ms, bytes, failure, has_body } in
            &requests.latest
        {
            out.line(&format!(
                "  {seq:>4}  {}  {endpoint:<18} {:>4} {duration_ms:>8.0} ms {bytes:>9} B  {}{}{}",
                clock(at.0),
                http_status.map_or_else(|| "–".to_owned(), |status| status.to_string()),
                failure.as_deref().unwrap_or("ok"),
                credential.as_ref().map_or_else(String::new, |name| format!("  with {name}")),
                if *has_body { "  (body kept)" } else { "" },
            ))?;
        }
        Ok(())
    }

    fn not_read(&self, out: &mut Screen<'_, '_>) -> fmt::Result {
        let Some(unread) = &self.unread else { return Ok(()) };
        if !unread.fields.is_empty() {
            out.line("\ncould not be read")?;
        }
        for field in &unread.fields {
            let words = format!("{} should be {}, found {}", field.path, field.expected, field.found);
            out.line(&format!("  event {}: {}", field.seq, words.replace('\n', " ")))?;
            if let Some(place) = &field.last_there {
                out.line(&format!("    at {place} there is {}", field.names_there.join(", ")))?;
            }
        }
        let Some(Answer { request, endpoint, bytes, kept_bytes, first_lines, command }) = &unread.answer else {
            return Ok(());
        };
        let of = if i64::try_from(*kept_bytes).is_ok_and(|kept| kept < *bytes) {
            format!("{kept_bytes} of {bytes} bytes are kept")
        } else {
            format!("{bytes} bytes")
        };
        out.line(&format!("\nanswer to request {request}, {endpoint}: {of}; all of it: {command}"))?;
        first_lines.iter().try_for_each(|line| out.line(&format!("  | {line}")))
    }

    fn others(&self, out: &mut Screen<'_, '_>) -> fmt::Result {
        let (Some(reason), Some(others)) = (self.reason, &self.others) else { return Ok(()) };
        let Others { since, until, count, is_exact, by_task, by_credential, by_source } = others;
        let at_least = if *is_exact { "" } else { "at least " };
        let from_to = format!("{} to {}", since.0.format("%H:%M"), until.0.format("%H:%M UTC"));
        let mut words = format!("\nothers with {} from {from_to}: {at_least}{count}", reason.as_str());
        if *count == 0 && !matches!(self.state, RunState::Queued | RunState::Running) {
            words.push_str("; it is this run's alone");
        }
        out.line(&words)?;
        for (name, shares) in [("tasks", by_task), ("credentials", by_credential), ("sources", by_source)] {
            if !shares.is_empty() {
                out.line(&format!("  {name:<12} {}", listed(shares)))?;
            }
        }
        Ok(())
    }
}

fn listed(shares: &[Share]) -> String {
    let parts: Vec<String> = shares.iter().map(|Share { name, count }| format!("{name} {count}")).collect();
    parts.join(", ")
}

fn seconds_or_none(seconds: Option<f64>) -> String {
    let time = |seconds: f64| in_words(TimeDelta::milliseconds((seconds * 1000.0).round() as i64));
    seconds.map_or_else(|| "–".to_owned(), time)
}

/// What it met; `None` where all went straight.
fn way(way: &Way) -> Option<String> {
    let Way { waits, waited_seconds, lost_workers, hand_overs, credential_changes, lists_restarted, events_dropped } =
        *way;
    let mut words = String::new();
    let mut add = |count: usize, one: &str, many: &str| {
        if count > 0 {
            let comma = if words.is_empty() { "" } else { ", " };
            // Writing into a text cannot fail.
            let _ = write!(words, "{comma}{count} {}", if count == 1 { one } else { many });
        }
    };
    let waited = seconds_or_none(Some(waited_seconds));
    add(waits, &format!("wait of {waited}"), &format!("waits of {waited} together"));
    add(lost_workers, "lost worker", "lost workers");
    add(hand_overs, "hand-over", "hand-overs");
    add(credential_changes, "change of credential", "changes of credential");
    add(lists_restarted, "list read anew", "lists read anew");
    add(usize::try_from(events_dropped).unwrap_or(usize::MAX), "event dropped", "events dropped");
    (!words.is_empty()).then_some(words)
}
