//! The manager: keeper, driver, loader, control and command line.

pub mod keeper;
pub mod protocol;
