//! A place of its own for each manager: unit files, a runtime directory, an address that nobody else uses.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use crate::built;

/// The user and the group `nobody`, everywhere.
const NOBODY: u32 = 65534;

/// A temporary directory with `units`, `run` and whatever a test puts there, and an address of 127.0.0.0/8.
#[derive(Debug)]
pub struct Site {
    directory: TempDir,
    host: IpAddr,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// An empty one.
    ///
    /// # Panics
    /// When no temporary directory can be made.
    #[must_use]
    pub fn new() -> Self {
        Self::at(IpAddr::V4(own_host()))
    }

    /// An empty one with another address.
    ///
    /// # Panics
    /// When no temporary directory can be made.
    #[must_use]
    pub fn at(host: IpAddr) -> Self {
        let directory = tempfile::Builder::new().prefix("sockmgr-").tempdir().expect("a temporary directory");
        let site = Self { directory, host };
        // Others pass through: some services run as other users.
        site.mode("", 0o755);
        site.make("units", 0o755);
        site.make("run", 0o711);
        site
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a directory.
    ///
    /// # Panics
    /// When that fails.
    pub fn make(&self, name: &str, mode: u32) {
        fs::create_dir_all(self.path(name)).expect("a directory can be made");
        self.mode(name, mode);
    }

    /// Makes a directory over to the user `nobody`; for root.
    ///
    /// # Panics
    /// When that is not allowed.
    pub fn give_away(&self, name: &str) {
        std::os::unix::fs::chown(self.path(name), Some(NOBODY), Some(NOBODY)).expect("root may do it");
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("a mode can be set");
    }

    /// The address for its sockets. Ports need no choosing: the host is its own.
    #[must_use]
    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.host, port)
    }

    /// Writes a unit file. In the text `{host}` is this site's address, `{dir}` its directory, and `{hello}`, `{echo}`,
    /// `{udp_echo}` and `{witness}` are the programs.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn unit(&self, name: &str, text: &str) {
        let path = self.path("units").join(name);
        fs::create_dir_all(path.parent().expect("units are in a directory"))
            .expect("a directory can be made");
        fs::write(path, self.fill(text)).expect("a unit file can be written");
    }

    /// Writes any other file, with the same places filled.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, self.fill(text)).expect("a file can be written");
        path
    }

    /// What a service wrote to one of the files; empty before it did.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Enables a unit: it comes up with the manager.
    ///
    /// # Panics
    /// When the link cannot be made.
    pub fn enable(&self, unit: &str, target: &str) {
        let wants = self.path("units").join(format!("{target}.wants"));
        fs::create_dir_all(&wants).expect("a directory can be made");
        symlink(Path::new("..").join(unit), wants.join(unit)).expect("a link can be made");
    }

    fn fill(&self, text: &str) -> String {
        let program = |path: PathBuf| path.display().to_string();
        let host = match self.host {
            IpAddr::V4(host) => host.to_string(),
            IpAddr::V6(host) => format!("[{host}]"),
        };
        let mut filled = text.replace("{host}", &host);
        filled = filled.replace("{dir}", &self.directory.path().display().to_string());
        filled = filled.replace("{witness}", &program(built::witness()));
        for example in ["hello", "echo", "udp_echo"] {
            filled = filled.replace(&format!("{{{example}}}"), &program(built::example(example)));
        }
        filled
    }
}

/// An address of 127.0.0.0/8 by process and turn. All of it is loopback, so that tests side by side need no free port.
fn own_host() -> Ipv4Addr {
    static TURN: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, low, TURN.fetch_add(1, Ordering::Relaxed).clamp(1, 254))
}
