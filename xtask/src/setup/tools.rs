//! The list of what the tests need, how to see whether it is there, and what is left out without it.

use std::fs;

use anyhow::{Context as _, Result};

use crate::shell::{Cmd, have, pkilint_dir, root, unpacked_dir};

/// The version of the foreign linter for certificates that the tests were written against.
pub(super) const PKILINT: &str = "pkilint==0.13.3";

/// Where a tool comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A Debian package, for which one has to be root.
    Debian(&'static str),
    /// A crate of the tool's name.
    Cargo,
    /// A crate of the tool's name, of the very version that `Cargo.lock` has of its library.
    Locked,
    /// A Debian package that conflicts with an installed one, unpacked below `target`.
    Unpacked(&'static str),
    /// A Python package in an environment of its own, below `target`.
    Venv,
    /// What `e2e/package-lock.json` lists.
    Npm,
}

/// One thing the tests need.
pub(super) struct Tool {
    /// The program, or the thing.
    pub(super) name: &'static str,
    /// Where to get it.
    pub(super) origin: Origin,
    /// What is left out without it.
    pub(super) serves: &'static str,
    /// Whether only `nightly` needs it.
    pub(super) nightly: bool,
}

const fn debian(name: &'static str, package: &'static str, serves: &'static str) -> Tool {
    Tool { name, origin: Origin::Debian(package), serves, nightly: false }
}

const MAIL: &str = "the tests of delivery through other mail servers";
const TOKENS: &str = "the tests with keys in tokens";
const BROWSER: &str = "the browser tests";
const COUNTS: &str = "the instruction counts";
const JUDGES: &str = "the tests in which foreign tools judge what was issued";

/// In the order in which they can be installed.
pub(super) const TOOLS: &[Tool] = &[
    debian("c++", "g++", "the fuzz targets"),
    debian("openssl", "openssl", JUDGES),
    debian("curl", "curl", "the tests of EST and of the CA's API"),
    debian("certtool", "gnutls-bin", JUDGES),
    debian("certutil", "libnss3-tools", "the browser tests, and the .p12 in NSS"),
    debian("pk12util", "libnss3-tools", "the browser tests, and the .p12 in NSS"),
    debian("keytool", "default-jre-headless", JUDGES),
    debian("javac", "default-jdk-headless", "the tests of EST with a foreign client"),
    debian("Bouncy Castle", "libbcpkix-java", "the tests of EST with a foreign client"),
    debian("softhsm2-util", "softhsm2", TOKENS),
    debian("p11-kit", "p11-kit", TOKENS),
    debian("p11-kit's client module", "p11-kit-modules", TOKENS),
    debian("pkcs11-tool", "opensc", TOKENS),
    debian("swtpm", "swtpm", TOKENS),
    debian("tpm2-abrmd", "tpm2-abrmd", TOKENS),
    debian("tpm2-abrmd's module", "libtss2-tcti-tabrmd0", TOKENS),
    debian("dbus-daemon", "dbus-daemon", TOKENS),
    debian("tpm2_getcap", "tpm2-tools", TOKENS),
    debian("tpm2_ptool", "libtpm2-pkcs11-tools", TOKENS),
    debian("tpm2-pkcs11", "libtpm2-pkcs11-1", TOKENS),
    debian("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64", "the check of what is for Windows"),
    debian("node", "nodejs", "the tests of the page's key module, and the browser tests"),
    debian("npm", "npm", BROWSER),
    debian("chromium", "chromium", BROWSER),
    debian("fc-list", "fontconfig", BROWSER),
    debian("a Japanese font", "fonts-noto-cjk", BROWSER),
    debian("valgrind", "valgrind", COUNTS),
    debian("python3 with venv", "python3-venv", "pkilint's judgement of certificates and CRLs, Python's of mails"),
    debian("postfix", "postfix", MAIL),
    Tool { name: "libevent", origin: Origin::Debian("libevent-2.1-7"), serves: MAIL, nightly: true },
    Tool { name: "OpenSMTPD", origin: Origin::Unpacked("opensmtpd"), serves: MAIL, nightly: true },
    Tool {
        name: "pkilint",
        origin: Origin::Venv,
        serves: "pkilint's judgement of certificates and CRLs",
        nightly: false,
    },
    Tool { name: "the browser tests' modules", origin: Origin::Npm, serves: BROWSER, nightly: false },
    Tool { name: "cargo-deny", origin: Origin::Cargo, serves: "the check of licences and sources", nightly: false },
    Tool { name: "cargo-fuzz", origin: Origin::Cargo, serves: "the fuzz targets", nightly: false },
    Tool { name: "gungraun-runner", origin: Origin::Locked, serves: COUNTS, nightly: false },
    Tool { name: "cargo-mutants", origin: Origin::Cargo, serves: "the mutants", nightly: true },
];

impl Tool {
    /// Whether it is there.
    pub(super) fn present(&self) -> bool {
        match (self.origin, self.name) {
            (Origin::Venv, _) => pkilint_dir().join("bin/lint_pkix_cert").is_file(),
            (Origin::Npm, _) => modules_current(),
            (Origin::Unpacked(package), _) => unpacked_dir(package).join("usr/sbin").is_dir(),
            (Origin::Locked, name) => {
                let said = Cmd::new(name, &["--version"]).output().unwrap_or_default();
                locked(name).is_ok_and(|version| said.split_whitespace().any(|word| word == version))
            }
            (_, "a Japanese font") => {
                Cmd::new("fc-list", &[":lang=ja"]).output().is_ok_and(|fonts| !fonts.trim().is_empty())
            }
            (_, "p11-kit's client module") => library("pkcs11/p11-kit-client.so"),
            (_, "tpm2-abrmd") => fs::exists("/usr/sbin/tpm2-abrmd").unwrap_or_default(),
            (_, "tpm2-abrmd's module") => library("libtss2-tcti-tabrmd.so.0"),
            (_, "tpm2-pkcs11") => library("pkcs11/libtpm2_pkcs11.so"),
            (_, "libevent") => library("libevent-2.1.so.7"),
            // What lies in /usr/sbin is on nobody's path but root's.
            (_, "postfix") => fs::exists("/usr/lib/postfix/sbin/master").unwrap_or_default(),
            (_, "Bouncy Castle") => fs::exists("/usr/share/java/bcpkix.jar").unwrap_or_default(),
            (_, "python3 with venv") => Cmd::new("python3", &["-c", "import ensurepip, venv"]).succeeds(),
            (_, program) => have(program),
        }
    }

    /// What would bring it.
    pub(super) fn remedy(&self) -> String {
        match self.origin {
            Origin::Debian(package) => format!("Debian package {package}"),
            Origin::Unpacked(package) => format!("Debian package {package}, unpacked below target"),
            Origin::Cargo => format!("cargo install --locked {}", self.name),
            Origin::Locked => format!("cargo install --locked {}, the version in Cargo.lock", self.name),
            Origin::Venv => format!("pip install {PKILINT} in a virtual environment"),
            Origin::Npm => "npm ci in e2e".to_owned(),
        }
    }
}

/// Whether a shared library of a Debian package is there.
fn library(name: &str) -> bool {
    fs::exists(format!("/usr/lib/{}-linux-gnu/{name}", std::env::consts::ARCH)).unwrap_or_default()
}

/// Whether npm has installed what the lock file lists: it leaves a copy of the list, and touches it each time.
fn modules_current() -> bool {
    let modified = |path: &str| fs::metadata(root().join(path)).and_then(|meta| meta.modified()).ok();
    match (modified("e2e/package-lock.json"), modified("e2e/node_modules/.package-lock.json")) {
        (Some(wanted), Some(installed)) => wanted <= installed,
        _ => false,
    }
}

/// The version of a crate that `Cargo.lock` has.
pub(super) fn locked(name: &str) -> Result<String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("Cargo.lock")?;
    version(&lock, name).with_context(|| format!("Cargo.lock has no {name}"))
}

fn version(lock: &str, name: &str) -> Option<String> {
    let (_, package) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    package.split_once('"').map(|(version, _)| version.to_owned())
}

/// What is missing, by name.
pub(crate) struct Missing(Vec<&'static str>);

impl Missing {
    pub(super) fn new(tools: &[&Tool]) -> Self {
        Self(tools.iter().map(|tool| tool.name).collect())
    }

    /// The first of these that is missing.
    pub(crate) fn among(&self, needed: &[&'static str]) -> Option<&'static str> {
        needed.iter().copied().find(|name| self.0.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_left_out() {
        let missing = Missing(vec!["chromium", "openssl"]);
        assert_eq!(missing.among(&["node", "chromium"]), Some("chromium"));
        assert_eq!(missing.among(&["node"]), None);
    }

    #[test]
    fn the_locked_version_is_that_of_the_package() {
        let lock =
            "[[package]]\nname = \"ab\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        assert_eq!(version(lock, "b").as_deref(), Some("2.0.0"));
        assert_eq!(version(lock, "c"), None);
        assert!(locked("gungraun-runner").is_ok());
    }

    #[test]
    fn every_tool_stands_once() {
        let mut names: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TOOLS.len());
    }
}
