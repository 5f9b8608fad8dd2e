//! Koshin's screens and the page's key module.
//!
//! Two layers that can be taken apart: [`screens`] renders pages from plain views and knows no HTTP; [`portal`] is the
//! routers between them and the use cases of `koshin-ra`. TLS, connections and client certificates are `koshin-edge`'s.
//! The scripts and styles that pages load are [`assets`].

pub mod assets;
pub mod portal;
pub mod screens;
