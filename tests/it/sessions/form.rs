//! What stays the same of what a command prints, from one time to the next.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

/// The form of what was printed.
#[derive(Debug, PartialEq)]
pub(super) struct Form {
    /// Lines without what differs from one time to the next.
    lines: Vec<String>,
    /// Of JSON every path, with the type of what stands there.
    json: BTreeMap<String, &'static str>,
}

impl Form {
    /// Whether it is the same but for what the one tells and the other tells as null: what an account does not tell, and
    /// which that is differs from day to day.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.lines == other.lines
            && self.json.len() == other.json.len()
            && self.json.iter().zip(&other.json).all(|((path, kind), (known, as_known))| {
                path == known && (kind == as_known || [kind, as_known].contains(&&"null"))
            })
    }
}

pub(super) fn form(printed: &str) -> Form {
    let printed = printed.replace('\r', "");
    let printed = printed.as_str();
    // An answer with its head has a blank line before its body.
    let (head, body) = match printed.split_once("\n\n") {
        Some((head, body)) if head.starts_with("HTTP/") => (head, body),
        _ => ("", printed),
    };
    let mut form = Form { lines: head.lines().map(without_values).collect(), json: BTreeMap::new() };
    match serde_json::from_str(body.trim()) {
        Ok(json @ (Value::Object(_) | Value::Array(_))) => paths(&json, "", &mut form.json),
        _ => {
            for line in body.trim_end().lines() {
                let (name, json) =
                    line.split_once('{').map_or((line, None), |(name, rest)| (name, Some(format!("{{{rest}"))));
                match json.and_then(|json| serde_json::from_str::<Value>(&json).ok()) {
                    Some(json) => paths(&json, name, &mut form.json),
                    None => form.lines.push(without_values(line)),
                }
            }
            // How many there are of the same is chance.
            form.lines.dedup();
        }
    }
    form
}

fn paths(value: &Value, path: &str, into: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(items) => {
            items.iter().for_each(|item| paths(item, &format!("{path}[]"), into));
            "a list"
        }
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| paths(value, &format!("{path}.{key}"), into));
            "an object"
        }
    };
    into.insert(path.to_owned(), kind);
}

fn without_values(line: &str) -> String {
    let values = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
        (r"igt_\S+", "<key>"),
        (r"\bkey [a-z0-9]{12}\b|revoke [a-z0-9]{12}\b", "key <id>"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "<time>"),
        (r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d{4} [0-9:]+ GMT", "<date>"),
        (r#""\d+-[0-9a-f]+""#, "<tag>"),
        (r"\bW[A-Za-z0-9_-]{3,}", "<cursor>"),
        (r"\d+(\.\d+)?", "0"),
    ];
    values
        .into_iter()
        .fold(line.to_owned(), |line, (value, name)| Regex::new(value).unwrap().replace_all(&line, name).into_owned())
}
