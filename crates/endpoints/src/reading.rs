//! What the caller's clock says.

use std::{fmt, sync::Arc};

use time::UtcDateTime;

/// An instant, and whether it is believed. Nothing is signed by a clock that is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The present instant.
    Believed(UtcDateTime),
    /// What to go on with meanwhile; it may be wrong by years.
    Doubted(UtcDateTime),
}

impl Reading {
    /// The instant, believed or not.
    pub const fn instant(self) -> UtcDateTime {
        match self {
            Self::Believed(now) | Self::Doubted(now) => now,
        }
    }
}

/// How a task that goes on for long asks its caller for the time.
#[derive(Clone)]
pub struct Readings(Arc<dyn Fn() -> Reading + Send + Sync>);

impl Readings {
    /// Asks this function.
    pub fn new(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn read(&self) -> Reading {
        (self.0)()
    }
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readings").finish_non_exhaustive()
    }
}
