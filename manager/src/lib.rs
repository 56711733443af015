//! The manager: keeper, driver, loader, control and command line.
