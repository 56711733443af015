//! The descriptors that the launcher passed, and who has taken which.
//! Never binds (that is `bind`) and never writes to a socket.
//! Invariant: one table per process, so a descriptor is given out once, however many callers there are.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::adopt::Adopt;
use crate::environment::{self, EnvironmentError, FIRST, ListenFds};
use crate::kind::Kind;
use crate::sys::{self, ClaimError};

/// The name of a descriptor that the launcher did not name (sd_listen_fds(3)).
const UNNAMED: &str = "unknown";

/// The table of this process, once it has been read.
static TABLE: Mutex<Option<Inherited>> = Mutex::new(None);

/// The descriptors that this process inherited from its launcher.
///
/// All values in a process are views of one table: what one of them takes is gone for the others. What nobody
/// takes stays open until the process ends.
#[derive(Debug, Clone)]
pub struct Inherited {
    slots: Arc<Mutex<Vec<Slot>>>,
}

/// One inherited descriptor: its place in the order of passing is its place in the table.
#[derive(Debug)]
struct Slot {
    fd: RawFd,
    /// `None` when the launcher gave no names.
    name: Option<String>,
    /// `None` once taken.
    owned: Option<OwnedFd>,
}

/// How a caller says which descriptor it wants; made from a `&str` or a `usize`.
///
/// A **name** is one of `LISTEN_FDNAMES`, which a socket unit sets by `FileDescriptorName=`. Without that
/// directive the name is the unit's, `web.socket`, which `web` finds as well. A launcher that gives no names at all
/// (`systemfd`) cannot say which descriptor is which: there any name finds any descriptor, in the order of passing.
///
/// An **index** counts the descriptors in the order of passing, from 0 for fd 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Which<'a> {
    /// By name.
    Name(&'a str),
    /// By place, from 0.
    Index(usize),
}

/// An inherited descriptor that is still to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its place in the order of passing, from 0.
    pub index: usize,
    /// Its number in this process, from 3.
    pub fd: RawFd,
    /// Its name; `unknown` when the launcher gave none.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// Why a descriptor could not be taken. Unless said otherwise it stays where it was, to be taken by the next caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// The launcher passed no such descriptor.
    #[error("LISTEN_FDNAMES has no descriptor {wanted}; there is {available}")]
    NotFound {
        /// The name or index that was asked for.
        wanted: String,
        /// The names of all descriptors that were passed, quoted and separated by commas, or `none`.
        available: String,
    },
    /// Somebody in this process has taken it before.
    #[error("{variable}: descriptor {wanted} has been taken already")]
    AlreadyTaken {
        /// The variable, or the directive, that announced the descriptor.
        variable: &'static str,
        /// The name or index that was asked for.
        wanted: String,
    },
    /// It is something else than what was asked for.
    #[error("{variable}: fd {fd} ({name}) is {found}, expected {expected}")]
    WrongKind {
        /// The variable, or the directive, that announced the descriptor.
        variable: &'static str,
        /// The number of the descriptor in this process.
        fd: RawFd,
        /// Its name; `unknown` when the launcher gave none.
        name: String,
        /// What was asked for.
        expected: Kind,
        /// What it is.
        found: Kind,
    },
    /// The wanted type belongs to an asynchronous runtime, and this thread is in none.
    #[error("a tokio type can only be taken within a tokio runtime")]
    NoRuntime,
    /// The system, or the asynchronous runtime, refused the descriptor, which is closed by now.
    #[error("cannot adopt fd {fd}")]
    Refused {
        /// The number it had.
        fd: RawFd,
        /// What went wrong.
        source: io::Error,
    },
}

