use std::{
    io,
    sync::{Arc, Mutex},
};

use koshin_notify::{Mailer, MemoryOutbox, Outcome, Reply};
use tracing_subscriber::fmt::MakeWriter;

use crate::fixture::{NOW, Scripted, code, minutes, plain, sender};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_address_and_no_code_reaches_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let outbox = MemoryOutbox::default();
    for mail in [code(minutes(15)), plain("a"), plain("b")] {
        outbox.put(mail, NOW);
    }
    let reply = Reply::new(Some(550), "<taro@example.co.jp>: unknown, code 4821-7730");
    let transport = Scripted::new([Outcome::Permanent { reply }, Outcome::Unknown]);
    Mailer::new(outbox, transport, sender()).run(NOW).await.unwrap();
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for said in ["mail undeliverable", "mail quarantined", "mail sent", &plain("a").id.to_string()] {
        assert!(text.contains(said), "{said} in {text}");
    }
    for hidden in ["taro", "example.co.jp", "4821", "U-1001"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}
