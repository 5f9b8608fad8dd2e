//! A strict DER reader: what has two encodings is refused in all but the one X.690 allows.

use super::tag;

/// How deep elements may be nested. A request needs about 10 levels.
const MAX_DEPTH: u8 = 16;

/// Why some octets are no DER (X.690, clauses 8 to 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DerFault {
    /// The octets end inside an element.
    #[error("the data ends before the element does")]
    Truncated,
    /// Octets follow where nothing may follow.
    #[error("{octets} octets follow the last element")]
    Trailing {
        /// How many.
        octets: usize,
    },
    /// An indefinite length (X.690, 10.1).
    #[error("a length is indefinite")]
    IndefiniteLength,
    /// A length in more octets than needed (X.690, 10.1).
    #[error("a length takes more octets than it needs")]
    LongLength,
    /// A tag of more than one octet, or the tag 0.
    #[error("a tag is not used in any certification request")]
    Tag,
    /// A string in pieces, or a sequence that is primitive (X.690, 10.2).
    #[error("an element of tag {tag:#04x} is constructed where it has to be primitive, or the reverse")]
    Form {
        /// The identifier octet.
        tag: u8,
    },
    /// The content breaks the rules of its type: a padded INTEGER, a BOOLEAN of 01, bits behind the end of a BIT STRING.
    #[error("the content of an element of tag {tag:#04x} is not encoded as DER wants it")]
    Content {
        /// The identifier octet.
        tag: u8,
    },
    /// Another element was expected here.
    #[error("an element of tag {expected:#04x} has to stand here")]
    Expected {
        /// The identifier octet that should have come.
        expected: u8,
    },
    /// Elements are nested too deeply.
    #[error("elements are nested more than 16 levels deep")]
    TooDeep,
}

/// One element, cut out of its surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// Identifier, length and content.
    pub(crate) whole: &'a [u8],
}

impl<'a> Element<'a> {
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader::new(self.content)
    }

    /// The octets of a BIT STRING without unused bits.
    pub(crate) fn bit_string_octets(&self) -> Result<&'a [u8], DerFault> {
        match self.content.split_first() {
            Some((0, octets)) if self.tag == tag::BIT_STRING => Ok(octets),
            _ => Err(DerFault::Content { tag: self.tag }),
        }
    }

    /// The digits of a positive INTEGER without its sign octet.
    pub(crate) fn positive_integer(&self) -> Result<&'a [u8], DerFault> {
        check_content(self)?;
        match self.content {
            [0] => Err(DerFault::Content { tag: self.tag }),
            [0, digits @ ..] => Ok(digits),
            [first, ..] if self.tag == tag::INTEGER && first & 0x80 == 0 => Ok(self.content),
            _ => Err(DerFault::Content { tag: self.tag }),
        }
    }

    const fn is_constructed(&self) -> bool {
        self.tag & 0x20 != 0
    }
}

/// Cuts elements off the front of some octets.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// Reads the inside of exactly one SEQUENCE.
    pub(crate) fn in_sequence(octets: &'a [u8]) -> Result<Self, DerFault> {
        let mut file = Self::new(octets);
        let sequence = file.expect(tag::SEQUENCE)?;
        file.finish().map(|()| sequence.reader())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, DerFault> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(DerFault::Truncated)?;
        if tag & 0x1f == 0x1f || tag == 0 {
            return Err(DerFault::Tag);
        }
        let (length, body) = read_length(after_tag)?;
        let (content, rest) = body.split_at_checked(length).ok_or(DerFault::Truncated)?;
        let (whole, _) = self.rest.split_at_checked(self.rest.len() - rest.len()).ok_or(DerFault::Truncated)?;
        self.rest = rest;
        Ok(Element { tag, content, whole })
    }

    /// The next element, which has to have this tag.
    pub(crate) fn expect(&mut self, expected: u8) -> Result<Element<'a>, DerFault> {
        match self.peek_tag() {
            Some(found) if found == expected => self.any(),
            _ => Err(DerFault::Expected { expected }),
        }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, expected: u8) -> Result<Option<Element<'a>>, DerFault> {
        if self.peek_tag() == Some(expected) { self.any().map(Some) } else { Ok(None) }
    }

    /// Succeeds when nothing is left.
    pub(crate) const fn finish(&self) -> Result<(), DerFault> {
        match self.rest.len() {
            0 => Ok(()),
            octets => Err(DerFault::Trailing { octets }),
        }
    }
}

/// Reads length octets; returns the length and what follows.
pub(crate) fn read_length(octets: &[u8]) -> Result<(usize, &[u8]), DerFault> {
    let (&first, rest) = octets.split_first().ok_or(DerFault::Truncated)?;
    let count = usize::from(first & 0x7f);
    match (first, count) {
        (0..=0x7f, _) => return Ok((usize::from(first), rest)),
        (0x80, _) => return Err(DerFault::IndefiniteLength),
        // Four length octets are 4 GiB: more than any caller hands in.
        (_, 5..) => return Err(DerFault::Truncated),
        _ => {}
    }
    let (digits, rest) = rest.split_at_checked(count).ok_or(DerFault::Truncated)?;
    let length = digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
    if length < 0x80 || digits.first() == Some(&0) {
        return Err(DerFault::LongLength);
    }
    Ok((length, rest))
}