impl Inherited {
    /// The variables that announce descriptors. They stay in the environment; who starts a child that understands
    /// them, without passing descriptors on, removes them from its `Command`.
    pub const VARIABLES: [&'static str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

    /// Adopts what the environment announces (sd_listen_fds(3)): every descriptor becomes close-on-exec.
    ///
    /// The environment is read by the first call in a process; later calls see the same table. The result is empty
    /// when nothing was passed, or `LISTEN_PID` names another process.
    ///
    /// # Errors
    /// When the variables are malformed or promise descriptors that are not there. Nothing is adopted then.
    pub fn from_env() -> Result<Self, EnvironmentError> {
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inherited) = &*table {
            return Ok(inherited.clone());
        }
        let announced = environment::listen_fds(&environment::process_variable, process::id())?;
        let inherited = Self::claim(announced)?;
        *table = Some(inherited.clone());
        Ok(inherited)
    }

    /// Takes possession of the announced descriptors.
    fn claim(ListenFds { count, names }: ListenFds) -> Result<Self, EnvironmentError> {
        let owned = sys::claim(FIRST, count).map_err(|error| match error {
            ClaimError::NotOpen(fd) => EnvironmentError::NotOpen { fd },
            ClaimError::NotInherited(fd) => EnvironmentError::NotInherited { fd },
        })?;
        Ok(Self::of(owned, names))
    }

    /// The table of these descriptors.
    fn of(descriptors: Vec<OwnedFd>, names: Option<Vec<String>>) -> Self {
        let mut names = names.map(Vec::into_iter);
        let slots = descriptors.into_iter().map(|owned| Slot {
            fd: owned.as_raw_fd(),
            name: names.as_mut().and_then(Iterator::next),
            owned: Some(owned),
        });
        Self { slots: Arc::new(Mutex::new(slots.collect())) }
    }

    /// Whether the launcher passed descriptors; stays true when all have been taken.
    #[must_use]
    pub fn is_activated(&self) -> bool {
        !self.lock().is_empty()
    }

    /// The descriptors that nobody has taken yet, in the order of passing.
    #[must_use]
    pub fn descriptors(&self) -> Vec<Descriptor> {
        let slots = self.lock();
        let waiting = slots.iter().enumerate().filter_map(|(index, slot)| {
            let kind = Kind::of(slot.owned.as_ref()?).unwrap_or(Kind::NotASocket);
            Some(Descriptor { index, fd: slot.fd, name: slot.shown_name(), kind })
        });
        waiting.collect()
    }

    /// Takes one descriptor as a `T`: a listener or socket of std, of tokio (feature `tokio`), or an `OwnedFd`.
    ///
    /// Of several descriptors of one name it is the first that is a `T` and has not been taken, so a TCP listener
    /// and a UDP socket may share a name. Types of std keep the blocking mode that the launcher chose; those of
    /// tokio are made non-blocking.
    ///
    /// # Errors
    /// See [`TakeError`]; where there is an error the descriptor stays in place.
    pub fn take<'a, T: Adopt>(&self, which: impl Into<Which<'a>>) -> Result<T, TakeError> {
        T::prepare()?;
        let mut slots = self.lock();
        let position = choose(&slots, which.into(), T::KIND)?;
        let slot = &mut slots[position];
        let owned = slot.owned.take().expect("`choose` passes over slots that are taken");
        T::adopt(owned).map_err(|source| TakeError::Refused { fd: slot.fd, source })
    }

    /// Takes every descriptor of that name that is a `T`, at least one, in the order of passing.
    ///
    /// # Errors
    /// As [`take`](Self::take), when there is not even one.
    pub fn take_all<T: Adopt>(&self, name: &str) -> Result<Vec<T>, TakeError> {
        let mut all = vec![self.take(name)?];
        loop {
            match self.take(name) {
                Ok(next) => all.push(next),
                Err(error @ TakeError::Refused { .. }) => return Err(error),
                Err(_) => return Ok(all),
            }
        }
    }

    /// Takes all that is left, with the names; to close what a program has no use for, drop the result.
    #[must_use]
    pub fn take_rest(&self) -> Vec<(String, OwnedFd)> {
        let mut slots = self.lock();
        slots.iter_mut().filter_map(|slot| Some((slot.shown_name(), slot.owned.take()?))).collect()
    }

    /// The slots; a panic elsewhere cannot have left them half changed.
    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The name to show.
    fn shown_name(&self) -> String {
        self.name.as_deref().unwrap_or(UNNAMED).to_owned()
    }

    /// Whether a caller who says `wanted` means this descriptor.
    fn is_called(&self, wanted: &str) -> bool {
        let Some(name) = &self.name else { return true };
        name == wanted || name.strip_suffix(".socket") == Some(wanted)
    }
}

