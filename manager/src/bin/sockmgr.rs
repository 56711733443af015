//! The `sockmgr` command. Everything is in [`sockmgr::cli`]; nothing is decided here.

fn main() -> std::process::ExitCode {
    sockmgr::cli::main()
}
