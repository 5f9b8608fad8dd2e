//! Why a request does not pass the gate.

use super::KeyKind;
use crate::der::DerFault;
use koshin_types::Fingerprint;

/// Why a request does not pass the gate. Nothing of the request is kept in it.
///
/// The text is one English sentence saying what happened and how to go on; [`code`](Self::code) is stable and meant for
/// translations, logs and JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// No octets.
    #[error("The request is empty; send the whole certification request.")]
    Empty,
    /// Longer than [`Gate::MAX_OCTETS`](crate::Gate::MAX_OCTETS).
    #[error("The request has {octets} octets and at most 16384 are read; make a plain request without attachments.")]
    TooLarge {
        /// How many there are.
        octets: usize,
    },
    /// Neither PEM nor DER of a request.
    #[error("This is no certification request; send the PKCS#10 request your program made, as PEM or DER.")]
    NotARequest,
    /// A private key, in PEM or DER.
    #[error(
        "This is a private key, and it was not kept; never send it to anybody, make a new key and send its request."
    )]
    PrivateKeyPasted,
    /// Another number of PEM blocks than one.
    #[error("The text holds {blocks} PEM blocks; send the one block of the certification request.")]
    PemBlocks {
        /// How many begin.
        blocks: usize,
    },
    /// A PEM block of something else.
    #[error("The PEM block is labelled as something else; send the one labelled CERTIFICATE REQUEST.")]
    PemLabel,
    /// A PEM block without proper end, with headers, or with characters outside of Base64.
    #[error("The PEM block is damaged; copy it again, from the BEGIN line to the END line.")]
    PemBroken,
    /// Not DER.
    #[error("The request is not proper DER ({fault}); make it again with another program.")]
    Der {
        /// The first fault.
        fault: DerFault,
    },
    /// Something follows the request.
    #[error("The request is followed by {octets} octets more; send the request alone.")]
    TrailingBytes {
        /// How many.
        octets: usize,
    },
    /// Nested too deeply.
    #[error("The request is nested too deeply; make a plain request.")]
    TooDeep,
    /// DER, but not the structure of RFC 2986.
    #[error("The request does not have the structure of PKCS#10 ({fault}); make it again with another program.")]
    Structure {
        /// The first fault.
        fault: DerFault,
    },
    /// Not version 0, the only one there is (RFC 2986, 4.1).
    #[error("The request's version is not 0; make it again with another program.")]
    Version,
    /// A kind of key that could be issued for, but not under this profile.
    #[error("A key of {kind} is not issued for here; ask which kinds are, and make a new key of one of them.")]
    KeyNotIssuedFor {
        /// The kind.
        kind: KeyKind,
    },
    /// Neither an elliptic curve key nor an RSA key.
    #[error("The key is of a kind that is not issued for; use P-256, P-384 or RSA.")]
    KeyAlgorithm,
    /// Another curve, or none that is named.
    #[error("The key's curve is not issued for; use P-256 or P-384.")]
    KeyCurve,
    /// Parameters or key octets that RFC 3279 and RFC 5480 do not allow, a compressed point for example.
    #[error("The public key is not encoded as RFC 5480 or RFC 3279 wants it; make the key again with another program.")]
    KeyEncoding,
    /// An RSA modulus outside of 2048 to 8192 bits.
    #[error("The RSA key has {bits} bits and 2048 to 8192 are issued for; make a key of 3072 bits, or of P-256.")]
    RsaSize {
        /// Bits of the modulus.
        bits: usize,
    },
    /// An RSA exponent other than 65537.
    #[error("The RSA key's public exponent is not 65537; make a new key with that exponent.")]
    RsaExponent,
    /// An RSA modulus that can be factored.
    #[error("The RSA key can be broken ({weakness}); stop using it and make a new key with another program.")]
    RsaWeak {
        /// How.
        weakness: RsaWeakness,
    },
    /// A key on the block list.
    #[error("This key is known to be compromised or belongs to somebody else; stop using it and make a new key.")]
    KeyBlocked {
        /// SHA-256 of its `SubjectPublicKeyInfo`.
        spki_fingerprint: Fingerprint,
    },
    /// A signature algorithm that is not accepted or does not fit the key.
    #[error("The request is signed in a way that is not accepted for this key; sign it with SHA-256 or SHA-384.")]
    SignatureAlgorithm,
    /// The signature was not made with the private key of this public key, or the request was changed.
    #[error("The request's signature does not fit its public key; make the request again with the key it is for.")]
    Signature,
}

impl Rejected {
    /// A stable word for this reason, such as `request.trailing_bytes`.
    ///
    /// Words are added, and none is ever given another meaning.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "request.empty",
            Self::TooLarge { .. } => "request.too_large",
            Self::NotARequest => "request.not_a_request",
            Self::PrivateKeyPasted => "request.private_key_pasted",
            Self::PemBlocks { .. } => "request.pem_blocks",
            Self::PemLabel => "request.pem_label",
            Self::PemBroken => "request.pem_broken",
            Self::Der { .. } => "request.der",
            Self::TrailingBytes { .. } => "request.trailing_bytes",
            Self::TooDeep => "request.too_deep",
            Self::Structure { .. } => "request.structure",
            Self::Version => "request.version",
            Self::KeyNotIssuedFor { .. } => "request.key_not_issued_for",
            Self::KeyAlgorithm => "request.key_algorithm",
            Self::KeyCurve => "request.key_curve",
            Self::KeyEncoding => "request.key_encoding",
            Self::RsaSize { .. } => "request.rsa_size",
            Self::RsaExponent => "request.rsa_exponent",
            Self::RsaWeak { .. } => "request.rsa_weak",
            Self::KeyBlocked { .. } => "request.key_blocked",
            Self::SignatureAlgorithm => "request.signature_algorithm",
            Self::Signature => "request.signature",
        }
    }
}

