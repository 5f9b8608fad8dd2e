//! Writing a CRL of any length in little memory.

use super::{CrlEdition, CrlError, RevokedCertificate};
use crate::ca::Ca;
use crate::der::{Writer, tag, write_time};
use crate::extension as ext;
use koshin_types::{RevocationReason, SerialNumber};
use ring::digest;
use std::io::{Read, Seek, SeekFrom, Write};

/// How many octets are encoded, hashed and copied at once: 64 KiB.
const CHUNK: usize = 64 * 1024;
/// What an entry can take: a serial number of 20 octets, a date, two extensions.
const LONGEST_ENTRY: usize = 128;

/// A full CRL of version 2 with authorityKeyIdentifier and cRLNumber, without issuingDistributionPoint (RFC 5280, 5), that
/// is being written.
///
/// What is signed begins with its length, so the entries go to scratch storage first (a file, as a rule) and are copied
/// when they are complete. Memory does not grow with their number.
///
/// ```
/// use koshin_issuance::{CrlEdition, CrlError, CrlWriter, RevokedCertificate};
/// use koshin_types::{RevocationReason, SerialNumber};
/// use std::io::Cursor;
/// use time::{Duration, UtcDateTime};
///
/// let now = UtcDateTime::from_unix_timestamp(1_795_300_000)?;
/// let edition = CrlEdition { number: 1, this_update: now, next_update: now + Duration::days(7) };
/// let mut list = CrlWriter::begin(edition, Cursor::new(Vec::new()))?;
/// let serial = SerialNumber::from_time_and_random(1_795_000_000_000, [7; 13]);
/// let reason = RevocationReason::KeyCompromise;
/// let entry = RevokedCertificate { serial, revoked_at: now, reason, invalidity_date: None };
/// list.push(&entry)?;
/// assert!(matches!(list.push(&entry), Err(CrlError::Order { .. })));
/// // `list.finish(&ca, &mut file)?` signs it.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CrlWriter<S> {
    edition: CrlEdition,
    scratch: S,
    /// Entries that are not in the scratch storage yet.
    waiting: Writer,
    /// The octets of all entries that are.
    stored: u64,
    entries: u64,
    last: Option<SerialNumber>,
}

impl<S: Read + Write + Seek> CrlWriter<S> {
    /// Begins a CRL. `scratch` is empty and used from its start.
    ///
    /// # Errors
    ///
    /// [`CrlError::Dates`].
    pub fn begin(edition: CrlEdition, scratch: S) -> Result<Self, CrlError> {
        let CrlEdition { this_update, next_update, .. } = edition;
        if next_update.unix_timestamp() <= this_update.unix_timestamp() {
            return Err(CrlError::Dates { this_update, next_update });
        }
        let waiting = Writer::with_capacity(CHUNK + LONGEST_ENTRY);
        Ok(Self { edition, scratch, waiting, stored: 0, entries: 0, last: None })
    }

    /// Adds an entry. Entries come in the order of their serial numbers.
    ///
    /// # Errors
    ///
    /// [`CrlError::Future`], [`CrlError::Order`], [`CrlError::File`]. After the last one nothing can be made of the list.
    pub fn push(&mut self, entry: &RevokedCertificate) -> Result<(), CrlError> {
        let (serial, revoked_at, this_update) = (entry.serial, entry.revoked_at, self.edition.this_update);
        if revoked_at > this_update {
            return Err(CrlError::Future { serial, revoked_at, this_update });
        }
        if let Some(before) = self.last.replace(serial)
            && before >= serial
        {
            return Err(CrlError::Order { before, serial });
        }
        write_entry(&mut self.waiting, entry);
        self.entries += 1;
        if self.waiting.octets().len() >= CHUNK { self.store() } else { Ok(()) }
    }

