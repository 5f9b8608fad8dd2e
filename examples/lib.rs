//! Programs that take Koshin's libraries as another project would: `cargo run -p koshin-examples --example one_year`.
