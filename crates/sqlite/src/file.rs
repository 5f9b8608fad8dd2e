//! Reading the files of subjects.

use std::sync::Arc;

use koshin_ra::{Organization, Subject, SubjectFile};
use koshin_renewal::{Basis, Grant, HeldCertificate, Holding, Issued, Key, Renewal, State, Status, Why};
use koshin_types::{CertificateStatus, ProtectionLevel};
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use crate::{
    codec::Columns,
    error::{StoreError, damaged},
};

/// A file with the number of its subject's row.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) number: i64,
    pub(crate) file: Arc<SubjectFile>,
}

/// The statement that reads files: one row for each certificate, one with nulls for a subject without any. Being one
/// statement it sees one state of the database.
macro_rules! file_query {
    ($name:literal, $rest:literal) => {
        concat!(
            "/* ",
            $name,
            " */ SELECT s.number, s.id, s.role, s.name, s.language, s.address, s.address_rests_until, s.password_hash, \
             s.last_sign_in, s.version, s.grant_until, o.id, o.name, \
             r.id, r.basis, r.predecessor, r.predecessor_end, r.started_at, r.again, r.chain_started_at, \
             r.state, r.why, r.spki, r.protection, r.serial, r.fingerprint, r.issued_at, \
             c.serial, c.not_before, c.not_after, c.fingerprint, c.spki, c.protection, c.issued_at, \
             c.status, c.status_at, c.superseded_by, c.reason, c.deferred \
             FROM subjects AS s JOIN organizations AS o ON o.number = s.organization \
             LEFT JOIN renewals AS r ON r.id = s.renewal LEFT JOIN certificates AS c ON c.subject = s.number ",
            $rest
        )
    };
}
pub(crate) use file_query;

/// Columns of the subject, its organization and its renewal; those of the certificate follow.
const BEFORE_CERTIFICATE: usize = 27;
const RENEWAL: usize = 14;

/// Reads the rows of a [`file_query!`], in which those of one subject stand together, oldest certificate first.
pub(crate) fn files(rows: &[SqliteRow]) -> Result<Vec<Loaded>, StoreError> {
    let mut files = Vec::new();
    for rows in rows.chunk_by(|one, next| number(one).ok() == number(next).ok()) {
        if let Some(first) = rows.first() {
            files.push(file(first, rows)?);
        }
    }
    Ok(files)
}

fn number(row: &SqliteRow) -> Result<i64, StoreError> {
    Columns::of(row).get("subjects.number")
}

fn file(first: &SqliteRow, rows: &[SqliteRow]) -> Result<Loaded, StoreError> {
    let mut columns = Columns::of(first);
    let number = columns.get("subjects.number")?;
    let id = columns.word("subjects.id")?;
    let role = columns.word("subjects.role")?;
    let name = columns.get("subjects.name")?;
    let language = columns.word("subjects.language")?;
    let address = columns.maybe_word("subjects.address")?;
    let address_rests_until = columns.maybe_instant("subjects.address_rests_until")?;
    let password_hash = columns.get("subjects.password_hash")?;
    let last_sign_in = columns.maybe_instant("subjects.last_sign_in")?;
    let version = columns.unsigned("subjects.version")?;
    let grant = columns.maybe_instant("subjects.grant_until")?.map(|until| Grant { until });
    let organization = Organization { id: columns.word("organizations.id")?, name: columns.get("organizations.name")? };
    let renewal = renewal(&mut columns)?;
    let certificates = rows.iter().filter_map(|row| certificate(row).transpose()).collect::<Result<_, _>>()?;
    let subject = Subject {
        id,
        organization: organization.id.clone(),
        role,
        name,
        language,
        address,
        address_rests_until,
        password_hash,
        last_sign_in,
    };
    let holding = Holding { certificates, renewal, grant };
    Ok(Loaded { number, file: Arc::new(SubjectFile { subject, organization, holding, version }) })
}

fn renewal(columns: &mut Columns<'_>) -> Result<Option<Renewal>, StoreError> {
    let Some(id) = columns.maybe_renewal_id("renewals.id")? else {
        columns.skip(RENEWAL - 1);
        return Ok(None);
    };
    let (kind, predecessor) = (columns.get::<&str>("renewals.basis")?, columns.maybe_serial("renewals.predecessor")?);
    let end = columns.maybe_instant("renewals.predecessor_end")?;
    let basis = match (kind, predecessor, end) {
        ("renewal", Some(predecessor), Some(end)) => Basis::Renewal { predecessor, end },
        ("enrolment", None, predecessor_end) => Basis::Enrolment { predecessor_end },
        _ => return Err(damaged("renewals.basis")),
    };
    let started_at = columns.instant("renewals.started_at")?;
    let again = columns.unsigned("renewals.again")?;
    let chain_started_at = columns.instant("renewals.chain_started_at")?;
    Ok(Some(Renewal { id, basis, started_at, again, chain_started_at, state: state(columns)? }))
}

