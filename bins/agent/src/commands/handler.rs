//! `koshin-agent register` and `unregister`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::{
    config::{self, Portal},
    exit::{self, Fault},
    origin::Origin,
    places::Places,
    register,
};

#[derive(Debug, Args)]
pub(crate) struct RegisterArguments {
    /// The portal's address: `https://host` or `https://host:port`
    #[arg(long, value_name = "ORIGIN")]
    portal: Option<Origin>,
    /// The only CAs that vouch for the portal, in PEM; without it those that the system trusts
    #[arg(long, value_name = "FILE", requires = "portal")]
    ca: Option<PathBuf>,
    /// The portal's host for those without a certificate; needed for `enrol`
    #[arg(long, value_name = "ORIGIN", requires = "portal")]
    public: Option<Origin>,
    /// The host where a new certificate proves itself; without it the one that the portal names
    #[arg(long, value_name = "ORIGIN", requires = "portal")]
    activation: Option<Origin>,
}

#[derive(Debug, Args)]
pub(crate) struct UnregisterArguments {
    /// Take away this portal only, and go on opening links
    #[arg(long, value_name = "ORIGIN")]
    portal: Option<Origin>,
}

pub(crate) fn register(arguments: RegisterArguments) -> anyhow::Result<()> {
    let places = Places::of_user()?;
    if let Some(origin) = arguments.portal {
        let ca = arguments.ca.map(|file| {
            let pem = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            config::certificates(&pem).with_context(|| file.display().to_string())?;
            // A copy: the file may lie in the folder for downloads.
            anyhow::Ok(pem)
        });
        let portal = Portal { origin, public: arguments.public, activation: arguments.activation, ca: ca.transpose()? };
        // A trust anchor that cannot be one is found now, not at the first renewal.
        portal.client(koshin_types::Language::En)?;
        config::add(&places, portal)?;
    } else if config::Config::read(&places)?.portals.is_empty() {
        return Err(Fault::usage("no portal is configured yet; name one with --portal").into());
    }
    let program = register::this_program().context("this program's own file cannot be found")?;
    register::register(&places, &program)?;
    exit::print(&format!("koshin: links are opened by {}", program.display()))?;
    Ok(())
}

pub(crate) fn unregister(arguments: &UnregisterArguments) -> anyhow::Result<()> {
    let places = Places::of_user()?;
    config::remove(&places, arguments.portal.as_ref())?;
    if arguments.portal.is_none() {
        register::unregister(&places)?;
    }
    Ok(())
}
