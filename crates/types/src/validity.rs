//! The validity period of a certificate.

use time::{Duration, UtcDateTime};

use crate::Rfc3339;

/// The validity of a certificate, inclusive at both ends and in whole seconds (RFC 5280, 4.1.2.5).
///
/// ```
/// use koshin_types::{Validity, ValidityError};
/// use time::{Duration, UtcDateTime};
///
/// let first = UtcDateTime::UNIX_EPOCH;
/// let last = first + Duration::days(365) - Duration::SECOND;
/// let validity = Validity::new(first, last)?;
/// assert!(validity.contains(first) && validity.contains(last + Duration::milliseconds(999)));
/// assert!(!validity.contains(first - Duration::MILLISECOND) && !validity.contains(validity.end()));
/// assert_eq!(validity.end(), last + Duration::SECOND);
/// assert!(matches!(Validity::new(last, first), Err(ValidityError::Reversed { .. })));
/// # Ok::<(), ValidityError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity {
    not_before: UtcDateTime,
    not_after: UtcDateTime,
}

impl Validity {
    /// Makes a validity of two whole seconds.
    ///
    /// # Errors
    ///
    /// [`ValidityError::Reversed`] when `not_after` lies before `not_before`, [`ValidityError::Fraction`] when one of them is
    /// no whole second. Both may be the same second.
    pub const fn new(not_before: UtcDateTime, not_after: UtcDateTime) -> Result<Self, ValidityError> {
        if not_before.nanosecond() != 0 || not_after.nanosecond() != 0 {
            return Err(ValidityError::Fraction { not_before, not_after });
        }
        if not_after.unix_timestamp() < not_before.unix_timestamp() {
            return Err(ValidityError::Reversed { not_before, not_after });
        }
        Ok(Self { not_before, not_after })
    }

    /// The first second of validity.
    pub const fn not_before(&self) -> UtcDateTime {
        self.not_before
    }

    /// The last second of validity. The certificate is valid through all of it.
    pub const fn not_after(&self) -> UtcDateTime {
        self.not_after
    }

    /// The first instant at which the certificate is no longer valid: `not_after` + 1 s.
    ///
    /// Saturates at the last representable instant, the end of the year 9999. RFC 5280, 4.1.2.5 uses the last second of that
    /// year for a certificate without a well-defined end.
    ///
    /// ```
    /// use koshin_types::Validity;
    /// use time::UtcDateTime;
    ///
    /// let last = UtcDateTime::MAX.truncate_to_second();
    /// let for_ever = Validity::new(UtcDateTime::UNIX_EPOCH, last)?;
    /// assert_eq!((for_ever.end(), for_ever.end().year()), (UtcDateTime::MAX, 9999));
    /// # Ok::<(), koshin_types::ValidityError>(())
    /// ```
    pub fn end(&self) -> UtcDateTime {
        self.not_after.saturating_add(Duration::SECOND)
    }

    /// Whether `not_before <= now < end`.
    pub fn contains(&self, now: UtcDateTime) -> bool {
        self.not_before <= now && now < self.end()
    }
}

/// Why two instants are no validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidityError {
    /// A certificate carries whole seconds.
    #[error("validity is counted in whole seconds, not {} to {}", Rfc3339(*not_before), Rfc3339(*not_after))]
    Fraction {
        /// The first instant given.
        not_before: UtcDateTime,
        /// The last instant given.
        not_after: UtcDateTime,
    },
    /// The end lies before the beginning.
    #[error("notAfter {} lies before notBefore {}", Rfc3339(*not_after), Rfc3339(*not_before))]
    Reversed {
        /// The first instant given.
        not_before: UtcDateTime,
        /// The last instant given.
        not_after: UtcDateTime,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(seconds).unwrap()
    }

    #[test]
    fn invariant_01_the_last_second_is_inside() {
        let validity = Validity::new(at(10), at(20)).unwrap();
        assert!(!validity.contains(at(10) - Duration::MILLISECOND));
        assert!(validity.contains(at(10)));
        assert!(validity.contains(at(20)));
        assert!(validity.contains(at(20) + Duration::milliseconds(999)));
        assert!(!validity.contains(at(20) + Duration::milliseconds(1000)));
    }

    #[test]
    fn refuses_fractions_and_reversal() {
        let fraction = at(10) + Duration::MILLISECOND;
        assert!(matches!(Validity::new(fraction, at(20)), Err(ValidityError::Fraction { .. })));
        assert!(matches!(Validity::new(at(1), fraction), Err(ValidityError::Fraction { .. })));
        assert!(matches!(Validity::new(at(2), at(1)), Err(ValidityError::Reversed { .. })));
        assert!(Validity::new(at(2), at(2)).is_ok());
    }
}