/// The place of the first untaken descriptor that is wanted and of the right kind.
fn choose(slots: &[Slot], which: Which<'_>, kind: Option<Kind>) -> Result<usize, TakeError> {
    let wanted = |&(index, slot): &(usize, &Slot)| match which {
        Which::Name(name) => slot.is_called(name),
        Which::Index(wanted) => index == wanted,
    };
    let mut wanted = slots.iter().enumerate().filter(wanted).peekable();
    if wanted.peek().is_none() {
        return Err(not_found(slots, which));
    }
    let mut misfit = None;
    for (index, slot) in wanted {
        let Some(owned) = &slot.owned else { continue };
        match kind {
            Some(kind) if !kind.fits(owned.as_fd()) => misfit = misfit.or(Some((slot, owned, kind))),
            _ => return Ok(index),
        }
    }
    let variable = "LISTEN_FDS";
    Err(match misfit {
        Some((slot, owned, expected)) => wrong_kind(variable, slot.fd, slot.shown_name(), expected, owned),
        None => TakeError::AlreadyTaken { variable, wanted: which.to_string() },
    })
}

/// The error for a descriptor that was not passed.
fn not_found(slots: &[Slot], which: Which<'_>) -> TakeError {
    let names: Vec<String> = slots.iter().map(|slot| format!("{:?}", slot.shown_name())).collect();
    let available = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    TakeError::NotFound { wanted: which.to_string(), available }
}

/// The error for a descriptor that is not what was asked for.
pub(crate) fn wrong_kind(
    variable: &'static str,
    fd: RawFd,
    name: String,
    expected: Kind,
    descriptor: impl AsFd,
) -> TakeError {
    let found = Kind::of(descriptor).unwrap_or(Kind::NotASocket);
    TakeError::WrongKind { variable, fd, name, expected, found }
}

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Index(index) => write!(f, "number {index}"),
        }
    }
}

impl<'a> From<&'a str> for Which<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a String> for Which<'a> {
    fn from(name: &'a String) -> Self {
        Self::Name(name)
    }
}

