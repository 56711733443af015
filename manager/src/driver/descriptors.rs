//! The descriptors that the engine names, and the unix nodes that belong to them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use sockmgr_engine::FdId;
use sockmgr_sys::listener::UnixNode;

/// Listeners and accepted connections. Each descriptor has one owner: this table.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    fds: BTreeMap<FdId, OwnedFd>,
    nodes: BTreeMap<FdId, UnixNode>,
}

impl Descriptors {
    pub(super) fn insert(&mut self, id: FdId, fd: OwnedFd, node: Option<UnixNode>) {
        self.fds.insert(id, fd);
        if let Some(node) = node {
            self.nodes.insert(id, node);
        }
    }

    pub(super) fn get(&self, id: FdId) -> Option<BorrowedFd<'_>> {
        self.fds.get(&id).map(OwnedFd::as_fd)
    }

    pub(super) fn ids(&self) -> BTreeSet<FdId> {
        self.fds.keys().copied().collect()
    }

    /// Closes our copy, and says which node it was bound to.
    pub(super) fn remove(&mut self, id: FdId) -> Option<UnixNode> {
        self.fds.remove(&id);
        self.nodes.remove(&id)
    }

    pub(super) fn drop_fd(&mut self, id: FdId) {
        self.fds.remove(&id);
    }
}

/// The name under which the keeper holds a listener: its number, and the node it is bound to, so that a later manager can still
/// remove it.
pub(super) fn held_name(id: FdId, node: Option<&UnixNode>) -> String {
    match node {
        None => format!("fd {id}"),
        Some(node) => format!("fd {id} {} {} {}", node.device, node.inode, node.path.display()),
    }
}

/// Reads [`held_name`] back.
pub(super) fn parse_held_name(name: &str) -> Option<(FdId, Option<UnixNode>)> {
    let mut parts = name.strip_prefix("fd ")?.splitn(4, ' ');
    let id = FdId(parts.next()?.parse().ok()?);
    let Some(device) = parts.next() else { return Some((id, None)) };
    let node = UnixNode {
        device: device.parse().ok()?,
        inode: parts.next()?.parse().ok()?,
        path: PathBuf::from(parts.next()?),
    };
    Some((id, Some(node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_names_read_back() {
        let node = UnixNode { device: 7, inode: 9, path: PathBuf::from("/run/a b/web.sock") };
        for (id, node) in [(FdId(3), None), (FdId(12), Some(node))] {
            assert_eq!(parse_held_name(&held_name(id, node.as_ref())), Some((id, node)));
        }
        assert_eq!(parse_held_name("notify"), None);
    }
}
