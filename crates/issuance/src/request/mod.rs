//! The gate in front of the CA: what comes out of a PKCS#10 request (RFC 2986) is a public key and nothing else.

mod key;
mod rejected;
mod rsa;

pub use key::KeyKind;
pub use rejected::{Rejected, RsaWeakness};

use crate::der::{DerFault, Element, Reader, check_strict, tag};
use crate::pem::{self, PemFault};
use key::PublicKey;
use koshin_types::Fingerprint;
use ring::digest;
use std::collections::BTreeSet;
use std::fmt;
use zeroize::Zeroizing;

/// What every PEM label of a private key holds.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY";

/// What the gate knows beside the request.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    blocked: BTreeSet<Fingerprint>,
}

impl Gate {
    /// Most octets of a request, in DER or PEM: 16 KiB. Compared before anything is read.
    ///
    /// ```
    /// assert_eq!(koshin_issuance::Gate::MAX_OCTETS, 16 * 1024);
    /// ```
    pub const MAX_OCTETS: usize = 16 * 1024;

    /// A gate that blocks no particular key.
    pub const fn new() -> Self {
        Self { blocked: BTreeSet::new() }
    }

    /// Refuses keys whose `SubjectPublicKeyInfo` has this SHA-256: compromised ones, and those of the system itself.
    #[must_use]
    pub fn with_blocked(mut self, keys: impl IntoIterator<Item = Fingerprint>) -> Self {
        self.blocked.extend(keys);
        self
    }
}

/// A request that passed the gate: a public key whose holder proved to have the private one.
///
/// Subject, extensions and attributes of the request were not even decoded. They are no wish of anybody here.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificationRequest {
    spki: Vec<u8>,
    /// Where in `spki` the octets of the key begin; they are its end.
    key_at: usize,
    spki_fingerprint: Fingerprint,
    key_kind: KeyKind,
}

impl CertificationRequest {
    /// Reads a request as a person or a program hands it in: PEM or DER.
    ///
    /// An elliptic curve key costs one verification. A large RSA key costs some tenths of a second, spent only after its
    /// signature was verified: callers bound how many they check at once.
    ///
    /// # Errors
    ///
    /// [`Rejected`] saying what is wrong and what to do about it.
    pub fn from_bytes(octets: &[u8], gate: &Gate) -> Result<Self, Rejected> {
        check_size(octets)?;
        // DER begins with the SEQUENCE's octet, the character "0", and then a length no text begins with.
        let is_der = matches!(octets, [tag::SEQUENCE, 0x80..=0xff, ..]);
        if is_der || (octets.first() == Some(&tag::SEQUENCE) && pem::labels(octets).next().is_none()) {
            return Self::from_der(octets, gate);
        }
        Self::from_pem(octets, gate)
    }

    /// Reads one PEM block labelled `CERTIFICATE REQUEST` or `NEW CERTIFICATE REQUEST` (RFC 7468, 7). Text around the
    /// block is ignored.
    ///
    /// # Errors
    ///
    /// [`Rejected`] as for [`from_bytes`](Self::from_bytes).
    pub fn from_pem(text: &[u8], gate: &Gate) -> Result<Self, Rejected> {
        check_size(text)?;
        // Also in a damaged or a second block: whoever pasted it has to know.
        if text.windows(PRIVATE_KEY.len()).any(|words| words == PRIVATE_KEY) {
            return Err(Rejected::PrivateKeyPasted);
        }
        let (label, der) = pem::single_block(text).map_err(|fault| match fault {
            PemFault::None => refine_bare(text),
            PemFault::Several(blocks) => Rejected::PemBlocks { blocks },
            PemFault::Broken => Rejected::PemBroken,
        })?;
        if !matches!(label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
            return Err(Rejected::PemLabel);
        }
        Self::from_der(&Zeroizing::new(der), gate)
    }

    /// Reads a DER `CertificationRequest`.
    ///
    /// # Errors
    ///
    /// [`Rejected`] as for [`from_bytes`](Self::from_bytes).
    pub fn from_der(der: &[u8], gate: &Gate) -> Result<Self, Rejected> {
        check_size(der)?;
        let request = strict(der)?;
        let parts = Parts::split(&request).map_err(|fault| refine(&request, fault))?;
        if parts.version != [0] {
            return Err(Rejected::Version);
        }
        let key = PublicKey::read(&parts.spki)?;
        let spki_fingerprint = fingerprint(parts.spki.whole);
        if gate.blocked.contains(&spki_fingerprint) {
            return Err(Rejected::KeyBlocked { spki_fingerprint });
        }
        let signature = parts.signature.bit_string_octets().map_err(|_| Rejected::Signature)?;
        key.verify(&parts.algorithm, parts.info.whole, signature)?;
        key.check_strength()?;
        let spki = parts.spki.whole.to_vec();
        Ok(Self { key_at: spki.len() - key.octets().len(), spki, spki_fingerprint, key_kind: key.kind() })
    }

