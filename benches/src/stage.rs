//! What every load program begins with: people settle in a town on disk, then its portal gets one core and the load
//! another, where there are two.

use std::process::ExitCode;

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{measure, place, rim, server::Server, town::Town};

/// A town that people have settled in, and the load's side of the machine.
pub struct Stage {
    /// The town's folder.
    pub folder: TempDir,
    /// For the load: one thread, on its core.
    pub runtime: Runtime,
    core: Option<&'static str>,
}

impl Stage {
    /// Lets people settle with both cores, then takes one for the load.
    ///
    /// # Errors
    ///
    /// When a use case refuses, or a core is not given.
    pub fn set<T>(settle: impl AsyncFnOnce(&mut Town) -> anyhow::Result<T>) -> anyhow::Result<(Self, T)> {
        let folder = place::folder()?;
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let settled = runtime.block_on(async {
            let mut town = Town::found(folder.path(), rim::now()).await?;
            let settled = settle(&mut town).await?;
            town.store.shut_down().await;
            anyhow::Ok(settled)
        })?;
        // Its threads would not be on the core.
        drop(runtime);
        let cores = measure::cores();
        if let Some((_, core)) = cores {
            measure::pin_self(core)?;
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok((Self { folder, runtime, core: cores.map(|(core, _)| core) }, settled))
    }

    /// Starts the town's portal on the other core.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn server(&self) -> anyhow::Result<Server> {
        Server::start(self.folder.path(), self.core)
    }
}

/// Runs a program by its arguments, and says what went wrong.
pub fn main(name: &str, run: impl FnOnce(&[&str]) -> anyhow::Result<()>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
