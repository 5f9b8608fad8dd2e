//! What is true of a certificate beside its bytes.

use crate::id::words;

words! {
    /// The status of an issued certificate in the registry. Expiry is no status: it follows from the validity.
    ///
    /// ```
    /// use koshin_types::CertificateStatus;
    /// let words = CertificateStatus::ALL.map(CertificateStatus::as_str);
    /// assert_eq!(words, ["pending", "active", "superseded", "revoked"]);
    /// ```
    CertificateStatus {
        /// Issued, not yet proven by a login. It can do nothing but be activated.
        Pending = "pending",
        /// The one certificate its subject logs in with.
        Active = "active",
        /// Replaced by an activated successor.
        Superseded = "superseded",
        /// Revoked, for ever.
        Revoked = "revoked",
    }
}

words! {
    /// How well the private key is protected, weakest first.
    ///
    /// ```
    /// use koshin_types::ProtectionLevel;
    /// assert!(ProtectionLevel::File < ProtectionLevel::Os && ProtectionLevel::Os < ProtectionLevel::Hardware);
    /// ```
    ProtectionLevel {
        /// The page made the key and the holder keeps it in a file with a passphrase.
        File = "file",
        /// The operating system's or the browser's key store, marked as not exportable, which nothing enforces.
        Os = "os",
        /// A TPM, a secure enclave or a smart card: the key cannot leave it.
        Hardware = "hardware",
    }
}

words! {
    /// Why a certificate was revoked (RFC 5280, 5.3.1). `certificateHold` is missing on purpose: revocation is final.
    RevocationReason {
        /// No reason is given.
        Unspecified = "unspecified",
        /// The private key may be known to somebody else.
        KeyCompromise = "keyCompromise",
        /// The holder left the organization.
        AffiliationChanged = "affiliationChanged",
        /// Another certificate took its place.
        Superseded = "superseded",
        /// The certificate is no longer needed.
        CessationOfOperation = "cessationOfOperation",
        /// The right it stands for was taken back.
        PrivilegeWithdrawn = "privilegeWithdrawn",
    }
}

impl RevocationReason {
    /// The `CRLReason` code: 0, 1, 3, 4, 5 or 9.
    ///
    /// ```
    /// use koshin_types::RevocationReason;
    /// assert_eq!(RevocationReason::ALL.map(RevocationReason::code), [0, 1, 3, 4, 5, 9]);
    /// ```
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }
}
