//! The manager: keeper, driver, loader, control and command line.

pub mod loader;
pub mod paths;
