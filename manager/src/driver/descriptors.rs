//! The descriptors that the engine names, and the nodes (paths, message queues) that belong to them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use sockmgr_engine::FdId;
use sockmgr_sys::listener::Node;

/// Listeners and accepted connections. Each descriptor has one owner: this table.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    fds: BTreeMap<FdId, OwnedFd>,
    nodes: BTreeMap<FdId, Node>,
}

impl Descriptors {
    pub(super) fn insert(&mut self, id: FdId, fd: OwnedFd, node: Option<Node>) {
        self.fds.insert(id, fd);
        if let Some(node) = node {
            self.nodes.insert(id, node);
        }
    }

    pub(super) fn get(&self, id: FdId) -> Option<BorrowedFd<'_>> {
        self.fds.get(&id).map(OwnedFd::as_fd)
    }

    /// What the descriptor is bound to.
    pub(super) fn node(&self, id: FdId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(super) fn ids(&self) -> BTreeSet<FdId> {
        self.fds.keys().copied().collect()
    }

    /// Closes our copy, and says which node it was bound to.
    pub(super) fn remove(&mut self, id: FdId) -> Option<Node> {
        self.fds.remove(&id);
        self.nodes.remove(&id)
    }

    pub(super) fn drop_fd(&mut self, id: FdId) {
        self.fds.remove(&id);
    }
}

/// The name under which the keeper holds a listener: its number, and the node it is bound to, so that a later manager can still
/// remove it.
pub(super) fn held_name(id: FdId, node: Option<&Node>) -> String {
    match node {
        None => format!("fd {id}"),
        Some(Node::Path { path, device, inode }) => format!("fd {id} {device} {inode} {}", path.display()),
        Some(Node::Queue { name }) => format!("fd {id} queue {name}"),
    }
}

/// Reads [`held_name`] back.
pub(super) fn parse_held_name(name: &str) -> Option<(FdId, Option<Node>)> {
    let mut parts = name.strip_prefix("fd ")?.splitn(4, ' ');
    let id = FdId(parts.next()?.parse().ok()?);
    let node = match parts.next() {
        None => None,
        Some("queue") => Some(Node::Queue { name: parts.next()?.to_owned() }),
        Some(device) => Some(Node::Path {
            device: device.parse().ok()?,
            inode: parts.next()?.parse().ok()?,
            path: PathBuf::from(parts.next()?),
        }),
    };
    Some((id, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_names_read_back() {
        let node = Node::Path { device: 7, inode: 9, path: PathBuf::from("/run/a b/web.sock") };
        let queue = Node::Queue { name: "/jobs".to_owned() };
        for (id, node) in [(FdId(3), None), (FdId(12), Some(node)), (FdId(13), Some(queue))] {
            assert_eq!(parse_held_name(&held_name(id, node.as_ref())), Some((id, node)));
        }
        assert_eq!(parse_held_name("notify"), None);
    }
}
