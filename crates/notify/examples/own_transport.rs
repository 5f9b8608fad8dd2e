//! A transport of one's own: mails go to a message queue, here a channel.

use std::sync::mpsc;

use async_trait::async_trait;
use koshin_notify::{Bilingual, Envelope, Mail, Mailer, MemoryOutbox, Notice, Outcome, Reply, Sender, Transport, Zone};
use koshin_types::Language;
use time::{UtcDateTime, UtcOffset};

struct Queue(mpsc::Sender<(String, Vec<u8>)>);

#[async_trait]
impl Transport for Queue {
    async fn send(&self, envelope: &Envelope, mime: &[u8]) -> Outcome {
        match self.0.send((envelope.to.as_str().to_owned(), mime.to_vec())) {
            Ok(()) => Outcome::Accepted,
            Err(_) => Outcome::Transient { reply: Reply::new(None, "the queue is closed") },
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sender = Sender::new(
        "noreply@bank.example".parse()?,
        Bilingual::new("みどり信用金庫", "Midori Bank"),
        Bilingual::new("みどりビジネスWeb", "Midori Business Web"),
        Bilingual::new("サポートデスク 03-0000-0000", "Support desk, 03-0000-0000"),
        Zone::fixed(UtcOffset::from_hms(9, 0, 0)?, "JST"),
    )?;
    let now = UtcDateTime::from_unix_timestamp(1_795_305_600)?;
    let outbox = MemoryOutbox::default();
    let notice = Notice::AddressChanged { at: now };
    outbox.put(Mail::new(notice, "change 1", "taro@example.jp".parse()?, Language::En, "U-1001".parse()?), now);

    let (queue, received) = mpsc::channel();
    Mailer::new(outbox, Queue(queue), sender).run(now).await?;
    for (to, mime) in received {
        println!("to {to}\n{}", String::from_utf8_lossy(&mime));
    }
    Ok(())
}
