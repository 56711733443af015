//! What services say on the notify socket (sd_notify(3)). Every byte of it is hostile until read.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sockmgr_engine::{Event, FdId, MachineView, Notification, StoreRequest, Time, WatchdogWord};
use sockmgr_sys::child::session_of;
use sockmgr_sys::poll::Interest;
use sockmgr_sys::{descriptor, family};
use sockmgr_unit::{FdName, NotifyAccess, UnitName};

use super::Driver;
use super::descriptors::held_name;
use super::listeners::chain;
use crate::control::StoredDescriptor;
use crate::protocol::ToKeeper;

/// So many messages a turn, so that a flood of them cannot starve everything else.
const BATCH: usize = 64;

/// The highest error number there is (`MAX_ERRNO` of the kernel's include/linux/err.h).
const ERRNO_MAX: i32 = 4095;

impl Driver {
    /// Takes the messages that wait; true when there may be more.
    pub(super) fn take_notifications(&mut self) -> bool {
        for _ in 0..BATCH {
            match self.notify.receive() {
                Ok(Some(message)) => self.notified(message.pid, &message.text, message.fds),
                Ok(None) => return false,
                Err(error) => {
                    tracing::error!("cannot read the notify socket: {}", chain(&error));
                    return false;
                }
            }
        }
        true
    }

    /// Descriptors that nobody asks to store are closed when this is through: a barrier is thereby answered after what was sent
    /// before it.
    fn notified(&mut self, pid: i32, text: &[u8], fds: Vec<OwnedFd>) {
        let Ok(pid) = u32::try_from(pid) else { return };
        let kin = self.kin_of(pid);
        let mut message = parse(text);
        let (new, _closed_later) = match message.store {
            Some(StoreRequest::Add { .. }) => (self.without_known(pid, kin, fds), Vec::new()),
            Some(StoreRequest::Remove { .. }) | None => (Vec::new(), fds),
        };
        message.fds = new.into_iter().map(|fd| self.own(fd)).collect();
        self.feed(Event::Notified { pid, kin, message });
    }

    /// A process that the engine knows and that `pid` belongs to: by session, or by descent.
    fn kin_of(&self, pid: u32) -> Option<u32> {
        let is_known = |pid: &u32| self.engine.unit_of_pid(*pid).is_some();
        let session = session_of(pid);
        if is_known(&pid) || session.as_ref().is_some_and(is_known) {
            return session;
        }
        let ancestors = family::ancestors(i32::try_from(pid).ok()?);
        ancestors.filter_map(|pid| u32::try_from(pid).ok()).find(is_known).or(session)
    }

    /// Those of `fds` that its unit has not left with us before, each once.
    fn without_known(&self, pid: u32, kin: Option<u32>, fds: Vec<OwnedFd>) -> Vec<OwnedFd> {
        let unit = self.engine.unit_of_pid(pid).or_else(|| self.engine.unit_of_pid(kin?));
        let Some(view) = unit.and_then(|unit| self.engine.unit(unit)) else { return fds };
        let MachineView::Service(service) = view.machine else { return fds };
        let stored = || service.stored.iter().filter_map(|stored| self.descriptors.get(stored.fd));
        let mut new: Vec<OwnedFd> = Vec::new();
        for fd in fds {
            let is_same = |known: BorrowedFd<'_>| descriptor::is_same_file(known, fd.as_fd());
            let is_known = stored().any(is_same) || new.iter().map(AsFd::as_fd).any(is_same);
            if !is_known {
                new.push(fd);
            }
        }
        new
    }

    /// What a service has left with us.
    pub(super) fn stored_of(&self, unit: &UnitName) -> Vec<StoredDescriptor> {
        let Some(MachineView::Service(service)) = self.engine.unit(unit).map(|view| view.machine) else {
            return Vec::new();
        };
        let facts = service.stored.iter().filter_map(|stored| {
            let facts = descriptor::facts_of(self.descriptors.get(stored.fd)?).ok()?;
            Some(StoredDescriptor {
                name: stored.name.to_string(),
                mode: facts.mode,
                device: facts.device,
                inode: facts.inode,
                own_device: facts.own_device,
                path: facts.path,
                flags: facts.flags,
            })
        });
        facts.collect()
    }

    fn own(&mut self, fd: OwnedFd) -> FdId {
        let id = self.engine.name_fd();
        self.descriptors.insert(id, fd, None);
        id
    }

