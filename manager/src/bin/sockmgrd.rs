//! The `sockmgrd` command.
fn main() {}
