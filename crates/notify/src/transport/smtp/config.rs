//! What an SMTP client has to be told.

use std::{fmt, fs, io, path::Path, sync::Arc, time::Duration};

use lettre::transport::smtp::{
    authentication::Credentials,
    client::{Certificate, CertificateStore, TlsParameters},
    extension::ClientId,
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use zeroize::Zeroizing;

/// Which relay, and how to speak to it.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    /// Host name of the relay; its certificate has to name it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// User name and password, if the relay asks for them.
    pub login: Option<Login>,
    /// The name for EHLO; the machine's when `None`.
    pub hello: Option<String>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Mails after which a connection is closed; 100 by default.
    pub mails_per_connection: u32,
}

impl SmtpConfig {
    /// A relay with STARTTLS on port 587, believed when the machine's trust anchors say so, without a login.
    ///
    /// ```
    /// use koshin_notify::smtp::{SmtpConfig, Tls};
    /// let config = SmtpConfig::new("mail.bank.example");
    /// assert_eq!((config.port, config.tls, config.mails_per_connection), (587, Tls::StartTls, 100));
    /// ```
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 587,
            tls: Tls::StartTls,
            roots: Roots::Machine,
            login: None,
            hello: None,
            timeouts: Timeouts::default(),
            mails_per_connection: 100,
        }
    }

    pub(super) fn prepare(self) -> Result<Prepared, SmtpError> {
        if self.tls == Tls::None && self.login.is_some() {
            return Err(SmtpError::PasswordInClear);
        }
        let tls = match self.tls {
            Tls::None => Secure::None,
            Tls::StartTls => Secure::StartTls(self.roots.for_starttls(&self.host)?),
            Tls::Implicit => {
                let name = ServerName::try_from(self.host.clone());
                let name = name.map_err(|_| SmtpError::HostName { host: self.host.clone() })?;
                Secure::Implicit(self.roots.for_implicit()?, name)
            }
        };
        Ok(Prepared {
            hello: self.hello.map_or_else(ClientId::default, ClientId::Domain),
            credentials: self.login.map(|login| Credentials::new(login.user, login.password.to_string())),
            host: self.host,
            port: self.port,
            tls,
            timeouts: self.timeouts,
            mails: self.mails_per_connection.max(1),
        })
    }
}

/// How a connection to the relay is protected. The relay's certificate is always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// STARTTLS (RFC 3207), required: without it nothing is sent.
    StartTls,
    /// TLS from the first octet (RFC 8314, 3.3), commonly on port 465.
    Implicit,
    /// No protection: for a relay on the same machine. Not together with a password.
    None,
}

/// Whose certificates are believed.
#[derive(Debug, Clone)]
pub enum Roots {
    /// The machine's trust anchors.
    Machine,
    /// Only these, in PEM.
    Pem(Vec<u8>),
}

impl Roots {
    fn for_starttls(&self, host: &str) -> Result<TlsParameters, SmtpError> {
        let mut builder = TlsParameters::builder(host.to_owned());
        if let Self::Pem(pem) = self {
            let certificates = Certificate::from_pem(pem).map_err(|_| SmtpError::Roots)?;
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificates);
        }
        builder.build().map_err(|_| SmtpError::Roots)
    }

    fn for_implicit(&self) -> Result<tokio_rustls::TlsConnector, SmtpError> {
        let mut store = rustls::RootCertStore::empty();
        match self {
            Self::Machine => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Self::Pem(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|_| SmtpError::Roots)?;
                    store.add(certificate).map_err(|_| SmtpError::Roots)?;
                }
            }
        }
        if store.is_empty() {
            return Err(SmtpError::Roots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| SmtpError::Roots)?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Arc::new(config).into())
    }
}

/// A user name and a password. `Debug` hides the password.
#[derive(Clone)]
pub struct Login {
    user: String,
    password: Zeroizing<String>,
}

impl Login {
    /// Takes both.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: Zeroizing::new(password.into()) }
    }

    /// Takes the password from the first line of a file that only its owner may read.
    ///
    /// # Errors
    ///
    /// [`SmtpError::Password`] when the file cannot be read or is empty, [`SmtpError::PasswordReadable`] when others
    /// can read it too.
    pub fn read(user: impl Into<String>, password_file: &Path) -> Result<Self, SmtpError> {
        let file = password_file.display().to_string();
        let unread = |source| SmtpError::Password { file: file.clone(), source };
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(password_file).map_err(unread)?) & 0o777;
            if mode & 0o077 != 0 {
                return Err(SmtpError::PasswordReadable { file, mode });
            }
        }
        let text = Zeroizing::new(fs::read_to_string(password_file).map_err(unread)?);
        match text.lines().next() {
            Some(password) if !password.is_empty() => Ok(Self::new(user, password)),
            _ => Err(unread(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How long to wait for the relay. Together they stay below what a mailer allows a transmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection itself, and for TLS.
    pub connect: Duration,
    /// For each command.
    pub command: Duration,
    /// For everything up to the reply to DATA.
    pub before_data: Duration,
    /// For the message and the answer to it.
    pub data: Duration,
}

impl Default for Timeouts {
    /// ```
    /// let waits = koshin_notify::smtp::Timeouts::default();
    /// let seconds = [waits.connect, waits.command, waits.before_data, waits.data].map(|wait| wait.as_secs());
    /// assert_eq!(seconds, [15, 30, 90, 120]);
    /// ```
    fn default() -> Self {
        let [connect, command, before_data, data] = [15, 30, 90, 120].map(Duration::from_secs);
        Self { connect, command, before_data, data }
    }
}

/// A configuration that was checked.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) hello: ClientId,
    pub(super) tls: Secure,
    pub(super) credentials: Option<Credentials>,
    pub(super) timeouts: Timeouts,
    pub(super) mails: u32,
}

pub(super) enum Secure {
    None,
    StartTls(TlsParameters),
    Implicit(tokio_rustls::TlsConnector, ServerName<'static>),
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::StartTls(_) => "StartTls",
            Self::Implicit(..) => "Implicit",
        })
    }
}

/// Why an SMTP configuration is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmtpError {
    /// A password would travel unprotected.
    #[error("a login needs TLS")]
    PasswordInClear,
    /// The host name cannot be checked against a certificate.
    #[error("{host} is no host name that a certificate can name")]
    HostName {
        /// The name given.
        host: String,
    },
    /// There are no usable trust anchors.
    #[error("no usable trust anchors")]
    Roots,
    /// The password file cannot be read, or is empty.
    #[error("the password file {file} cannot be read")]
    Password {
        /// Path.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// Others can read the password file.
    #[error("the password file {file} has mode {mode:o}: only its owner may read it")]
    PasswordReadable {
        /// Path.
        file: String,
        /// Its permission bits.
        mode: u32,
    },
}
