//! Serial numbers of certificates.

use core::{fmt, str::FromStr};

/// The serial number of a certificate: positive and at most 20 octets long (RFC 5280, 4.1.2.2).
///
/// Displayed as upper-case hexadecimal without separators, two digits an octet; digits of either case are read.
///
/// ```
/// use koshin_types::{SerialError, SerialNumber};
/// let parsed = |text: &str| text.parse::<SerialNumber>().map(|serial| serial.to_string());
/// assert_eq!(parsed("1aff"), Ok("1AFF".to_owned()));
/// assert_eq!(parsed(&"7f".repeat(40 / 2)).map(|text| text.len()), Ok(40));
/// assert_eq!(parsed(&"7f".repeat(42 / 2)), Err(SerialError::NotHexadecimal));
/// assert_eq!(parsed("1"), Err(SerialError::NotHexadecimal));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber {
    /// Big-endian, right-aligned, so that the derived order is the numeric one.
    octets: [u8; Self::MAX_OCTETS],
}

impl SerialNumber {
    /// The longest encoding a conforming relying party must accept: 20 octets.
    ///
    /// ```
    /// assert_eq!(koshin_types::SerialNumber::MAX_OCTETS, 20);
    /// ```
    pub const MAX_OCTETS: usize = 20;

    /// Reads an unsigned big-endian number. Leading zero octets carry no meaning and are dropped.
    ///
    /// # Errors
    ///
    /// [`SerialError::Zero`] for zero, [`SerialError::TooLong`] when the DER INTEGER would take more than 20 octets: a
    /// number of 20 octets with the highest bit set needs a 21st for its sign (X.690, 8.3.3).
    ///
    /// ```
    /// use koshin_types::{SerialError, SerialNumber};
    /// assert_eq!(SerialNumber::from_be_bytes(&[0, 0x1a, 0xff])?.as_be_bytes(), [0x1a, 0xff]);
    /// assert_eq!(SerialNumber::from_be_bytes(&[0x7f; 20])?.as_be_bytes().len(), 20);
    /// assert_eq!(SerialNumber::from_be_bytes(&[0x80; 20]), Err(SerialError::TooLong { octets: 21 }));
    /// assert_eq!(SerialNumber::from_be_bytes(&[]), Err(SerialError::Zero));
    /// # Ok::<(), SerialError>(())
    /// ```
    pub fn from_be_bytes(bytes: &[u8]) -> Result<Self, SerialError> {
        let significant = bytes.iter().position(|b| *b != 0).ok_or(SerialError::Zero)?;
        let digits = bytes.get(significant..).unwrap_or_default();
        let sign_octet = usize::from(digits.first().is_some_and(|b| b & 0x80 != 0));
        let encoded = digits.len() + sign_octet;
        if encoded > Self::MAX_OCTETS {
            return Err(SerialError::TooLong { octets: encoded });
        }
        let mut octets = [0; Self::MAX_OCTETS];
        for (to, from) in octets.iter_mut().rev().zip(digits.iter().rev()) {
            *to = *from;
        }
        Ok(Self { octets })
    }

    /// Builds a serial number of 19 octets: 48 bits of milliseconds since 1970, then 104 bits from a cryptographic
    /// random source. Time first, so that indexes append; random bits, so that nobody foresees a number.
    ///
    /// `milliseconds` outside 1 ..= 2^47 - 1 is clamped into it, which keeps the number positive and 19 octets long or
    /// shorter. The last millisecond of the range lies in the year 6429.
    ///
    /// ```
    /// use koshin_types::SerialNumber;
    /// let serial = SerialNumber::from_time_and_random(1_790_000_000_000, [0xaa; 104 / 8]);
    /// let (milliseconds, random) = serial.as_be_bytes().split_at(48 / 8);
    /// assert_eq!((milliseconds, random), (&[0x01, 0xa0, 0xc4, 0x50, 0x6c, 0x00][..], &[0xaa; 13][..]));
    /// let last = SerialNumber::from_time_and_random(i64::MAX, [0xff; 13]);
    /// assert_eq!(last.as_be_bytes(), [&[0x7f][..], &[0xff; 18]].concat());
    /// assert_eq!(last, SerialNumber::from_time_and_random((1 << 47) - 1, [0xff; 13]));
    /// assert_eq!(time::UtcDateTime::from_unix_timestamp(((1 << 47) - 1) / 1000).map(|last| last.year()), Ok(6429));
    /// ```
    pub fn from_time_and_random(milliseconds: i64, random: [u8; 13]) -> Self {
        let clamped = milliseconds.clamp(1, (1 << 47) - 1).to_be_bytes();
        let mut octets = [0; Self::MAX_OCTETS];
        let (_, tail) = octets.split_at_mut(1);
        let (prefix, suffix) = tail.split_at_mut(6);
        prefix.copy_from_slice(clamped.last_chunk::<6>().unwrap_or(&[0, 0, 0, 0, 0, 1]));
        suffix.copy_from_slice(&random);
        Self { octets }
    }

