//! The schedule in memory, held against the suite.

use async_trait::async_trait;
use koshin_notify::{Address, InUse, MailId, MemorySchedule, Outbox, Schedule, conformance::schedule::ScheduleRig};
use koshin_types::{CertificateStatus, Language, SerialNumber, Validity};
use time::UtcDateTime;

#[derive(Default)]
struct Memory(MemorySchedule);

#[async_trait]
impl ScheduleRig for Memory {
    fn schedule(&self) -> &dyn Schedule {
        &self.0
    }

    fn outbox(&self) -> &dyn Outbox {
        &self.0
    }

    async fn activate(&self, number: u32, validity: Validity, address: Option<Address>) -> InUse {
        let certificate = InUse {
            serial: SerialNumber::from_be_bytes(&[1, u8::try_from(number).unwrap()]).unwrap(),
            validity,
            subject_id: format!("U-{number}").parse().unwrap(),
            language: Language::En,
            address,
        };
        self.0.activate(certificate.clone());
        certificate
    }

    async fn retire(&self, certificate: &InUse, status: CertificateStatus, _: UtcDateTime) {
        self.0.retire(&certificate.serial, status);
    }

    async fn readdress(&self, certificate: &InUse, address: Option<Address>) {
        self.0.readdress(&certificate.serial, address);
    }

    async fn end(&self, id: MailId) -> Option<String> {
        self.0.outbox().end(id).map(|end| end.word().to_owned())
    }
}

async fn empty() -> Memory {
    Memory::default()
}

koshin_notify::schedule_conformance!(empty);
