//! The rules, each with the clause it enforces, or with "own rule" where this CA is stricter than any document.

/// A rule that the bytes to be signed break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{finding} ({clause})")]
pub struct LintFailure {
    /// The document and clause.
    pub clause: &'static str,
    /// What was found.
    pub finding: &'static str,
}

macro_rules! rules {
    ($($name:ident = $clause:literal: $finding:literal;)+) => {
        $(pub(super) const $name: LintFailure = LintFailure { clause: $clause, finding: $finding };)+

        /// Every rule: a test has to break each of them.
        #[cfg(test)]
        pub(super) const ALL: &[LintFailure] = &[$($name),+];
    };
}

rules! {
    STRICT = "X.690, 8 to 11": "the bytes are not strict DER";
    FIELDS = "RFC 5280, 4.1": "the bytes are no TBSCertificate with its fields";
    VERSION = "RFC 5280, 4.1.2.1": "the version is not 3";
    SERIAL = "RFC 5280, 4.1.2.2": "the serial number is not positive or over 20 octets";
    ALGORITHM = "RFC 5280, 4.1.2.3": "the algorithm is not the one the CA signs with";
    ISSUER = "RFC 5280, 4.1.2.4": "the issuer is not the CA's subject, byte for byte";
    TIMES = "RFC 5280, 4.1.2.5": "the validity is not two times in order, each in its form";
    BEYOND_CA = "RFC 3647, 4.6 (and RFC 5280, 6.1.3)": "the validity leaves the CA's own";

    NAME_SHAPE = "RFC 5280, 4.1.2.4 and 4.1.2.6": "the subject is no sequence of single attributes";
    NAME_KIND = "own rule on RFC 5280, 4.1.2.6": "the subject has an attribute other than C, O, OU, CN and serialNumber";
    NAME_ORDER = "own rule on RFC 5280, 4.1.2.6": "the subject's attributes are repeated or out of order";
    NAME_STRING = "RFC 5280, 4.1.2.6 and appendix A.1": "an attribute of the subject is a string of the wrong type";
    NAME_LENGTH = "RFC 5280, 4.1.2.6 and appendix A.1": "an attribute of the subject is empty or too long";
    NAME_TEXT = "own rule on RFC 5280, 4.1.2.6": "an attribute of the subject holds characters that have no place there";
    NAME_INCOMPLETE = "own rule on RFC 5280, 4.1.2.6": "the subject lacks O or CN";

    KEY_SHAPE = "RFC 5280, 4.1.2.7": "the subject's public key is no SubjectPublicKeyInfo";
    KEY_KIND = "own rule on RFC 5280, 4.1.2.7": "the key is none of P-256, P-384, or RSA of 2048 to 8192 bits with 65537";

    TAIL = "RFC 5280, 4.1.2.8": "something else than extensions follows the key";
    LIST = "RFC 5280, 4.1.2.9 and 4.2": "the extensions are no sequence of extensions";
    DEFAULT = "X.690, 11.5": "a default value is encoded";
    VALUE = "X.690, 8 to 11": "an extension's value is not strict DER";
    TWICE = "RFC 5280, 4.2": "an extension stands there twice";
    UNKNOWN = "own rule on RFC 5280, 4.2": "an extension is not one of the profile's";
    MISSING = "RFC 5280, 4.1.2.9 and own rule on 4.2": "an extension of the profile is missing";

    AKI_CRITICAL = "RFC 5280, 4.2.1.1": "authorityKeyIdentifier is critical";
    AKI = "RFC 5280, 4.2.1.1": "authorityKeyIdentifier is not the CA's subjectKeyIdentifier alone";
    SKI_CRITICAL = "RFC 5280, 4.2.1.2": "subjectKeyIdentifier is critical";
    SKI = "RFC 5280, 4.2.1.2 and RFC 7093, 2": "subjectKeyIdentifier is not that of the key";
    USAGE_CRITICAL = "RFC 5280, 4.2.1.3": "keyUsage is not critical";
    USAGE = "own rule on RFC 5280, 4.2.1.3": "keyUsage is not digitalSignature alone";
    POLICIES_CRITICAL = "own rule on RFC 5280, 4.2.1.4": "certificatePolicies is critical";
    POLICIES = "RFC 5280, 4.2.1.4": "certificatePolicies is no list of different policies, with a CPS at most";
    SAN_CRITICAL = "RFC 5280, 4.2.1.6": "subjectAltName is critical although there is a subject";
    SAN = "own rule on RFC 5280, 4.2.1.6": "subjectAltName is not one plain rfc822Name";
    BASIC_CRITICAL = "own rule on RFC 5280, 4.2.1.9": "basicConstraints is not critical";
    BASIC = "RFC 5280, 4.2.1.9": "basicConstraints is not that of an end entity";
    EKU_CRITICAL = "own rule on RFC 5280, 4.2.1.12": "extKeyUsage is critical";
    EKU = "own rule on RFC 5280, 4.2.1.12": "extKeyUsage lacks clientAuth, repeats a purpose, or holds one of servers or CAs";
    CDP_CRITICAL = "RFC 5280, 4.2.1.13": "cRLDistributionPoints is critical";
    CDP = "RFC 5280, 4.2.1.13": "cRLDistributionPoints is no list of points of http URLs alone";
    AIA_CRITICAL = "RFC 5280, 4.2.2.1": "authorityInfoAccess is critical";
    AIA = "RFC 5280, 4.2.2.1": "authorityInfoAccess is no list of OCSP and caIssuers over http";
}
