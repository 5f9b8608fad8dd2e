//! A DER writer into one growing buffer.

use super::tag;
use koshin_types::SerialNumber;

/// Writes elements one after another. Lengths are filled in when an element is complete, so nothing is encoded twice.
#[derive(Debug)]
pub(crate) struct Writer {
    octets: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(octets: usize) -> Self {
        Self { octets: Vec::with_capacity(octets) }
    }

    /// Collects what `fill` writes.
    pub(crate) fn collect(fill: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self::with_capacity(256);
        fill(&mut writer);
        writer.finish()
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.octets
    }

    /// Appends octets that are DER already.
    pub(crate) fn raw(&mut self, der: &[u8]) {
        self.octets.extend_from_slice(der);
    }

    pub(crate) fn primitive(&mut self, tag: u8, content: &[u8]) {
        self.nest(tag, |w| w.raw(content));
    }

    /// What is written so far.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Forgets what is written so far and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.octets.clear();
    }

    /// Writes identifier and length of an element whose content of so many octets follows from elsewhere.
    pub(crate) fn header(&mut self, tag: u8, length: u64) {
        self.octets.push(tag);
        if length < 0x80 {
            self.octets.extend(length.to_be_bytes().last());
        } else {
            let be = length.to_be_bytes();
            let (count, digits) = long_form(&be);
            self.octets.push(count);
            self.octets.extend_from_slice(digits);
        }
    }

    /// Writes an element whose content is what `fill` writes.
    pub(crate) fn nest(&mut self, tag: u8, fill: impl FnOnce(&mut Self)) {
        self.octets.push(tag);
        self.octets.push(0);
        let start = self.octets.len();
        fill(self);
        let length = self.octets.len() - start;
        let be = length.to_be_bytes();
        if length < 0x80 {
            if let Some(octet) = self.octets.get_mut(start - 1) {
                *octet = be.last().copied().unwrap_or_default();
            }
        } else {
            // A slice, whose length is known: `splice` then moves the content once and allocates nothing.
            let (count, digits) = long_form(&be);
            self.octets.splice(start - 1..start, core::iter::once(count).chain(digits.iter().copied()));
        }
    }

    pub(crate) fn sequence(&mut self, fill: impl FnOnce(&mut Self)) {
        self.nest(tag::SEQUENCE, fill);
    }

    pub(crate) fn oid(&mut self, content: &[u8]) {
        self.primitive(tag::OID, content);
    }

    /// Writes an unsigned big-endian number as INTEGER.
    pub(crate) fn unsigned(&mut self, be: &[u8]) {
        let start = be.iter().position(|b| *b != 0).unwrap_or(be.len());
        let digits = be.get(start..).unwrap_or_default();
        self.nest(tag::INTEGER, |w| {
            if digits.first().is_none_or(|b| b & 0x80 != 0) {
                w.raw(&[0]);
            }
            w.raw(digits);
        });
    }

    pub(crate) fn serial(&mut self, serial: &SerialNumber) {
        self.unsigned(serial.as_be_bytes());
    }

    /// Writes a BIT STRING of whole octets.
    pub(crate) fn bit_string(&mut self, octets: &[u8]) {
        self.nest(tag::BIT_STRING, |w| {
            w.raw(&[0]);
            w.raw(octets);
        });
    }

    /// Writes a named bit list of up to eight bits, the first bit being the highest one; X.690, 11.2.2 drops trailing
    /// zeros.
    pub(crate) fn named_bits(&mut self, bits: u8) {
        let unused = u8::try_from(bits.trailing_zeros()).unwrap_or_default();
        if bits == 0 {
            self.primitive(tag::BIT_STRING, &[0]);
        } else {
            self.primitive(tag::BIT_STRING, &[unused, bits]);
        }
    }
}

/// The octets of a length of 128 and more: how many there are, and the digits (X.690, 8.1.3.5).
fn long_form(be: &[u8]) -> (u8, &[u8]) {
    let zeros = be.iter().take_while(|b| **b == 0).count();
    let digits = be.get(zeros..).unwrap_or_default();
    (0x80 | u8::try_from(digits.len()).unwrap_or_default(), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal() {
        for (length, header) in [
            (0, vec![4, 0]),
            (127, vec![4, 127]),
            (128, vec![4, 0x81, 128]),
            (255, vec![4, 0x81, 255]),
            (256, vec![4, 0x82, 1, 0]),
            (65_536, vec![4, 0x83, 1, 0, 0]),
        ] {
            let content = vec![0x5a; length];
            let der = Writer::collect(|w| w.primitive(tag::OCTET_STRING, &content));
            assert_eq!(der[..header.len()], header);
            assert_eq!(der[header.len()..], content);
            assert_eq!(Writer::collect(|w| w.header(tag::OCTET_STRING, length as u64)), header);
        }
    }

    #[test]
    fn integers_are_minimal_and_positive() {
        for (be, der) in [
            (&[][..], &[2, 1, 0][..]),
            (&[0, 0], &[2, 1, 0]),
            (&[0x7f], &[2, 1, 0x7f]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 1, 0], &[2, 2, 1, 0]),
        ] {
            assert_eq!(Writer::collect(|w| w.unsigned(be)), der);
        }
    }

    #[test]
    fn named_bits_drop_trailing_zeros() {
        assert_eq!(Writer::collect(|w| w.named_bits(0x80)), [3, 2, 7, 0x80]);
        assert_eq!(Writer::collect(|w| w.named_bits(0x06)), [3, 2, 1, 0x06]);
        assert_eq!(Writer::collect(|w| w.named_bits(0)), [3, 1, 0]);
    }
}
