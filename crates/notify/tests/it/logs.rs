use std::{cell::RefCell, io, sync::Once};

use koshin_notify::{Mailer, MemoryOutbox, Outcome, Reply};

use crate::fixture::{NOW, Scripted, code, minutes, plain, sender};

thread_local! {
    /// What this thread logged. A subscriber for one thread alone would not do: whether an event is of interest is
    /// remembered for the whole process, by whichever test meets it first.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct OwnLog;

impl io::Write for OwnLog {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(octets));
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| OwnLog);
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    });
}

#[tokio::test]
async fn no_address_and_no_code_reaches_the_log() {
    listen();
    let outbox = MemoryOutbox::default();
    for mail in [code(minutes(15)), plain("a"), plain("b")] {
        outbox.put(mail, NOW);
    }
    let reply = Reply::new(Some(550), "<taro@example.co.jp>: unknown, code 4821-7730");
    let transport = Scripted::new([Outcome::Permanent { reply }, Outcome::Unknown]);
    Mailer::new(outbox, transport, sender()).run(NOW).await.unwrap();
    let text = String::from_utf8(LOG.take()).unwrap();
    for said in ["mail undeliverable", "mail quarantined", "mail sent", &plain("a").id.to_string()] {
        assert!(text.contains(said), "{said} in {text}");
    }
    for hidden in ["taro", "example.co.jp", "4821", "U-1001"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}
