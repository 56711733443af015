//! Targets that exist although no file says so (systemd.special(7)): those that other units name in their relations. Most mean nothing
//! here but that whoever waits for them need not; the machine that sockmgr runs on is up.
//!
//! Invariant: a file of the name takes the place of the text.

use crate::name::UnitName;
use crate::specifier::ManagerKind;

/// What systemd's own file of that name says, as far as it means something here.
pub(crate) fn text(name: &UnitName, manager: ManagerKind) -> Option<&'static str> {
    let of_user = || USER.iter().filter(|_| manager == ManagerKind::User);
    let mut known = of_user().chain(&BOTH);
    known.find(|(target, _)| *target == name.as_str()).map(|(_, text)| *text)
}

/// The names of all of them.
pub(crate) fn names(_: ManagerKind) -> impl Iterator<Item = UnitName> {
    BOTH.iter().filter_map(|(target, _)| target.parse().ok())
}

/// What differs in a user's manager.
const USER: [(&str, &str); 2] = [
    (
        "basic.target",
        "[Unit]\nDescription=Basic System\nWants=sockets.target timers.target paths.target\nAfter=sockets.target timers.target paths.target\n",
    ),
    (
        "default.target",
        "[Unit]\nDescription=Main User Target\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n",
    ),
];

const BOTH: [(&str, &str); 21] = [
    (
        "basic.target",
        "[Unit]\nDescription=Basic System\nRequires=sysinit.target\nWants=sockets.target timers.target paths.target\nAfter=sysinit.target sockets.target timers.target paths.target\n",
    ),
    (
        "default.target",
        "[Unit]\nDescription=Default Target\nRequires=multi-user.target\nAfter=multi-user.target\nAllowIsolate=yes\n",
    ),
    (
        "graphical.target",
        "[Unit]\nDescription=Graphical Interface\nRequires=multi-user.target\nAfter=multi-user.target\nAllowIsolate=yes\n",
    ),
    (
        "local-fs.target",
        "[Unit]\nDescription=Local File Systems\nDefaultDependencies=no\nConflicts=shutdown.target\n",
    ),
    (
        "multi-user.target",
        "[Unit]\nDescription=Multi-User System\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n",
    ),
    ("network-online.target", "[Unit]\nDescription=Network is Online\nAfter=network.target\n"),
    ("network-pre.target", "[Unit]\nDescription=Preparation for Network\nRefuseManualStart=yes\n"),
    ("network.target", "[Unit]\nDescription=Network\nAfter=network-pre.target\nRefuseManualStart=yes\n"),
    ("nss-lookup.target", "[Unit]\nDescription=Host and Network Name Lookups\nRefuseManualStart=yes\n"),
    ("nss-user-lookup.target", "[Unit]\nDescription=User and Group Name Lookups\nRefuseManualStart=yes\n"),
    ("paths.target", "[Unit]\nDescription=Path Units\n"),
    (
        "remote-fs.target",
        "[Unit]\nDescription=Remote File Systems\nAfter=remote-fs-pre.target\nDefaultDependencies=no\nConflicts=shutdown.target\n",
    ),
    ("rpcbind.target", "[Unit]\nDescription=RPC Port Mapper\nRefuseManualStart=yes\n"),
    (
        "shutdown.target",
        "[Unit]\nDescription=System Shutdown\nDefaultDependencies=no\nRefuseManualStart=yes\n",
    ),
    ("sockets.target", "[Unit]\nDescription=Socket Units\n"),
    ("swap.target", "[Unit]\nDescription=Swaps\n"),
    (
        "sysinit.target",
        "[Unit]\nDescription=System Initialization\nWants=local-fs.target swap.target\nAfter=local-fs.target swap.target\n",
    ),
    ("time-set.target", "[Unit]\nDescription=System Time Set\nRefuseManualStart=yes\n"),
    (
        "time-sync.target",
        "[Unit]\nDescription=System Time Synchronized\nAfter=time-set.target\nWants=time-set.target\nRefuseManualStart=yes\n",
    ),
    ("timers.target", "[Unit]\nDescription=Timer Units\nDefaultDependencies=no\nConflicts=shutdown.target\n"),
    (
        "umount.target",
        "[Unit]\nDescription=Unmount All Filesystems\nDefaultDependencies=no\nRefuseManualStart=yes\n",
    ),
];
