//! What the fuzz targets assert about arbitrary input, one function a target.
//!
//! A target under `fuzz_targets/` only hands its bytes to the function of the same name; its tests replay the
//! committed seeds through the same functions without a fuzzer. A function returns, or it panics and has found a bug.

mod command;
#[allow(dead_code, reason = "what the server answers is not fuzzed")]
#[path = "../../crates/endpoints/src/est.rs"]
mod est;
mod facts;
mod house;
mod mail;
mod policy;
mod renewal;
mod report;
mod request;
mod script;
mod status;
#[cfg(test)]
mod tests;
mod words;

pub use command::{policy_lines, policy_replay};
pub use facts::{audit_facts, holding_facts};
pub use mail::{mail_address, outbox_row};
pub use policy::policy;
pub use renewal::renewal_events;
pub use report::delivery_report;
pub use request::{certification_request, est_body, pem_noise, signed_request};
pub use status::{crl, ocsp_request};
pub use words::{serial_number, subject_id};

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("audit_facts", audit_facts),
    ("certification_request", certification_request),
    ("crl", crl),
    ("delivery_report", delivery_report),
    ("est_body", est_body),
    ("holding_facts", holding_facts),
    ("mail_address", mail_address),
    ("ocsp_request", ocsp_request),
    ("outbox_row", outbox_row),
    ("pem_noise", pem_noise),
    ("policy", policy),
    ("policy_lines", policy_lines),
    ("policy_replay", policy_replay),
    ("renewal_events", renewal_events),
    ("serial_number", serial_number),
    ("signed_request", signed_request),
    ("subject_id", subject_id),
];
