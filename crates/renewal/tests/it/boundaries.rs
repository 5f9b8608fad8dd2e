//! The first and the last instants at which something is possible.

use koshin_renewal::{
    Admission, Deadlines, Dialog, Effect, Event, Fact, Holding, NotAllowed, Refused, State, Status, Why,
};
use koshin_types::{RevocationReason, Validity};
use time::{Duration, UtcDateTime};

use crate::fixtures::{NOW, fingerprint, holder, id, key, policy, serial, with_pending, words, year_until};

const MS: Duration = Duration::MILLISECOND;

fn state(holding: &Holding) -> State {
    holding.renewal.as_ref().unwrap().state
}

#[test]
fn renewal_opens_with_the_notice_and_closes_with_the_certificate() {
    let holding = holder(60);
    let opens = holding.outlook(&policy(), NOW).decision.unwrap().window_opens;
    let ends = holding.certificates[0].validity.end();
    let early = holding.start(id(1), &policy(), opens - MS);
    assert_eq!(early.unwrap_err(), Refused::TooEarly { opens, now: opens - MS });
    assert!(holding.start(id(1), &policy(), opens).is_ok());
    assert!(holding.start(id(1), &policy(), ends - MS).is_ok());
    assert_eq!(holding.start(id(1), &policy(), ends).unwrap_err(), Refused::Ended { ends, now: ends });
}

#[test]
fn a_certificate_that_is_not_yet_valid_opens_nothing() {
    for (days, opens) in [(20, NOW), (365, NOW + Duration::days(335))] {
        let mut holding = holder(0);
        holding.certificates[0].validity = Validity::new(NOW, NOW + Duration::days(days)).unwrap();
        let (early, opening) = (NOW - MS, holding.outlook(&policy(), NOW).decision.unwrap().window_opens.max(NOW));
        // Calendar days begin at midnight.
        assert!(opening <= opens && opens - opening < Duration::DAY);
        let refused = Refused::TooEarly { opens: opening, now: early };
        assert_eq!(holding.start(id(1), &policy(), early).unwrap_err(), refused);
        assert_eq!(holding.defer(&policy(), early).unwrap_err(), refused);
        assert_eq!(holding.enrol(id(1), &policy(), early).unwrap_err(), Refused::EnrolmentClosed);
        // No setting could have opened it before, so no log may say so.
        let started = holding.start(id(1), &policy(), opening).unwrap().facts;
        assert!(holding.replay(&started, opening).is_ok());
        let deferred = [Fact::Deferred { serial: serial(0) }];
        assert!(holding.replay(&deferred, NOW).is_ok());
        let error = holding.replay(&deferred, early).unwrap_err();
        let refused = Refused::TooEarly { opens: NOW, now: early };
        assert_eq!(error, NotAllowed::Refused { index: 0, fact: "deferred", refused });
    }
}

#[test]
fn a_second_start_is_the_same_renewal() {
    let first = holder(10).start(id(1), &policy(), NOW).unwrap();
    assert_eq!(words(&first.facts), ["renewal_started"]);
    let second = first.next.start(id(2), &policy(), NOW + Duration::MINUTE).unwrap();
    assert!(second.facts.is_empty());
    assert_eq!(second.next.renewal.unwrap().id, id(1));
}

