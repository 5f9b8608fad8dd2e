//! What an outbox has to know about order, about what an address was told, and about mails that reached nobody.

use time::{Duration, UtcDateTime};

use super::{Rig, at, claim, claim_one, coded, filled, mail, record, transmitting};
use crate::{Bounce, Code, Disposition, Mail, MailId, Notice, Reply, Suppression, Task, Trouble, Whose};

fn validity() -> Option<koshin_types::Validity> {
    koshin_types::Validity::new(at(-1_000_000), at(1_000_000)).ok()
}

fn expiry(threshold_days: u16) -> Option<Mail> {
    let notice =
        Notice::Expiry { threshold_days, validity: validity()?, days_left: threshold_days, renewal_opens: None };
    coded(&threshold_days.to_string(), notice)
}

async fn put(rig: &dyn Rig, mail: Option<Mail>, minute: i64) -> MailId {
    assert!(mail.is_some(), "the suite's own mail");
    let Some(mail) = mail else { return MailId::from_bytes([0; 16]) };
    rig.put(&mail, at(minute)).await;
    mail.id
}

/// Claims one row, transmits it, and records what came of it.
async fn ended(rig: &dyn Rig, end: &Disposition, minute: i64) -> MailId {
    let (id, claimed) = claim_one(rig, minute).await;
    assert!(transmitting(rig, id, claimed.fence, minute).await);
    assert!(record(rig, id, claimed.fence, end, minute).await);
    id
}

fn refused() -> Reply {
    Reply::new(Some(550), "5.1.1 no such user")
}

/// What somebody waits for overtakes what is due for longer; of equally urgent ones the longest due comes first.
pub async fn claims_the_most_urgent_first(rig: &dyn Rig) {
    let usual = put(rig, expiry(30), 0).await;
    let pressing = put(rig, expiry(10), 1).await;
    let events = (put(rig, mail("a"), 2).await, put(rig, mail("b"), 3).await);
    let code = Code::new("1").ok().and_then(|code| coded("code", Notice::EnrolmentCode { code, expires: at(600) }));
    let code = put(rig, code, 4).await;
    let first: Vec<_> = claim(rig, 4, 3).await.iter().map(|claimed| claimed.mail.id).collect();
    assert_eq!(first, [code, events.0, events.1]);
    let rest: Vec<_> = claim(rig, 4, 9).await.iter().map(|claimed| claimed.mail.id).collect();
    assert_eq!(rest, [pressing, usual]);
    assert_eq!(rig.outbox().next_wake(at(4)).await.ok().flatten(), Some(at(14)), "the end of the leases");
}

/// What went out, or may have, counts; what was refused, waits, or was waited for, does not.
pub async fn counts_what_an_address_was_told(rig: &dyn Rig) {
    let told = async |to: &str, minute| {
        let address = to.parse::<crate::Address>();
        assert!(address.is_ok(), "the suite's own address");
        let Ok(address) = address else { return 0 };
        let told = rig.outbox().told(&address, at(minute)).await;
        assert!(told.is_ok(), "told: {told:?}");
        told.unwrap_or_default()
    };
    let taro = "taro@example.co.jp";
    put(rig, mail("sent"), 0).await;
    assert_eq!(told(taro, 0).await, 0, "it waits");
    ended(rig, &Disposition::Sent, 0).await;
    assert_eq!((told(taro, 0).await, told(taro, 1).await), (1, 0), "since");
    assert_eq!((told("TARO@example.co.jp", 0).await, told("jiro@example.co.jp", 0).await), (1, 0));
    put(rig, mail("lost"), 1).await;
    ended(rig, &Disposition::Quarantined { until: at(100) }, 1).await;
    assert_eq!(told(taro, 0).await, 2, "it may have arrived");
    put(rig, mail("refused"), 2).await;
    ended(rig, &Disposition::Undeliverable { reply: refused() }, 2).await;
    put(rig, mail("later"), 3).await;
    ended(rig, &Disposition::Retry { at: at(200), reply: Some(refused()) }, 3).await;
    let code = Code::new("1").ok().and_then(|code| coded("code", Notice::EnrolmentCode { code, expires: at(600) }));
    put(rig, code, 4).await;
    ended(rig, &Disposition::Sent, 4).await;
    assert_eq!(told(taro, 0).await, 2, "refused, for now or for ever, and awaited");
    put(rig, mail("under way"), 5).await;
    let (id, claimed) = claim_one(rig, 5).await;
    assert_eq!(told(taro, 0).await, 2, "claimed");
    assert!(transmitting(rig, id, claimed.fence, 5).await);
    assert_eq!(told(taro, 0).await, 3, "on its way");
}

async fn tasks(rig: &dyn Rig, after: Option<(UtcDateTime, MailId)>, limit: usize) -> Vec<Task> {
    let tasks = rig.tasks().open_tasks(Whose::All, after, limit).await;
    assert!(tasks.is_ok(), "open_tasks: {tasks:?}");
    tasks.unwrap_or_default()
}

