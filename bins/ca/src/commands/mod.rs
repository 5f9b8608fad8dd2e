//! One file for each command.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod crl;
pub(crate) mod desk;
pub(crate) mod doctor;
pub(crate) mod init;
pub(crate) mod ocsp;
pub(crate) mod revoke;
pub(crate) mod rollover;
pub(crate) mod serve;
pub(crate) mod status;
