use std::sync::Arc;

use koshin_notify::{
    Disposition, Mail, Mailbox, Mailer, MemoryOutbox, Notice, Outbox, Outcome, Reply, Settings, Suppression, Tally,
    Transport, Wake,
};
use koshin_types::Language;
use time::{Duration, UtcDateTime};

use crate::fixture::{NOW, Scripted, address, code, mail, minutes, permanent, plain, sender, transient, validity};

struct House<T> {
    outbox: Arc<MemoryOutbox>,
    transport: Arc<T>,
    mailer: Mailer<Arc<MemoryOutbox>, Arc<T>>,
}

fn house<T: Transport>(transport: T) -> House<T> {
    let (outbox, transport) = (Arc::new(MemoryOutbox::default()), Arc::new(transport));
    let mailer = Mailer::new(Arc::clone(&outbox), Arc::clone(&transport), sender());
    House { outbox, transport, mailer }
}

impl House<Scripted> {
    /// Runs whenever the mailer asks for it, and returns how the mail ended and when it was tried.
    async fn to_the_end(&self, mail: Mail) -> (Disposition, Vec<i64>) {
        let id = mail.id;
        self.outbox.put(mail, NOW);
        let (mut now, mut tried) = (NOW, Vec::new());
        loop {
            let before = self.transport.message_ids().len();
            let wake = self.mailer.run(now).await.unwrap();
            if self.transport.message_ids().len() > before {
                tried.push((now - NOW).whole_seconds());
            }
            match wake {
                Wake::At(at) if self.outbox.end(id).is_none() => {
                    assert!(at > now, "time goes on");
                    now = at;
                }
                _ => return (self.outbox.end(id).expect("an end"), tried),
            }
        }
    }
}

#[tokio::test]
async fn accepted_is_sent_and_never_sent_again() {
    let house = house(Scripted::default());
    assert_eq!(house.to_the_end(plain("a")).await, (Disposition::Sent, vec![0]));
    assert_eq!(house.mailer.run(NOW + Duration::days(400)).await.unwrap(), Wake::Idle);
    assert!(!house.outbox.put(plain("a"), NOW), "planned again, it is the same mail");
    assert_eq!(house.transport.message_ids().len(), 1);
    assert_eq!(house.mailer.tally(), Tally { sent: 1, ..Tally::default() });
}

#[tokio::test]
async fn not_before_it_is_due() {
    let house = house(Scripted::default());
    house.outbox.put(plain("a"), minutes(5));
    assert_eq!(house.mailer.run(NOW).await.unwrap(), Wake::At(minutes(5)));
    assert!(house.transport.message_ids().is_empty());
}

#[tokio::test]
async fn a_refusal_for_ever_is_recorded_with_its_words() {
    let house = house(Scripted::new([permanent()]));
    let reply = Reply::new(Some(550), "5.1.1 no such user");
    assert_eq!(house.to_the_end(plain("a")).await, (Disposition::Undeliverable { reply }, vec![0]));
}

#[tokio::test]
async fn a_refusal_for_now_is_tried_again_ever_later() {
    let house = house(Scripted::new((0..7).map(|_| transient())));
    let (end, tried) = house.to_the_end(plain("a")).await;
    assert_eq!(end, Disposition::Sent);
    assert_eq!(tried.iter().map(|at| at / 60).collect::<Vec<_>>(), [0, 5, 15, 35, 75, 155, 315, 555]);
    assert_eq!(house.mailer.tally(), Tally { sent: 1, retried: 7, ..Tally::default() });
    let ids = house.transport.message_ids();
    assert!(ids.iter().all(|id| *id == ids[0]), "one Message-ID");
}

#[tokio::test]
async fn a_code_is_tried_quickly_and_never_after_its_end() {
    let sent = house(Scripted::new((0..3).map(|_| transient())));
    let (end, tried) = sent.to_the_end(code(minutes(15))).await;
    assert_eq!((end, tried), (Disposition::Sent, vec![0, 10, 30, 70]));

    let never = house(Scripted::new((0..99).map(|_| transient())));
    let mail = code(minutes(3));
    let (end, tried) = never.to_the_end(mail.clone()).await;
    assert_eq!((end, tried), (Disposition::Suppressed { why: Suppression::TooLate }, vec![0, 10, 30, 70, 130]));
    assert!(!never.outbox.mail(mail.id).unwrap().holds_secret());
}