#[test]
fn invariant_26_no_at_a_dialog_changes_nothing_that_matters() {
    let started = holder(10).start(id(1), &policy(), NOW).unwrap().next;
    let no = Event::Decline { dialog: Dialog::Key };
    let declined = started.step(id(1), &no, NOW, &Deadlines::default()).unwrap();
    assert_eq!((words(&declined.facts), &declined.next), (vec!["declined"], &started));
    let pending = with_pending(&holder(10), 1, NOW);
    let no = Event::Decline { dialog: Dialog::Install };
    let declined = pending.step(id(1), &no, NOW, &Deadlines::default()).unwrap();
    assert_eq!((words(&declined.facts), &declined.next), (vec!["declined"], &pending));
    assert_eq!(declined.next.admission(&fingerprint(0), NOW), Admission::Login);
    // Both may be taken up again at once: the same renewal, a new key, or the certificate after all.
    let deadlines = Deadlines::default();
    for open in [&started, &pending] {
        assert_eq!(open.start(id(2), &policy(), NOW).unwrap().next.renewal.unwrap().id, id(1));
        assert!(open.start_again(id(1), id(2), NOW, &deadlines).is_ok());
    }
    let after_all = Event::Activate { fingerprint: fingerprint(1) };
    assert!(pending.step(id(1), &after_all, NOW + Duration::days(34), &deadlines).is_ok());
    // Whoever means it loses nothing: only the new certificate is revoked in the end.
    let swept = pending.sweep(NOW + deadlines.activation_after_issue, &deadlines).next;
    assert!(matches!(swept.certificates[1].status, Status::Revoked { .. }));
    assert_eq!(swept.certificates[0], pending.certificates[0]);
}

#[test]
fn invariant_27_a_start_without_a_request_ends_after_a_day_and_blocks_nothing() {
    let started = holder(10).start(id(1), &policy(), NOW).unwrap().next;
    let deadline = NOW + Deadlines::default().request;
    assert!(started.sweep(deadline - MS, &Deadlines::default()).facts.is_empty());
    let swept = started.sweep(deadline, &Deadlines::default());
    assert_eq!(state(&swept.next), State::Abandoned { why: Why::NoRequest });
    assert!(swept.next.certificates.len() == 1 && swept.next.start(id(2), &policy(), deadline).is_ok());
}

#[test]
fn activation_supersedes_in_the_same_commit() {
    let pending = with_pending(&holder(10), 1, NOW);
    assert_eq!(pending.admission(&fingerprint(1), NOW), Admission::ActivationOnly);
    let event = Event::Activate { fingerprint: fingerprint(1) };
    let change = pending.step(id(1), &event, NOW, &Deadlines::default()).unwrap();
    assert_eq!(words(&change.facts), ["superseded", "activated"]);
    assert_eq!(change.next.admission(&fingerprint(0), NOW), Admission::Superseded { at: NOW, by: serial(1) });
    assert_eq!(change.next.admission(&fingerprint(1), NOW), Admission::Login);
    assert!(change.next.step(id(1), &event, NOW + MS, &Deadlines::default()).unwrap().facts.is_empty());
}

#[test]
fn invariant_38_a_pending_certificate_outlives_its_predecessor() {
    let pending = with_pending(&holder(10), 1, NOW);
    let end = pending.certificates[0].validity.end();
    let last = NOW + Deadlines::default().activation_after_issue;
    let event = Event::Activate { fingerprint: fingerprint(1) };
    assert!(pending.step(id(1), &event, end, &Deadlines::default()).is_ok());
    assert!(pending.step(id(1), &event, last - MS, &Deadlines::default()).is_ok());
    let late = pending.step(id(1), &event, last, &Deadlines::default()).unwrap_err();
    assert_eq!(late, Refused::Lapsed { deadline: last, now: last });
    let swept = pending.sweep(last, &Deadlines::default());
    assert_eq!(words(&swept.facts), ["revoked", "abandoned"]);
    // Issued on the first day of the window, the week after the predecessor's end is the later one.
    let early = with_pending(&holder(30), 1, NOW);
    let later = early.certificates[0].validity.end() + Deadlines::default().activation_after_end;
    assert_eq!(early.renewal.unwrap().deadline(&Deadlines::default()), Some(later));
}

#[test]
fn invariant_38_what_is_not_issued_by_the_end_expires() {
    let deadlines = Deadlines::default();
    let requested = holder(10).start(id(1), &policy(), NOW).unwrap().next;
    let requested = requested.step(id(1), &Event::Request { key: key(1) }, NOW, &deadlines).unwrap().next;
    let end = requested.certificates[0].validity.end();
    let intend = Event::Intend { serial: serial(1) };
    assert!(requested.step(id(1), &intend, end - MS, &deadlines).is_ok());
    assert_eq!(
        requested.step(id(1), &intend, end, &deadlines).unwrap_err(),
        Refused::Lapsed { deadline: end, now: end }
    );
    assert_eq!(state(&requested.sweep(end, &deadlines).next), State::Expired);
}

