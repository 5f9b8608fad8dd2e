//! What a key is called, and its public part.

use std::{fmt, str::FromStr};

use ring::digest;

/// What stores call a key pair and its certificate: the SHA-1 of the public point, 20 octets (RFC 5280, 4.2.1.2, method 1).
///
/// It is a name and protects nothing: SHA-1 is what NSS, macOS and their like compute. Displayed as lower-case hexadecimal.
///
/// ```
/// use koshin_keystore::KeyId;
/// let id: KeyId = "00112233445566778899AABBCCDDEEFF00112233".parse()?;
/// assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff00112233");
/// assert_eq!(id.as_bytes().len(), 20);
/// assert!("0011".parse::<KeyId>().is_err());
/// # Ok::<(), koshin_keystore::NoKeyId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 20]);

impl KeyId {
    /// An identifier that is known.
    pub const fn new(octets: [u8; 20]) -> Self {
        Self(octets)
    }

    /// The identifier of the key with this public point.
    pub fn of_point(point: &PublicPoint) -> Self {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, point.as_sec1());
        let mut octets = [0; 20];
        octets.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self(octets)
    }

    /// The 20 octets, as `CKA_ID` holds them.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = NoKeyId;

    fn from_str(text: &str) -> Result<Self, NoKeyId> {
        let wrong = NoKeyId { octets: text.len() };
        if text.len() != 40 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        let mut octets = [0; 20];
        for (at, to) in octets.iter_mut().enumerate() {
            let pair = text.get(2 * at..2 * at + 2).ok_or(wrong)?;
            *to = u8::from_str_radix(pair, 16).map_err(|_| wrong)?;
        }
        Ok(Self(octets))
    }
}

/// A text that is no [`KeyId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key identifier is 40 hexadecimal digits, not a text of {octets} octets like this")]
pub struct NoKeyId {
    /// Length of the text in octets.
    pub octets: usize,
}

/// A public key on P-256: the uncompressed point, 65 octets (SEC 1, 2.3.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicPoint([u8; Self::OCTETS]);

impl PublicPoint {
    /// How long an uncompressed point is.
    ///
    /// ```
    /// assert_eq!(koshin_keystore::PublicPoint::OCTETS, 65);
    /// ```
    pub const OCTETS: usize = 65;

    /// What comes before the point in a DER `SubjectPublicKeyInfo` (RFC 5480, 2).
    const SPKI_HEAD: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];

    /// Takes an uncompressed point. Whether it lies on the curve is for whoever verifies a signature.
    ///
    /// # Errors
    ///
    /// [`WrongPoint`] for another length or a compressed form.
    pub fn from_sec1(octets: &[u8]) -> Result<Self, WrongPoint> {
        match (<[u8; Self::OCTETS]>::try_from(octets), octets.first()) {
            (Ok(point), Some(4)) => Ok(Self(point)),
            _ => Err(WrongPoint { octets: octets.len() }),
        }
    }

    /// The point in a DER `SubjectPublicKeyInfo`, if that is of a key on P-256 in the usual form.
    ///
    /// # Errors
    ///
    /// [`WrongPoint`] for any other key.
    pub fn from_spki(spki: &[u8]) -> Result<Self, WrongPoint> {
        let point = spki.strip_prefix(&Self::SPKI_HEAD).ok_or(WrongPoint { octets: spki.len() })?;
        Self::from_sec1(point)
    }

    /// The 65 octets.
    pub const fn as_sec1(&self) -> &[u8; Self::OCTETS] {
        &self.0
    }

    /// The DER `SubjectPublicKeyInfo`, 91 octets.
    ///
    /// ```
    /// use koshin_keystore::PublicPoint;
    /// let point = PublicPoint::from_sec1(&[4; 65])?;
    /// assert_eq!(point.spki().len(), 91);
    /// assert_eq!(PublicPoint::from_spki(&point.spki())?, point);
    /// assert!(PublicPoint::from_sec1(&[2; 33]).is_err() && PublicPoint::from_sec1(&[2; 65]).is_err());
    /// # Ok::<(), koshin_keystore::WrongPoint>(())
    /// ```
    pub fn spki(&self) -> Vec<u8> {
        [&Self::SPKI_HEAD[..], &self.0].concat()
    }
}

impl fmt::Debug for PublicPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicPoint({})", KeyId::of_point(self))
    }
}

/// Octets that are no uncompressed point on P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{octets} octets are no uncompressed point on P-256")]
pub struct WrongPoint {
    /// How many there were.
    pub octets: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_the_hash_of_the_point() {
        // `printf '\004%.0s' $(seq 65) | sha1sum`
        let id = KeyId::of_point(&PublicPoint::from_sec1(&[4; 65]).unwrap());
        assert_eq!(id.to_string(), "7a0b7b93df197f903c5dc1c31b47b3c615d94e25");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn only_forty_digits_are_an_identifier() {
        for text in ["", "0", &"g".repeat(40), &"+1".repeat(20), &"a".repeat(39), &"a".repeat(42), &"é".repeat(20)] {
            assert_eq!(text.parse::<KeyId>(), Err(NoKeyId { octets: text.len() }), "{text}");
        }
        assert_eq!("aF".repeat(20).parse(), Ok(KeyId::new([0xaf; 20])));
    }
}