async fn bounced(rig: &dyn Rig, id: MailId, bounce: &Bounce) -> bool {
    let noted = rig.tasks().bounced(id, bounce, at(500)).await;
    assert!(noted.is_ok(), "bounced: {noted:?}");
    noted.unwrap_or_default()
}

/// A mail that was refused, or of which nobody knows, is a task, page by page; a mail that was sent or left out is none.
pub async fn trouble_is_a_task_until_it_is_settled(rig: &dyn Rig) {
    let ends = [
        Disposition::Undeliverable { reply: refused() },
        Disposition::Sent,
        Disposition::Unknown,
        Disposition::Suppressed { why: Suppression::TooLate },
        Disposition::Undeliverable { reply: refused() },
    ];
    filled(rig, 5).await;
    let mut ids = Vec::new();
    for (minute, end) in (0..).zip(&ends) {
        ids.push(ended(rig, end, minute).await);
    }
    let all = tasks(rig, None, 9).await;
    assert_eq!(
        all.iter().map(|task| task.trouble).collect::<Vec<_>>(),
        [Trouble::Refused, Trouble::Unknown, Trouble::Refused]
    );
    let troubled: Vec<_> = [0, 2, 4].iter().filter_map(|at| ids.get(*at).copied()).collect();
    assert_eq!(all.iter().map(|task| task.mail).collect::<Vec<_>>(), troubled);
    if let Some(first) = all.first() {
        assert_eq!((first.kind.as_str(), first.subject_id.as_str(), first.at), ("address_changed", "U-1001", at(0)));
        assert_eq!(first.said, "550 5.1.1 no such user");
        let rest = tasks(rig, Some((first.at, first.mail)), 1).await;
        assert_eq!(rest.as_slice(), all.get(1..2).unwrap_or_default());
        let mine = rig.tasks().open_tasks(Whose::About(&first.subject_id), None, 9).await;
        assert_eq!(mine.ok().map(|mine| mine.len()), Some(3));
    }
    if let Ok(nobody) = "U-9".parse() {
        for whose in [Whose::About(&nobody), Whose::To(&nobody)] {
            let others = rig.tasks().open_tasks(whose, None, 9).await;
            assert_eq!(others.ok().map(|others| others.len()), Some(0));
        }
    }
    for id in &ids {
        let settled = rig.tasks().settle(*id).await;
        assert_eq!(settled.ok(), Some(troubled.contains(id)));
        assert_eq!(rig.tasks().settle(*id).await.ok(), Some(false), "once");
    }
    assert!(tasks(rig, None, 9).await.is_empty());
}

/// A mail that comes back ends as bounced, from whatever state a transmission left it in, and is a task.
pub async fn a_bounce_ends_a_mail(rig: &dyn Rig) {
    let failed = Bounce::Failed { reply: refused() };
    let delayed = Bounce::Delayed { reply: Reply::new(Some(451), "4.4.1 later") };
    assert!(!bounced(rig, MailId::from_bytes([7; 16]), &failed).await, "no such mail");
    let waits = put(rig, mail("waits"), 0).await;
    assert!(!bounced(rig, waits, &failed).await, "it never left");
    let sent = ended(rig, &Disposition::Sent, 0).await;
    assert!(bounced(rig, sent, &delayed).await);
    assert_eq!((rig.end(sent).await.as_deref(), tasks(rig, None, 9).await.len()), (Some("sent"), 0));
    assert!(bounced(rig, sent, &failed).await);
    assert!(!bounced(rig, sent, &failed).await, "a second report changes nothing");
    assert_eq!(rig.end(sent).await.as_deref(), Some("bounced"));
    // The report overtakes the record, or comes while the mail waits for its repeat.
    put(rig, mail("under way"), 1).await;
    let (quick, claimed) = claim_one(rig, 1).await;
    assert!(transmitting(rig, quick, claimed.fence, 1).await);
    assert!(bounced(rig, quick, &failed).await);
    assert!(!record(rig, quick, claimed.fence, &Disposition::Sent, 1).await);
    put(rig, mail("doubtful"), 2).await;
    let doubtful = ended(rig, &Disposition::Quarantined { until: at(20) }, 2).await;
    assert!(bounced(rig, doubtful, &failed).await);
    assert!(claim(rig, 100, 9).await.is_empty(), "nothing is repeated that came back");
    let open = tasks(rig, None, 9).await;
    assert_eq!(open.len(), 3);
    assert!(open.iter().all(|task| task.trouble == Trouble::Bounced && task.at == at(500)));
    put(rig, mail("refused"), 3).await;
    let refused = ended(rig, &Disposition::Undeliverable { reply: refused() }, 3).await;
    assert!(!bounced(rig, refused, &failed).await, "it has its end");
    assert_eq!(rig.end(refused).await.as_deref(), Some("undeliverable"));
    assert_eq!(rig.outbox().next_wake(at(0) + Duration::DAY).await.ok().flatten(), None);
}
