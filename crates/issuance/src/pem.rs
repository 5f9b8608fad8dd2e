//! PEM (RFC 7468): one block, nothing else inside.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// Why a text is not one PEM block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PemFault {
    /// There is no line that begins a block.
    None,
    /// There are this many blocks.
    Several(usize),
    /// The block has no proper end, headers, or characters outside of Base64.
    Broken,
}

/// The labels of all blocks that begin in `text`.
pub(crate) fn labels(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines(text).filter_map(|line| line.strip_prefix(BEGIN)?.strip_suffix(DASHES))
}

/// Reads the only block of a text. Lines around it are explanatory text.
pub(crate) fn single_block(text: &[u8]) -> Result<(String, Vec<u8>), PemFault> {
    match labels(text).count() {
        0 => return Err(PemFault::None),
        1 => {}
        several => return Err(PemFault::Several(several)),
    }
    let mut lines = lines(text).skip_while(|line| !line.starts_with(BEGIN));
    let label = lines.next().and_then(|line| line.strip_prefix(BEGIN)?.strip_suffix(DASHES)).ok_or(PemFault::Broken)?;
    let mut base64 = Zeroizing::new(Vec::with_capacity(text.len()));
    let end = loop {
        let line = lines.next().ok_or(PemFault::Broken)?;
        if let Some(rest) = line.strip_prefix(END) {
            break rest.strip_suffix(DASHES);
        }
        base64.extend_from_slice(line);
    };
    if end != Some(label) || lines.any(|line| line.starts_with(END)) {
        return Err(PemFault::Broken);
    }
    let der = STANDARD.decode(base64.as_slice()).map_err(|_| PemFault::Broken)?;
    Ok((String::from_utf8_lossy(label).into_owned(), der))
}

/// Decodes a text that is nothing but Base64, as it looks when the lines around a block got lost.
pub(crate) fn bare_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let characters = Zeroizing::new(text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<u8>>());
    STANDARD.decode(characters.as_slice()).ok().map(Zeroizing::new)
}

/// Lines without white space around them.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).split(|b| matches!(b, b'\n' | b'\r')).map(<[u8]>::trim_ascii)
}

/// Writes a block with lines of 64 characters.
///
/// ```
/// assert!(koshin_issuance::pem("CERTIFICATE", &[0x30, 0x00]).starts_with("-----BEGIN CERTIFICATE-----\nMAA=\n-----END"));
/// ```
pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut text = String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in base64.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_round_trips() {
        for length in [0, 1, 47, 48, 49, 1000] {
            let der = vec![0xa7; length];
            let text = pem("X", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(single_block(text.as_bytes()), Ok(("X".to_owned(), der)));
        }
    }

    #[test]
    fn explanations_and_line_ends_are_tolerated() {
        let text =
            "\u{feff}Certificate Request:\r\n  Data: \r\n-----BEGIN X-----\r\nMA\r\nA=  \r\n-----END X-----\r\n\r\n";
        assert_eq!(single_block(text.as_bytes()), Ok(("X".to_owned(), vec![0x30, 0])));
    }

    #[test]
    fn broken_blocks() {
        for (text, fault) in [
            ("", PemFault::None),
            ("MAA=", PemFault::None),
            ("-----BEGIN X----\nMAA=\n-----END X-----", PemFault::None),
            ("-----BEGIN X-----\nMAA=", PemFault::Broken),
            ("-----BEGIN X-----\nMAA=\n-----END Y-----", PemFault::Broken),
            ("-----BEGIN X-----\nMAA=\n-----END X----", PemFault::Broken),
            ("-----BEGIN X-----\nA: b\n\nMAA=\n-----END X-----", PemFault::Broken),
            ("-----BEGIN X-----\nMAA\n-----END X-----", PemFault::Broken),
            ("-----BEGIN X-----\nMAA=\n-----END X-----\n-----END X-----", PemFault::Broken),
            ("-----BEGIN X-----\nMAA=\n-----END X-----\n-----BEGIN Y-----", PemFault::Several(2)),
        ] {
            assert_eq!(single_block(text.as_bytes()), Err(fault), "{text}");
        }
    }
}
