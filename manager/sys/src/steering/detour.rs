//! A detour: one connection of our own gets to a slot that is out of rotation, so that somebody can look whether it serves.

use std::os::fd::BorrowedFd;

use libc::sock_filter;

use super::Program;
use crate::error::SysError;

/// `SKF_NET_OFF`: loads from here on read the network header.
const NETWORK: u32 = libc::SKF_NET_OFF.cast_unsigned();
/// Where the source port is: behind an IPv4 header without options, and behind an IPv6 header without extensions. Connections of
/// this machine have neither.
const SOURCE_PORT_V4: u32 = NETWORK + 20;
const SOURCE_PORT_V6: u32 = NETWORK + 40;

const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const AND: u16 = 0x54;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// Has the group of `member` give connections from `source_port` to the member `to` and all others to the member `rest`, by their
/// kernel indexes; in place of its program, which is to come back as soon as that connection is made.
///
/// # Errors
/// As [`super::attach`].
pub fn detour(member: BorrowedFd<'_>, source_port: u16, to: u16, rest: u16) -> Result<(), SysError> {
    super::attach(member, &program(source_port, to, rest))
}

fn program(source_port: u16, to: u16, rest: u16) -> Program {
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    Program {
        instructions: vec![
            step(LOAD_BYTE, 0, 0, NETWORK),
            step(AND, 0, 0, 0xf0),
            step(JUMP_IF_EQUAL, 2, 0, 0x60),
            step(LOAD_HALF, 0, 0, SOURCE_PORT_V4),
            step(JUMP, 0, 0, 1),
            step(LOAD_HALF, 0, 0, SOURCE_PORT_V6),
            step(JUMP_IF_EQUAL, 0, 1, u32::from(source_port)),
            step(RETURN, 0, 0, u32::from(to)),
            step(RETURN, 0, 0, u32::from(rest)),
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};
    use std::os::fd::{AsFd, OwnedFd};

    use super::*;
    use crate::listener::{self, ListenAddress, ListenerSpec, SocketKind};
    use crate::probe;
    use crate::queue;

    #[test]
    fn one_connection_gets_there_and_no_other() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let mut address: SocketAddr = host.parse().unwrap();
            let mut members: Vec<OwnedFd> = Vec::new();
            for _ in 0..3 {
                let mut spec = ListenerSpec::new(SocketKind::Stream, ListenAddress::Inet(address));
                spec.reuse_port = true;
                let fd = listener::open(&spec).unwrap().fd;
                if let ListenAddress::Inet(bound) = listener::local_address(fd.as_fd()).unwrap() {
                    address = bound;
                }
                members.push(fd);
            }
            let waiting = |member: usize| queue::level(members[member].as_fd()).unwrap().unwrap().used;
            let ours = probe::prepare(&ListenAddress::Inet(address)).unwrap();
            detour(members[0].as_fd(), ours.source_port().unwrap(), 2, 1).unwrap();
            let _others: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
            let _ours = ours.connect().unwrap();
            assert_eq!([waiting(0), waiting(1), waiting(2)], [0, 10, 1], "{host}");
        }
    }
}
