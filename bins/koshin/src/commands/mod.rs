//! The operator's commands.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod certificate;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod init;
pub(crate) mod mail;
pub(crate) mod organization;
pub(crate) mod policy;
pub(crate) mod request;
pub(crate) mod serve;
pub(crate) mod subject;
pub(crate) mod task;

pub(crate) mod desk;
pub(crate) mod doctor;
mod view;