#[tokio::test]
async fn what_is_over_is_not_sent() {
    let house = house(Scripted::default());
    let expiry = Notice::Expiry { threshold_days: 10, validity: validity(), days_left: 10, renewal_opens: None };
    let mail = mail(expiry, Language::Ja);
    house.outbox.put(mail.clone(), NOW);
    house.mailer.run(validity().end()).await.unwrap();
    assert_eq!(house.outbox.end(mail.id), Some(Disposition::Suppressed { why: Suppression::TooLate }));
    assert!(house.transport.message_ids().is_empty());
}

#[tokio::test]
async fn a_mail_without_an_end_is_given_up_after_days() {
    let house = house(Scripted::new((0..99).map(|_| transient())));
    let (end, tried) = house.to_the_end(plain("a")).await;
    assert_eq!(end, Disposition::Suppressed { why: Suppression::TooLate });
    assert_eq!((tried.len(), tried.last().unwrap() / 86_400), (40, 5));
}

#[tokio::test]
async fn invariant_62_a_lost_answer_rests_and_is_repeated_once() {
    let house = house(Scripted::new([Outcome::Unknown]));
    assert_eq!(house.to_the_end(plain("a")).await, (Disposition::Sent, vec![0, 15 * 60]));
    let ids = house.transport.message_ids();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    assert_eq!(house.mailer.tally(), Tally { sent: 1, quarantined: 1, ..Tally::default() });
}

#[tokio::test]
async fn two_lost_answers_end_it() {
    let house = house(Scripted::new([Outcome::Unknown, transient(), Outcome::Unknown]));
    let (end, tried) = house.to_the_end(plain("a")).await;
    assert_eq!((end, tried.len()), (Disposition::Unknown, 3), "a refusal for now is no third doubt");
}

#[tokio::test]
async fn a_lost_answer_about_a_code_that_is_over_stays_unknown() {
    let house = house(Scripted::new([Outcome::Unknown]));
    let (end, tried) = house.to_the_end(code(NOW + Duration::seconds(30))).await;
    assert_eq!((end, tried), (Disposition::Unknown, vec![0]));
}

#[tokio::test(start_paused = true)]
async fn invariant_58_a_crash_between_send_and_record_gives_one_repeat_with_the_same_message_id() {
    let outbox = Arc::new(MemoryOutbox::default());
    let transport = Arc::new(Scripted::hanging());
    outbox.put(plain("a"), NOW);
    let first = Mailer::new(Arc::clone(&outbox), Arc::clone(&transport), sender());
    let crash = tokio::time::timeout(std::time::Duration::from_secs(1), first.run(NOW)).await;
    assert!(crash.is_err(), "dropped while the mail was on its way");
    assert_eq!(transport.message_ids().len(), 1);

    let second = Mailer::new(Arc::clone(&outbox), Arc::clone(&transport), sender());
    assert_eq!(second.run(minutes(9)).await.unwrap(), Wake::At(minutes(10)), "the lease holds");
    assert_eq!(second.run(minutes(10)).await.unwrap(), Wake::Idle);
    assert_eq!(second.run(NOW + Duration::days(30)).await.unwrap(), Wake::Idle);
    let ids = transport.message_ids();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    assert_eq!(outbox.end(plain("a").id), Some(Disposition::Sent));
}