/// How an RSA modulus can be factored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RsaWeakness {
    /// The modulus is even or has a factor below 752 (NIST SP 800-89, 5.3.3).
    #[error("its modulus has the small factor {factor}")]
    SmallFactor {
        /// The factor.
        factor: u32,
    },
    /// The modulus has the fingerprint of the library with CVE-2017-15361.
    #[error("it was made by the library with the ROCA fault, CVE-2017-15361")]
    Roca,
    /// 100 rounds of Fermat's method find the two primes, or the modulus is a square.
    #[error("its two primes are too close to each other")]
    ClosePrimes,
    /// The modulus is a prime or the power of one (NIST SP 800-89, 5.3.3).
    #[error("its modulus is not the product of two different primes")]
    PrimePower,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every reason. Who adds one has to add it here: the `match` does not compile without it.
    fn all() -> Vec<Rejected> {
        let next = |rejected: &Rejected| {
            let fault = DerFault::Truncated;
            Some(match rejected {
                Rejected::Empty => Rejected::TooLarge { octets: 20_000 },
                Rejected::TooLarge { .. } => Rejected::NotARequest,
                Rejected::NotARequest => Rejected::PrivateKeyPasted,
                Rejected::PrivateKeyPasted => Rejected::PemBlocks { blocks: 2 },
                Rejected::PemBlocks { .. } => Rejected::PemLabel,
                Rejected::PemLabel => Rejected::PemBroken,
                Rejected::PemBroken => Rejected::Der { fault },
                Rejected::Der { .. } => Rejected::TrailingBytes { octets: 3 },
                Rejected::TrailingBytes { .. } => Rejected::TooDeep,
                Rejected::TooDeep => Rejected::Structure { fault },
                Rejected::Structure { .. } => Rejected::Version,
                Rejected::Version => Rejected::KeyNotIssuedFor { kind: KeyKind::P384 },
                Rejected::KeyNotIssuedFor { .. } => Rejected::KeyAlgorithm,
                Rejected::KeyAlgorithm => Rejected::KeyCurve,
                Rejected::KeyCurve => Rejected::KeyEncoding,
                Rejected::KeyEncoding => Rejected::RsaSize { bits: 1024 },
                Rejected::RsaSize { .. } => Rejected::RsaExponent,
                Rejected::RsaExponent => Rejected::RsaWeak { weakness: RsaWeakness::Roca },
                Rejected::RsaWeak { .. } => Rejected::KeyBlocked { spki_fingerprint: Fingerprint::new([0xab; 32]) },
                Rejected::KeyBlocked { .. } => Rejected::SignatureAlgorithm,
                Rejected::SignatureAlgorithm => Rejected::Signature,
                Rejected::Signature => return None,
            })
        };
        std::iter::successors(Some(Rejected::Empty), next).collect()
    }

    #[test]
    fn codes_are_stable() {
        let codes: Vec<_> = all().iter().map(Rejected::code).collect();
        assert_eq!(
            codes,
            [
                "request.empty",
                "request.too_large",
                "request.not_a_request",
                "request.private_key_pasted",
                "request.pem_blocks",
                "request.pem_label",
                "request.pem_broken",
                "request.der",
                "request.trailing_bytes",
                "request.too_deep",
                "request.structure",
                "request.version",
                "request.key_not_issued_for",
                "request.key_algorithm",
                "request.key_curve",
                "request.key_encoding",
                "request.rsa_size",
                "request.rsa_exponent",
                "request.rsa_weak",
                "request.key_blocked",
                "request.signature_algorithm",
                "request.signature",
            ]
        );
    }

    /// What happened, then how to go on: two clauses of one sentence.
    #[test]
    fn each_reason_is_a_sentence_with_a_way_on() {
        const WAYS: [&str; 7] = ["send", "make", "use", "copy", "sign", "stop using", "ask"];
        let sentences: Vec<String> = all().iter().map(ToString::to_string).collect();
        for sentence in &sentences {
            let (happened, way) =
                sentence.split_once("; ").or_else(|| sentence.split_once(", and it was not kept; ")).unwrap();
            assert!(happened.starts_with(char::is_uppercase) && happened.len() > 15, "{sentence}");
            let way = way.strip_prefix("never ").unwrap_or(way);
            assert!(WAYS.iter().any(|verb| way.starts_with(verb)), "{sentence}");
            assert!(sentence.ends_with('.') && sentence.matches(". ").count() == 0, "{sentence}");
        }
        assert_eq!(sentences.iter().collect::<BTreeSet<_>>().len(), sentences.len());
    }

    #[test]
    fn weaknesses_are_told_apart() {
        let weak = [
            RsaWeakness::SmallFactor { factor: 3 },
            RsaWeakness::Roca,
            RsaWeakness::ClosePrimes,
            RsaWeakness::PrimePower,
        ];
        let texts: BTreeSet<_> =
            weak.iter().map(|weakness| Rejected::RsaWeak { weakness: *weakness }.to_string()).collect();
        assert_eq!(texts.len(), weak.len());
    }
}
