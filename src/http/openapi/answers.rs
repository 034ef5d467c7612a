//! What the document says of all answers: the errors that any operation can have, and the headers that come with them.
//!
//! An error that is the same everywhere stands in the document once, and operations refer to it. An operation's own words on a
//! status count for more.

use axum::http::Method;
use serde_json::Value;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Components, ContentBuilder, Header, Ref, RefOr, Response};

use super::super::V2_PATH;
use super::super::problem::ProblemType;
use crate::db::keys::Scope;

/// An error that many operations can have.
struct Shared {
    name: &'static str,
    status: &'static str,
    /// What it means, in the words of these.
    problems: &'static [ProblemType],
    /// Which operations can have it.
    of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// All.
    All,
    /// Those that read what they are asked strictly.
    Strict,
    /// Those that ask for a key.
    Keys,
    /// Those that change something or ask for more than any key may.
    Rights,
}

const SHARED: [Shared; 9] = [
    Shared { name: "InvalidRequest", status: "400", problems: &[ProblemType::InvalidRequest], of: Of::Strict },
    Shared { name: "Unauthorized", status: "401", problems: &[ProblemType::Unauthorized], of: Of::Keys },
    Shared {
        name: "Forbidden",
        status: "403",
        problems: &[ProblemType::Forbidden, ProblemType::CrossOrigin],
        of: Of::Rights,
    },
    Shared { name: "MethodNotAllowed", status: "405", problems: &[ProblemType::MethodNotAllowed], of: Of::All },
    Shared { name: "UriTooLong", status: "414", problems: &[ProblemType::UriTooLong], of: Of::All },
    Shared { name: "TooManyRequests", status: "429", problems: &[ProblemType::TooManyRequests], of: Of::Keys },
    Shared { name: "HeadTooLarge", status: HEAD_TOO_LARGE, problems: &[], of: Of::All },
    Shared { name: "InternalError", status: "500", problems: &[ProblemType::InternalError], of: Of::All },
    Shared {
        name: "Unavailable",
        status: "503",
        problems: &[ProblemType::DatabaseAway, ProblemType::TimedOut, ProblemType::ShuttingDown],
        of: Of::All,
    },
];

/// Said before there is a request, and so without a body and without an id.
const HEAD_TOO_LARGE: &str = "431";

/// The headers that answers share: name, example, words.
const HEADERS: [(&str, &str, &str); 7] = [
    ("Allow", "GET,HEAD", "The methods that the path takes"),
    ("Idempotency-Replayed", "true", "The answer was given before, to a request with the same `Idempotency-Key`"),
    (
        "RateLimit",
        r#""key";r=99;t=1"#,
        "Where the key has a limit: how many requests are left, and after how many seconds all are there again",
    ),
    ("RateLimit-Policy", r#""key";q=100;w=10"#, "Where the key has a limit: how many requests in how many seconds"),
    ("Retry-After", "1", "Seconds after which to try again"),
    ("WWW-Authenticate", r#"Bearer realm="ig-tracking""#, "How to show a key"),
    (
        "X-Request-Id",
        "2630020e-b4f5-4d08-af29-fff110ef81ca",
        "The request's id, the client's own or a new one, as in the log",
    ),
];

/// Puts what operations refer to into the document.
pub(super) fn add_shared(components: &mut Components) {
    for (name, example, words) in HEADERS {
        components.headers.insert(name.to_owned(), RefOr::T(header(name, example, words)));
    }
    for shared in &SHARED {
        components.responses.insert(shared.name.to_owned(), RefOr::T(told(shared, Form::Problem)));
    }
}

fn header(name: &str, example: &str, words: &str) -> Header {
    let (kind, example): (Type, Value) = match name {
        "Retry-After" => (Type::Integer, example.parse::<u64>().ok().into()),
        _ => (Type::String, example.into()),
    };
    let schema = ObjectBuilder::new().schema_type(SchemaType::Type(kind));
    HeaderBuilder::new().schema(Some(schema)).description(Some(words)).example(Some(example)).build()
}

/// In which form an error is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Problem,
    Message,
}

/// A shared error, whole.
fn told(shared: &Shared, form: Form) -> Response {
    let words: Vec<_> = shared.problems.iter().map(|problem| words(*problem, form)).collect();
    let mut response = ResponseBuilder::new().description(words.join("; ")).build();
    if shared.status == HEAD_TOO_LARGE {
        response.description =
            "The head of the request is larger than 64 KiB, or has more than a hundred headers".to_owned();
        return response;
    }
    add_content(&mut response, form);
    // Of the others it is not known whose they are.
    let counts_for_a_key = ["400", "403", "405", "429", "500", "503"].contains(&shared.status);
    add_headers(&mut response, shared.status, counts_for_a_key);
    response
}

fn words(problem: ProblemType, form: Form) -> String {
    match form {
        Form::Problem => format!("`{}`: {}", problem.slug(), problem.title()),
        Form::Message => problem.title().to_owned(),
    }
}

fn add_content(response: &mut Response, form: Form) {
    let (content_type, schema) = match form {
        Form::Problem => ("application/problem+json", "Problem"),
        Form::Message => ("application/json", "Message"),
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    response.content.entry(content_type.to_owned()).or_insert(content.into());
}

/// The headers that come with a status.
fn add_headers(response: &mut Response, status: &str, counts_for_a_key: bool) {
    let of_status: &[&str] = match status {
        "401" => &["WWW-Authenticate"],
        "405" => &["Allow"],
        "429" | "503" => &["Retry-After"],
        _ => &[],
    };
    let of_keys: &[&str] = if counts_for_a_key { &["RateLimit", "RateLimit-Policy"] } else { &[] };
    for name in of_status.iter().chain(of_keys).chain(&["X-Request-Id"]) {
        let known = Ref::new(format!("#/components/headers/{name}"));
        response.headers.entry((*name).to_owned()).or_insert(RefOr::Ref(known));
    }
}

/// Says of an operation which errors it can have beside those that it names, and which headers its answers have.
pub(super) fn complete(operation: &mut Operation, method: &Method, path: &str, scope: Option<Scope>) {
    let form = if path.starts_with(V2_PATH) { Form::Problem } else { Form::Message };
    let heeds_idempotency = operation
        .parameters
        .iter()
        .flatten()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "Idempotency-Key"));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let is_error = status.starts_with('4') || status.starts_with('5');
        if is_error {
            add_content(response, form);
        } else if heeds_idempotency {
            let replayed = Ref::new("#/components/headers/Idempotency-Replayed");
            response.headers.insert("Idempotency-Replayed".to_owned(), RefOr::Ref(replayed));
        }
        add_headers(response, status, scope.is_some());
    }
    let can_have = |shared: &&Shared| match shared.of {
        Of::All => true,
        Of::Strict => form == Form::Problem,
        Of::Keys => scope.is_some(),
        Of::Rights => scope.is_some_and(|scope| scope > Scope::Read || *method != Method::GET),
    };
    for shared in SHARED.iter().filter(can_have) {
        let response = match form {
            Form::Problem => RefOr::Ref(Ref::from_response_name(shared.name)),
            Form::Message => RefOr::T(told(shared, form)),
        };
        operation.responses.responses.entry(shared.status.to_owned()).or_insert(response);
    }
}