fn state(columns: &mut Columns<'_>) -> Result<State, StoreError> {
    let word = columns.get::<&str>("renewals.state")?;
    let why = columns.get::<Option<&str>>("renewals.why")?;
    let spki = columns.maybe_fingerprint("renewals.spki")?;
    let protection: Option<ProtectionLevel> = columns.maybe_word("renewals.protection")?;
    let serial = columns.maybe_serial("renewals.serial")?;
    let fingerprint = columns.maybe_fingerprint("renewals.fingerprint")?;
    let issued_at = columns.maybe_instant("renewals.issued_at")?;
    let key = || match (spki, protection) {
        (Some(spki), Some(protection)) => Ok(Key { spki, protection }),
        _ => Err(damaged("renewals.spki")),
    };
    let serial = || serial.ok_or_else(|| damaged("renewals.serial"));
    let issued = || {
        let fingerprint = fingerprint.ok_or_else(|| damaged("renewals.fingerprint"))?;
        let at = issued_at.ok_or_else(|| damaged("renewals.issued_at"))?;
        Ok::<_, StoreError>(Issued { key: key()?, serial: serial()?, fingerprint, at })
    };
    Ok(match word {
        "started" => State::Started,
        "requested" => State::Requested { key: key()? },
        "intended" => State::Intended { key: key()?, serial: serial()? },
        "issued" => State::Issued { issued: issued()? },
        "delivered" => State::Delivered { issued: issued()? },
        "activated" => State::Activated { issued: issued()? },
        "abandoned" => State::Abandoned { why: read_why(why)? },
        "refused" => State::Refused,
        "expired" => State::Expired,
        _ => return Err(damaged("renewals.state")),
    })
}

fn read_why(word: Option<&str>) -> Result<Why, StoreError> {
    let known = [Why::NoRequest, Why::NotActivated, Why::StartedAgain, Why::Enrolment, Why::Revoked];
    known.into_iter().find(|why| Some(why.as_str()) == word).ok_or_else(|| damaged("renewals.why"))
}

fn certificate(row: &SqliteRow) -> Result<Option<HeldCertificate>, StoreError> {
    let mut columns = Columns::of(row);
    columns.skip(BEFORE_CERTIFICATE);
    let Some(serial) = columns.maybe_serial("certificates.serial")? else { return Ok(None) };
    let validity = columns.validity("certificates.not_before")?;
    let fingerprint = columns.fingerprint("certificates.fingerprint")?;
    let spki = columns.fingerprint("certificates.spki")?;
    let protection = columns.word("certificates.protection")?;
    let issued_at = columns.instant("certificates.issued_at")?;
    let status = status(&mut columns)?;
    let deferred = columns.unsigned("certificates.deferred")?;
    let key = Key { spki, protection };
    Ok(Some(HeldCertificate { serial, validity, fingerprint, key, issued_at, status, deferred }))
}

pub(crate) fn status(columns: &mut Columns<'_>) -> Result<Status, StoreError> {
    maybe_status(columns)?.ok_or_else(|| damaged("certificates.status"))
}

/// The same where there may be no certificate.
pub(crate) fn maybe_status(columns: &mut Columns<'_>) -> Result<Option<Status>, StoreError> {
    let Some(word) = columns.maybe_word("certificates.status")? else {
        columns.skip(3);
        return Ok(None);
    };
    let at = columns.maybe_instant("certificates.status_at")?;
    let by = columns.maybe_serial("certificates.superseded_by")?;
    let reason = columns.maybe_word("certificates.reason")?;
    Ok(Some(match (word, at, by, reason) {
        (CertificateStatus::Pending, None, None, None) => Status::Pending,
        (CertificateStatus::Active, Some(since), None, None) => Status::Active { since },
        (CertificateStatus::Superseded, Some(at), Some(by), None) => Status::Superseded { at, by },
        (CertificateStatus::Revoked, Some(at), _, Some(reason)) => Status::Revoked { at, reason },
        _ => return Err(damaged("certificates.status")),
    }))
}

/// The columns `status`, `status_at`, `superseded_by` and `reason`.
pub(crate) type StatusColumns = (&'static str, Option<UtcDateTime>, Option<Vec<u8>>, Option<&'static str>);

pub(crate) fn status_columns(status: &Status) -> StatusColumns {
    let word = status.word().as_str();
    match status {
        Status::Pending => (word, None, None, None),
        Status::Active { since } => (word, Some(*since), None, None),
        Status::Superseded { at, by } => (word, Some(*at), Some(by.as_be_bytes().to_vec()), None),
        Status::Revoked { at, reason } => (word, Some(*at), None, Some(reason.as_str())),
    }
}
