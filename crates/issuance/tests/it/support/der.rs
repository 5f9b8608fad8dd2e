//! A DER encoder that writes anything, right or wrong.

/// One element of tag, minimal length and content.
pub(crate) fn tlv(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut der = vec![tag];
    match content.len() {
        length @ 0..0x80 => der.push(u8::try_from(length).unwrap()),
        length => {
            let be: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
            der.push(0x80 | u8::try_from(be.len()).unwrap());
            der.extend(be);
        }
    }
    der.extend_from_slice(content);
    der
}

pub(crate) fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts.concat())
}

pub(crate) fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x31, parts.concat())
}

pub(crate) fn int(number: u8) -> Vec<u8> {
    tlv(2, [number])
}

/// An INTEGER of unsigned digits.
pub(crate) fn uint(digits: &[u8]) -> Vec<u8> {
    if digits[0] & 0x80 == 0 { tlv(2, digits) } else { tlv(2, [&[0], digits].concat()) }
}

pub(crate) fn bits(octets: &[u8]) -> Vec<u8> {
    tlv(3, [&[0], octets].concat())
}

/// An OBJECT IDENTIFIER in the dotted form.
pub(crate) fn oid(dotted: &str) -> Vec<u8> {
    let numbers: Vec<u64> = dotted.split('.').map(|n| n.parse().unwrap()).collect();
    let mut content = Vec::new();
    for number in std::iter::once(numbers[0] * 40 + numbers[1]).chain(numbers[2..].iter().copied()) {
        let groups = (64 - number.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let low = u8::try_from(number >> (7 * group) & 0x7f).unwrap();
            content.push(if group == 0 { low } else { low | 0x80 });
        }
    }
    tlv(6, content)
}

/// A distinguished name of one common name.
pub(crate) fn common_name(name: &str) -> Vec<u8> {
    seq(&[&set(&[&seq(&[&oid("2.5.4.3"), &tlv(0x0c, name)])])])
}

/// An extension.
pub(crate) fn extension(kind: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(1, [0xff]) } else { Vec::new() };
    seq(&[&oid(kind), &critical, &tlv(4, value)])
}

/// A PKCS#10 attribute of one value.
pub(crate) fn attribute(kind: &str, value: &[u8]) -> Vec<u8> {
    seq(&[&oid(kind), &set(&[value])])
}