#[test]
fn start_again_revokes_in_the_same_commit_and_is_limited() {
    let deadlines = Deadlines::default();
    let mut holding = with_pending(&holder(10), 1, NOW);
    let again = holding.start_again(id(1), id(2), NOW, &deadlines).unwrap();
    assert_eq!(words(&again.facts), ["revoked", "abandoned", "renewal_started"]);
    holding = again.next;
    for n in 2..4 {
        holding = holding.start_again(id(n), id(n + 1), NOW, &deadlines).unwrap().next;
    }
    let retry_at = NOW + deadlines.again_within;
    let refused = holding.start_again(id(4), id(5), retry_at - MS, &deadlines).unwrap_err();
    assert_eq!(refused, Refused::TooOften { retry_at, now: retry_at - MS });
    let again = holding.start_again(id(4), id(5), retry_at, &deadlines).unwrap().next.renewal.unwrap();
    assert_eq!((again.again, again.chain_started_at), (1, retry_at));
    let unknown = holding.start_again(id(9), id(5), retry_at, &deadlines).unwrap_err();
    assert_eq!(unknown, Refused::NoRenewal { id: id(9) });
}

#[test]
fn start_again_needs_a_predecessor_that_still_stands() {
    let pending = with_pending(&holder(1), 1, NOW);
    let end = pending.certificates[0].validity.end();
    assert!(pending.start_again(id(1), id(2), end - MS, &Deadlines::default()).is_ok());
    let ended = pending.start_again(id(1), id(2), end, &Deadlines::default()).unwrap_err();
    assert_eq!(ended, Refused::Ended { ends: end, now: end });
    let revoked = pending.revoke(RevocationReason::KeyCompromise, NOW).unwrap().next;
    let refused = revoked.start_again(id(1), id(2), NOW, &Deadlines::default()).unwrap_err();
    assert_eq!(refused, Refused::OutOfPlace { state: "abandoned", event: "start_again" });
}

#[test]
fn invariant_34_a_permission_is_used_up_by_one_certificate() {
    let deadlines = Deadlines::default();
    let nobody = Holding::default();
    assert_eq!(nobody.enrol(id(1), &policy(), NOW).unwrap_err(), Refused::EnrolmentClosed);
    let until = NOW + Duration::days(80);
    let permitted = nobody.permit(until, NOW).next;
    assert!(permitted.enrol(id(1), &policy(), until - MS).is_ok());
    assert_eq!(permitted.enrol(id(1), &policy(), until).unwrap_err(), Refused::EnrolmentClosed);
    let open = permitted.enrol(id(1), &policy(), NOW).unwrap().next;
    let open = open.step(id(1), &Event::Request { key: key(1) }, NOW, &deadlines).unwrap().next;
    let open = open.step(id(1), &Event::Intend { serial: serial(1) }, NOW, &deadlines).unwrap().next;
    let validity = year_until(NOW + Duration::days(365));
    let issued = open.issue(id(1), serial(1), fingerprint(1), validity, NOW, &deadlines).unwrap();
    assert_eq!(words(&issued.facts), ["issued", "permission_used"]);
    // The holder may come back to the enrolment that is open, and it is the same one.
    let back = issued.next.enrol(id(2), &policy(), NOW).unwrap();
    assert!(back.facts.is_empty() && issued.next.grant.is_none());
    let active =
        issued.next.step(id(1), &Event::Activate { fingerprint: fingerprint(1) }, NOW, &deadlines).unwrap().next;
    assert_eq!(active.enrol(id(3), &policy(), NOW).unwrap_err(), Refused::EnrolmentClosed);
}

