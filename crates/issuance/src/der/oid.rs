//! Object identifiers, as the content octets of their DER.

/// Reads the dotted form. `None` when it is none: fewer than two numbers, a number that is too large, or not decimal.
pub(crate) fn parse(dotted: &str) -> Option<Vec<u8>> {
    let mut numbers = dotted.split('.').map(|part| {
        let canonical = part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        part.parse::<u64>().ok().filter(|_| canonical)
    });
    let (root, second) = (numbers.next()??, numbers.next()??);
    if root > 2 || (root < 2 && second > 39) {
        return None;
    }
    let mut content = Vec::with_capacity(dotted.len());
    push_base_128(&mut content, second.checked_add(root * 40)?);
    for number in numbers {
        push_base_128(&mut content, number?);
    }
    Some(content)
}

fn push_base_128(content: &mut Vec<u8>, number: u64) {
    let groups = (64 - number.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let bits = u8::try_from(number >> (7 * group) & 0x7f).unwrap_or_default();
        content.push(if group == 0 { bits } else { bits | 0x80 });
    }
}

/// id-ecPublicKey, RFC 5480, 2.1.1.
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// secp256r1, RFC 5480, 2.1.1.1.
pub(crate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// secp384r1, RFC 5480, 2.1.1.1.
pub(crate) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// rsaEncryption, RFC 3279, 2.3.1.
pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// ecdsa-with-SHA256, RFC 5758, 3.2.
pub(crate) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// ecdsa-with-SHA384, RFC 5758, 3.2.
pub(crate) const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// sha256WithRSAEncryption, RFC 4055, 5.
pub(crate) const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
/// sha384WithRSAEncryption, RFC 4055, 5.
pub(crate) const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
/// sha512WithRSAEncryption, RFC 4055, 5.
pub(crate) const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];

/// id-at-countryName.
pub(crate) const COUNTRY: &[u8] = &[0x55, 0x04, 0x06];
/// id-at-organizationName.
pub(crate) const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// id-at-organizationalUnitName.
pub(crate) const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 0x04, 0x0b];
/// id-at-commonName.
pub(crate) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// id-at-serialNumber.
pub(crate) const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];

/// id-ce-subjectKeyIdentifier.
pub(crate) const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
/// id-ce-keyUsage.
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// id-ce-subjectAltName.
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// id-ce-basicConstraints.
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// id-ce-cRLNumber.
pub(crate) const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
/// id-ce-cRLReasons.
pub(crate) const CRL_REASON: &[u8] = &[0x55, 0x1d, 0x15];
/// id-ce-invalidityDate.
pub(crate) const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 0x18];
/// id-ce-nameConstraints.
pub(crate) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
/// id-ce-cRLDistributionPoints.
pub(crate) const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
/// id-ce-certificatePolicies.
pub(crate) const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 0x20];
/// id-ce-authorityKeyIdentifier.
pub(crate) const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
/// id-ce-extKeyUsage.
pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// id-pe-authorityInfoAccess.
pub(crate) const AUTHORITY_INFORMATION_ACCESS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];

/// id-kp-serverAuth.
pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// id-kp-clientAuth.
pub(crate) const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
/// id-kp-timeStamping.
pub(crate) const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];
/// anyExtendedKeyUsage.
pub(crate) const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
/// Purposes that no person's certificate may have: they would make it a server's, or a part of the CA.
pub(crate) const FORBIDDEN_PURPOSES: [&[u8]; 4] = [ANY_PURPOSE, SERVER_AUTH, TIME_STAMPING, OCSP_SIGNING];
/// id-qt-cps.
pub(crate) const CPS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x02, 0x01];
/// id-kp-OCSPSigning, RFC 6960, 4.2.2.2.
pub(crate) const OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];
/// id-pkix-ocsp-basic, RFC 6960, 4.2.1.
pub(crate) const OCSP_BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// id-pkix-ocsp-nonce, RFC 9654, 2.1.
pub(crate) const OCSP_NONCE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
/// id-pkix-ocsp-nocheck, RFC 6960, 4.2.2.2.1.
pub(crate) const OCSP_NO_CHECK: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05];
/// id-sha1, RFC 3279, 2.1.
pub(crate) const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// id-sha256, RFC 5754, 2.2.
pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// id-ad-ocsp.
pub(crate) const AD_OCSP: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
/// id-ad-caIssuers.
pub(crate) const AD_CA_ISSUERS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_form() {
        for (dotted, content) in [
            ("1.2.840.10045.2.1", EC_PUBLIC_KEY),
            ("1.3.132.0.34", P384),
            ("1.2.840.113549.1.1.11", RSA_SHA256),
            ("2.5.29.35", AUTHORITY_KEY_IDENTIFIER),
            ("1.3.6.1.5.5.7.48.2", AD_CA_ISSUERS),
            ("1.3.6.1.5.5.7.48.1.2", OCSP_NONCE),
            ("1.3.14.3.2.26", SHA1),
            ("2.16.840.1.101.3.4.2.1", SHA256),
            ("2.999", &[0x88, 0x37]),
            ("0.0", &[0]),
        ] {
            assert_eq!(parse(dotted).as_deref(), Some(content), "{dotted}");
        }
        for bad in ["", "1", "1.", "1.2.", "3.1", "1.40", "1.2.+3", "1.2.03", "1.2.x", "2.18446744073709551615", "1..2"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
