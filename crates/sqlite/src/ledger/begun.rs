//! Intents of this process whose certificate is not stored yet. Most are signed within milliseconds, and reading them again
//! for the names in the audit record would cost as much as all else about that.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use koshin_endpoints::ca::Intent;
use koshin_types::SerialNumber;

/// Whom an audit record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) client: String,
    pub(super) subject: String,
}

impl Named {
    pub(super) fn of(intent: &Intent) -> Self {
        Self { client: intent.client.clone(), subject: intent.subject.clone() }
    }
}

/// The newest intents. Who finds nothing here looks into the tables.
#[derive(Default)]
pub(super) struct Begun(Mutex<HashMap<SerialNumber, Named>>);

impl Begun {
    /// The most that are kept: far more than are signed at once.
    const MOST: usize = 1024;

    pub(super) fn put(&self, serial: SerialNumber, named: Named) {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.len() >= Self::MOST {
            // A key that is away lets them pile up.
            begun.clear();
        }
        begun.insert(serial, named);
    }

    pub(super) fn take(&self, serial: &SerialNumber) -> Option<Named> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(serial)
    }
}
