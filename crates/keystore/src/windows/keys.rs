//! What is asked of `NCrypt`: providers and keys, as values that free what they hold.
#![expect(unsafe_code, reason = "NCrypt is a C interface; each call hands it pointers to values that outlive the call")]

use std::ptr;

use windows_sys::{
    Win32::{
        Foundation::{NTE_BAD_KEYSET, NTE_DEVICE_NOT_READY, NTE_NO_MORE_ITEMS, NTE_NOT_FOUND, NTE_SILENT_CONTEXT},
        Security::Cryptography::{
            BCRYPT_ECCPUBLIC_BLOB, BCRYPT_ECDSA_P256_ALGORITHM, BCRYPT_ECDSA_PUBLIC_P256_MAGIC,
            BCRYPT_USE_SYSTEM_PREFERRED_RNG, BCryptGenRandom, NCRYPT_EXPORT_POLICY_PROPERTY, NCRYPT_SILENT_FLAG,
            NCryptCreatePersistedKey, NCryptDeleteKey, NCryptEnumKeys, NCryptExportKey, NCryptFinalizeKey,
            NCryptFreeBuffer, NCryptFreeObject, NCryptIsAlgSupported, NCryptKeyName, NCryptOpenKey,
            NCryptOpenStorageProvider, NCryptSetProperty, NCryptSignHash,
        },
    },
    core::{HRESULT, PCWSTR, PWSTR},
};

use crate::PublicPoint;

/// What Windows said instead of yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Windows answered with 0x{0:08X}")]
pub(super) struct Code(HRESULT);

impl Code {
    /// Whether it may go well later: a TPM that is not ready yet.
    pub(super) const fn is_transient(self) -> bool {
        matches!(self.0, NTE_DEVICE_NOT_READY | NTE_SILENT_CONTEXT)
    }

    fn check(said: HRESULT) -> Result<(), Self> {
        if said >= 0 { Ok(()) } else { Err(Self(said)) }
    }
}

/// Text as Windows takes it: UTF-16 with a zero behind.
pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// Reads text that Windows gave.
///
/// # Safety
///
/// `text` is null or points to UTF-16 with a zero behind.
pub(super) unsafe fn narrow(text: PWSTR) -> String {
    if text.is_null() {
        return String::new();
    }
    let mut units = Vec::new();
    let mut at = text;
    // SAFETY: the caller says that there is a zero, and nothing behind it is read.
    unsafe {
        while *at != 0 {
            units.push(*at);
            at = at.add(1);
        }
    }
    String::from_utf16_lossy(&units)
}

/// Random octets for the name of a key.
pub(super) fn random() -> Result<[u8; 16], Code> {
    let mut octets = [0; 16];
    // SAFETY: it writes as many octets as it is told that there are.
    Code::check(unsafe { BCryptGenRandom(ptr::null_mut(), octets.as_mut_ptr(), 16, BCRYPT_USE_SYSTEM_PREFERRED_RNG) })?;
    Ok(octets)
}

/// A handle of `NCrypt`, freed when it goes.
#[derive(Debug)]
struct Object(usize);

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the handle was opened by this value and is used by nobody after it.
        unsafe { NCryptFreeObject(self.0) };
    }
}

/// A provider of keys.
#[derive(Debug)]
pub(super) struct Provider(Object);

impl Provider {
    pub(super) fn open(name: &str) -> Result<Self, Code> {
        let (name, mut handle) = (wide(name), 0);
        // SAFETY: the name ends with a zero, and the handle is written to a place of its type.
        Code::check(unsafe { NCryptOpenStorageProvider(&raw mut handle, name.as_ptr(), 0) })?;
        Ok(Self(Object(handle)))
    }

    /// Whether it makes keys that sign on P-256.
    pub(super) fn makes_p256(&self) -> bool {
        // SAFETY: the algorithm's name is a constant of Windows.
        unsafe { NCryptIsAlgSupported(self.0.0, BCRYPT_ECDSA_P256_ALGORITHM, NCRYPT_SILENT_FLAG) >= 0 }
    }

