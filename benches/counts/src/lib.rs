//! What the benches of the pure crates work on: a certificate's life under the expiry policy, and a renewal of it.
//!
//! The bench `counts` in this package counts instructions, `policy` and `machine` in `koshin-benches` measure time. This is a package of
//! its own because its count is a gate that has to be quick: it takes the pure crates and nothing else, so that the
//! optimised build of it takes seconds, and no instruction it counts was chosen by the features of the machine's CPU, as those of
//! cryptography are.

mod life;
mod renewing;

pub use life::Life;
pub use renewing::{NOW, Renewing};
