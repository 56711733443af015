//! One question to sock_diag and its many answers (netlink(7)).

use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::error::SysError;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`: every socket there is.
const REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// The kernel fills up to 32 KiB at once.
const BUFFER: usize = 32 * 1024;

/// One answer, without its header.
pub(super) struct Message<'a> {
    pub(super) body: &'a [u8],
}

impl Message<'_> {
    pub(super) fn get(&self, offset: usize) -> Option<u8> {
        self.body.get(offset).copied()
    }
}

/// Asks about all sockets that `request` matches, in the network namespace of this thread.
pub(super) fn dump(request: &[u8], mut answer: impl FnMut(Message<'_>)) -> Result<(), SysError> {
    let failed = |errno: nix::Error| SysError::new("ask the kernel for its connections", errno);
    let socket: OwnedFd =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)
            .map_err(failed)?;
    send(socket.as_raw_fd(), &framed(request), MsgFlags::empty()).map_err(failed)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).map_err(failed)?;
        for (kind, body) in messages(&buffer[..length]) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let errno = u32_at(body, 0).unwrap_or(0).cast_signed().wrapping_neg();
                    return Err(failed(nix::Error::from_raw(errno)));
                }
                _ => answer(Message { body }),
            }
        }
    }
}

/// `struct nlmsghdr` and the request behind it.
fn framed(request: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + request.len()).expect("a request is short");
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(request);
    message
}

/// The messages of one datagram: kind and body.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        let (kind, body) = (u16_at(bytes, 4)?, bytes.get(HEADER..length)?);
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The value of the first attribute of this kind.
pub(super) fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(bytes, 0)?);
        let (kind, value) = (u16_at(bytes, 2)?, bytes.get(ATTRIBUTE_HEADER..length)?);
        if kind == wanted {
            return Some(value);
        }
        bytes = bytes.get(aligned(length)..)?;
    }
}

pub(super) fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).expect("an attribute is short");
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
}

/// Messages and attributes begin at multiples of 4.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}
