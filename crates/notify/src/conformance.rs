//! What every [`Outbox`] has to do, as tests that any implementation runs on itself; what every
//! [`Schedule`](crate::Schedule) has to do stands in [`schedule`].
//!
//! ```
//! use async_trait::async_trait;
//! use koshin_notify::{Mail, MailId, MemoryOutbox, Outbox, Tasks, conformance::Rig};
//! use time::UtcDateTime;
//!
//! struct Memory(MemoryOutbox);
//!
//! #[async_trait]
//! impl Rig for Memory {
//!     fn outbox(&self) -> &dyn Outbox {
//!         &self.0
//!     }
//!     fn tasks(&self) -> &dyn Tasks {
//!         &self.0
//!     }
//!     async fn put(&self, mail: &Mail, due: UtcDateTime) {
//!         self.0.put(mail.clone(), due);
//!     }
//!     async fn stored(&self, id: MailId) -> Option<String> {
//!         self.0.mail(id).map(|mail| mail.encode().to_string())
//!     }
//!     async fn end(&self, id: MailId) -> Option<String> {
//!         self.0.end(id).map(|end| end.word().to_owned())
//!     }
//! }
//!
//! async fn empty() -> Memory {
//!     Memory(MemoryOutbox::default())
//! }
//!
//! koshin_notify::outbox_conformance!(empty);
//! # fn main() { koshin_notify::conformance::run(async { koshin_notify::conformance::erases_secrets(&empty().await).await }) }
//! ```

#![expect(clippy::missing_panics_doc, reason = "a test of the suite fails by panicking")]

pub mod matters;
pub mod schedule;
mod tasks;

pub use tasks::{
    a_bounce_ends_a_mail, claims_the_most_urgent_first, counts_what_an_address_was_told,
    trouble_is_a_task_until_it_is_settled,
};

use std::{collections::BTreeSet, future::Future};

use async_trait::async_trait;
use koshin_types::Language;
use time::{Duration, UtcDateTime};

use crate::{Claimed, Code, Disposition, Fence, Mail, MailId, Notice, Outbox, OutboxError, Reply, Suppression, Tasks};

/// An outbox on the bench: what the tests need beside the port.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The outbox under test.
    fn outbox(&self) -> &dyn Outbox;
    /// Its tasks.
    fn tasks(&self) -> &dyn Tasks;
    /// Puts a mail in as the transaction that makes it due does. A second one of the same id changes nothing.
    async fn put(&self, mail: &Mail, due: UtcDateTime);
    /// Everything that is stored of a mail, as text.
    async fn stored(&self, id: MailId) -> Option<String>;
    /// The word of the terminal disposition ([`Disposition::word`]) of a mail that has one.
    async fn end(&self, id: MailId) -> Option<String>;
}

/// Runs one test of the suite on a runtime of its own.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(test),
        Err(error) => assert!(error.to_string().is_empty(), "no runtime: {error}"),
    }
}

/// Makes one `#[test]` of each test of the suite. Takes the path of an `async fn() -> impl Rig` that gives a new, empty
/// outbox each time.
#[macro_export]
macro_rules! outbox_conformance {
    ($make:path) => {
        $crate::outbox_conformance!(@ $make:
            claims_what_is_due_in_order, leases_exclude_and_end, fences_keep_the_overtaken_out, attempts_are_counted,
            a_crash_while_transmitting_counts_as_unanswered, dispositions_end_or_come_back, a_put_is_never_repeated,
            wakes_at_the_earliest, erases_secrets, many_workers_share, claims_the_most_urgent_first,
            counts_what_an_address_was_told, trouble_is_a_task_until_it_is_settled, a_bounce_ends_a_mail,
        );
    };
    (@ $make:path: $($case:ident,)+) => {
        $(#[test]
        fn $case() {
            $crate::conformance::run(async { $crate::conformance::$case(&$make().await).await });
        })+
    };
}

const LEASE: Duration = Duration::minutes(10);

fn at(minutes: i64) -> UtcDateTime {
    UtcDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minutes)
}

fn mail(key: &str) -> Option<Mail> {
    coded(key, Notice::AddressChanged { at: at(0) })
}

