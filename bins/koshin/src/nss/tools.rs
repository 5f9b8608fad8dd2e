//! One NSS database, through `certutil` and `pk12util`.
//!
//! NSS gives all certificates of one subject the same nickname, so a nickname names nothing. Here a certificate and its
//! key are always addressed by their `CKA_ID`, which NSS makes from the public key.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::DirBuilder,
    io::{ErrorKind, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use ring::digest;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

const PACKAGE: &str = "libnss3-tools";

/// A certificate as the tools know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Certificate {
    pub(super) der: Vec<u8>,
    /// Hexadecimal.
    pub(super) serial: String,
    pub(super) subject: String,
    /// SHA-256 over the DER, hexadecimal.
    pub(super) sha256: String,
    /// `CKA_ID`: SHA-1 over the public point, hexadecimal.
    pub(super) key_id: String,
}

impl Certificate {
    pub(super) fn from_der(der: &[u8]) -> anyhow::Result<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).context("this is no certificate")?;
        let point = &parsed.public_key().subject_public_key.data;
        Ok(Self {
            der: der.to_vec(),
            serial: hex(parsed.raw_serial()),
            subject: parsed.subject().to_string(),
            sha256: hex(digest::digest(&digest::SHA256, der).as_ref()),
            key_id: hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, point).as_ref()),
        })
    }

    pub(super) fn from_pem_file(path: &Path) -> anyhow::Result<Self> {
        let der = CertificateDer::from_pem_file(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_der(&der)
    }
}

/// The folder of an NSS database. It need not exist yet.
#[derive(Debug)]
pub(super) struct Database<'a> {
    folder: &'a Path,
}

impl<'a> Database<'a> {
    pub(super) const fn new(folder: &'a Path) -> Self {
        Self { folder }
    }

    pub(super) fn exists(&self) -> bool {
        self.folder.join("cert9.db").exists()
    }

    /// Makes the database, without a password as the browsers do, in a folder that only the user may enter.
    pub(super) fn create(&self) -> anyhow::Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(self.folder);
        made.with_context(|| format!("cannot make {}", self.folder.display()))?;
        self.certutil(["-N", "--empty-password"])?;
        Ok(())
    }

    /// Every certificate.
    pub(super) fn certificates(&self) -> anyhow::Result<BTreeSet<Certificate>> {
        let listed = self.certutil(["-L"])?;
        let mut all = BTreeSet::new();
        for nickname in listed.lines().filter_map(nickname) {
            all.extend(self.named(nickname)?);
        }
        Ok(all)
    }

    pub(super) fn has_certificate(&self, certificate: &Certificate) -> anyhow::Result<bool> {
        Ok(self.named(&uri(&certificate.key_id)?)?.contains(certificate))
    }

    pub(super) fn has_key(&self, key_id: &str) -> anyhow::Result<bool> {
        let output = self.run("certutil", &["-K".into()], None)?;
        let listed = String::from_utf8_lossy(&output.stdout);
        // An empty list is a failure to certutil, and its words are no error output.
        if !listed.contains("no keys found") {
            let why = || format!("cannot list the keys in {} (has it a password?)", self.folder.display());
            succeeded("certutil", &output).with_context(why)?;
        }
        Ok(listed.split_whitespace().any(|word| word == key_id))
    }

    /// Imports a CA and trusts it for web sites, for nothing else.
    pub(super) fn trust(&self, nickname: &str, certificate: &Path) -> anyhow::Result<()> {
        let arguments = ["-A", "-t", "C,,", "-n", nickname, "-a", "-i"].map(OsString::from);
        self.tool("certutil", &[&arguments[..], &[certificate.into()]].concat(), None)?;
        Ok(())
    }

    pub(super) fn import(&self, p12: &Path, passphrase: &str) -> anyhow::Result<()> {
        self.tool("pk12util", &pk12util("-i", p12), Some(passphrase))?;
        Ok(())
    }

    /// Deletes the key under this id; with it the certificate under the same id, if there is one.
    pub(super) fn delete_key_and_certificate(&self, key_id: &str) -> anyhow::Result<()> {
        self.certutil(["-F", "-n", &uri(key_id)?])?;
        Ok(())
    }

    /// Deletes the key under this id, but not its certificate.
    pub(super) fn delete_key(&self, key_id: &str) -> anyhow::Result<()> {
        self.certutil(["-F", "-k", key_id])?;
        Ok(())
    }

    /// Deletes the certificate under this id, but not its key.
    pub(super) fn delete_certificate(&self, key_id: &str) -> anyhow::Result<()> {
        self.certutil(["-D", "-n", &uri(key_id)?])?;
        Ok(())
    }

    /// The certificates under a nickname or URI, and others of the same subject: `certutil` gives no fewer.
    fn named(&self, nickname: &str) -> anyhow::Result<BTreeSet<Certificate>> {
        let arguments = ["-L", "-a", "-n", nickname].map(OsString::from);
        let output = self.run("certutil", &arguments, None)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            ensure!(said.contains("Could not find cert"), "certutil -L -n {nickname}: {}", said.trim());
            return Ok(BTreeSet::new());
        }
        CertificateDer::pem_slice_iter(&output.stdout)
            .map(|der| Certificate::from_der(&der.context("certutil wrote no PEM")?))
            .collect()
    }

    fn certutil<const N: usize>(&self, arguments: [&str; N]) -> anyhow::Result<String> {
        self.tool("certutil", &arguments.map(OsString::from), None)
    }

    fn tool(&self, name: &str, arguments: &[OsString], passphrase: Option<&str>) -> anyhow::Result<String> {
        let output = self.run(name, arguments, passphrase)?;
        succeeded(name, &output).with_context(|| format!("the NSS database {}", self.folder.display()))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn run(&self, name: &str, arguments: &[OsString], passphrase: Option<&str>) -> anyhow::Result<Output> {
        let mut database = OsString::from("sql:");
        database.push(self.folder);
        // An empty password file: a database that has a password fails instead of asking on the terminal.
        let password_file = if name == "pk12util" { "-k" } else { "-f" };
        let mut command = Command::new(name);
        command.args(arguments).arg("-d").arg(database).arg(password_file).arg("/dev/null");
        run(command, passphrase)
    }
}

