//! Where a manager runs when it is not simply here: namespaces of its own, another user.

use std::process::Command;

use crate::command::tool;
use crate::kernel::Process;

/// What to enter before the manager is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Nothing.
    None,
    /// A network namespace with loopback and nothing else: every port is free, and nobody else's client gets in.
    Network,
    /// A machine of its own as far as files and ports go, for servers that must have theirs where their packages say:
    /// [`Self::Network`] and its own mounts, with an empty `/run`, and `/etc` and `/var` in which what is written is
    /// gone afterwards. For root.
    Machine,
    /// A PID namespace, in which the manager is process 1.
    Pid,
    /// The user `nobody`; for root.
    Nobody,
}

impl Namespace {
    /// The words before the command line of the program.
    #[must_use]
    pub fn enter(self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::None => &[],
            Self::Network => &["--net", "--", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"],
            Self::Machine => &["--net", "--mount", "--propagation=private", "--", "sh", "-ec", MACHINE, "sh"],
            Self::Pid => &["--pid", "--fork", "--kill-child", "--mount-proc", "--"],
            Self::Nobody => return nobody(),
        };
        if words.is_empty() {
            return Vec::new();
        }
        let mut all = vec![tool("unshare").display().to_string()];
        if !is_root() {
            all.push("--map-root-user".to_owned());
        }
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    }
}

impl Namespace {
    /// The words before the command line of a client of a manager that was started so: it comes from the same place.
    #[must_use]
    pub fn join(self, started: Process) -> Vec<String> {
        let words = match self {
            // A client on TCP would have to; the control socket is a file.
            Self::None | Self::Network | Self::Machine => return Vec::new(),
            Self::Nobody => return nobody(),
            Self::Pid => ["--pid", "--mount", "--target"],
        };
        let first = started.children().first().map_or(0, |first| first.0);
        let mut all = vec![tool("nsenter").display().to_string()];
        if !is_root() {
            all.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        all.extend(words.map(str::to_owned));
        all.extend([first.to_string(), "--".to_owned()]);
        all
    }
}

/// Makes a [`Namespace::Machine`], then runs its arguments.
const MACHINE: &str = "
mount -t tmpfs -o mode=755 tmpfs /run
for directory in etc var; do
    mkdir -p /run/overlay/$directory/upper /run/overlay/$directory/work
    mount -t overlay -o lowerdir=/$directory,upperdir=/run/overlay/$directory/upper,workdir=/run/overlay/$directory/work \
        overlay /$directory
done
ip link set lo up
exec \"$@\"";

/// uid and gid 65534 are `nobody` everywhere.
fn nobody() -> Vec<String> {
    let words = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"].map(str::to_owned);
    std::iter::once(tool("setpriv").display().to_string()).chain(words).collect()
}

/// A command in the network namespace of a process, among the files that it sees.
#[must_use]
pub fn beside(process: Process, program: &str) -> Command {
    let mut command = Command::new(tool("nsenter"));
    command.args(["--net", "--mount", "--target", &process.0.to_string()]);
    if !is_root() {
        command.args(["--user", "--preserve-credentials"]);
    }
    command.arg("--").arg(tool(program));
    command
}

/// Whether the tests run as root.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
