//! The commands.

pub(crate) mod doctor;
pub(crate) mod handler;
pub(crate) mod kept;
pub(crate) mod renew;

use time::UtcDateTime;

/// What the system's clock says.
#[expect(clippy::disallowed_methods, reason = "this is the rim")]
fn now() -> UtcDateTime {
    UtcDateTime::now()
}
