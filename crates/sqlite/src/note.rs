//! Notes in the audit log of the registry, and who left them.

use koshin_ra::{Actor, AuditNote};
use koshin_types::SubjectId;
use time::UtcDateTime;

use crate::{audit::Entry, codec::millis};

impl Entry {
    pub(crate) fn note(note: &AuditNote, at: UtcDateTime) -> Self {
        Self {
            at: millis(at),
            actor: actor_text(&note.actor),
            subject: note.subject.as_ref().map(SubjectId::to_string),
            fact: false,
            word: note.word.to_owned(),
            // A map of strings has no way to fail.
            body: serde_json::to_string(&note.details).unwrap_or_default(),
        }
    }
}

/// `holder:ID`, `administrator:ID`, `operator:name` or `system`.
pub(crate) fn actor_text(actor: &Actor) -> String {
    match actor {
        Actor::Holder(id) => format!("holder:{id}"),
        Actor::Administrator(id) => format!("administrator:{id}"),
        Actor::Operator(name) => format!("operator:{name}"),
        Actor::System => "system".to_owned(),
    }
}