#[test]
fn invariant_38_an_enrolment_after_the_end_replaces_an_open_renewal() {
    let pending = with_pending(&holder(10), 1, NOW);
    let end = pending.certificates[0].validity.end();
    assert_eq!(pending.enrol(id(2), &policy(), end - MS).unwrap_err(), Refused::EnrolmentClosed);
    let change = pending.enrol(id(2), &policy(), end).unwrap();
    assert_eq!(words(&change.facts), ["revoked", "abandoned", "renewal_started"]);
    assert!(matches!(change.next.certificates[1].status, Status::Revoked { .. }));
}

#[test]
fn revocation_is_whole_and_final() {
    let pending = with_pending(&holder(10), 1, NOW);
    let change = pending.revoke(RevocationReason::KeyCompromise, NOW).unwrap();
    assert_eq!(words(&change.facts), ["revoked", "abandoned", "revoked"]);
    let revoked = change.next;
    let (at, reason) = (NOW, RevocationReason::KeyCompromise);
    for n in [0, 1] {
        assert_eq!(revoked.admission(&fingerprint(n), NOW), Admission::Revoked { at, reason });
    }
    assert_eq!(revoked.revoke(reason, NOW).unwrap_err(), Refused::NoCertificate);
    assert!(revoked.start(id(2), &policy(), NOW).is_err());
    assert_eq!(revoked.enrol(id(2), &policy(), NOW + Duration::days(20)).unwrap_err(), Refused::EnrolmentClosed);
    assert!(revoked.permit(NOW + Duration::DAY, NOW).next.enrol(id(2), &policy(), NOW).is_ok());
}

#[test]
fn a_revocation_takes_an_open_permission_with_it() {
    let until = NOW + Duration::DAY;
    let permitted = holder(10).permit(until, NOW).next;
    let reason = RevocationReason::KeyCompromise;
    let revoked = permitted.revoke(reason, until - MS).unwrap();
    assert_eq!(words(&revoked.facts), ["revoked", "permission_withdrawn"]);
    assert_eq!(revoked.next.enrol(id(2), &policy(), until - MS).unwrap_err(), Refused::EnrolmentClosed);
    assert_eq!(revoked.next.revoke(reason, until - MS).unwrap_err(), Refused::NoCertificate);
    // One that has run out by itself is not taken back.
    assert_eq!(words(&permitted.revoke(reason, until).unwrap().facts), ["revoked"]);
    let nobody = Holding::default().permit(until, NOW).next;
    assert_eq!(words(&nobody.revoke(reason, NOW).unwrap().facts), ["permission_withdrawn"]);
    assert_eq!(nobody.revoke(reason, until).unwrap_err(), Refused::NoCertificate);
}

#[test]
fn a_permission_can_be_taken_back_and_an_enrolment_goes_on() {
    let until = NOW + Duration::DAY;
    let permitted = Holding::default().permit(until, NOW).next;
    let withdrawn = permitted.withdraw_permission(NOW);
    assert_eq!((words(&withdrawn.facts), &withdrawn.next), (vec!["permission_withdrawn"], &Holding::default()));
    for nothing in [withdrawn.next.withdraw_permission(NOW), permitted.withdraw_permission(until)] {
        assert!(nothing.facts.is_empty() && nothing.effects.is_empty());
    }
    let open = permitted.enrol(id(1), &policy(), NOW).unwrap().next.withdraw_permission(NOW).next;
    assert!(open.outlook(&policy(), NOW).enrolment);
    let ended = open.revoke(RevocationReason::Unspecified, NOW).unwrap();
    assert_eq!(words(&ended.facts), ["abandoned"]);
    assert!(!ended.next.outlook(&policy(), NOW).enrolment);
}

