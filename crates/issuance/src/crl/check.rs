//! Checking a CRL of one's own from a file of any length, in little memory.

use super::read::{CrlReadError, read_entry, read_number};
use super::{CrlEdition, RevokedCertificate};
use crate::ca::Ca;
use crate::der::{DerFault, Reader, Writer, read_length, read_time, tag};
use koshin_types::SerialNumber;
use ring::digest;
use std::io::{self, Read};

/// How many octets are read at once: 64 KiB.
const CHUNK: usize = 64 * 1024;
/// The longest element that is read as a whole: the issuer's name, or the extensions. Ours take some hundred octets.
const LONGEST: u64 = 16 * 1024;

/// What is known of a CRL that was read from end to end and verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedCrl {
    /// Number and dates.
    pub edition: CrlEdition,
    /// How many certificates it lists.
    pub entries: u64,
    /// How many octets it has.
    pub octets: u64,
}

impl Ca {
    /// Reads a CRL that this CA made with this key, one that [`CrlWriter`](super::CrlWriter) wrote: its entries go up by
    /// serial number. Memory does not grow with its length.
    ///
    /// `each` gets every entry as it is read. It is told before the signature at the end is verified, so what it gathered
    /// is worth something only when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// [`CrlReadError`].
    pub fn check_crl(
        &self,
        file: impl Read,
        mut each: impl FnMut(RevokedCertificate),
    ) -> Result<CheckedCrl, CrlReadError> {
        let algorithm = self.signer.algorithm();
        let identifier = Writer::collect(|w| algorithm.write_identifier(w));
        let mut stream = Stream::new(file);
        let whole = stream.header(tag::SEQUENCE)?;
        let begun = stream.at;
        stream.hash = Some(digest::Context::new(algorithm.hash()));
        let signed = stream.header(tag::SEQUENCE)?;
        let signed_end = stream.at.saturating_add(signed);

        let version = stream.element(tag::INTEGER)?;
        let inner = stream.element(tag::SEQUENCE)?;
        if stream.element(tag::SEQUENCE)? != self.issuer.name {
            return Err(CrlReadError::Issuer);
        }
        if version != [tag::INTEGER, 1, 1] || inner != identifier {
            return Err(CrlReadError::Structure);
        }
        let (this_update, next_update) = (stream.time()?, stream.time()?);
        let mut entries = 0;
        if stream.peek()? == tag::SEQUENCE {
            let list = stream.header(tag::SEQUENCE)?;
            let list_end = stream.at.saturating_add(list);
            if list_end > signed_end {
                return Err(DerFault::Truncated.into());
            }
            let mut before: Option<SerialNumber> = None;
            while stream.at < list_end {
                let der = stream.element(tag::SEQUENCE)?;
                let entry = read_entry(&Reader::new(&der).any()?)?;
                if before.replace(entry.serial).is_some_and(|before| before >= entry.serial) {
                    return Err(CrlReadError::Structure);
                }
                entries += 1;
                each(entry);
            }
            if stream.at != list_end || entries == 0 {
                return Err(CrlReadError::Structure);
            }
        }
        let extensions = stream.element(tag::context_constructed(0))?;
        let number = read_number(&Reader::new(&extensions).any()?)?;
        if stream.at != signed_end {
            return Err(CrlReadError::Structure);
        }

        let hash = stream.hash.take().ok_or(CrlReadError::Structure)?.finish();
        if stream.element(tag::SEQUENCE)? != identifier {
            return Err(CrlReadError::Structure);
        }
        let signature = stream.element(tag::BIT_STRING)?;
        let signature = Reader::new(&signature).any()?.bit_string_octets()?;
        if !algorithm.verifies_digest(&self.public_key, hash.as_ref(), signature) {
            return Err(CrlReadError::Signature);
        }
        let octets = stream.at;
        if octets != begun.saturating_add(whole) {
            return Err(CrlReadError::Structure);
        }
        stream.finish()?;
        Ok(CheckedCrl { edition: CrlEdition { number, this_update, next_update }, entries, octets })
    }
}

/// Cuts elements off the front of a file, and hashes what goes by.
struct Stream<R> {
    file: R,
    buffer: Vec<u8>,
    next: usize,
    filled: usize,
    /// How many octets have gone by.
    at: u64,
    hash: Option<digest::Context>,
}

impl<R: Read> Stream<R> {
    fn new(file: R) -> Self {
        Self { file, buffer: vec![0; CHUNK], next: 0, filled: 0, at: 0, hash: None }
    }

    fn peek(&mut self) -> Result<u8, CrlReadError> {
        if self.next == self.filled {
            self.next = 0;
            self.filled = loop {
                match self.file.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read.map_err(|error| CrlReadError::File(error.kind()))?,
                }
            };
        }
        let filled = self.buffer.get(..self.filled).unwrap_or_default();
        filled.get(self.next).copied().ok_or(CrlReadError::Der(DerFault::Truncated))
    }

    /// Takes so many octets out of the file.
    fn take(&mut self, count: usize, into: &mut Vec<u8>) -> Result<(), CrlReadError> {
        let mut left = count;
        while left > 0 {
            self.peek()?;
            let filled = self.buffer.get(self.next..self.filled).unwrap_or_default();
            let part = filled.get(..left.min(filled.len())).unwrap_or_default();
            if let Some(hash) = &mut self.hash {
                hash.update(part);
            }
            into.extend_from_slice(part);
            left -= part.len();
            self.next += part.len();
            self.at += part.len() as u64;
        }
        Ok(())
    }

    /// Takes identifier and length of an element, which has to have this tag; adds them to `into`.
    fn open(&mut self, expected: u8, into: &mut Vec<u8>) -> Result<u64, CrlReadError> {
        if self.peek()? != expected {
            return Err(DerFault::Expected { expected }.into());
        }
        self.take(1, into)?;
        let first = self.peek()?;
        let start = into.len();
        // The long form has so many further octets; the short one and the forbidden ones none.
        let more = if first > 0x80 { usize::from(first & 0x7f).min(5) } else { 0 };
        self.take(1 + more, into)?;
        let octets = into.get(start..).unwrap_or_default();
        Ok(read_length(octets).map(|(length, _)| length as u64)?)
    }

    fn header(&mut self, expected: u8) -> Result<u64, CrlReadError> {
        self.open(expected, &mut Vec::new())
    }

    /// The next element as a whole.
    fn element(&mut self, expected: u8) -> Result<Vec<u8>, CrlReadError> {
        let mut der = Vec::with_capacity(64);
        let length = self.open(expected, &mut der)?;
        let length = usize::try_from(length).ok().filter(|_| length <= LONGEST).ok_or(CrlReadError::Structure)?;
        self.take(length, &mut der)?;
        Ok(der)
    }

    fn time(&mut self) -> Result<time::UtcDateTime, CrlReadError> {
        let kind = self.peek()?;
        let der = self.element(kind)?;
        Ok(read_time(&Reader::new(&der).any()?)?)
    }

    /// Succeeds when nothing is left.
    fn finish(&mut self) -> Result<(), CrlReadError> {
        match self.peek() {
            Err(CrlReadError::Der(DerFault::Truncated)) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(DerFault::Trailing { octets: self.filled - self.next }.into()),
        }
    }
}