/// The certificates inside a PKCS#12 file, in its order: the holder's first.
pub(super) fn certificates_in(p12: &Path, passphrase: &str) -> anyhow::Result<Vec<Certificate>> {
    let p12 = p12.canonicalize().with_context(|| format!("cannot read {}", p12.display()))?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut command = Command::new("pk12util");
    command.args(pk12util("-l", &p12)).arg("-r").current_dir(&folder);
    succeeded("pk12util", &run(command, Some(passphrase))?).with_context(|| p12.display().to_string())?;
    // Told to write raw, pk12util writes each certificate into the working directory: file0001.der and so on.
    let mut written =
        std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<PathBuf>>>()?;
    written.retain(|path| path.extension() == Some(OsStr::new("der")));
    written.sort();
    ensure!(!written.is_empty(), "{}: no certificate in it", p12.display());
    written.iter().map(|path| Certificate::from_der(&std::fs::read(path)?)).collect()
}

/// The passphrase goes through a pipe: arguments are for everybody to see.
fn pk12util(what: &str, p12: &Path) -> [OsString; 4] {
    [what.into(), p12.into(), "-w".into(), "/dev/stdin".into()]
}

fn run(mut command: Command, input: Option<&str>) -> anyhow::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.env("LC_ALL", "C.UTF-8").stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{name} is missing; it comes with the package {PACKAGE}: sudo apt install {PACKAGE}")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot start {name}")),
    };
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // A tool that ended without reading says why on its standard error.
        let _ = writeln!(stdin, "{input}");
    }
    child.wait_with_output().with_context(|| format!("cannot wait for {name}"))
}

fn succeeded(name: &str, output: &Output) -> anyhow::Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed ({}): {}", output.status, said.trim());
    Ok(())
}

/// The nickname in a line of `certutil -L`: everything before the trust flags at its end.
fn nickname(line: &str) -> Option<&str> {
    let (nickname, flags) = line.trim_end().rsplit_once(' ')?;
    let trust = flags.split(',').collect::<Vec<_>>();
    let are_flags = trust.len() == 3 && trust.iter().all(|part| part.chars().all(|flag| "pPcTCuwg".contains(flag)));
    are_flags.then(|| nickname.trim_end()).filter(|nickname| !nickname.is_empty())
}

/// RFC 7512: what has this `CKA_ID`.
fn uri(key_id: &str) -> anyhow::Result<String> {
    let octets = key_id.as_bytes().chunks(2).map(std::str::from_utf8).collect::<Result<Vec<_>, _>>()?;
    ensure!(key_id.len() == 40 && key_id.chars().all(|digit| digit.is_ascii_hexdigit()), "{key_id:?} is no key id");
    Ok(format!("pkcs11:id=%{}", octets.join("%")))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |text, octet| text + &format!("{octet:02x}"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{nickname, run, uri};

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let error = run(Command::new("koshin-no-such-tool"), None).unwrap_err().to_string();
        assert!(error.starts_with("koshin-no-such-tool is missing"), "{error}");
        assert!(error.contains("apt install libnss3-tools"), "{error}");
    }

    #[test]
    fn nicknames_may_have_spaces_and_commas() {
        assert_eq!(nickname("Koshin, the CA                       C,,  "), Some("Koshin, the CA"));
        assert_eq!(nickname("花子 (A123)                          u,u,u"), Some("花子 (A123)"));
        assert_eq!(nickname("Certificate Nickname                 Trust Attributes"), None);
        assert_eq!(nickname("                                     SSL,S/MIME,JAR/XPI"), None);
        assert_eq!(nickname(""), None);
    }

    #[test]
    fn only_a_whole_id_becomes_a_uri() {
        let id = "00112233445566778899aabbccddeeff00112233";
        assert_eq!(uri(id).unwrap(), "pkcs11:id=%00%11%22%33%44%55%66%77%88%99%aa%bb%cc%dd%ee%ff%00%11%22%33");
        for wrong in ["", "00", "zz112233445566778899aabbccddeeff00112233", "鍵鍵"] {
            assert!(uri(wrong).is_err(), "{wrong}");
        }
    }
}
