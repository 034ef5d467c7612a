//! Whole answers as the service gave them, one for each status of each operation.
//!
//! They are kept in `examples.json`: by operation, status and content type; under `*` are the errors that operations share. A
//! test asks a running service for each (`tests/it/v2_document/examples.rs`), sees that they still look alike, and with
//! UPDATE_GOLDEN writes the file anew.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::{OpenApi, RefOr, Response};

const EXAMPLES: &str = include_str!("examples.json");

/// An answer's body by its content type.
type ByContentType = BTreeMap<String, Value>;

/// Puts the examples where they belong.
pub(super) fn add(document: &mut OpenApi) {
    let mut examples: BTreeMap<String, BTreeMap<String, ByContentType>> =
        serde_json::from_str(EXAMPLES).unwrap_or_default();
    let shared = examples.remove("*").unwrap_or_default();
    let responses = document.components.iter_mut().flat_map(|components| &mut components.responses);
    for (name, response) in responses {
        add_to(response, shared.get(name));
    }
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let of_operation = operation.operation_id.as_ref().and_then(|id| examples.get(id));
            for (status, response) in &mut operation.responses.responses {
                add_to(response, of_operation.and_then(|by_status| by_status.get(status)));
            }
        }
    }
}

fn add_to(response: &mut RefOr<Response>, examples: Option<&ByContentType>) {
    let (RefOr::T(response), Some(examples)) = (response, examples) else { return };
    for (content_type, content) in &mut response.content {
        if let RefOr::T(content) = content {
            content.example = examples.get(content_type).cloned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_examples_can_be_read() {
        serde_json::from_str::<BTreeMap<String, BTreeMap<String, ByContentType>>>(EXAMPLES).unwrap();
    }
}
