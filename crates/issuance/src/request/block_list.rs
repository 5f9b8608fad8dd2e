//! A file of keys that nothing is issued for.

use koshin_types::Fingerprint;

/// Reads the fingerprints of a block list.
///
/// One SHA-256 of a DER `SubjectPublicKeyInfo` a line, in hexadecimal; what follows a `#` is a remark; lines without a
/// fingerprint are skipped.
pub(super) fn read(text: &str) -> impl Iterator<Item = Result<Fingerprint, BlockListError>> {
    text.lines().zip(1..).filter_map(|(line, number)| {
        let entry = line.split('#').next().unwrap_or_default().trim_matches(['\u{feff}', ' ', '\t', '\r']);
        let read = || entry.parse().map_err(|_| BlockListError { line: number, characters: entry.chars().count() });
        (!entry.is_empty()).then(read)
    })
}

/// A line of a block list that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the block list is not the 64 hexadecimal digits of a SHA-256; it has {characters} characters")]
#[non_exhaustive]
pub struct BlockListError {
    /// The line, from 1.
    pub line: usize,
    /// How long it is without its remark.
    pub characters: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_and_empty_lines_are_skipped() {
        let (one, other) = ("0a".repeat(32), "FF".repeat(32));
        let text = format!("\u{feff}# known\r\n\r\n  {one}  # somebody's\n\t\n{other}#\n");
        let read: Result<Vec<_>, _> = read(&text).collect();
        assert_eq!(read, Ok(vec![Fingerprint::new([0x0a; 32]), Fingerprint::new([0xff; 32])]));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let good = "0a".repeat(32);
        for (bad, characters) in
            [(good[1..].to_owned(), 63), (format!("{good}0"), 65), ("x".repeat(64), 64), ("鍵".into(), 1)]
        {
            let text = format!("{good}\n{bad}\n");
            let failed = read(&text).collect::<Result<Vec<_>, _>>();
            assert_eq!(failed, Err(BlockListError { line: 2, characters }), "{bad}");
        }
    }
}