impl From<usize> for Which<'_> {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;

    /// A TCP listener, a UDP socket and a file, with these names.
    fn three(names: Option<[&str; 3]>) -> Inherited {
        let descriptors = vec![
            TcpListener::bind("127.0.0.1:0").unwrap().into(),
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            File::open("/dev/null").unwrap().into(),
        ];
        Inherited::of(descriptors, names.map(|names| names.map(str::to_owned).to_vec()))
    }

    fn error<T: Adopt>(result: Result<T, TakeError>) -> String {
        result.err().expect("the descriptor must be refused").to_string()
    }

    #[test]
    fn a_name_selects() {
        let inherited = three(Some(["http", "dns", "state"]));
        inherited.take::<UdpSocket>("dns").unwrap();
        inherited.take::<OwnedFd>("state").unwrap();
        inherited.take::<TcpListener>("http").unwrap();
        assert!(inherited.is_activated());
        assert_eq!(inherited.descriptors(), []);
    }

    #[test]
    fn an_index_selects() {
        let inherited = three(Some(["http", "dns", "state"]));
        inherited.take::<UdpSocket>(1).unwrap();
        assert_eq!(
            error(inherited.take::<UdpSocket>(1)),
            "LISTEN_FDS: descriptor number 1 has been taken already"
        );
        assert_eq!(
            error(inherited.take::<UdpSocket>(3)),
            r#"LISTEN_FDNAMES has no descriptor number 3; there is "http", "dns", "state""#
        );
        inherited.take::<TcpListener>(0).unwrap();
    }

    #[test]
    fn a_second_view_cannot_take_it_again() {
        let inherited = three(Some(["http", "dns", "state"]));
        let other = inherited.clone();
        inherited.take::<TcpListener>("http").unwrap();
        assert_eq!(
            error(other.take::<TcpListener>("http")),
            "LISTEN_FDS: descriptor \"http\" has been taken already"
        );
    }

    #[test]
    fn the_wrong_kind_stays_in_place() {
        let inherited = three(Some(["http", "dns", "state"]));
        let before = inherited.descriptors();
        let fd = before[0].fd;
        let expected = format!("LISTEN_FDS: fd {fd} (http) is a TCP listener, expected a UDP socket");
        assert_eq!(error(inherited.take::<UdpSocket>("http")), expected);
        let expected = format!("LISTEN_FDS: fd {fd} (http) is a TCP listener, expected a TCP connection");
        assert_eq!(error(inherited.take::<TcpStream>("http")), expected);
        let fd = before[2].fd;
        let expected =
            format!("LISTEN_FDS: fd {fd} (state) is not a socket, expected a unix stream connection");
        assert_eq!(error(inherited.take::<UnixStream>("state")), expected);
        assert_eq!(inherited.descriptors(), before);
        inherited.take::<TcpListener>("http").unwrap();
    }

    #[test]
    fn an_unknown_name_says_what_there_is() {
        let inherited = three(Some(["http", "dns", "state"]));
        assert_eq!(
            error(inherited.take::<TcpListener>("https")),
            r#"LISTEN_FDNAMES has no descriptor "https"; there is "http", "dns", "state""#
        );
        let none = Inherited::of(Vec::new(), None);
        assert!(!none.is_activated());
        assert_eq!(
            error(none.take::<TcpListener>("https")),
            r#"LISTEN_FDNAMES has no descriptor "https"; there is none"#
        );
    }

    #[test]
    fn one_name_may_cover_several_kinds() {
        let inherited = three(Some(["dns", "dns", "dns"]));
        inherited.take::<UdpSocket>("dns").unwrap();
        assert_eq!(inherited.take_all::<TcpListener>("dns").unwrap().len(), 1);
        assert_eq!(inherited.take_rest().len(), 1);
    }

    #[test]
    fn the_unit_name_is_found_without_its_suffix() {
        let inherited = three(Some(["web.socket", "webx.socket", "x"]));
        assert!(inherited.take::<TcpListener>("we").is_err());
        inherited.take::<TcpListener>("web").unwrap();
        inherited.take::<UdpSocket>("webx.socket").unwrap();
    }

    #[test]
    fn without_names_any_name_finds_the_first_of_its_kind() {
        let inherited = three(None);
        assert_eq!(inherited.descriptors()[0].name, "unknown");
        inherited.take::<UdpSocket>("dns").unwrap();
        inherited.take::<TcpListener>("http").unwrap();
    }

    #[test]
    fn take_all_needs_one_at_least() {
        let inherited = three(Some(["http", "dns", "state"]));
        assert!(matches!(
            inherited.take_all::<UdpSocket>("http"),
            Err(TakeError::WrongKind { expected: Kind::UdpSocket, found: Kind::TcpListener, .. })
        ));
        assert_eq!(inherited.descriptors().len(), 3);
    }

    #[test]
    fn the_rest_comes_with_its_names() {
        let inherited = three(Some(["http", "dns", "state"]));
        inherited.take::<UdpSocket>("dns").unwrap();
        let rest = inherited.take_rest();
        let names: Vec<&str> = rest.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["http", "state"]);
        assert!(inherited.take_rest().is_empty());
    }
}
