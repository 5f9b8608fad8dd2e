//! Members only carry targets.
