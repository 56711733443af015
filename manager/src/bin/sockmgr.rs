//! The `sockmgr` command.
fn main() {}
