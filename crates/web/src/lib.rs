//! Placeholder.

pub mod edge;
