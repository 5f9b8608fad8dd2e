//! Reading entries.

use koshin_endpoints::ca::{Entry, Intent, OrderKey, Revocation, Standing, Status};
use koshin_types::SerialNumber;
use time::UtcDateTime;

use crate::{
    codec::{Columns, signed},
    error::{StoreError, damaged},
    script::Script,
};

/// The statement that reads entries.
macro_rules! entry_query {
    ($name:literal, $rest:literal) => {
        concat!(
            "/* ",
            $name,
            " */ SELECT e.serial, e.spki, e.renewal, e.client, e.profile, e.organization, e.subject, e.not_before, \
             e.not_after, e.at, e.tbs, c.der, r.kind, r.at, r.reason, r.invalidity_date, r.revoked_by \
             FROM entries AS e LEFT JOIN certificates AS c ON c.entry = e.number \
             LEFT JOIN revocations AS r ON r.serial = e.serial ",
            $rest
        )
    };
}
pub(crate) use entry_query;

/// A serial number as it is stored: filled up to 20 octets, so that octets sort as numbers.
pub(crate) fn octets(serial: &SerialNumber) -> Vec<u8> {
    let digits = serial.as_be_bytes();
    let mut octets = vec![0; SerialNumber::MAX_OCTETS.saturating_sub(digits.len())];
    octets.extend_from_slice(digits);
    octets
}

/// Reads a row of an [`entry_query!`].
pub(crate) fn entry(columns: &mut Columns<'_>) -> Result<Entry, StoreError> {
    let serial = columns.serial("entries.serial")?;
    let spki = columns.fingerprint("entries.spki")?;
    let renewal = columns.renewal_id("entries.renewal")?;
    let intent = Intent {
        order: OrderKey { renewal, spki },
        serial,
        client: columns.get("entries.client")?,
        profile: columns.get("entries.profile")?,
        organization: columns.get("entries.organization")?,
        subject: columns.get("entries.subject")?,
        validity: columns.validity("entries.not_before")?,
        at: columns.instant("entries.at")?,
        tbs: columns.get("entries.tbs")?,
    };
    let certificate: Option<Vec<u8>> = columns.get("certificates.der")?;
    let standing = standing(columns, certificate.is_some())?;
    Ok(Entry { intent, certificate, standing })
}

pub(crate) fn status_of(serial: &SerialNumber) -> Script {
    let query = "/* rows::status_of */ SELECT e.spki, e.renewal, e.client, e.not_before, e.not_after, \
                 c.entry IS NOT NULL, r.kind, r.at, r.reason, r.invalidity_date, r.revoked_by \
                 FROM entries AS e LEFT JOIN certificates AS c ON c.entry = e.number \
                 LEFT JOIN revocations AS r ON r.serial = e.serial WHERE e.serial = ?";
    Script::one(query).with(octets(serial))
}

/// Reads a row of [`status_of`].
pub(crate) fn status(columns: &mut Columns<'_>) -> Result<Status, StoreError> {
    let spki = columns.fingerprint("entries.spki")?;
    let renewal = columns.renewal_id("entries.renewal")?;
    let client = columns.get("entries.client")?;
    let validity = columns.validity("entries.not_before")?;
    let is_stored = columns.get("certificates.entry")?;
    Ok(Status { order: OrderKey { renewal, spki }, client, validity, standing: standing(columns, is_stored)? })
}

/// The kind of a revocation, if there is one, and its columns.
fn standing(columns: &mut Columns<'_>, is_stored: bool) -> Result<Standing, StoreError> {
    match (columns.get::<Option<&str>>("revocations.kind")?, is_stored) {
        (None, false) => Ok(Standing::Intended),
        (None, true) => Ok(Standing::Issued),
        (Some("revoked"), true) => revocation(columns).map(Standing::Revoked),
        (Some("abandoned"), false) => revocation(columns).map(Standing::Abandoned),
        _ => Err(damaged("revocations.kind")),
    }
}

/// Four columns: instant, reason, invalidity date, who.
pub(crate) fn revocation(columns: &mut Columns<'_>) -> Result<Revocation, StoreError> {
    let (at, reason) = (columns.instant("revocations.at")?, columns.word("revocations.reason")?);
    let invalidity_date = columns.get::<Option<i64>>("revocations.invalidity_date")?.map(second).transpose()?;
    Ok(Revocation { at, reason, invalidity_date, by: columns.get("revocations.revoked_by")? })
}

pub(crate) fn second(seconds: i64) -> Result<UtcDateTime, StoreError> {
    UtcDateTime::from_unix_timestamp(seconds).map_err(|_| damaged("revocations.invalidity_date"))
}

/// Adds the statement that stores a revocation of one of the kinds.
pub(crate) fn put_revocation(
    script: &mut Script,
    serial: &SerialNumber,
    kind: &'static str,
    revocation: &Revocation,
    not_after: UtcDateTime,
) {
    script.push(
        "/* rows::put_revocation */ INSERT INTO revocations (serial, kind, at, reason, invalidity_date, not_after, \
         revoked_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    script.bind(octets(serial)).bind(kind).bind(crate::codec::millis(revocation.at)).bind(revocation.reason.as_str());
    script.bind(revocation.invalidity_date.map(UtcDateTime::unix_timestamp)).bind(not_after.unix_timestamp());
    script.bind(revocation.by.as_str());
}

/// Adds the statement that tells others of an audit record.
pub(crate) fn put_change(script: &mut Script, sequence: u64, serial: &SerialNumber, kind: &'static str) {
    script.push(
        "/* rows::put_change */ INSERT INTO changes (sequence, entry, kind) \
         SELECT ?, number, ? FROM entries WHERE serial = ?",
    );
    script.bind(signed(sequence)).bind(kind).bind(octets(serial));
}

/// The same of a certificate that has no entry.
pub(crate) fn put_stray_change(script: &mut Script, sequence: u64, serial: &SerialNumber) {
    script.push("/* rows::put_stray_change */ INSERT INTO stray_changes (sequence, serial) VALUES (?, ?)");
    script.bind(signed(sequence)).bind(octets(serial));
}
