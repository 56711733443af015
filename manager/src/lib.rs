//! The manager: keeper, driver, loader, control and command line.

pub mod cli;
pub mod loader;
pub mod paths;
