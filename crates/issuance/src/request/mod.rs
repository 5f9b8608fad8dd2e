//! The gate in front of the CA: what comes out of a PKCS#10 request (RFC 2986) is a public key and nothing else.

mod block_list;
mod key;
mod pasted;
mod rejected;
mod rsa;

pub use block_list::BlockListError;
pub use key::{KeyChoice, KeyKind, UnknownKeyChoice};
pub(crate) use key::{KeyRule, PublicKey};
pub use rejected::{Rejected, RsaWeakness};

use crate::der::{DerFault, Element, check_strict, tag};
use crate::pem::{self, PemFault};
use crate::profile::Profile;
use koshin_types::Fingerprint;
use ring::digest;
use std::collections::BTreeSet;
use std::fmt;
use zeroize::Zeroizing;

/// What the gate knows beside the request.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    blocked: BTreeSet<Fingerprint>,
    keys: KeyRule,
}

impl Gate {
    /// Most octets of a request, in DER or PEM: 16 KiB. Compared before anything is read.
    ///
    /// ```
    /// assert_eq!(koshin_issuance::Gate::MAX_OCTETS, 16 * 1024);
    /// ```
    pub const MAX_OCTETS: usize = 16 * 1024;

    /// A gate that blocks no particular key, and no kind that can be issued for at all.
    pub const fn new() -> Self {
        Self { blocked: BTreeSet::new(), keys: KeyRule(Vec::new()) }
    }

    /// Refuses keys whose `SubjectPublicKeyInfo` has this SHA-256: compromised ones, and those of the system itself.
    #[must_use]
    pub fn with_blocked(mut self, keys: impl IntoIterator<Item = Fingerprint>) -> Self {
        self.blocked.extend(keys);
        self
    }

    /// Refuses the keys of a block list: one SHA-256 of a `SubjectPublicKeyInfo` a line, in hexadecimal, with `#` before a
    /// remark. Lists of keys that became known, such as those of CVE-2008-0166, are published or made in this form.
    ///
    /// ```
    /// use koshin_issuance::Gate;
    ///
    /// let list = format!("# found in a repository\n{}\n", "0a".repeat(32));
    /// assert!(Gate::new().with_block_list(&list).is_ok());
    /// assert_eq!(Gate::new().with_block_list("0a0a").unwrap_err().line, 1);
    /// ```
    ///
    /// # Errors
    ///
    /// [`BlockListError`] naming the first line that is no fingerprint.
    pub fn with_block_list(mut self, text: &str) -> Result<Self, BlockListError> {
        for key in block_list::read(text) {
            self.blocked.insert(key?);
        }
        Ok(self)
    }

    /// Refuses the kinds of keys that a profile does not issue for, before their signature is looked at.
    #[must_use]
    pub fn with_profile(mut self, profile: &Profile) -> Self {
        self.keys.clone_from(&profile.keys);
        self
    }

    /// How many keys are refused by name.
    pub fn blocked(&self) -> usize {
        self.blocked.len()
    }

    /// The kinds of keys that are taken; none named are all that can be issued for at all.
    pub fn keys(&self) -> &[KeyChoice] {
        &self.keys.0
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
        if pasted::is_private_key(text) {
            return Err(Rejected::PrivateKeyPasted);
        }
        let (label, der) = pem::single_block(text).map_err(|fault| match fault {
            PemFault::None => pasted::refine_bare(text),
            PemFault::Several(blocks) => Rejected::PemBlocks { blocks },
            PemFault::Broken => Rejected::PemBroken,
        })?;
        let der = Zeroizing::new(der);
        match label.as_str() {
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Self::from_der(&der, gate),
            _ if pasted::is_private_key_der(&der) => Err(Rejected::PrivateKeyPasted),
            _ => Err(Rejected::PemLabel),
        }
    }

    /// Reads a DER `CertificationRequest`.
    ///
    /// # Errors
    ///
    /// [`Rejected`] as for [`from_bytes`](Self::from_bytes).
    pub fn from_der(der: &[u8], gate: &Gate) -> Result<Self, Rejected> {
        check_size(der)?;
        let request = strict(der)?;
        let parts = Parts::split(&request).map_err(|fault| pasted::refine(&request, fault))?;
        if parts.version != [0] {
            return Err(Rejected::Version);
        }
        let key = PublicKey::read(&parts.spki)?;
        if !gate.keys.takes(key.kind()) {
            return Err(Rejected::KeyNotIssuedFor { kind: key.kind() });
        }
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
        _ if pasted::begins_like_one(der) => Rejected::PrivateKeyPasted,
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
