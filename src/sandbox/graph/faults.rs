//! What goes wrong with the official source and with nothing else, by name. The names of `fault` hold here, too, where
//! they mean something: `missing`, `private`, `throttled`, `broken`, `hidden`, `looping` and others.

use serde_json::{Map, Value, json};

use crate::sandbox::endpoint::{DISCOVERY, Endpoint};
use crate::sandbox::fault::{Fault, FaultName};
use crate::sandbox::scene::Scene;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::sandbox) enum GraphFault {
    /// This code, which says to wait; the number is the wait in seconds.
    Throttled(i64),
    /// This code and subcode.
    Refused(i64, i64),
    /// Code 190 with the number as its subcode.
    Token,
    /// The number is the code.
    Permission,
    /// An error that says itself that it passes.
    Transient,
    /// Code 100 while a field is asked for that can be missed, without a word on which.
    OptionalFields,
    /// Code 100 while `view_count` is asked for, by its name.
    UnknownField,
    /// Code 100 while `caption` is asked for, by its name.
    CaptionRefused,
    /// Code 100 for any cursor.
    StaleCursor,
    /// Fields of other types.
    Retyped,
    /// Fields that are always told are not.
    Dropped,
    /// So much is used up.
    Usage,
    /// No word on how much is used up.
    NoUsage,
    /// Usage that cannot be read.
    OddUsage,
}

use GraphFault::*;

const ALL: &[Endpoint] = DISCOVERY;

const fn row(name: &'static str, fault: GraphFault, about: &'static str) -> FaultName {
    FaultName::of_graph(name, Fault::Graph(fault), ALL, about)
}

const WAIT: &str = "the wait in seconds; 0 tells none, less than 60 goes by Retry-After and not by the usage";

/// The table, joined to that of the web source.
pub(in crate::sandbox) static TABLE: &[FaultName] = &[
    row("appthrottled", Throttled(4), "code 4: the app asks too often").number(WAIT, 60),
    row("userthrottled", Throttled(17), "code 17: the user asks too often").number(WAIT, 60),
    row("pagethrottled", Throttled(32), "code 32: the page asks too often").number(WAIT, 60),
    row("callthrottled", Throttled(613), "code 613: this call is made too often").number(WAIT, 60),
    row("bizthrottled", Throttled(80_002), "code 80002: the business asks too often").number(WAIT, 60),
    row("applimit", Throttled(341), "code 341: the app's limit is reached").number(WAIT, 60),
    row("unknownerror", Refused(1, 0), "code 1: an error that may pass"),
    row("serviceerror", Refused(2, 0), "code 2: the service is away for a while"),
    row("transient", Transient, "an error of no known code that says is_transient"),
    row("policyblock", Refused(368, 0), "code 368: blocked for a breach of policy"),
    row("badtoken", Token, "code 190: the token is not taken").number("subcode: 458, 459, 460, 463, 464 or 467", 463),
    row("badsession", Refused(102, 463), "code 102: the session behind the token is over"),
    row("denied", Refused(10, 0), "code 10: the app may not do this"),
    row("incapable", Refused(3, 0), "code 3: the app cannot do this"),
    row("notgranted", Permission, "a permission is missing").number("code, from 200 to 299", 200),
    row(
        "personal",
        Refused(110, 2_207_013),
        "a personal account: code 110, subcode 2207013, as for one that is not there",
    ),
    row("undiscovered", Refused(100, 2_207_013), "the same as code 100, subcode 2207013"),
    row("fieldlist", Refused(100, 0), "code 100 for any list of fields"),
    row("optionalfields", OptionalFields, "code 100 while name, profile_picture_url or follows_count is asked for"),
    row("unknownfield", UnknownField, "code 100 that names view_count, while it is asked for"),
    row("captionrefused", CaptionRefused, "code 100 that names caption, while it is asked for"),
    row("stalecursor", StaleCursor, "code 100 for any cursor"),
    row("retyped", Retyped, "counts and captions are objects, times numbers and ids lists"),
    row("dropped", Dropped, "followers_count, timestamp and media_type are not told"),
    row("usage", Usage, "right answers that say how much is used up").number("percent", 90),
    row("nousage", NoUsage, "right answers without a word on how much is used up"),
    row("oddusage", OddUsage, "right answers with usage that cannot be read"),
];

/// Changes a right answer on its way out.
pub(super) fn change(scene: &Scene, answer: &mut Value) {
    if scene.has(Fault::Graph(Retyped)) {
        each_object(answer, &|fields| {
            for (name, value) in fields.iter_mut() {
                match name.as_str() {
                    "id" => *value = json!([value.take()]),
                    "timestamp" => *value = json!(1_700_000_000),
                    "caption" => *value = json!({ "text": value.take() }),
                    name if name.ends_with("_count") => *value = json!({ "count": value.take() }),
                    _ => {}
                }
            }
        });
    }
    if scene.has(Fault::Graph(Dropped)) {
        each_object(answer, &|fields| {
            fields.retain(|name, _| !matches!(name.as_str(), "followers_count" | "timestamp" | "media_type"));
        });
    }
}

fn each_object(value: &mut Value, change: &impl Fn(&mut Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| each_object(value, change));
            change(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_object(item, change)),
        _ => {}
    }
}