    /// The names of its keys of this user.
    pub(super) fn names(&self) -> Result<Vec<String>, Code> {
        let mut names = Vec::new();
        let mut state = ptr::null_mut();
        let outcome = loop {
            let mut name: *mut NCryptKeyName = ptr::null_mut();
            // SAFETY: the handle is open; name and state are places that it writes pointers of its own to.
            let said =
                unsafe { NCryptEnumKeys(self.0.0, ptr::null(), &raw mut name, &raw mut state, NCRYPT_SILENT_FLAG) };
            if said == NTE_NO_MORE_ITEMS {
                break Ok(());
            }
            if let Err(code) = Code::check(said) {
                break Err(code);
            }
            // SAFETY: it said yes, so the pointer is one to a key's name with text that ends with a zero, ours to free.
            unsafe {
                names.push(narrow((*name).pszName));
                NCryptFreeBuffer(name.cast());
            }
        };
        if !state.is_null() {
            // SAFETY: the state is a buffer that it allocated, and the enumeration is over.
            unsafe { NCryptFreeBuffer(state) };
        }
        outcome.map(|()| names)
    }

    /// The key of a name; `None` when there is none.
    pub(super) fn key(&self, name: &str) -> Result<Option<Key>, Code> {
        let (name, mut handle) = (wide(name), 0);
        // SAFETY: the name ends with a zero, and the handle is written to a place of its type.
        let said = unsafe { NCryptOpenKey(self.0.0, &raw mut handle, name.as_ptr(), 0, NCRYPT_SILENT_FLAG) };
        if matches!(said, NTE_BAD_KEYSET | NTE_NOT_FOUND) {
            return Ok(None);
        }
        Code::check(said)?;
        Ok(Some(Key(Object(handle))))
    }

    /// Makes a key on P-256 that nobody can export.
    pub(super) fn generate(&self, name: &str) -> Result<Key, Code> {
        let (name, mut handle) = (wide(name), 0);
        let algorithm: PCWSTR = BCRYPT_ECDSA_P256_ALGORITHM;
        // SAFETY: both names end with a zero, and the handle is written to a place of its type.
        Code::check(unsafe { NCryptCreatePersistedKey(self.0.0, &raw mut handle, algorithm, name.as_ptr(), 0, 0) })?;
        let key = Key(Object(handle));
        let never = 0_u32.to_ne_bytes();
        // SAFETY: the property is a number of four octets, which outlives the call; the key is not finalized yet.
        unsafe {
            let property = NCRYPT_EXPORT_POLICY_PROPERTY;
            Code::check(NCryptSetProperty(key.0.0, property, never.as_ptr(), 4, NCRYPT_SILENT_FLAG))?;
            Code::check(NCryptFinalizeKey(key.0.0, NCRYPT_SILENT_FLAG))?;
        }
        Ok(key)
    }
}

/// A private key, open.
#[derive(Debug)]
pub(super) struct Key(Object);

impl Key {
    /// Its public point; `None` for a key of another kind.
    pub(super) fn point(&self) -> Option<PublicPoint> {
        // Magic number and length of a coordinate, four octets each, then both coordinates.
        let mut blob = [0; 72];
        let mut length = 0;
        // SAFETY: it writes at most as many octets as it is told that there are.
        let said = unsafe {
            let (kind, none) = (BCRYPT_ECCPUBLIC_BLOB, ptr::null());
            NCryptExportKey(self.0.0, 0, kind, none, blob.as_mut_ptr(), 72, &raw mut length, NCRYPT_SILENT_FLAG)
        };
        Code::check(said).ok()?;
        let (magic, rest) = blob.split_first_chunk::<4>()?;
        let (coordinate, coordinates) = rest.split_first_chunk::<4>()?;
        let fits = *magic == BCRYPT_ECDSA_PUBLIC_P256_MAGIC.to_le_bytes() && *coordinate == 32_u32.to_le_bytes();
        if !fits || length != 72 {
            return None;
        }
        PublicPoint::from_sec1(&[&[4], coordinates].concat()).ok()
    }

    /// Signs a digest and returns r and s side by side.
    pub(super) fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], Code> {
        let mut halves = [0; 64];
        let mut length = 0;
        // SAFETY: the digest is read and the signature written, each of as many octets as is said; ECDSA pads nothing.
        Code::check(unsafe {
            let (none, out) = (ptr::null(), halves.as_mut_ptr());
            NCryptSignHash(self.0.0, none, digest.as_ptr(), 32, out, 64, &raw mut length, NCRYPT_SILENT_FLAG)
        })?;
        Ok(halves)
    }

    /// Removes it for ever.
    pub(super) fn delete(self) -> Result<(), Code> {
        // SAFETY: the handle is open. When the key is gone its handle is freed, so it is not freed again.
        Code::check(unsafe { NCryptDeleteKey(self.0.0, NCRYPT_SILENT_FLAG) })?;
        std::mem::forget(self);
        Ok(())
    }
}
