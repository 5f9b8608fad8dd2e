//! The chronicle.

use time::Duration;

use super::{
    Rig,
    world::{World, at, note},
};
use crate::{Actor, ClockRecord, Jump};

/// Nothing at first; then the largest of what was recorded, whether for its own sake or with an audit record (I-41).
pub async fn the_largest_instant_is_kept(rig: &dyn Rig) {
    let chronicle = rig.chronicle();
    assert_eq!(chronicle.recorded().await.unwrap(), ClockRecord::default());
    chronicle.advance(at(0) - Duration::DAY).await.unwrap();
    let largest = async || chronicle.recorded().await.unwrap().largest;
    assert_eq!(largest().await, Some(at(0) - Duration::DAY));
    let world = World::with(rig, &["U-1"]).await;
    let begun = largest().await.unwrap();
    assert_eq!(begun, rig.audit().await.iter().map(|record| record.at).max().unwrap());
    world.permitted("U-1", begun + Duration::HOUR).await;
    assert_eq!(largest().await, Some(begun + Duration::HOUR));
    world.permitted("U-1", begun).await;
    assert_eq!(largest().await, Some(begun + Duration::HOUR), "a smaller one changes nothing");
    chronicle.advance(begun + 2 * Duration::HOUR).await.unwrap();
    chronicle.advance(begun + Duration::MINUTE).await.unwrap();
    assert_eq!(largest().await, Some(begun + 2 * Duration::HOUR));
    assert_eq!(chronicle.recorded().await.unwrap().confirmed, 0);
}

/// A jump holds the largest instant where it should have been, and the first jump is the one that is told (I-44).
pub async fn a_jump_waits_for_its_confirmation(rig: &dyn Rig) {
    let world = World::with(rig, &["U-1"]).await;
    let chronicle = rig.chronicle();
    chronicle.advance(at(60)).await.unwrap();
    chronicle.doubt(Jump { expected: at(61), found: at(600) }).await.unwrap();
    let jump = Some(Jump { expected: at(61), found: at(600) });
    let held = ClockRecord { largest: Some(at(61)), jump, confirmed: 0 };
    assert_eq!(chronicle.recorded().await.unwrap(), held);
    world.permitted("U-1", at(600)).await;
    chronicle.advance(at(601)).await.unwrap();
    chronicle.doubt(Jump { expected: at(601), found: at(9000) }).await.unwrap();
    assert_eq!(chronicle.recorded().await.unwrap(), held, "whatever is recorded by a clock that jumped");
    chronicle.confirm(at(602), note("clock_confirmed")).await.unwrap();
    let record = rig.audit().await.pop().unwrap();
    assert_eq!((record.at, &record.word[..]), (at(602), "clock_confirmed"));
    assert_eq!(record.actor, Actor::Operator("suite".into()));
    let confirmed = ClockRecord { largest: Some(at(602)), jump: None, confirmed: record.sequence };
    assert_eq!(chronicle.recorded().await.unwrap(), confirmed);
    world.permitted("U-1", at(603)).await;
    assert_eq!(chronicle.recorded().await.unwrap().largest, Some(at(603)));
}

/// Only the operator makes it earlier than it was; what was recorded before counts no more.
pub async fn a_confirmation_may_go_back(rig: &dyn Rig) {
    let world = World::with(rig, &["U-1"]).await;
    let chronicle = rig.chronicle();
    world.permitted("U-1", at(600)).await;
    chronicle.advance(at(601)).await.unwrap();
    chronicle.confirm(at(5), note("clock_confirmed")).await.unwrap();
    let first = chronicle.recorded().await.unwrap();
    assert_eq!((first.largest, first.jump), (Some(at(5)), None));
    chronicle.confirm(at(6), note("clock_confirmed")).await.unwrap();
    let second = chronicle.recorded().await.unwrap();
    assert_eq!(second.largest, Some(at(6)));
    assert!(second.confirmed > first.confirmed, "each confirmation can be told from the one before");
    // A commit that was under way when the clock was confirmed counts only until the next advance.
    world.permitted("U-1", at(600)).await;
    chronicle.advance(at(7)).await.unwrap();
    assert_eq!(chronicle.recorded().await.unwrap().largest, Some(at(7)));
}
