//! What the benches and load programs share: authorities, people with certificates, a served portal, a client, figures.
//!
//! The people come to their certificates through the use cases, as everybody does, on a day in the past; only their
//! password is hashed with next to no cost, because the benches are not about Argon2. Every goal is judged as a ratio to
//! something measured in the same run: the [`floor`], the disk's [`measure::Disk`], the bare handshake.

pub mod authority;
pub mod client;
pub mod crowd;
pub mod floor;
pub mod handshake;
pub mod issuing;
pub mod koshin_ca;
pub mod load;
pub mod measure;
pub mod peers;
pub mod place;
pub mod rim;
pub mod server;
pub mod service;
pub mod sink;
pub mod stage;
pub mod town;
