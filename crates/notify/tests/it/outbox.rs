use async_trait::async_trait;
use koshin_notify::{Mail, MailId, MemoryOutbox, Outbox, Tasks, conformance::Rig};
use time::UtcDateTime;

struct Memory(MemoryOutbox);

#[async_trait]
impl Rig for Memory {
    fn outbox(&self) -> &dyn Outbox {
        &self.0
    }

    fn tasks(&self) -> &dyn Tasks {
        &self.0
    }

    async fn put(&self, mail: &Mail, due: UtcDateTime) {
        self.0.put(mail.clone(), due);
    }

    async fn stored(&self, id: MailId) -> Option<String> {
        self.0.mail(id).map(|mail| mail.encode().to_string())
    }

    async fn end(&self, id: MailId) -> Option<String> {
        self.0.end(id).map(|end| end.word().to_owned())
    }
}

async fn empty() -> Memory {
    Memory(MemoryOutbox::default())
}

koshin_notify::outbox_conformance!(empty);
