//! Matters in memory, held against the suite.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_expiry::RenewalProgress;
use koshin_notify::{Address, Digests, InUse, MemorySchedule, Party, conformance::matters::MattersRig};
use koshin_types::{CertificateStatus, OrganizationId, Role, SerialNumber, Validity};
use time::UtcDateTime;

struct Memory(Arc<MemorySchedule>);

fn organization() -> OrganizationId {
    "C-1".parse().unwrap()
}

fn serial(holder: &Party) -> SerialNumber {
    let octets: Vec<u8> = holder.subject_id.as_str().bytes().collect();
    SerialNumber::from_be_bytes(&octets).unwrap()
}

#[async_trait]
impl MattersRig for Memory {
    type Store = MemorySchedule;

    fn store(&self) -> Arc<MemorySchedule> {
        Arc::clone(&self.0)
    }

    async fn register(&self, role: Role, party: &Party) {
        self.0.register(&organization(), role, party.clone());
    }

    async fn activate(&self, holder: &Party, validity: Validity) -> SerialNumber {
        let Party { subject_id, language, address, .. } = holder.clone();
        self.0.activate(InUse { serial: serial(holder), validity, subject_id, language, address });
        serial(holder)
    }

    async fn revoke(&self, holder: &Party, _: UtcDateTime) {
        self.0.retire(&serial(holder), CertificateStatus::Revoked);
    }

    async fn begin(&self, holder: &Party, _: UtcDateTime) {
        self.0.progress(&holder.subject_id, RenewalProgress::Started);
    }

    async fn permit(&self, holder: &Party, until: Option<UtcDateTime>, now: UtcDateTime) {
        self.0.permit(&holder.subject_id, until, now);
    }

    async fn readdress(&self, person: &Party, address: Option<Address>) {
        self.0.readdress_id(&person.subject_id, address.as_ref());
    }

    async fn prefer(&self, digests: Digests, now: UtcDateTime) {
        self.0.prefer(&organization(), digests, now);
    }

    async fn ends(&self, kind: &str) -> Vec<String> {
        self.0.outbox().ends(kind)
    }
}

async fn empty() -> Memory {
    let store = MemorySchedule::default();
    store.found(&organization());
    Memory(Arc::new(store))
}

koshin_notify::matters_conformance!(empty);
