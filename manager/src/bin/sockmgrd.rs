//! `sockmgrd`, the manager daemon.

fn main() -> std::process::ExitCode {
    sockmgr::daemon::main()
}
