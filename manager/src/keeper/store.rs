//! What the keeper keeps for the next manager: descriptors and values, by name.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use sockmgr_sys::spawn::move_high;

use crate::protocol::ToManager;

/// Descriptors and values. A descriptor is shared with packets that are on their way to the manager.
#[derive(Debug, Default)]
pub(super) struct Store {
    held: BTreeMap<String, Rc<OwnedFd>>,
    values: BTreeMap<String, Vec<u8>>,
}

impl Store {
    /// Keeps the descriptors; answers what to tell the manager about those that got lost on the way. Under their names
    /// nothing is held then, not even what was there before.
    pub(super) fn hold(&mut self, names: Vec<String>, fds: Vec<Option<OwnedFd>>) -> Vec<ToManager> {
        let mut lost = Vec::new();
        for (name, fd) in names.into_iter().zip(fds) {
            if let Some(fd) = fd {
                self.held.insert(name, Rc::new(move_high(fd)));
            } else {
                self.held.remove(&name);
                lost.push(ToManager::NotHeld { name });
            }
        }
        lost
    }

    pub(super) fn release(&mut self, names: &[String]) {
        for name in names {
            self.held.remove(name);
        }
    }

    pub(super) fn remember(&mut self, key: String, value: Vec<u8>) {
        self.values.insert(key, value);
    }

    pub(super) fn erase(&mut self, keys: &[String]) {
        for key in keys {
            self.values.remove(key);
        }
    }

    /// Everything, for a new manager.
    pub(super) fn replay(&self) -> impl Iterator<Item = (ToManager, Vec<Rc<OwnedFd>>)> {
        let held =
            self.held.iter().map(|(name, fd)| (ToManager::Held { name: name.clone() }, vec![Rc::clone(fd)]));
        let values = self.values.iter().map(|(key, value)| {
            (ToManager::Remembered { key: key.clone(), value: value.clone() }, Vec::new())
        });
        held.chain(values)
    }
}
