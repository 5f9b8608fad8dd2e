//! The correspondence with a CA elsewhere.

use koshin_renewal::{Event, Key};
use koshin_types::{ProtectionLevel, RenewalId};
use time::{Duration, UtcDateTime};

use super::{
    Rig,
    world::{World, at, bare, commit, hash, renewal_id, serial, validity},
};
use crate::{Certified, Commit, CommitError, Intent, Order, Progress, Reached, StorageError, SubjectFile};

/// What the CA would be asked for the key `number`.
fn order(file: &SubjectFile, renewal: RenewalId, number: u32, now: UtcDateTime) -> Order {
    Order {
        renewal,
        spki: hash(number),
        organization: file.organization.name.clone(),
        subject: file.subject.id.clone(),
        mail: Some("taro@example.co.jp".into()),
        validity: validity(now),
        request: format!("request {number}").into_bytes(),
        at: now,
    }
}

/// The commit that records a request and its order.
fn requested(world: &World<'_>, file: &SubjectFile, number: u32, now: UtcDateTime) -> Commit {
    let renewal = file.holding.renewal.clone().unwrap().id;
    let key = Key { spki: hash(number), protection: ProtectionLevel::Os };
    let change = file.holding.step(renewal, &Event::Request { key }, now, &world.deadlines).unwrap();
    Commit { order: Some(order(file, renewal, number, now)), ..commit(file, change, now) }
}

/// The commit that records intent and certificate together.
fn answered(world: &World<'_>, file: &SubjectFile, number: u32, now: UtcDateTime) -> Commit {
    let (renewal, serial) = (file.holding.renewal.clone().unwrap(), serial(number));
    let intended = file.holding.step(renewal.id, &Event::Intend { serial }, now, &world.deadlines).unwrap();
    let period = validity(now);
    let mut change = intended.next.issue(renewal.id, serial, hash(number), period, now, &world.deadlines).unwrap();
    change.facts.splice(0..0, intended.facts);
    let spki = renewal.state.key().unwrap().spki;
    let tbs = format!("to be signed {number}").into_bytes();
    let intent = Intent { renewal: renewal.id, serial, spki, validity: period, tbs };
    let der = format!("certificate {number}").into_bytes();
    let certified = Certified { serial, fingerprint: hash(number), der };
    Commit { intent: Some(intent), certified: Some(certified), ..commit(file, change, now) }
}

/// An order is stored with the request, read as it was stored, replaced as a whole, and gone with the certificate.
pub async fn an_order_comes_with_its_request_and_goes_with_its_certificate(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1", "U-2"]).await;
    let there = rig.correspondence();
    assert_eq!(
        (there.order(&renewal_id(1)).await.unwrap(), there.waiting_since().await.unwrap().is_some()),
        (None, false)
    );
    let mut renewals = Vec::new();
    for name in ["U-1", "U-2"] {
        world.permitted(name, at(0)).await;
        renewals.push(world.enrolling(name, at(1)).await);
        let (file, number) = (world.file(name).await, world.number());
        let asked = requested(&world, &file, number, at(2));
        let order = asked.order.clone();
        world.commit(asked).await;
        assert_eq!(there.order(&renewals[renewals.len() - 1]).await.unwrap(), order);
    }
    assert_eq!(there.waiting_since().await.unwrap(), Some(at(2)), "the oldest one");
    // Another validity, because the CA calls this one too old; and no address any more.
    let file = world.file("U-1").await;
    let first = there.order(&renewals[0]).await.unwrap().unwrap();
    let later = at(0) + Duration::days(3);
    let renewed = Order { validity: validity(later), mail: None, at: later, ..first };
    let before = rig.audit().await.len();
    world.commit(Commit { order: Some(renewed.clone()), ..bare(&file, later) }).await;
    let records = rig.audit().await;
    let left: Vec<_> =
        records.iter().skip(before).map(|record| (record.word.as_str(), record.subject.clone())).collect();
    assert_eq!(left, [("order_replaced", Some(file.subject.id.clone()))]);
    assert_eq!(there.order(&renewals[0]).await.unwrap(), Some(renewed));
    // The certificate comes.
    let (file, number) = (world.file("U-1").await, world.number());
    world.commit(answered(&world, &file, number, later)).await;
    assert_eq!(there.order(&renewals[0]).await.unwrap(), None);
    assert!(there.order(&renewals[1]).await.unwrap().is_some(), "the other one's stays");
    let document = rig.registry().document(&serial(number)).await.unwrap().unwrap();
    assert_eq!(document.certificate, Some(format!("certificate {number}").into_bytes()));
    assert_eq!(document.intent.tbs, format!("to be signed {number}").into_bytes());
    assert_eq!(there.waiting_since().await.unwrap(), Some(at(2)));
    let (file, number) = (world.file("U-2").await, world.number());
    world.commit(answered(&world, &file, number, later)).await;
    assert_eq!((there.waiting_since().await.unwrap().is_some(), there.void(10).await.unwrap()), (false, vec![]));
}

