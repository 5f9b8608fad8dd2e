//! What people paste in place of a request. A private key has to be named, in whatever shape it comes.

use super::{Parts, Rejected};
use crate::der::{DerFault, Element, Reader, check_strict, tag};
use crate::pem;
use zeroize::Zeroizing;

/// What every PEM label of a private key holds. Not so much as a damaged or a second block may hold it.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY";

/// What stands in private keys that are text, but no PEM: `PuTTY`'s, those of RFC 7517, XML's, age's.
const WORDS: [&[&[u8]]; 4] =
    [&[b"Private-Lines:"], &[b"\"kty\"", b"\"d\""], &[b"<RSAKeyValue", b"<D>"], &[b"AGE-SECRET-KEY-"]];

/// How files begin that hold private keys and are no DER: those of OpenSSH, two of Java's, one of Windows'.
const BEGINNINGS: [&[u8]; 4] = [b"openssh-key-v1\0", b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce", b"\x1e\xf1\xb5\xb0"];

/// Whether a text is or holds a private key.
pub(super) fn is_private_key(text: &[u8]) -> bool {
    // UTF-16, as editors on Windows save it: every second octet is NUL.
    if text.contains(&0) {
        let plain = Zeroizing::new(text.iter().copied().filter(|octet| *octet != 0).collect::<Vec<u8>>());
        return begins_like_one(text) || has_words(&plain);
    }
    begins_like_one(text) || has_words(text)
}

fn has_words(text: &[u8]) -> bool {
    let holds = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    holds(PRIVATE_KEY) || small_label(text) || WORDS.iter().any(|words| words.iter().all(|word| holds(word)))
}

/// A label in small letters. Elsewhere these words are prose: what openssl prints beside a request may hold them.
fn small_label(text: &[u8]) -> bool {
    text.split(|octet| matches!(octet, b'\n' | b'\r')).map(<[u8]>::trim_ascii).any(|line| {
        let words = &mut line.windows(PRIVATE_KEY.len());
        line.starts_with(b"--") && words.any(|part| part.eq_ignore_ascii_case(PRIVATE_KEY))
    })
}

/// Whether octets that are no request begin like a private key. PKCS#1, PKCS#8, SEC 1 and PKCS#12 begin with a version, also
/// when they are cut, damaged, followed by something, or BER.
pub(super) fn begins_like_one(octets: &[u8]) -> bool {
    if BEGINNINGS.iter().any(|beginning| octets.starts_with(beginning)) {
        return true;
    }
    let [tag::SEQUENCE, length, rest @ ..] = octets else { return false };
    let more = if *length < 0x80 { 0 } else { usize::from(length & 0x7f) };
    matches!(rest.get(more..), Some([tag::INTEGER, 1, 0 | 1 | 3, ..]))
}

/// Says what a text without a PEM block is.
pub(super) fn refine_bare(text: &[u8]) -> Rejected {
    match pem::bare_base64(text) {
        Some(der) if is_private_key_der(&der) => Rejected::PrivateKeyPasted,
        _ => Rejected::NotARequest,
    }
}

/// Whether octets are, or begin like, a private key.
pub(super) fn is_private_key_der(octets: &[u8]) -> bool {
    let split = || {
        let element = check_strict(octets).ok()?;
        Some(refine(&element, Parts::split(&element).err()?))
    };
    begins_like_one(octets) || split() == Some(Rejected::PrivateKeyPasted)
}

/// Says more than "another element was expected" about things people paste by mistake.
pub(super) fn refine(pasted: &Element<'_>, fault: DerFault) -> Rejected {
    let mut outer: Reader<'_> = pasted.reader();
    let (Ok(first), second) = (outer.any(), outer.peek_tag()) else { return Rejected::Structure { fault } };
    let inside_first = first.reader().peek_tag();
    match (first.tag, inside_first, second) {
        // An encrypted PKCS#8 is an algorithm and an OCTET STRING.
        (tag::INTEGER, ..) | (tag::SEQUENCE, Some(tag::OID), Some(tag::OCTET_STRING)) => Rejected::PrivateKeyPasted,
        // A certificate begins with an explicit version, a bare public key with its algorithm, PKCS#7 and CMC with a kind.
        (tag::SEQUENCE, Some(0xa0), _) | (tag::SEQUENCE, Some(tag::OID), Some(tag::BIT_STRING)) | (tag::OID, ..) => {
            Rejected::NotARequest
        }
        _ => Rejected::Structure { fault },
    }
}
