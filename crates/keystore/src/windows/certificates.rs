//! What is asked of the certificate stores of the current user, as values that free what they hold.
#![expect(
    unsafe_code,
    reason = "the stores have a C interface; each call hands it pointers to values that outlive the call"
)]

use std::{io, ptr};

use windows_sys::Win32::Security::Cryptography::{
    CERT_CONTEXT, CERT_FRIENDLY_NAME_PROP_ID, CERT_KEY_PROV_INFO_PROP_ID, CERT_STORE_ADD_USE_EXISTING,
    CERT_STORE_PROV_SYSTEM_W, CERT_SYSTEM_STORE_CURRENT_USER, CRYPT_INTEGER_BLOB, CRYPT_KEY_PROV_INFO,
    CertAddEncodedCertificateToStore, CertCloseStore, CertDeleteCertificateFromStore, CertDuplicateCertificateContext,
    CertEnumCertificatesInStore, CertFreeCertificateContext, CertGetCertificateContextProperty, CertOpenStore,
    CertSetCertificateContextProperty, HCERTSTORE, X509_ASN_ENCODING,
};

use super::keys::{narrow, wide};

/// The private key that a certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    /// The provider's name.
    pub(super) provider: String,
    /// The key's name.
    pub(super) key: String,
}

/// A store of certificates.
#[derive(Debug)]
pub(super) struct Certificates(HCERTSTORE);

impl Certificates {
    /// A system store of the current user, made if it does not exist.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let name = wide(name);
        // SAFETY: the provider takes a name that ends with a zero.
        let store = unsafe {
            let kind = CERT_STORE_PROV_SYSTEM_W;
            CertOpenStore(kind, 0, 0, CERT_SYSTEM_STORE_CURRENT_USER, name.as_ptr().cast())
        };
        if store.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(store)) }
    }

    /// All certificates in it.
    pub(super) fn all(&self) -> Vec<Certificate> {
        let mut all = Vec::new();
        let mut current: *mut CERT_CONTEXT = ptr::null_mut();
        loop {
            // SAFETY: the store is open; the call frees the context that it is given, so the list below holds duplicates.
            current = unsafe { CertEnumCertificatesInStore(self.0, current) };
            if current.is_null() {
                return all;
            }
            // SAFETY: the context is a valid one, and a duplicate is ours to free.
            all.push(Certificate(unsafe { CertDuplicateCertificateContext(current) }));
        }
    }

    /// Adds a certificate, or finds the same one that is there.
    pub(super) fn add(&self, der: &[u8]) -> io::Result<Certificate> {
        let length = u32::try_from(der.len()).map_err(io::Error::other)?;
        let mut added = ptr::null_mut();
        // SAFETY: as many octets are read as is said, and a context that is ours to free is written to a place of its type.
        let done = unsafe {
            let how = CERT_STORE_ADD_USE_EXISTING;
            CertAddEncodedCertificateToStore(self.0, X509_ASN_ENCODING, der.as_ptr(), length, how, &raw mut added)
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(Certificate(added)) }
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // SAFETY: the store is open and used by nobody after this value.
        unsafe { CertCloseStore(self.0, 0) };
    }
}

/// A certificate in a store.
#[derive(Debug)]
pub(super) struct Certificate(*mut CERT_CONTEXT);

impl Certificate {
    /// Its DER.
    pub(super) fn der(&self) -> &[u8] {
        // SAFETY: the context is valid as long as this value, and so are as many octets as it says.
        unsafe {
            let context = &*self.0;
            std::slice::from_raw_parts(
                context.pbCertEncoded,
                usize::try_from(context.cbCertEncoded).unwrap_or_default(),
            )
        }
    }

    /// The private key that it names.
    pub(super) fn bound(&self) -> Option<Bound> {
        let property = self.property(CERT_KEY_PROV_INFO_PROP_ID)?;
        if property.len() * 8 < size_of::<CRYPT_KEY_PROV_INFO>() {
            return None;
        }
        // SAFETY: the property is this structure, in memory that is aligned for it; its texts lie behind it in the same memory and
        // end with a zero.
        unsafe {
            let info = &*property.as_ptr().cast::<CRYPT_KEY_PROV_INFO>();
            Some(Bound { provider: narrow(info.pwszProvName), key: narrow(info.pwszContainerName) })
        }
    }

    /// Names the private key, so that browsers offer the certificate.
    pub(super) fn bind(&self, bound: &Bound) -> io::Result<()> {
        let (mut provider, mut key) = (wide(&bound.provider), wide(&bound.key));
        let info = CRYPT_KEY_PROV_INFO {
            pwszContainerName: key.as_mut_ptr(),
            pwszProvName: provider.as_mut_ptr(),
            // A provider of CNG.
            dwProvType: 0,
            dwFlags: 0,
            cProvParam: 0,
            rgProvParam: ptr::null_mut(),
            dwKeySpec: 0,
        };
        self.set(CERT_KEY_PROV_INFO_PROP_ID, (&raw const info).cast())
    }

    /// What people see beside it; empty when nothing was set.
    pub(super) fn label(&self) -> String {
        let words = self.property(CERT_FRIENDLY_NAME_PROP_ID).unwrap_or_default();
        let octets: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
        let units = octets.as_chunks::<2>().0.iter().map(|pair| u16::from_ne_bytes(*pair));
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        String::from_utf16_lossy(&units)
    }

    /// Sets what people see beside it.
    pub(super) fn name(&self, label: &str) -> io::Result<()> {
        let mut text = wide(label);
        let length = u32::try_from(text.len() * 2).map_err(io::Error::other)?;
        let blob = CRYPT_INTEGER_BLOB { cbData: length, pbData: text.as_mut_ptr().cast() };
        self.set(CERT_FRIENDLY_NAME_PROP_ID, (&raw const blob).cast())
    }

    /// Removes it from its store.
    pub(super) fn delete(self) -> io::Result<()> {
        // SAFETY: the context is valid; the call frees it in any case, so it is not freed again.
        let done = unsafe { CertDeleteCertificateFromStore(self.0) };
        let outcome = if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        std::mem::forget(self);
        outcome
    }

    fn set(&self, property: u32, value: *const core::ffi::c_void) -> io::Result<()> {
        // SAFETY: both callers hand over the structure that the property is, and what it points to outlives the call, which copies it.
        let done = unsafe { CertSetCertificateContextProperty(self.0, property, 0, value) };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// A property as it lies in memory, in words of eight octets so that structures with pointers are aligned.
    fn property(&self, property: u32) -> Option<Vec<u64>> {
        let mut length = 0;
        // SAFETY: without a place to write to the call says how much there is.
        let there = unsafe { CertGetCertificateContextProperty(self.0, property, ptr::null_mut(), &raw mut length) };
        if there == 0 {
            return None;
        }
        let mut words = vec![0_u64; usize::try_from(length).ok()?.div_ceil(8)];
        // SAFETY: there is room for as many octets as is said.
        let read =
            unsafe { CertGetCertificateContextProperty(self.0, property, words.as_mut_ptr().cast(), &raw mut length) };
        (read != 0).then_some(words)
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // SAFETY: the context is this value's own and used by nobody after it.
        unsafe { CertFreeCertificateContext(self.0) };
    }
}