    /// The DER `SubjectPublicKeyInfo`, as it stood in the request.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The octets of the key itself: the content of the SPKI's BIT STRING.
    pub(crate) fn public_key(&self) -> &[u8] {
        self.spki.get(self.key_at..).unwrap_or_default()
    }

    /// SHA-256 of [`spki_der`](Self::spki_der).
    pub const fn spki_fingerprint(&self) -> Fingerprint {
        self.spki_fingerprint
    }

    /// Kind and size of the key.
    pub const fn key_kind(&self) -> KeyKind {
        self.key_kind
    }
}

impl fmt::Debug for CertificationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CertificationRequest");
        shown
            .field("spki_fingerprint", &self.spki_fingerprint)
            .field("key_kind", &self.key_kind)
            .finish_non_exhaustive()
    }
}

/// SHA-256 of some octets.
pub(crate) fn fingerprint(octets: &[u8]) -> Fingerprint {
    let digest = digest::digest(&digest::SHA256, octets);
    Fingerprint::new(digest.as_ref().first_chunk().copied().unwrap_or_default())
}

fn check_size(octets: &[u8]) -> Result<(), Rejected> {
    match octets.len() {
        0 => Err(Rejected::Empty),
        octets if octets > Gate::MAX_OCTETS => Err(Rejected::TooLarge { octets }),
        _ => Ok(()),
    }
}

fn strict(der: &[u8]) -> Result<Element<'_>, Rejected> {
    check_strict(der).map_err(|fault| match fault {
        DerFault::Trailing { octets } => Rejected::TrailingBytes { octets },
        DerFault::TooDeep => Rejected::TooDeep,
        fault => Rejected::Der { fault },
    })
}

/// The elements of a request that matter.
struct Parts<'a> {
    info: Element<'a>,
    version: &'a [u8],
    spki: Element<'a>,
    algorithm: Element<'a>,
    signature: Element<'a>,
}

impl<'a> Parts<'a> {
    /// `SEQUENCE { SEQUENCE { version, subject, subjectPKInfo, [0] attributes }, signatureAlgorithm, signature }`.
    fn split(request: &Element<'a>) -> Result<Self, DerFault> {
        if request.tag != tag::SEQUENCE {
            return Err(DerFault::Expected { expected: tag::SEQUENCE });
        }
        let mut outer = request.reader();
        let info = outer.expect(tag::SEQUENCE)?;
        let mut inner = info.reader();
        let version = inner.expect(tag::INTEGER)?.content;
        inner.expect(tag::SEQUENCE)?;
        let spki = inner.expect(tag::SEQUENCE)?;
        inner.expect(tag::context_constructed(0))?;
        inner.finish()?;
        let algorithm = outer.expect(tag::SEQUENCE)?;
        let signature = outer.expect(tag::BIT_STRING)?;
        outer.finish()?;
        Ok(Self { info, version, spki, algorithm, signature })
    }
}

/// Says what a text without a PEM block is.
fn refine_bare(text: &[u8]) -> Rejected {
    let pasted = pem::bare_base64(text).and_then(|der| {
        let element = check_strict(&der).ok()?;
        Some(refine(&element, Parts::split(&element).err()?))
    });
    match pasted {
        Some(Rejected::PrivateKeyPasted) => Rejected::PrivateKeyPasted,
        _ => Rejected::NotARequest,
    }
}

/// Says more than "another element was expected" about things people paste by mistake.
fn refine(pasted: &Element<'_>, fault: DerFault) -> Rejected {
    let mut outer: Reader<'_> = pasted.reader();
    let (Ok(first), second) = (outer.any(), outer.peek_tag()) else { return Rejected::Structure { fault } };
    let inside_first = first.reader().peek_tag();
    match (first.tag, inside_first, second) {
        // PKCS#8, PKCS#1, SEC 1 and PKCS#12 begin with a version; an encrypted PKCS#8 is an algorithm and an OCTET STRING.
        (tag::INTEGER, ..) | (tag::SEQUENCE, Some(tag::OID), Some(tag::OCTET_STRING)) => Rejected::PrivateKeyPasted,
        // A certificate begins with an explicit version, a bare public key with its algorithm.
        (tag::SEQUENCE, Some(0xa0), _) | (tag::SEQUENCE, Some(tag::OID), Some(tag::BIT_STRING)) => {
            Rejected::NotARequest
        }
        _ => Rejected::Structure { fault },
    }
}
