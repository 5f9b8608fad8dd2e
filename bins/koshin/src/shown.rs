//! IANA time zones, as screens show them.

use std::borrow::Cow;

use koshin_web::screens::{Clocked, Zone};
use time::UtcDateTime;

use crate::zone::NamedZone;

impl Zone for NamedZone {
    fn clocked(&self, instant: UtcDateTime) -> Clocked {
        let (offset, abbreviation) = self.info_at(instant);
        Clocked { offset, abbreviation: Cow::Owned(abbreviation) }
    }
}
