//! One file for each command.

pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod desk;
pub(crate) mod init;
pub(crate) mod serve;