    /// The number as unsigned big-endian octets without leading zeros: 1 to 20 of them. In DER a zero octet comes in front
    /// when the first bit is set (X.690, 8.3.3).
    pub fn as_be_bytes(&self) -> &[u8] {
        let zeros = self.octets.iter().take_while(|octet| **octet == 0).count();
        self.octets.get(zeros..).unwrap_or_default()
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_be_bytes().iter().try_for_each(|b| write!(f, "{b:02X}"))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}

impl FromStr for SerialNumber {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let mut octets = [0; Self::MAX_OCTETS];
        let length = crate::id::decode_hex(text, &mut octets).ok_or(SerialError::NotHexadecimal)?;
        Self::from_be_bytes(octets.get(..length).unwrap_or_default())
    }
}

/// Why some octets or a text are no serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerialError {
    /// Zero and the empty number are not positive.
    #[error("a serial number is positive; this one is zero or empty")]
    Zero,
    /// The DER INTEGER would be longer than 20 octets.
    #[error("a serial number takes at most 20 octets; this one takes {octets}")]
    TooLong {
        /// Octets of the DER INTEGER's content.
        octets: usize,
    },
    /// The text is no even number of hexadecimal digits, or has more than 40.
    #[error("a serial number is written as 2 to 40 hexadecimal digits, an even number of them")]
    NotHexadecimal,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_and_octets_round_trip() {
        for bytes in [&[1][..], &[0x7f], &[0x80], &[0x01, 0x00], &[0x7f; 20], &[0xff; 19]] {
            let serial = SerialNumber::from_be_bytes(bytes).unwrap();
            assert_eq!(serial.as_be_bytes(), bytes);
            assert_eq!(serial.to_string().parse(), Ok(serial));
        }
    }

    #[test]
    fn limits() {
        assert_eq!(SerialNumber::from_be_bytes(&[0, 0]), Err(SerialError::Zero));
        assert_eq!(SerialNumber::from_be_bytes(&[0x80; 20]), Err(SerialError::TooLong { octets: 21 }));
        assert_eq!("0".parse::<SerialNumber>(), Err(SerialError::NotHexadecimal));
        assert_eq!("zz".parse::<SerialNumber>(), Err(SerialError::NotHexadecimal));
        assert_eq!("01".repeat(20).parse::<SerialNumber>().map(|serial| serial.as_be_bytes().len()), Ok(20));
        assert_eq!("01".repeat(21).parse::<SerialNumber>(), Err(SerialError::NotHexadecimal));
        assert_eq!("".parse::<SerialNumber>(), Err(SerialError::Zero));
        assert_eq!(alloc::format!("{:?}", SerialNumber::from_be_bytes(&[1, 0xab]).unwrap()), "SerialNumber(01AB)");
        assert_eq!("é".parse::<SerialNumber>(), Err(SerialError::NotHexadecimal));
    }

    #[test]
    fn time_comes_first() {
        let early = SerialNumber::from_time_and_random(1_700_000_000_000, [0xff; 13]);
        let late = SerialNumber::from_time_and_random(1_700_000_000_001, [0; 13]);
        assert!(early < late);
        assert_eq!(late.as_be_bytes().len(), 19);
        let largest = (1 << 47) - 1;
        for (milliseconds, taken) in [(i64::MIN, 1), (0, 1), (1, 1), (largest, largest), (largest + 1, largest)] {
            let serial = SerialNumber::from_time_and_random(milliseconds, [7; 13]);
            assert_eq!(serial, SerialNumber::from_time_and_random(taken, [7; 13]));
            let octets = taken.to_be_bytes();
            let significant: alloc::vec::Vec<u8> = octets.into_iter().skip_while(|octet| *octet == 0).collect();
            assert_eq!(serial.as_be_bytes(), [&significant[..], &[7; 13]].concat());
        }
        for extreme in [i64::MIN, 0, i64::MAX] {
            let serial = SerialNumber::from_time_and_random(extreme, [0; 13]);
            assert_eq!(SerialNumber::from_be_bytes(serial.as_be_bytes()), Ok(serial));
        }
    }
}
