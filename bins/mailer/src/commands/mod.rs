//! The commands.

pub(crate) mod once;
pub(crate) mod rehearse;
pub(crate) mod run;
pub(crate) mod status;