fn coded(key: &str, notice: Notice) -> Option<Mail> {
    Some(Mail::new(notice, key, "taro@example.co.jp".parse().ok()?, Language::Ja, "U-1001".parse().ok()?))
}

/// Puts mails due at minute 0, 1, 2 … in, and returns them.
async fn filled(rig: &dyn Rig, count: i64) -> Vec<Mail> {
    let mut mails = Vec::new();
    for minute in 0..count {
        let mail = mail(&minute.to_string());
        assert!(mail.is_some(), "the suite's own mail");
        if let Some(mail) = mail {
            rig.put(&mail, at(minute)).await;
            mails.push(mail);
        }
    }
    mails
}

async fn claim(rig: &dyn Rig, minute: i64, limit: usize) -> Vec<Claimed> {
    let claimed = rig.outbox().claim(at(minute), "worker", LEASE, limit).await;
    assert!(claimed.is_ok(), "claim: {claimed:?}");
    claimed.unwrap_or_default()
}

/// Claims the one row that there has to be.
async fn claim_one(rig: &dyn Rig, minute: i64) -> (MailId, Claimed) {
    let mut claimed = claim(rig, minute, 10).await;
    assert_eq!(claimed.len(), 1, "one row can be claimed at minute {minute}");
    let one = claimed.remove(0);
    (one.mail.id, one)
}

async fn transmitting(rig: &dyn Rig, id: MailId, fence: Fence, minute: i64) -> bool {
    held(&rig.outbox().transmitting(id, fence, at(minute)).await)
}

async fn record(rig: &dyn Rig, id: MailId, fence: Fence, disposition: &Disposition, minute: i64) -> bool {
    held(&rig.outbox().record(id, fence, disposition, at(minute)).await)
}

fn held(result: &Result<(), OutboxError>) -> bool {
    assert!(!matches!(result, Err(OutboxError::Unavailable(_))), "the outbox answers: {result:?}");
    result.is_ok()
}

/// Only what is due is claimed, the longest due first, no more than asked for, and as it was put in.
pub async fn claims_what_is_due_in_order(rig: &dyn Rig) {
    assert!(claim(rig, 100, 10).await.is_empty(), "nothing in an empty outbox");
    let mails = filled(rig, 4).await;
    let first = claim(rig, 2, 2).await;
    assert_eq!(first.iter().map(|claimed| &claimed.mail).collect::<Vec<_>>(), mails.iter().take(2).collect::<Vec<_>>());
    let second = claim(rig, 2, 2).await;
    assert_eq!(
        second.iter().map(|claimed| &claimed.mail).collect::<Vec<_>>(),
        mails.iter().skip(2).take(1).collect::<Vec<_>>()
    );
    assert!(first.iter().chain(&second).all(|claimed| claimed.attempts == 0 && claimed.unanswered == 0));
}

/// A claimed row is nobody else's until the lease is over, and then it is the next one's, with a greater fence.
pub async fn leases_exclude_and_end(rig: &dyn Rig) {
    filled(rig, 1).await;
    let (_, first) = claim_one(rig, 0).await;
    assert!(claim(rig, 9, 10).await.is_empty(), "the lease holds");
    let (_, second) = claim_one(rig, 10).await;
    assert!(second.fence > first.fence);
    assert_eq!(second.unanswered, 0, "it was only claimed, never on its way");
}

/// Whoever was overtaken, or is late, neither transmits nor records; nobody records twice.
pub async fn fences_keep_the_overtaken_out(rig: &dyn Rig) {
    filled(rig, 1).await;
    let (id, old) = claim_one(rig, 0).await;
    assert!(!transmitting(rig, id, old.fence, 10).await, "the lease is over");
    let (_, new) = claim_one(rig, 10).await;
    assert!(!transmitting(rig, id, old.fence, 11).await, "overtaken");
    assert!(!record(rig, id, old.fence, &Disposition::Sent, 11).await, "overtaken");
    assert!(transmitting(rig, id, new.fence, 19).await);
    assert!(claim(rig, 28, 10).await.is_empty(), "transmitting starts the lease anew");
    assert!(record(rig, id, new.fence, &Disposition::Sent, 60).await, "late, but nobody else's");
    assert!(!record(rig, id, new.fence, &Disposition::Unknown, 61).await, "the claim is ended");
    assert!(!transmitting(rig, id, new.fence, 61).await, "the claim is ended");
    assert!(claim(rig, 1000, 10).await.is_empty());
    assert_eq!(rig.end(id).await.as_deref(), Some("sent"));
}

