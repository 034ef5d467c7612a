//! How much of what the source allows is used up, as two headers of its answers say.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::instagram::reader::{Field, Notes};
use crate::instagram::{Unread, Usage};

/// The whole app's calls, and the time that they took.
const APP: &str = "x-app-usage";

/// The same of each business, and when it may ask again.
const BUSINESS: &str = "x-business-use-case-usage";

/// The figures of both, each in percent of what is allowed.
const FIGURES: [&str; 3] = ["call_count", "total_cputime", "total_time"];

/// The wait of a business, in minutes.
const REGAINED_IN: &str = "estimated_time_to_regain_access";

/// The longest wait that is believed, in minutes: a week.
const LONGEST_WAIT: u64 = 7 * 24 * 60;

/// The usage that the headers tell; `None` where they tell none, which is not zero. What cannot be read of them is no
/// loss to any account, and news all the same.
pub(super) fn usage(headers: &HeaderMap) -> (Option<Usage>, Vec<Unread>) {
    let notes = Notes::default();
    let mut told = Told::default();
    for (header, path) in [(APP, APP), (BUSINESS, BUSINESS)] {
        for value in headers.get_all(header) {
            match serde_json::from_slice::<Value>(value.as_bytes()) {
                Ok(value) => told.take(&Field::part(&value, path, &notes)),
                Err(_) => notes.add(path, "JSON", String::from_utf8_lossy(value.as_bytes())),
            }
        }
    }
    let unread = notes.into_unread().into_iter().map(|unread| Unread { is_loss: false, ..unread });
    (told.usage(), unread.collect())
}

#[derive(Default)]
struct Told {
    percent: Option<f64>,
    minutes: Option<u64>,
}

impl Told {
    /// Takes the figures of an app, or of every business in a map of lists.
    fn take(&mut self, field: &Field<'_>) {
        let Some(Value::Object(map)) = field.value() else {
            field.unreadable::<()>("an object of figures");
            return;
        };
        if map.values().any(Value::is_array) {
            map.keys().for_each(|id| field.at(id).items().iter().for_each(|of_one| self.figures(of_one)));
        } else {
            self.figures(field);
        }
    }

    fn figures(&mut self, of: &Field<'_>) {
        for figure in FIGURES {
            let field = of.at(figure);
            let Some(value) = field.value() else { continue };
            match value.as_f64().filter(|percent| percent.is_finite() && *percent >= 0.0) {
                Some(percent) => self.percent = Some(self.percent.map_or(percent, |known| known.max(percent))),
                None => drop(field.unreadable::<()>("a percentage")),
            }
        }
        let wait = of.at(REGAINED_IN);
        let Some(value) = wait.value() else { return };
        match value.as_f64().filter(|minutes| minutes.is_finite() && *minutes >= 0.0) {
            // Nothing was lost.
            Some(0.0) => {}
            Some(minutes) => self.minutes = self.minutes.max(Some((minutes.ceil() as u64).min(LONGEST_WAIT))),
            None => drop(wait.unreadable::<()>("minutes")),
        }
    }

    fn usage(self) -> Option<Usage> {
        let regained_in = self.minutes.map(|minutes| Duration::from_secs(minutes * 60));
        // Who has to wait for access has none, whatever else is told.
        let percent = self.percent.or(regained_in.map(|_| 100.0))?;
        Some(Usage { percent, regained_in })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &'static str)]) -> (Option<Usage>, Vec<Unread>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        usage(&map)
    }

    fn of(percent: f64, minutes: Option<u64>) -> Option<Usage> {
        Some(Usage { percent, regained_in: minutes.map(|minutes| Duration::from_secs(60 * minutes)) })
    }

    #[test]
    fn the_highest_of_all_figures_counts_and_waits_are_in_minutes() {
        let app = (APP, r#"{"call_count":28,"total_time":25,"total_cputime":31.5}"#);
        let business = (
            BUSINESS,
            r#"{"178":[{"type":"instagram","call_count":7,"total_cputime":3,"estimated_time_to_regain_access":0}],"179":[{"call_count":100,"estimated_time_to_regain_access":19},{"total_time":84}]}"#,
        );
        assert_eq!(read(&[app]), (of(31.5, None), vec![]));
        assert_eq!(read(&[app, business]), (of(100.0, Some(19)), vec![]));
        assert_eq!(
            read(&[(BUSINESS, r#"{"1":[{"estimated_time_to_regain_access":5}]}"#)]),
            (of(100.0, Some(5)), vec![])
        );
    }

    #[test]
    fn absent_is_not_zero_and_what_cannot_be_read_is_news_without_a_loss() {
        assert_eq!(read(&[]), (None, vec![]));
        assert_eq!(read(&[(APP, "{}")]), (None, vec![]));
        assert_eq!(read(&[(APP, r#"{"call_count":null}"#)]), (None, vec![]));
        for (value, path) in [
            ("no JSON", "x-app-usage"),
            ("[1]", "x-app-usage"),
            (r#"{"call_count":"many"}"#, "x-app-usage.call_count"),
            (r#"{"call_count":-1}"#, "x-app-usage.call_count"),
            (r#"{"178":[{"call_count":{}}]}"#, "x-app-usage.178[0].call_count"),
        ] {
            let (usage, unread) = read(&[(APP, value)]);
            assert_eq!((usage, unread.len()), (None, 1), "{value}");
            assert_eq!((unread[0].path.as_str(), unread[0].is_loss), (path, false));
        }
        let (usage, unread) = read(&[(APP, r#"{"call_count":"many","total_time":40}"#)]);
        assert_eq!((usage, unread.len()), (of(40.0, None), 1), "the rest is still used");
    }
}
