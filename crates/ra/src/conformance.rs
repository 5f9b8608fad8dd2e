//! What every [`Registry`], [`Sessions`], [`Directory`], [`Chronicle`] and [`Correspondence`] has to do, as tests that any
//! implementation runs on itself; and every [`Authority`](crate::Authority), in [`authority`].
//!
//! ```
//! use async_trait::async_trait;
//! use koshin_ra::{Chronicle, Correspondence, Directory, MemoryStore, Registry, Sessions, conformance::{Recorded, Rig}};
//! use koshin_notify::MailId;
//!
//! struct Memory(MemoryStore);
//!
//! #[async_trait]
//! impl Rig for Memory {
//!     fn registry(&self) -> &dyn Registry { &self.0 }
//!     fn sessions(&self) -> &dyn Sessions { &self.0 }
//!     fn directory(&self) -> &dyn Directory { &self.0 }
//!     fn chronicle(&self) -> &dyn Chronicle { &self.0 }
//!     fn correspondence(&self) -> &dyn Correspondence { &self.0 }
//!     async fn audit(&self) -> Vec<Recorded> { self.0.audit() }
//!     async fn mails(&self) -> Vec<MailId> { self.0.mails().iter().map(|mail| mail.id).collect() }
//! }
//!
//! async fn empty() -> Memory {
//!     Memory(MemoryStore::default())
//! }
//!
//! koshin_ra::store_conformance!(empty);
//! # fn main() {
//! #     use koshin_notify::conformance::run;
//! #     run(async { koshin_ra::conformance::a_life_is_read_as_it_was_committed(&empty().await).await })
//! # }
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "these are tests; they panic when they fail"
)]

pub mod authority;
mod clock;
mod commits;
mod orders;
mod people;
mod preferences;
mod world;

use async_trait::async_trait;
use koshin_notify::MailId;
use koshin_types::SubjectId;
use time::UtcDateTime;

use crate::{Actor, Chronicle, Correspondence, Directory, Registry, Sessions};

pub use clock::{a_confirmation_may_go_back, a_jump_waits_for_its_confirmation, the_largest_instant_is_kept};
pub use commits::{
    a_commit_that_does_not_add_up_is_refused, a_key_is_seen_once, a_life_is_read_as_it_was_committed,
    a_serial_number_is_used_once, a_stale_decision_changes_nothing, changes_are_seen_in_order,
    every_fact_leaves_one_record, mails_are_owed_once, of_two_decisions_one_wins, overdue_subjects_come_first,
    random_walks_are_read_as_they_were_committed, starting_again_keeps_both_renewals, unknown_things_are_not_found,
};
pub use orders::{
    an_order_comes_with_its_request_and_goes_with_its_certificate, an_order_that_does_not_fit_is_refused,
    orders_of_ended_renewals_are_void, progress_is_kept,
};
pub use people::{
    a_changed_password_or_address_ends_sessions, a_changed_subject_is_a_new_version, a_session_is_closed_once,
    a_session_is_replaced_once, an_enrolment_begins_as_one_commit, expiring_is_inclusive, identifiers_are_taken_once,
    sessions_are_read_as_they_were_opened, subjects_are_listed, the_revoked_are_listed, tries_are_counted,
    what_is_counted_is_recorded_seldom,
};
pub use preferences::an_organization_chooses_its_digests;

/// A store on the bench: what the tests need beside the ports.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The registry under test.
    fn registry(&self) -> &dyn Registry;
    /// The sessions of the same store.
    fn sessions(&self) -> &dyn Sessions;
    /// The directory of the same store.
    fn directory(&self) -> &dyn Directory;
    /// The chronicle of the same store.
    fn chronicle(&self) -> &dyn Chronicle;
    /// The correspondence of the same store.
    fn correspondence(&self) -> &dyn Correspondence;
    /// The whole audit log, oldest record first.
    async fn audit(&self) -> Vec<Recorded>;
    /// Every mail that was ever owed, in order.
    async fn mails(&self) -> Vec<MailId>;
}

/// One audit record, as far as the suite looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place, from 1, without gaps.
    pub sequence: u64,
    /// When.
    pub at: UtcDateTime,
    /// On whose behalf.
    pub actor: Actor,
    /// Whom it is about.
    pub subject: Option<SubjectId>,
    /// The word of the fact or the note.
    pub word: String,
}

/// Makes one `#[test]` of each test of the suite. Takes the path of an `async fn() -> impl Rig` that gives a new, empty
/// store each time. The crate that uses it needs `koshin-notify`, whose suite lends the runtime.
#[macro_export]
macro_rules! store_conformance {
    ($make:path) => {
        $crate::store_conformance!(@ $make:
            unknown_things_are_not_found, a_life_is_read_as_it_was_committed, starting_again_keeps_both_renewals,
            a_stale_decision_changes_nothing, of_two_decisions_one_wins, a_key_is_seen_once,
            a_serial_number_is_used_once, a_commit_that_does_not_add_up_is_refused, every_fact_leaves_one_record,
            mails_are_owed_once, overdue_subjects_come_first, changes_are_seen_in_order,
            random_walks_are_read_as_they_were_committed, sessions_are_read_as_they_were_opened,
            a_session_is_replaced_once, a_session_is_closed_once, tries_are_counted, what_is_counted_is_recorded_seldom,
            an_enrolment_begins_as_one_commit, a_changed_password_or_address_ends_sessions, identifiers_are_taken_once,
            a_changed_subject_is_a_new_version, subjects_are_listed, expiring_is_inclusive, the_revoked_are_listed,
            an_order_comes_with_its_request_and_goes_with_its_certificate, an_order_that_does_not_fit_is_refused,
            orders_of_ended_renewals_are_void, progress_is_kept, the_largest_instant_is_kept, a_jump_waits_for_its_confirmation, a_confirmation_may_go_back,
        );
    };
    (@ $make:path: $($case:ident,)+) => {
        $(#[test]
        fn $case() {
            koshin_notify::conformance::run(async { $crate::conformance::$case(&$make().await).await });
        })+
    };
}