/// Attempts count transmissions, not claims.
pub async fn attempts_are_counted(rig: &dyn Rig) {
    filled(rig, 1).await;
    let retry = |minute| Disposition::Retry { at: at(minute), reply: Some(Reply::new(Some(450), "later")) };
    let (id, claimed) = claim_one(rig, 0).await;
    assert!(record(rig, id, claimed.fence, &Disposition::Retry { at: at(1), reply: None }, 0).await);
    let (_, claimed) = claim_one(rig, 1).await;
    assert_eq!(claimed.attempts, 0, "given back untried");
    assert!(transmitting(rig, id, claimed.fence, 1).await);
    assert!(record(rig, id, claimed.fence, &retry(6), 1).await);
    assert!(claim(rig, 5, 10).await.is_empty(), "not before the retry is due");
    let (_, claimed) = claim_one(rig, 6).await;
    assert_eq!((claimed.attempts, claimed.unanswered), (1, 0));
}

/// A claim that ran out while transmitting counts as an answer that was lost, each time.
pub async fn a_crash_while_transmitting_counts_as_unanswered(rig: &dyn Rig) {
    filled(rig, 1).await;
    for unanswered in 0..2 {
        let minute = i64::from(unanswered) * 10;
        let (id, claimed) = claim_one(rig, minute).await;
        assert_eq!((claimed.attempts, claimed.unanswered), (unanswered, unanswered));
        assert!(transmitting(rig, id, claimed.fence, minute).await);
    }
    let (id, claimed) = claim_one(rig, 20).await;
    assert_eq!(claimed.unanswered, 2);
    assert!(record(rig, id, claimed.fence, &Disposition::Unknown, 20).await);
    assert_eq!(rig.end(id).await.as_deref(), Some("unknown"));
}

/// Terminal dispositions end a row for ever; a quarantined one comes back with one more unanswered transmission, and
/// keeps that over a retry.
pub async fn dispositions_end_or_come_back(rig: &dyn Rig) {
    let mails = filled(rig, 6).await;
    let reply = || Reply::new(Some(550), "no such user");
    let ends = [
        Disposition::Sent,
        Disposition::Undeliverable { reply: reply() },
        Disposition::Unknown,
        Disposition::Suppressed { why: Suppression::TooLate },
        Disposition::Suppressed { why: Suppression::Withdrawn },
    ];
    for (end, claimed) in ends.iter().zip(claim(rig, 5, 5).await) {
        assert!(end.is_terminal());
        assert!(transmitting(rig, claimed.mail.id, claimed.fence, 5).await);
        assert!(record(rig, claimed.mail.id, claimed.fence, end, 5).await);
        assert_eq!(rig.end(claimed.mail.id).await.as_deref(), Some(end.word()));
    }
    let (id, claimed) = claim_one(rig, 5).await;
    assert_eq!(mails.last().map(|mail| mail.id), Some(id), "all others are done with");
    assert!(transmitting(rig, id, claimed.fence, 5).await);
    assert!(record(rig, id, claimed.fence, &Disposition::Quarantined { until: at(20) }, 5).await);
    assert_eq!(rig.end(id).await, None);
    assert!(claim(rig, 19, 10).await.is_empty(), "quarantined");
    let (_, claimed) = claim_one(rig, 20).await;
    assert_eq!((claimed.attempts, claimed.unanswered), (1, 1));
    assert!(transmitting(rig, id, claimed.fence, 20).await);
    assert!(record(rig, id, claimed.fence, &Disposition::Retry { at: at(25), reply: Some(reply()) }, 20).await);
    let (_, claimed) = claim_one(rig, 25).await;
    assert_eq!((claimed.attempts, claimed.unanswered), (2, 1));
}

