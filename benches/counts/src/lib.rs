//! What the counts are made of: a certificate's life under the expiry policy, a renewal of it, and the CA that issues it.
//!
//! The bench `counts` in this package counts instructions; `policy`, `machine`, `issuance` and `allocations` in `koshin-benches`
//! measure time and memory. This is a package of its own because its count is a gate that has to be quick: it takes few crates
//! and no runtime, so that the optimised build of it stays small.
//!
//! ring chooses its code by the features of the CPU. Below callgrind the CPU is the one that valgrind imitates: the same on
//! every machine with AVX2.

mod issuing;
mod life;
mod renewing;

pub use issuing::Issuing;
pub use life::Life;
pub use renewing::{NOW, Renewing};