    /// How many entries there are so far.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    fn store(&mut self) -> Result<(), CrlError> {
        self.scratch.write_all(self.waiting.octets())?;
        self.stored += self.waiting.octets().len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Signs the CRL and writes it to `out`. Answers how many octets it has.
    ///
    /// The list is left out when it is empty. What is hashed goes through the CA's key as a digest; the signature is verified with
    /// the CA's public key before anything is written; and what is written is hashed once more and has to be what was signed.
    ///
    /// # Errors
    ///
    /// [`CrlError`]; then what `out` got is to be thrown away.
    pub fn finish(mut self, ca: &Ca, out: &mut impl Write) -> Result<u64, CrlError> {
        self.store()?;
        let algorithm = ca.signer.algorithm();
        let head = self.head(ca);
        let extensions = Writer::collect(|w| {
            w.nest(tag::context_constructed(0), |w| {
                w.sequence(|w| {
                    ext::authority_key_identifier(w, &ca.issuer.key_identifier);
                    ext::crl_number(w, self.edition.number);
                });
            });
        });
        let signed_length = head.len() as u64 + self.stored + extensions.len() as u64;
        let signed_head = [header(signed_length), head].concat();

        let mut hash = digest::Context::new(algorithm.hash());
        hash.update(&signed_head);
        self.each_chunk(|chunk| {
            hash.update(chunk);
            Ok(())
        })?;
        hash.update(&extensions);
        let hash = hash.finish();
        let signature = ca.signer.sign_digest(hash.as_ref())?;
        if !algorithm.verifies_digest(&ca.public_key, hash.as_ref(), &signature) {
            return Err(CrlError::Signature);
        }

        let seal = Writer::collect(|w| {
            algorithm.write_identifier(w);
            w.bit_string(&signature);
        });
        let whole_length = (signed_head.len() + extensions.len() + seal.len()) as u64 + self.stored;
        let whole_head = header(whole_length);
        out.write_all(&whole_head)?;
        out.write_all(&signed_head)?;
        let mut written = digest::Context::new(algorithm.hash());
        written.update(&signed_head);
        self.each_chunk(|chunk| {
            written.update(chunk);
            Ok(out.write_all(chunk)?)
        })?;
        written.update(&extensions);
        if written.finish().as_ref() != hash.as_ref() {
            return Err(CrlError::Changed);
        }
        out.write_all(&extensions)?;
        out.write_all(&seal)?;
        Ok(whole_head.len() as u64 + whole_length)
    }

    /// What stands before the first entry, without the header of the whole.
    fn head(&self, ca: &Ca) -> Vec<u8> {
        Writer::collect(|w| {
            w.unsigned(&[1]);
            ca.signer.algorithm().write_identifier(w);
            w.raw(&ca.issuer.name);
            write_time(w, self.edition.this_update);
            write_time(w, self.edition.next_update);
            if self.stored > 0 {
                w.raw(&header(self.stored));
            }
        })
    }

    fn each_chunk(&mut self, mut with: impl FnMut(&[u8]) -> Result<(), CrlError>) -> Result<(), CrlError> {
        self.scratch.seek(SeekFrom::Start(0))?;
        let mut left = self.stored;
        let mut buffer = vec![0; CHUNK];
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let chunk = buffer.get_mut(..length).unwrap_or_default();
            self.scratch.read_exact(chunk)?;
            with(chunk)?;
            left -= length as u64;
        }
        Ok(())
    }
}

/// Identifier and length octets of a SEQUENCE.
fn header(length: u64) -> Vec<u8> {
    Writer::collect(|w| w.header(tag::SEQUENCE, length))
}

fn write_entry(writer: &mut Writer, entry: &RevokedCertificate) {
    writer.sequence(|w| {
        w.serial(&entry.serial);
        write_time(w, entry.revoked_at);
        let reason = Some(entry.reason).filter(|reason| *reason != RevocationReason::Unspecified);
        if reason.is_some() || entry.invalidity_date.is_some() {
            w.sequence(|w| {
                if let Some(reason) = reason {
                    ext::crl_reason(w, reason.code());
                }
                if let Some(date) = entry.invalidity_date {
                    ext::invalidity_date(w, date);
                }
            });
        }
    });
}