#[test]
fn what_is_owed_outside_follows_from_what_became_true() {
    let deadlines = Deadlines::default();
    let close = |n| Effect::CloseCertificate { fingerprint: fingerprint(n) };
    let told = |n, reason| Effect::TellRevoked { serial: serial(n), reason };
    let (ceased, lost) = (RevocationReason::CessationOfOperation, RevocationReason::KeyCompromise);
    let intended = holder(10).start(id(1), &policy(), NOW).unwrap().next;
    let intended = intended.step(id(1), &Event::Request { key: key(1) }, NOW, &deadlines).unwrap().next;
    let intended = intended.step(id(1), &Event::Intend { serial: serial(1) }, NOW, &deadlines).unwrap();
    assert_eq!(intended.effects, []);
    let validity = year_until(NOW + Duration::days(365));
    let issued = intended.next.issue(id(1), serial(1), fingerprint(1), validity, NOW, &deadlines).unwrap();
    assert_eq!(issued.effects, [Effect::TellIssued { serial: serial(1) }]);
    let pending = issued.next;
    let activate = Event::Activate { fingerprint: fingerprint(1) };
    let activated = pending.step(id(1), &activate, NOW, &deadlines).unwrap();
    assert_eq!(activated.effects, [close(0), Effect::TellActivated { serial: serial(1) }]);
    let end = pending.certificates[0].validity.end();
    for (change, expected) in [
        (pending.step(id(1), &Event::Deliver, NOW, &deadlines), vec![]),
        (pending.start_again(id(1), id(2), NOW, &deadlines), vec![close(1), told(1, ceased)]),
        (pending.enrol(id(2), &policy(), end), vec![close(1), told(1, RevocationReason::Superseded)]),
        (pending.revoke(lost, NOW), vec![close(1), told(1, lost), close(0), told(0, lost)]),
        (Ok(pending.sweep(NOW + Duration::days(40), &deadlines)), vec![close(1), told(1, ceased)]),
        (Ok(pending.permit(end, NOW)), vec![]),
    ] {
        assert_eq!(change.unwrap().effects, expected);
    }
}

#[test]
fn what_ends_a_renewal_from_outside_is_a_command_and_no_event() {
    let pending = with_pending(&holder(10), 1, NOW);
    for why in [Why::NoRequest, Why::NotActivated, Why::StartedAgain, Why::Enrolment, Why::Revoked] {
        let refused = pending.step(id(1), &Event::Abandon { why }, NOW, &Deadlines::default()).unwrap_err();
        assert_eq!(refused, Refused::OutOfPlace { state: "issued", event: "abandon" });
    }
    let issue = Event::Issue { serial: serial(1), fingerprint: fingerprint(1) };
    assert!(pending.step(id(1), &issue, NOW, &Deadlines::default()).unwrap().facts.is_empty());
    let other = Event::Issue { serial: serial(2), fingerprint: fingerprint(2) };
    let refused = pending.step(id(1), &other, NOW, &Deadlines::default()).unwrap_err();
    assert_eq!(refused, Refused::OutOfPlace { state: "issued", event: "issue" });
}

#[test]
fn later_is_counted_only_while_the_notice_is_shown() {
    let holding = holder(10);
    let twice = holding.defer(&policy(), NOW).unwrap().next.defer(&policy(), NOW).unwrap().next;
    assert_eq!(twice.certificates[0].deferred, 2);
    let ends = holding.certificates[0].validity.end();
    assert_eq!(holding.defer(&policy(), ends).unwrap_err(), Refused::Ended { ends, now: ends });
    assert!(matches!(holder(200).defer(&policy(), NOW), Err(Refused::TooEarly { .. })));
    assert_eq!(Holding::default().defer(&policy(), NOW).unwrap_err(), Refused::NoCertificate);
}

#[test]
fn admission_by_time() {
    let holding = holder(10);
    let validity = holding.certificates[0].validity;
    let at = |now: UtcDateTime| holding.admission(&fingerprint(0), now);
    let not_before = validity.not_before();
    assert_eq!(at(not_before - MS), Admission::NotYetValid { not_before });
    assert_eq!(at(not_before), Admission::Login);
    assert_eq!(at(validity.end() - MS), Admission::Login);
    assert_eq!(at(validity.end()), Admission::Expired { ends: validity.end() });
    assert_eq!(holding.admission(&fingerprint(9), NOW), Admission::Unknown);
}
