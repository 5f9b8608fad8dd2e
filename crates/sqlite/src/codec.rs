//! Between columns and the words of the other crates.

use std::str::FromStr;

use koshin_types::{Fingerprint, RenewalId, SerialNumber, Validity};
use sqlx::{Decode, Row, Sqlite, Type, sqlite::SqliteRow};
use time::UtcDateTime;

use crate::error::{StoreError, damaged};

/// Milliseconds since 1970.
pub(crate) fn millis(at: UtcDateTime) -> i64 {
    at.unix_timestamp() * 1000 + i64::from(at.millisecond())
}

/// Whether a constraint or a trigger of the tables said no (primary result code 19).
pub(crate) fn is_constraint(error: &dyn sqlx::error::DatabaseError) -> bool {
    primary_code(error) == Some(19)
}

/// Whether somebody else holds the lock (primary result code 5 or 6).
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(error.as_database_error().and_then(primary_code), Some(5 | 6))
}

pub(crate) fn primary_code(error: &dyn sqlx::error::DatabaseError) -> Option<i64> {
    error.code()?.parse::<i64>().ok().map(|code| code & 0xff)
}

pub(crate) fn unsigned<T: TryFrom<i64>>(value: i64, what: &str) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| damaged(what))
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads the columns of a row one after the other. A value that cannot be read is named as `table.column`.
pub(crate) struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    pub(crate) fn get<T>(&mut self, what: &str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
    {
        let value = self.row.try_get(self.next).map_err(|_| damaged(what));
        self.next += 1;
        value
    }

    pub(crate) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    pub(crate) fn unsigned<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T, StoreError> {
        self.get::<i64>(what).and_then(|value| unsigned(value, what))
    }

    pub(crate) fn word<T: FromStr>(&mut self, what: &str) -> Result<T, StoreError> {
        self.get::<&str>(what)?.parse().map_err(|_| damaged(what))
    }

    pub(crate) fn maybe_word<T: FromStr>(&mut self, what: &str) -> Result<Option<T>, StoreError> {
        self.get::<Option<&str>>(what)?.map(|text| text.parse().map_err(|_| damaged(what))).transpose()
    }

    pub(crate) fn instant(&mut self, what: &str) -> Result<UtcDateTime, StoreError> {
        self.get(what).and_then(|millis| instant(millis, what))
    }

    pub(crate) fn maybe_instant(&mut self, what: &str) -> Result<Option<UtcDateTime>, StoreError> {
        self.get::<Option<i64>>(what)?.map(|millis| instant(millis, what)).transpose()
    }

    pub(crate) fn maybe_serial(&mut self, what: &str) -> Result<Option<SerialNumber>, StoreError> {
        let serial = |octets: &[u8]| SerialNumber::from_be_bytes(octets).map_err(|_| damaged(what));
        self.get::<Option<&[u8]>>(what)?.map(serial).transpose()
    }

    pub(crate) fn serial(&mut self, what: &str) -> Result<SerialNumber, StoreError> {
        self.maybe_serial(what)?.ok_or_else(|| damaged(what))
    }

    pub(crate) fn fingerprint(&mut self, what: &str) -> Result<Fingerprint, StoreError> {
        self.maybe_fingerprint(what)?.ok_or_else(|| damaged(what))
    }

    pub(crate) fn maybe_fingerprint(&mut self, what: &str) -> Result<Option<Fingerprint>, StoreError> {
        self.octets(what).map(|octets| octets.map(Fingerprint::new))
    }

    pub(crate) fn renewal_id(&mut self, what: &str) -> Result<RenewalId, StoreError> {
        self.maybe_renewal_id(what)?.ok_or_else(|| damaged(what))
    }

    pub(crate) fn maybe_renewal_id(&mut self, what: &str) -> Result<Option<RenewalId>, StoreError> {
        self.octets(what).map(|octets| octets.map(RenewalId::new))
    }

    /// Two columns: first and last second.
    pub(crate) fn validity(&mut self, what: &str) -> Result<Validity, StoreError> {
        let mut second = || {
            let seconds = self.get::<i64>(what)?;
            UtcDateTime::from_unix_timestamp(seconds).map_err(|_| damaged(what))
        };
        Validity::new(second()?, second()?).map_err(|_| damaged(what))
    }

    fn octets<const N: usize>(&mut self, what: &str) -> Result<Option<[u8; N]>, StoreError> {
        let array = |octets: &[u8]| octets.try_into().map_err(|_| damaged(what));
        self.get::<Option<&[u8]>>(what)?.map(array).transpose()
    }
}

pub(crate) fn instant(millis: i64, what: &str) -> Result<UtcDateTime, StoreError> {
    UtcDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).map_err(|_| damaged(what))
}
