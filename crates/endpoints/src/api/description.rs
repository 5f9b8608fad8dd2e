//! The API described by `OpenAPI` 3.1, made from the code that answers.

use std::sync::LazyLock;

use koshin_types::RevocationReason;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{handlers, problem};
use crate::wire::ProblemBody;

#[derive(OpenApi)]
#[openapi(
    info(title = "Koshin CA", description = "What a registration authority asks of its CA: JSON over mutual TLS."),
    paths(handlers::issue, handlers::revoke, handlers::changes, handlers::ca, handlers::description),
    components(schemas(ProblemBody))
)]
struct Description;

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut document = serde_json::to_value(Description::openapi()).unwrap_or_default();
    complete(&mut document);
    format!("{document:#}\n")
});

/// The description as JSON: every route, every member and every code of a problem.
pub fn openapi() -> &'static str {
    &TEXT
}

/// What the macros cannot know: who may ask, and the codes of problems.
fn complete(document: &mut Value) {
    let scheme = json!({
        "type": "mutualTLS",
        "description": "A client certificate whose SHA-256 the CA's operator configured.",
    });
    let codes: Vec<&str> = problem::ALL.iter().map(|kind| kind.code).collect();
    let code = json!([
        { "enum": codes },
        { "pattern": "^request\\.[a-z0-9_]+$", "description": "What the gate says of a certification request." },
    ]);
    let reasons = json!(RevocationReason::ALL.map(RevocationReason::as_str));
    let additions = [
        ("", "security", json!([{ "mutual_tls": [] }])),
        ("/components", "securitySchemes", json!({ "mutual_tls": scheme })),
        ("/components/schemas/Problem/properties/code", "anyOf", code),
        ("/components/schemas/RevokeBody/properties/reason", "enum", reasons),
    ];
    for (place, member, value) in additions {
        if let Some(object) = document.pointer_mut(place).and_then(Value::as_object_mut) {
            object.insert(member.to_owned(), value);
        }
    }
}