#[tokio::test(start_paused = true)]
async fn invariant_58_two_crashes_in_a_row_are_never_a_third_mail() {
    let outbox = Arc::new(MemoryOutbox::default());
    outbox.put(plain("a"), NOW);
    for minute in [0, 10] {
        let mailer = Mailer::new(Arc::clone(&outbox), Scripted::hanging(), sender());
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), mailer.run(minutes(minute))).await.is_err());
    }
    let mailbox = Mailbox::default();
    let mailer = Mailer::new(Arc::clone(&outbox), mailbox.clone(), sender());
    assert_eq!(mailer.run(minutes(20)).await.unwrap(), Wake::Idle);
    assert!(mailbox.newest(1).is_empty());
    assert_eq!(outbox.end(plain("a").id), Some(Disposition::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_transmission_without_end_is_cut_off_within_the_lease() {
    let house = house(Scripted::hanging());
    house.outbox.put(plain("a"), NOW);
    let started = tokio::time::Instant::now();
    assert_eq!(house.mailer.run(NOW).await.unwrap(), Wake::At(minutes(15)));
    assert_eq!(started.elapsed().as_secs(), 9 * 60);
    assert_eq!(house.mailer.tally().quarantined, 1);
}

#[tokio::test]
async fn invariant_57_a_mailer_that_was_overtaken_neither_sends_nor_records() {
    let outbox = Arc::new(MemoryOutbox::default());
    outbox.put(plain("a"), NOW);
    let slow = outbox.claim(NOW, "slow", Duration::minutes(10), 1).await.unwrap().remove(0);
    let mailbox = Mailbox::default();
    let fast = Mailer::new(Arc::clone(&outbox), mailbox.clone(), sender());
    fast.run(minutes(10)).await.unwrap();
    assert!(outbox.transmitting(slow.mail.id, slow.fence, minutes(10)).await.is_err());
    assert!(outbox.record(slow.mail.id, slow.fence, &Disposition::Unknown, minutes(10)).await.is_err());
    assert_eq!(outbox.end(slow.mail.id), Some(Disposition::Sent));
    assert_eq!(mailbox.newest(9).len(), 1);
}

#[tokio::test]
async fn invariant_57_several_mailers_send_what_one_would() {
    let outbox = Arc::new(MemoryOutbox::default());
    for key in 0..300 {
        outbox.put(plain(&key.to_string()), NOW);
    }
    let mailbox = Mailbox::default();
    let mailers: Vec<_> = (0..3)
        .map(|number| {
            let settings = Settings { worker: number.to_string(), batch: 7, ..Settings::default() };
            let mailer = Mailer::new(Arc::clone(&outbox), mailbox.clone(), sender()).with_settings(settings);
            tokio::spawn(async move { mailer.run(NOW).await.map(|_| mailer.tally().sent) })
        })
        .collect();
    let mut sent = 0;
    for mailer in mailers {
        sent += mailer.await.unwrap().unwrap();
    }
    let mut ids: Vec<_> = mailbox.newest(1000).into_iter().map(|mail| mail.envelope.message_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((sent, ids.len()), (300, 300));
}

#[tokio::test]
async fn when_the_server_is_away_the_rest_is_given_back_untried() {
    let away = || Outcome::Transient { reply: Reply::new(None, "connect: refused") };
    let house = house(Scripted::new((0..3).map(|_| away())));
    for key in 0..50 {
        house.outbox.put(plain(&key.to_string()), NOW);
    }
    assert_eq!(house.mailer.run(NOW).await.unwrap(), Wake::At(minutes(1)));
    assert_eq!(house.transport.message_ids().len(), 3, "three are enough to know");
    assert_eq!(house.mailer.run(minutes(1)).await.unwrap(), Wake::At(minutes(5)));
    assert_eq!(house.mailer.run(minutes(5)).await.unwrap(), Wake::Idle);
    assert_eq!(house.mailer.tally(), Tally { sent: 50, retried: 3, ..Tally::default() });
}

#[tokio::test]
async fn invariant_61_one_envelope_one_recipient() {
    let (outbox, mailbox) = (MemoryOutbox::default(), Mailbox::default());
    for name in ["taro", "jiro", "hanako"] {
        let to = address(&format!("{name}@example.co.jp"));
        outbox.put(Mail { to, ..plain(name) }, NOW);
    }
    Mailer::new(outbox, mailbox.clone(), sender()).run(NOW).await.unwrap();
    let mails = mailbox.newest(9);
    assert_eq!(mails.len(), 3);
    for mail in &mails {
        let mime = String::from_utf8(mail.mime.clone()).unwrap();
        for other in ["taro", "jiro", "hanako"] {
            let theirs = mail.envelope.to.as_str().starts_with(other);
            assert_eq!(mime.contains(&format!("{other}@")), theirs);
        }
    }
}

#[tokio::test]
async fn an_outbox_that_does_not_answer_is_said() {
    struct Gone;
    fn gone<T>() -> Result<T, koshin_notify::OutboxError> {
        Err(koshin_notify::OutboxError::Unavailable("disk full".into()))
    }
    #[async_trait::async_trait]
    impl Outbox for Gone {
        async fn claim(
            &self,
            _: UtcDateTime,
            _: &str,
            _: Duration,
            _: usize,
        ) -> Result<Vec<koshin_notify::Claimed>, koshin_notify::OutboxError> {
            gone()
        }
        async fn transmitting(
            &self,
            _: koshin_notify::MailId,
            _: koshin_notify::Fence,
            _: UtcDateTime,
        ) -> Result<(), koshin_notify::OutboxError> {
            gone()
        }
        async fn record(
            &self,
            _: koshin_notify::MailId,
            _: koshin_notify::Fence,
            _: &Disposition,
            _: UtcDateTime,
        ) -> Result<(), koshin_notify::OutboxError> {
            gone()
        }
        async fn next_wake(&self, _: UtcDateTime) -> Result<Option<UtcDateTime>, koshin_notify::OutboxError> {
            gone()
        }
        async fn told(&self, _: &koshin_notify::Address, _: UtcDateTime) -> Result<u32, koshin_notify::OutboxError> {
            gone()
        }
    }
    let error = Mailer::new(Gone, Mailbox::default(), sender()).run(NOW).await.unwrap_err();
    assert!(error.is_transient());
}

fn capped(outbox: &Arc<MemoryOutbox>, mailbox: &Mailbox, most: u32) -> Mailer<Arc<MemoryOutbox>, Mailbox> {
    let settings = Settings { per_address_per_day: std::num::NonZeroU32::new(most), ..Settings::default() };
    Mailer::new(Arc::clone(outbox), mailbox.clone(), sender()).with_settings(settings)
}

/// A notice of so many days about one of the IDs of somebody who has several.
fn about(id: u32, threshold_days: u16) -> Mail {
    let notice =
        Notice::Expiry { threshold_days, validity: validity(), days_left: threshold_days, renewal_opens: None };
    Mail::new(
        notice,
        &format!("{id}/{threshold_days}"),
        address("Taro@example.co.jp"),
        Language::Ja,
        "U-1".parse().unwrap(),
    )
}

#[tokio::test]
async fn invariant_64_a_limit_postpones_the_least_urgent_and_loses_none() {
    let (outbox, mailbox) = (Arc::new(MemoryOutbox::default()), Mailbox::default());
    // The less urgent ones are due for longer.
    let mails = [about(1, 30), about(2, 30), about(3, 10), plain("event"), about(4, 10)];
    for (minute, mail) in (0..).zip(&mails) {
        outbox.put(mail.clone(), NOW - Duration::minutes(10 - minute));
    }
    let other = Mail { to: address("jiro@example.co.jp"), ..plain("other") };
    outbox.put(other.clone(), NOW);
    let mailer = capped(&outbox, &mailbox, 2);
    // Midnight in Tokyo.
    let midnight = |days| time::macros::utc_datetime!(2026-11-22 15:00) + Duration::days(days);
    assert_eq!(mailer.run(NOW).await.unwrap(), Wake::At(midnight(0)));
    let arrived = || {
        let mut ids: Vec<_> =
            mailbox.newest(99).iter().map(|mail| mail.envelope.message_id[1..33].to_owned()).collect();
        ids.reverse();
        ids
    };
    let ids = |mails: &[&Mail]| mails.iter().map(|mail| mail.id.to_string()).collect::<Vec<_>>();
    assert_eq!(arrived(), ids(&[&mails[3], &other, &mails[2]]), "the event and the older of the pressing ones");
    assert!(
        [&mails[0], &mails[1], &mails[4]].iter().all(|mail| outbox.end(mail.id).is_none()),
        "nothing counts as sent"
    );
    assert_eq!(mailer.tally(), Tally { sent: 3, postponed: 3, ..Tally::default() });
    // Somebody waits for a code: it is not held back, and takes nobody's place.
    outbox.put(Mail { to: mails[0].to.clone(), ..code(NOW + Duration::HOUR) }, NOW);
    assert_eq!(mailer.run(NOW).await.unwrap(), Wake::At(midnight(0)));
    assert_eq!(arrived().len(), 4);
    assert_eq!(mailer.run(midnight(0)).await.unwrap(), Wake::At(midnight(1)));
    assert_eq!(arrived()[4..], ids(&[&mails[4], &mails[0]]));
    assert_eq!(mailer.run(midnight(1)).await.unwrap(), Wake::Idle);
    assert_eq!(arrived()[6..], ids(&[&mails[1]]));
}

#[tokio::test]
async fn invariant_64_what_cannot_wait_a_day_does_not() {
    let (outbox, mailbox) = (Arc::new(MemoryOutbox::default()), Mailbox::default());
    let last_day = validity().not_after() - Duration::HOUR;
    for id in 1..=3 {
        outbox.put(about(id, 10), last_day);
    }
    assert_eq!(capped(&outbox, &mailbox, 1).run(last_day).await.unwrap(), Wake::Idle);
    assert_eq!(mailbox.newest(9).len(), 3, "tomorrow they would be of no use");
}
