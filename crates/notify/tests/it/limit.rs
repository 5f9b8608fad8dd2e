//! I-64 over days that nobody thought of.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use koshin_notify::{
    Disposition, Envelope, Mail, MailId, Mailer, MemoryOutbox, Notice, Outcome, Settings, Transport, Urgency, Wake,
};
use koshin_types::{Language, RevocationReason, Validity};
use proptest::prelude::*;
use time::{Duration, UtcDateTime};

use crate::fixture::{NOW, address, sender, serial, transient};

/// What was sent when; every so many attempts are refused for now.
struct Server {
    now: Mutex<UtcDateTime>,
    attempts: AtomicU32,
    sent: Mutex<Vec<(UtcDateTime, MailId)>>,
    refuses_every: u32,
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, envelope: &Envelope, _: &[u8]) -> Outcome {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        if attempt.is_multiple_of(self.refuses_every) {
            return transient();
        }
        let now = *self.now.lock().unwrap();
        self.sent.lock().unwrap().push((now, envelope.message_id[1..33].parse().unwrap()));
        Outcome::Accepted
    }
}

fn mail(number: u32, to: u8, kind: u8) -> Mail {
    let validity = Validity::new(NOW - Duration::days(300), NOW + Duration::days(300)).unwrap();
    let expiry = |threshold_days| Notice::Expiry { threshold_days, validity, days_left: 9, renewal_opens: None };
    let notice = match kind {
        0 => Notice::Revoked { serial: serial("1A"), reason: RevocationReason::Unspecified },
        1 => expiry(10),
        _ => expiry(30),
    };
    let to = address(&format!("{}@example.co.jp", ["taro", "Taro", "jiro"][usize::from(to)]));
    Mail::new(notice, &number.to_string(), to, Language::Ja, "U-1".parse().unwrap())
}

/// The local day in Tokyo.
fn day(at: UtcDateTime) -> i64 {
    (at.unix_timestamp() + 9 * 3600).div_euclid(86_400)
}

proptest! {
    /// No address gets more than its share on any day, every mail is sent once in the end, and never a less urgent one
    /// before a more urgent one to the same address that was due with it.
    #[test]
    fn invariant_64_a_limit_only_delays(
        mails in prop::collection::vec((0_u8..3, 0_u8..3), 1..40), most in 1_u32..5, refuses_every in 2_u32..9
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let outbox = Arc::new(MemoryOutbox::default());
        let mails: Vec<_> = (0..).zip(mails).map(|(number, (to, kind))| mail(number, to, kind)).collect();
        for mail in &mails {
            outbox.put(mail.clone(), NOW);
        }
        let server = Arc::new(Server { now: Mutex::new(NOW), attempts: AtomicU32::new(0), sent: Mutex::default(), refuses_every });
        let settings = Settings { per_address_per_day: NonZeroU32::new(most), ..Settings::default() };
        let mailer = Mailer::new(Arc::clone(&outbox), Arc::clone(&server), sender()).with_settings(settings);
        let (mut now, mut runs) = (NOW, 0);
        loop {
            runs += 1;
            prop_assert!(runs < 2_000, "no end");
            *server.now.lock().unwrap() = now;
            match runtime.block_on(mailer.run(now)).unwrap() {
                Wake::Now => {}
                Wake::At(at) => now = at,
                Wake::Idle => break,
            }
        }
        let sent = server.sent.lock().unwrap().clone();
        let by_id: BTreeMap<_, _> = mails.iter().map(|mail| (mail.id, mail)).collect();
        prop_assert_eq!(sent.len(), mails.len());
        prop_assert!(mails.iter().all(|mail| outbox.end(mail.id) == Some(Disposition::Sent)));
        let mut counts = BTreeMap::<_, u32>::new();
        for (at, id) in &sent {
            *counts.entry((by_id[id].to.folded(), day(*at))).or_default() += 1;
        }
        prop_assert!(counts.values().all(|count| *count <= most), "{:?}", counts);
        if usize::try_from(refuses_every).unwrap() > sent.len() {
            // Nothing was put back by the server: the order is the urgency's.
            for to in ["taro@example.co.jp", "jiro@example.co.jp"] {
                let of = |(_, id): &(UtcDateTime, MailId)| by_id[id].to.folded() == to;
                let order: Vec<Urgency> = sent.iter().filter(|sent| of(sent)).map(|(_, id)| by_id[id].kind.urgency()).collect();
                prop_assert!(order.is_sorted(), "{:?}", order);
            }
        }
    }
}
