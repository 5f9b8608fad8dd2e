//! The TLS edge over real sockets.

mod certificates;
mod ending;
mod limits;
mod support;