/// Checks that `octets` are exactly one element and that it and all elements inside are DER.
pub(crate) fn check_strict(octets: &[u8]) -> Result<Element<'_>, DerFault> {
    let mut reader = Reader::new(octets);
    let element = reader.any()?;
    walk(&element, MAX_DEPTH)?;
    reader.finish()?;
    Ok(element)
}

fn walk(element: &Element<'_>, depth: u8) -> Result<(), DerFault> {
    check_content(element)?;
    if !element.is_constructed() {
        return Ok(());
    }
    let deeper = depth.checked_sub(1).ok_or(DerFault::TooDeep)?;
    let mut inner = element.reader();
    while !inner.is_empty() {
        walk(&inner.any()?, deeper)?;
    }
    Ok(())
}

/// Checks the form and the content of universal types; other classes carry what their definition says.
fn check_content(element: &Element<'_>) -> Result<(), DerFault> {
    let tag = element.tag;
    if tag & 0xc0 != 0 {
        return Ok(());
    }
    // EXTERNAL, EMBEDDED PDV, SEQUENCE and SET are constructed in DER; all others are primitive.
    if matches!(tag & 0x1f, 0x08 | 0x0b | 0x10 | 0x11) != element.is_constructed() {
        return Err(DerFault::Form { tag });
    }
    let good = match (tag, element.content) {
        (tag::BOOLEAN, content) => matches!(content, [0x00 | 0xff]),
        (tag::INTEGER | tag::ENUMERATED, content) => match content {
            [] => false,
            [0x00, second, ..] => second & 0x80 != 0,
            [0xff, second, ..] => second & 0x80 == 0,
            _ => true,
        },
        (tag::BIT_STRING, [unused, bits @ ..]) => match bits.last() {
            None => *unused == 0,
            Some(last) => *unused < 8 && u32::from(*unused) <= last.trailing_zeros(),
        },
        (tag::BIT_STRING, []) => false,
        (tag::NULL, content) => content.is_empty(),
        (tag::OID, content) => is_oid(content),
        _ => true,
    };
    if good { Ok(()) } else { Err(DerFault::Content { tag }) }
}

/// Whether each number begins without padding and the last one ends.
fn is_oid(content: &[u8]) -> bool {
    let mut at_start = true;
    for octet in content {
        if at_start && *octet == 0x80 {
            return false;
        }
        at_start = octet & 0x80 == 0;
    }
    at_start && !content.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found() {
        let too_deep: Vec<u8> = (0..17_u8).rev().flat_map(|level| [0x30, level * 2]).collect();
        let deep_enough: Vec<u8> = (0..16_u8).rev().flat_map(|level| [0x30, level * 2]).collect();
        for (octets, fault) in [
            (&[][..], DerFault::Truncated),
            (&[0x30], DerFault::Truncated),
            (&[0x30, 1], DerFault::Truncated),
            (&[0x30, 0x85, 1, 0, 0, 0, 0], DerFault::Truncated),
            (&[5, 0, 0], DerFault::Trailing { octets: 1 }),
            (&[0x30, 0x80, 0, 0], DerFault::IndefiniteLength),
            (&[4, 0x81, 1, 0], DerFault::LongLength),
            (&[4, 0x82, 0, 1, 0], DerFault::LongLength),
            (&[0x1f, 0x21, 0], DerFault::Tag),
            (&[0, 0], DerFault::Tag),
            (&[0x24, 0], DerFault::Form { tag: 0x24 }),
            (&[0x10, 0], DerFault::Form { tag: 0x10 }),
            (&[1, 1, 1], DerFault::Content { tag: 1 }),
            (&[2, 0], DerFault::Content { tag: 2 }),
            (&[2, 2, 0, 1], DerFault::Content { tag: 2 }),
            (&[2, 2, 0xff, 0x80], DerFault::Content { tag: 2 }),
            (&[3, 0], DerFault::Content { tag: 3 }),
            (&[3, 1, 1], DerFault::Content { tag: 3 }),
            (&[3, 2, 1, 1], DerFault::Content { tag: 3 }),
            (&[3, 2, 8, 0], DerFault::Content { tag: 3 }),
            (&[5, 1, 0], DerFault::Content { tag: 5 }),
            (&[6, 0], DerFault::Content { tag: 6 }),
            (&[6, 1, 0x80], DerFault::Content { tag: 6 }),
            (&[6, 2, 0x80, 1], DerFault::Content { tag: 6 }),
            (&too_deep, DerFault::TooDeep),
        ] {
            assert_eq!(check_strict(octets).unwrap_err(), fault, "{octets:02x?}");
        }
        for octets in [
            &[1, 1, 0xff][..],
            &[2, 2, 0, 0x80],
            &[2, 1, 0xff],
            &[3, 2, 1, 2],
            &[3, 1, 0],
            &[6, 2, 0x81, 0],
            &[0xdf - 0x1f, 0],
            &deep_enough,
        ] {
            assert!(check_strict(octets).is_ok(), "{octets:02x?}");
        }
    }

    #[test]
    fn positive_integers() {
        let read = |octets| Reader::new(octets).any().unwrap().positive_integer();
        assert_eq!(read(&[2, 1, 5]), Ok(&[5][..]));
        assert_eq!(read(&[2, 2, 0, 0x80]), Ok(&[0x80][..]));
        for bad in [&[2, 1, 0][..], &[2, 1, 0x80], &[2, 2, 0, 1], &[2, 0], &[4, 1, 5]] {
            assert!(read(bad).is_err(), "{bad:02x?}");
        }
    }
}
