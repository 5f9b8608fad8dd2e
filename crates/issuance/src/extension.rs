//! Certificate extensions (RFC 5280, 4.2), each written where a profile wants it.

use crate::der::{Writer, oid, tag, write_generalized_time};
use ring::digest;
use time::UtcDateTime;

/// digitalSignature, the first bit of `KeyUsage`.
pub(crate) const DIGITAL_SIGNATURE: u8 = 0x80;
/// keyCertSign and cRLSign, the sixth and seventh bit.
pub(crate) const CERT_AND_CRL_SIGN: u8 = 0x06;

/// The key identifier of RFC 7093, 2, method 1: the first 160 bits of SHA-256 over the bits of the public key.
pub(crate) fn key_identifier(public_key: &[u8]) -> [u8; 20] {
    let digest = digest::digest(&digest::SHA256, public_key);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

fn extension(writer: &mut Writer, kind: &[u8], critical: bool, value: impl FnOnce(&mut Writer)) {
    writer.sequence(|w| {
        w.oid(kind);
        if critical {
            w.primitive(tag::BOOLEAN, &[0xff]);
        }
        w.nest(tag::OCTET_STRING, value);
    });
}

pub(crate) fn authority_key_identifier(writer: &mut Writer, identifier: &[u8]) {
    extension(writer, oid::AUTHORITY_KEY_IDENTIFIER, false, |w| {
        w.sequence(|w| w.primitive(tag::context(0), identifier));
    });
}

pub(crate) fn subject_key_identifier(writer: &mut Writer, identifier: &[u8]) {
    extension(writer, oid::SUBJECT_KEY_IDENTIFIER, false, |w| w.primitive(tag::OCTET_STRING, identifier));
}

pub(crate) fn key_usage(writer: &mut Writer, bits: u8) {
    extension(writer, oid::KEY_USAGE, true, |w| w.named_bits(bits));
}

pub(crate) fn extended_key_usage<'p>(writer: &mut Writer, purposes: impl IntoIterator<Item = &'p [u8]>) {
    extension(writer, oid::EXTENDED_KEY_USAGE, false, |w| {
        w.sequence(|w| purposes.into_iter().for_each(|purpose| w.oid(purpose)));
    });
}

/// basicConstraints of an end entity: cA is FALSE, which DER leaves out. Critical, as the CA/Browser Forum's profiles want
/// it and RFC 5280 allows: a relying party that cannot read it must not take the certificate for a CA's.
pub(crate) fn basic_constraints_end_entity(writer: &mut Writer) {
    extension(writer, oid::BASIC_CONSTRAINTS, true, |w| w.sequence(|_| {}));
}

pub(crate) fn basic_constraints_ca(writer: &mut Writer, path_length: Option<u8>) {
    extension(writer, oid::BASIC_CONSTRAINTS, true, |w| {
        w.sequence(|w| {
            w.primitive(tag::BOOLEAN, &[0xff]);
            if let Some(length) = path_length {
                w.unsigned(&[length]);
            }
        });
    });
}

/// subjectAltName with names of one kind: rfc822Name 1, dNSName 2.
pub(crate) fn subject_alternative_names<'n>(writer: &mut Writer, kind: u8, names: impl IntoIterator<Item = &'n str>) {
    extension(writer, oid::SUBJECT_ALT_NAME, false, |w| {
        w.sequence(|w| {
            for name in names {
                w.primitive(tag::context(kind), name.as_bytes());
            }
        });
    });
}

/// One distribution point with all URLs: they are places of the same CRL.
pub(crate) fn crl_distribution_points(writer: &mut Writer, urls: &[String]) {
    if urls.is_empty() {
        return;
    }
    extension(writer, oid::CRL_DISTRIBUTION_POINTS, false, |w| {
        w.sequence(|w| {
            w.sequence(|w| {
                w.nest(tag::context_constructed(0), |w| {
                    w.nest(tag::context_constructed(0), |w| {
                        for url in urls {
                            w.primitive(tag::context(6), url.as_bytes());
                        }
                    });
                });
            });
        });
    });
}

/// The policies, each with the URL of the practice statement if there is one.
pub(crate) fn certificate_policies(writer: &mut Writer, policies: &[Vec<u8>], cps: Option<&str>) {
    if policies.is_empty() {
        return;
    }
    extension(writer, oid::CERTIFICATE_POLICIES, false, |w| {
        w.sequence(|w| {
            for policy in policies {
                w.sequence(|w| {
                    w.oid(policy);
                    if let Some(url) = cps {
                        practice_statement(w, url);
                    }
                });
            }
        });
    });
}

/// `policyQualifiers` of one CPS pointer (RFC 5280, 4.2.1.4).
fn practice_statement(writer: &mut Writer, url: &str) {
    writer.sequence(|w| {
        w.sequence(|w| {
            w.oid(oid::CPS);
            w.primitive(tag::IA5_STRING, url.as_bytes());
        });
    });
}

pub(crate) fn authority_information_access(writer: &mut Writer, ocsp: Option<&str>, ca_issuers: Option<&str>) {
    let access = [(oid::AD_OCSP, ocsp), (oid::AD_CA_ISSUERS, ca_issuers)];
    if access.iter().all(|(_, url)| url.is_none()) {
        return;
    }
    extension(writer, oid::AUTHORITY_INFORMATION_ACCESS, false, |w| {
        w.sequence(|w| {
            for (method, url) in access {
                let Some(url) = url else { continue };
                w.sequence(|w| {
                    w.oid(method);
                    w.primitive(tag::context(6), url.as_bytes());
                });
            }
        });
    });
}

/// nameConstraints that permit these DNS names with what lies below them, and exclude every IP address.
pub(crate) fn only_dns_names(writer: &mut Writer, names: &[&str]) {
    extension(writer, oid::NAME_CONSTRAINTS, true, |w| {
        w.sequence(|w| {
            w.nest(tag::context_constructed(0), |w| {
                for name in names {
                    w.sequence(|w| w.primitive(tag::context(2), name.as_bytes()));
                }
            });
            w.nest(tag::context_constructed(1), |w| {
                // Address and mask of 0.0.0.0/0 and ::/0.
                w.sequence(|w| w.primitive(tag::context(7), &[0; 8]));
                w.sequence(|w| w.primitive(tag::context(7), &[0; 32]));
            });
        });
    });
}

pub(crate) fn crl_number(writer: &mut Writer, number: u64) {
    extension(writer, oid::CRL_NUMBER, false, |w| w.unsigned(&number.to_be_bytes()));
}

/// The responder's certificate is good for as long as it is valid (RFC 6960, 4.2.2.2.1): it lives for days, and asking about
/// it would ask the one who signed with it.
pub(crate) fn ocsp_no_check(writer: &mut Writer) {
    extension(writer, oid::OCSP_NO_CHECK, false, |w| w.primitive(tag::NULL, &[]));
}

pub(crate) fn ocsp_nonce(writer: &mut Writer, nonce: &[u8]) {
    extension(writer, oid::OCSP_NONCE, false, |w| w.primitive(tag::OCTET_STRING, nonce));
}

pub(crate) fn crl_reason(writer: &mut Writer, code: u8) {
    extension(writer, oid::CRL_REASON, false, |w| w.primitive(tag::ENUMERATED, &[code]));
}

/// Since when the key is suspect; always a `GeneralizedTime` (RFC 5280, 5.3.2).
pub(crate) fn invalidity_date(writer: &mut Writer, date: UtcDateTime) {
    extension(writer, oid::INVALIDITY_DATE, false, |w| write_generalized_time(w, date));
}
