//! IANA time zones, as screens show them.

use std::borrow::Cow;

use koshin_operator::zone::NamedZone;
use koshin_web::screens::{Clocked, Zone};
use time::UtcDateTime;

/// A zone for the screens.
pub(crate) struct Shown(pub(crate) NamedZone);

impl Zone for Shown {
    fn clocked(&self, instant: UtcDateTime) -> Clocked {
        let (offset, abbreviation) = self.0.info_at(instant);
        Clocked { offset, abbreviation: Cow::Owned(abbreviation) }
    }
}
