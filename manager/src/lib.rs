//! The manager: keeper, driver, loader, control and command line.

pub mod cli;
pub mod control;
pub mod keeper;
pub mod paths;
pub mod protocol;
