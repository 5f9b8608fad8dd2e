//! How a configuration says where a key is.

use std::{fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// Where a private key is: in a file, or in a PKCS#11 token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a PKCS#8 file.
    File {
        /// The file.
        file: PathBuf,
        /// The file with the passphrase; `None` for a key that is not encrypted.
        passphrase_file: Option<PathBuf>,
    },
    /// In a token.
    Token(TokenPlace),
}

/// A key pair in a PKCS#11 token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPlace {
    /// The PKCS#11 module; a bare name is looked for where the system keeps its libraries.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The label of the key pair.
    pub label: String,
    /// The file with the user PIN; none for a token with a pad of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
    /// For how long a signature may take. Default 10.
    #[serde(default = "patience")]
    pub patience_seconds: u32,
}

const fn patience() -> u32 {
    10
}

/// The table as it is written.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passphrase_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pkcs11: Option<TokenPlace>,
}

impl KeyPlace {
    /// The token, if it is in one.
    pub const fn token(&self) -> Option<&TokenPlace> {
        match self {
            Self::File { .. } => None,
            Self::Token(token) => Some(token),
        }
    }

    /// What it is kept in, in one word: `file`, `encrypted file` or `token`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File { passphrase_file: None, .. } => "file",
            Self::File { .. } => "encrypted file",
            Self::Token(_) => "token",
        }
    }

    fn written(&self) -> Written {
        match self.clone() {
            Self::File { file, passphrase_file } => Written { file: Some(file), passphrase_file, pkcs11: None },
            Self::Token(token) => Written { pkcs11: Some(token), ..Written::default() },
        }
    }
}

impl fmt::Display for KeyPlace {
    /// For people: the path, or the label and its token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, .. } => file.display().fmt(f),
            Self::Token(TokenPlace { token, label, .. }) => write!(f, "{label} in the token {token}"),
        }
    }
}

impl Serialize for KeyPlace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::File { file, passphrase_file: None } => file.serialize(serializer),
            _ => self.written().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for KeyPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = KeyPlace;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file, or a table with `file` or `pkcs11`")
            }

            fn visit_str<E>(self, file: &str) -> Result<KeyPlace, E> {
                Ok(KeyPlace::File { file: file.into(), passphrase_file: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeyPlace, A::Error> {
                match Written::deserialize(MapAccessDeserializer::new(map))? {
                    Written { file: Some(file), passphrase_file, pkcs11: None } => {
                        Ok(KeyPlace::File { file, passphrase_file })
                    }
                    Written { file: None, passphrase_file: None, pkcs11: Some(token) } => Ok(KeyPlace::Token(token)),
                    _ => {
                        Err(A::Error::custom("a key is in `file`, which may have a `passphrase_file`, or in `pkcs11`"))
                    }
                }
            }
        }

        deserializer.deserialize_any(Any)
    }
}