/// One row for each id, whatever happens and whenever it is planned again.
pub async fn a_put_is_never_repeated(rig: &dyn Rig) {
    let mails = filled(rig, 1).await;
    filled(rig, 1).await;
    let (id, claimed) = claim_one(rig, 0).await;
    filled(rig, 1).await;
    assert!(claim(rig, 1, 10).await.is_empty(), "claimed, not new");
    assert!(record(rig, id, claimed.fence, &Disposition::Sent, 1).await);
    filled(rig, 1).await;
    assert!(claim(rig, 1000, 10).await.is_empty(), "sent, not new");
    assert_eq!(rig.outbox().next_wake(at(1000)).await.ok().flatten(), None);
    assert_eq!(mails.first().map(|mail| mail.id), Some(id));
}

/// The next wake is the earliest due instant or end of a lease, and nothing once all is done with.
pub async fn wakes_at_the_earliest(rig: &dyn Rig) {
    let wake = async || {
        let wake = rig.outbox().next_wake(at(0)).await;
        assert!(wake.is_ok(), "next_wake: {wake:?}");
        wake.ok().flatten()
    };
    assert_eq!(wake().await, None);
    filled(rig, 2).await;
    assert_eq!(wake().await, Some(at(0)));
    let (first, claimed) = claim_one(rig, 0).await;
    assert_eq!(wake().await, Some(at(1)));
    assert!(transmitting(rig, first, claimed.fence, 0).await);
    let (second, other) = claim_one(rig, 1).await;
    assert_eq!(wake().await, Some(at(10)), "the end of the first lease");
    assert!(record(rig, first, claimed.fence, &Disposition::Retry { at: at(40), reply: None }, 1).await);
    assert_eq!(wake().await, Some(at(11)), "the end of the second lease");
    assert!(record(rig, second, other.fence, &Disposition::Sent, 1).await);
    assert_eq!(wake().await, Some(at(40)));
}

/// A terminal disposition erases the code, a passing one does not.
pub async fn erases_secrets(rig: &dyn Rig) {
    let ends = [
        Disposition::Sent,
        Disposition::Undeliverable { reply: Reply::new(Some(550), "no") },
        Disposition::Unknown,
        Disposition::Suppressed { why: Suppression::TooLate },
    ];
    for (number, end) in ends.iter().enumerate() {
        let secret = format!("QX{number}-77Z3");
        let mail =
            Code::new(&secret).ok().and_then(|code| coded(&secret, Notice::EnrolmentCode { code, expires: at(600) }));
        assert!(mail.is_some(), "the suite's own mail");
        if let Some(mail) = mail {
            rig.put(&mail, at(0)).await;
        }
        let (id, claimed) = claim_one(rig, 0).await;
        assert!(transmitting(rig, id, claimed.fence, 0).await);
        assert!(record(rig, id, claimed.fence, &Disposition::Quarantined { until: at(1) }, 0).await);
        let (_, claimed) = claim_one(rig, 1).await;
        assert!(claimed.mail.holds_secret(), "a repeat needs the code");
        assert!(record(rig, id, claimed.fence, end, 1).await);
        let stored = rig.stored(id).await;
        assert!(stored.is_some(), "the row stays, so that nothing is planned twice");
        assert!(stored.is_some_and(|text| !text.contains(&secret)), "the code outlived {}", end.word());
    }
}

/// Several workers at once never hold the same row, and together they hold all.
pub async fn many_workers_share(rig: &dyn Rig) {
    let mails = filled(rig, 40).await;
    let (a, b, c, d) = tokio::join!(claim(rig, 40, 10), claim(rig, 40, 10), claim(rig, 40, 10), claim(rig, 40, 10));
    let held: Vec<_> = a.iter().chain(&b).chain(&c).chain(&d).map(|claimed| claimed.mail.id).collect();
    let distinct: BTreeSet<_> = held.iter().copied().collect();
    assert_eq!(held.len(), distinct.len(), "two workers hold one row");
    assert_eq!(distinct, mails.iter().map(|mail| mail.id).collect());
}
