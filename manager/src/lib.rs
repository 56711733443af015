//! The manager's rooms: keeper, manager, driver, loader, control and command line.

pub mod chown;
pub mod cli;
pub mod condition;
pub mod control;
pub mod daemon;
pub mod driver;
pub mod install;
pub mod keeper;
pub mod loader;
pub mod log;
pub mod logfile;
pub mod manager;
pub mod metrics;
pub mod paths;
pub mod protocol;
