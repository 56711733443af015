//! The descriptors that a service leaves with us, to get them back at its next start (systemd.service(5),
//! `FileDescriptorStoreMax=`).
//!
//! Invariant: each of them is in exactly one `Run::store`, or has been given back to the driver by [`Action::Unstore`].

use sockmgr_unit::UnitName;
use sockmgr_unit::value::FdStorePreserve;

use super::{StoredFd, unit_of_other};
use crate::engine::Engine;
use crate::event::{Action, StoreRequest};
use crate::ids::FdId;

impl Engine {
    /// What a notification says of descriptors, and those that came with it.
    pub(super) fn store_request(&mut self, name: &UnitName, request: Option<StoreRequest>, fds: Vec<FdId>) {
        match request {
            Some(StoreRequest::Add { name: fd_name, poll }) => {
                for fd in fds {
                    self.store_fd(name, fd, &fd_name, poll);
                }
            }
            Some(StoreRequest::Remove { name: fd_name }) => {
                self.drop_stored(name, |stored| *stored.name == *fd_name);
                self.discard_fds(fds);
            }
            None => self.discard_fds(fds),
        }
    }

    fn store_fd(&mut self, name: &UnitName, fd: FdId, fd_name: &str, is_polled: bool) {
        let max = self.service_unit(name).service.file_descriptor_store_max;
        let store = &mut self.service_mut(name).run_mut().store;
        if store.len() >= max as usize {
            let why =
                format!("descriptor {fd_name} not kept: it has {max} already (FileDescriptorStoreMax=)");
            self.log_debug(name, why);
            return self.out.push(Action::Unstore { fd });
        }
        store.push(StoredFd { fd, name: fd_name.into(), is_polled });
        self.stored.insert(fd, name.clone());
        self.out.push(Action::Store { fd, is_polled });
        self.stir(name);
    }

    /// The other end of a descriptor that a service left with us is gone.
    pub(crate) fn stored_hung_up(&mut self, fd: FdId) {
        if let Some(name) = self.stored.get(&fd).cloned() {
            self.drop_stored(&name, |stored| stored.fd == fd);
        }
    }

    fn drop_stored(&mut self, name: &UnitName, which: impl Fn(&StoredFd) -> bool) {
        let store = &mut self.service_mut(name).run_mut().store;
        let (gone, kept) = std::mem::take(store).into_iter().partition(which);
        *store = kept;
        let gone: Vec<StoredFd> = gone;
        for stored in &gone {
            self.stored.remove(&stored.fd);
            self.out.push(Action::Unstore { fd: stored.fd });
        }
        if !gone.is_empty() {
            self.stir(name);
        }
    }

    /// Descriptors that nobody keeps.
    pub(super) fn discard_fds(&mut self, fds: Vec<FdId>) {
        self.out.extend(fds.into_iter().map(|fd| Action::Unstore { fd }));
    }

    /// The unit is down, and `for_good` when nothing is about to start it: its descriptors go, unless they are to outlive that.
    pub(crate) fn release_store(&mut self, name: &UnitName, for_good: bool) {
        let Some(service) = self.nodes.get(name).and_then(|node| node.service()) else { return };
        if service.run().store.is_empty() {
            return;
        }
        match self.service_unit(name).service.file_descriptor_store_preserve {
            FdStorePreserve::Yes => {}
            FdStorePreserve::Restart if !for_good => {}
            FdStorePreserve::Restart | FdStorePreserve::No => self.drop_stored(name, |_| true),
        }
    }

    /// What one generation has left is the next one's.
    pub(super) fn move_store(&mut self, from: &UnitName, to: &UnitName) {
        if self.service(from).run().store.is_empty() {
            return;
        }
        let moved = std::mem::take(&mut self.service_mut(from).run_mut().store);
        self.stored.extend(moved.iter().map(|stored| (stored.fd, to.clone())));
        self.service_mut(to).run_mut().store.splice(0..0, moved);
        let max = self.service_unit(to).service.file_descriptor_store_max as usize;
        let store = &mut self.service_mut(to).run_mut().store;
        let surplus = store.split_off(max.min(store.len()));
        for stored in surplus {
            self.stored.remove(&stored.fd);
            self.out.push(Action::Unstore { fd: stored.fd });
        }
        self.stir(to);
    }

    /// What a start of this machine gets of it: of another generation, that of the one that serves, too.
    pub(super) fn store_of(&self, name: &UnitName) -> impl Iterator<Item = &StoredFd> {
        let unit = unit_of_other(name).filter(|unit| self.nodes.contains_key(unit));
        let serving = unit.map(|unit| self.service(&unit).run().store.as_slice()).unwrap_or_default();
        serving.iter().chain(&self.service(name).run().store)
    }

    /// The unit is removed: whatever it had goes.
    pub(crate) fn forget_store(&mut self, name: &UnitName) {
        if self.nodes.get(name).and_then(|node| node.service()).is_some_and(|own| !own.run().store.is_empty())
        {
            self.drop_stored(name, |_| true);
        }
    }

    /// Takes up the descriptors that an earlier manager left, as far as they are still there.
    pub(crate) fn restore_store(&mut self, name: &UnitName, is_held: impl Fn(FdId) -> bool) {
        if self.service(name).run().store.is_empty() {
            return;
        }
        let store = &mut self.service_mut(name).run_mut().store;
        store.retain(|stored| is_held(stored.fd));
        for StoredFd { fd, is_polled, .. } in store.clone() {
            self.stored.insert(fd, name.clone());
            self.out.push(Action::Store { fd, is_polled });
        }
    }

    /// The unit that left this descriptor with us.
    pub fn stored_by(&self, fd: FdId) -> Option<&UnitName> {
        self.stored.get(&fd)
    }
}