    /// Has the keeper keep a descriptor too, and looks out for its other end.
    pub(super) fn store(&mut self, id: FdId, is_polled: bool) {
        let Some(fd) = self.descriptors.get(id) else { return };
        // A regular file cannot be watched, nor can it hang up.
        if is_polled
            && let Err(error) = self.poll.add(fd, id.0, Interest::HangUp)
            && error.errno() != libc::EPERM
        {
            tracing::debug!("cannot watch the stored descriptor {id}: {}", chain(&error));
        }
        match fd.try_clone_to_owned() {
            Ok(copy) => {
                self.link.push(&ToKeeper::Hold { names: vec![held_name(id, None)] }, vec![copy]);
            }
            Err(error) => tracing::error!("cannot give the stored descriptor {id} to the keeper: {error}"),
        }
    }
}

fn parse(text: &[u8]) -> Notification {
    let text = String::from_utf8_lossy(text);
    // Of a field that comes twice the last one counts.
    let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let is = |key: &str| fields.get(key) == Some(&"1");
    let number = |key: &str| fields.get(key).and_then(|value| value.parse().ok());
    let words = |key: &str| fields.get(key).map(|value| printable(value));
    Notification {
        ready: is("READY"),
        reloading: is("RELOADING"),
        stopping: is("STOPPING"),
        status: words("STATUS"),
        errno: fields
            .get("ERRNO")
            .and_then(|value| value.parse().ok())
            .filter(|errno| (0..=ERRNO_MAX).contains(errno)),
        bus_error: words("BUSERROR"),
        main_pid: fields.get("MAINPID").and_then(|value| value.parse().ok()).filter(|pid| *pid > 1),
        monotonic: number("MONOTONIC_USEC").map(Time::from_micros),
        watchdog: match fields.get("WATCHDOG") {
            Some(&"1") => Some(WatchdogWord::Ping),
            Some(&"trigger") => Some(WatchdogWord::Trigger),
            _ => None,
        },
        watchdog_interval: number("WATCHDOG_USEC"),
        extend_timeout: number("EXTEND_TIMEOUT_USEC"),
        notify_access: fields.get("NOTIFYACCESS").and_then(|word| NotifyAccess::parse(word).ok()),
        store: store_request(&fields),
        fds: Vec::new(),
    }
}

fn store_request(fields: &BTreeMap<&str, &str>) -> Option<StoreRequest> {
    let is = |key: &str, value: &str| fields.get(key) == Some(&value);
    let given = fields.get("FDNAME").filter(|name| FdName::new(name).is_ok()).copied();
    if is("FDSTOREREMOVE", "1") {
        return given.map(|name| StoreRequest::Remove { name: name.to_owned() });
    }
    let name = given.unwrap_or("stored").to_owned();
    is("FDSTORE", "1").then(|| StoreRequest::Add { name, poll: !is("FDPOLL", "0") })
}

/// Nothing of it can move the cursor of whoever reads it.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_it_knows() {
        let message = parse(
            b"READY=1\nSTATUS=up \x1b[31mand running\nERRNO=2\nMAINPID=77\nWATCHDOG=1\nWATCHDOG_USEC=5\n\
              RELOADING=1\nMONOTONIC_USEC=9\nBUSERROR=org.x.Failed\nNOTIFYACCESS=all\nX_OWN=3\nnonsense\n",
        );
        let expected = Notification {
            ready: true,
            reloading: true,
            status: Some("up [31mand running".to_owned()),
            errno: Some(2),
            main_pid: Some(77),
            watchdog: Some(WatchdogWord::Ping),
            watchdog_interval: Some(5),
            monotonic: Some(Time::from_micros(9)),
            bus_error: Some("org.x.Failed".to_owned()),
            notify_access: Some(NotifyAccess::All),
            ..Notification::default()
        };
        assert_eq!(message, expected);
    }

    #[test]
    fn what_makes_no_sense_is_as_good_as_not_there() {
        let message = parse(
            b"READY=0\xff\nSTOPPING=1\nERRNO=-1\nMAINPID=1\nWATCHDOG=2\nWATCHDOG_USEC=-3\nNOTIFYACCESS=me\nFDSTORE=yes",
        );
        assert_eq!(message, Notification { stopping: true, ..Notification::default() });
    }

    #[test]
    fn descriptors_are_stored_under_a_name_that_can_be_one() {
        let add = |name: &str, poll| Some(StoreRequest::Add { name: name.to_owned(), poll });
        let rows: [(&[u8], Option<StoreRequest>); 6] = [
            (b"FDSTORE=1", add("stored", true)),
            (b"FDSTORE=1\nFDNAME=a b\nFDPOLL=0", add("a b", false)),
            (b"FDSTORE=1\nFDNAME=a:b", add("stored", true)),
            (b"FDSTOREREMOVE=1\nFDNAME=x", Some(StoreRequest::Remove { name: "x".to_owned() })),
            (b"FDSTOREREMOVE=1", None),
            (b"FDNAME=x", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text).store, expected, "{}", String::from_utf8_lossy(text));
        }
    }
}