/// An order is for the renewal, the subject and the key of the request, as long as that is all there is.
pub async fn an_order_that_does_not_fit_is_refused(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1", "U-2"]).await;
    world.permitted("U-1", at(0)).await;
    let renewal = world.enrolling("U-1", at(1)).await;
    let (file, number) = (world.file("U-1").await, world.number());
    let other = world.file("U-2").await;
    let right = order(&file, renewal, number, at(2));
    let wrong = [
        Order { renewal: renewal_id(999), ..right.clone() },
        Order { spki: hash(999), ..right.clone() },
        Order { subject: other.subject.id.clone(), ..right.clone() },
        Order { at: at(2) + Duration::MICROSECOND, ..right.clone() },
    ];
    for order in wrong {
        let commit = Commit { order: Some(order), ..requested(&world, &file, number, at(2)) };
        let error = world.refused(commit).await;
        assert!(matches!(error, CommitError::Storage(StorageError::Damaged { .. })), "{error:?}");
    }
    // Before the request there is nothing to order, and after the certificate neither.
    let early = Commit { order: Some(right.clone()), ..bare(&file, at(2)) };
    assert!(matches!(world.refused(early).await, CommitError::Storage(_)));
    world.commit(requested(&world, &file, number, at(2))).await;
    let file = world.file("U-1").await;
    world.commit(answered(&world, &file, number, at(3))).await;
    let file = world.file("U-1").await;
    let late = Commit { order: Some(right), ..bare(&file, at(4)) };
    assert!(matches!(world.refused(late).await, CommitError::Storage(_)));
    assert!(rig.correspondence().waiting_since().await.unwrap().is_none());
}

/// What a renewal leaves that has ended without a certificate is found, oldest first, and can be forgotten. The order of
/// an open one cannot.
pub async fn orders_of_ended_renewals_are_void(rig: &dyn Rig) {
    let names = ["U-1", "U-2", "U-3"];
    let mut world = World::with(rig, &names).await;
    let there = rig.correspondence();
    let mut orders = Vec::new();
    for name in names {
        world.permitted(name, at(0)).await;
        world.enrolling(name, at(1)).await;
        let (file, number) = (world.file(name).await, world.number());
        let asked = requested(&world, &file, number, at(2));
        orders.extend(asked.order.clone());
        world.commit(asked).await;
    }
    assert_eq!(there.void(10).await.unwrap(), []);
    let again = renewal_id(world.number());
    let file = world.file("U-3").await;
    let change = file.holding.start_again(orders[2].renewal, again, at(3), &world.deadlines).unwrap();
    world.commit(commit(&file, change, at(3))).await;
    world.event("U-1", &Event::Refuse, at(4)).await;
    assert_eq!(there.void(10).await.unwrap(), [orders[0].clone(), orders[2].clone()]);
    assert_eq!(there.void(1).await.unwrap(), [orders[0].clone()]);
    for order in &orders {
        there.forget(&order.renewal).await.unwrap();
        there.forget(&order.renewal).await.unwrap();
    }
    assert_eq!(there.void(10).await.unwrap(), []);
    assert_eq!(there.order(&orders[0].renewal).await.unwrap(), None);
    assert_eq!(there.order(&orders[1].renewal).await.unwrap(), Some(orders[1].clone()), "it still waits");
    assert!(there.waiting_since().await.unwrap().is_some());
}

/// Each of the two places is recorded without the other, and may go back.
pub async fn progress_is_kept(rig: &dyn Rig) {
    let there = rig.correspondence();
    assert_eq!(there.progress().await.unwrap(), Progress::default());
    for (place, told, heard) in [
        (Reached::Told(7), 7, 0),
        (Reached::Heard(3), 7, 3),
        (Reached::Told(9), 9, 3),
        (Reached::Heard(1), 9, 1),
        (Reached::Heard(0), 9, 0),
    ] {
        there.reached(place).await.unwrap();
        assert_eq!(there.progress().await.unwrap(), Progress { told, heard });
    }
}
