//! Koshin's screens, its TLS edge and the page's key module.
//!
//! Three layers that can be taken apart: [`screens`] renders pages from plain views and knows no HTTP; [`edge`] ends
//! TLS, judges client certificates and keeps limits, and knows no screens; [`portal`] is the routers between them and
//! the use cases of `koshin-ra`. The scripts and styles that pages load are [`assets`].

pub mod assets;
pub mod edge;
pub mod portal;
pub mod screens;
