//! Messages and descriptors on their way into and out of packets. No sockets here.
//!
//! A packet is a kind, the number of descriptors that its sender gave it, and messages one after another. A message takes
//! its descriptors from those that have arrived, in order; the ones that do not fit into its packet go ahead in packets
//! without messages. A packet longer than the socket takes travels as a file in memory. One invariant: descriptors that
//! the receiver had no room for are missing from the messages they belong to, and from no other.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;

use sockmgr_sys::seqpacket::{FDS_MAX, PACKET_MAX};

use crate::protocol::Message;

/// Kind, and number of descriptors.
const HEADER: usize = 3;
const KIND_MESSAGES: u8 = 0;
/// The messages are in a file in memory: one descriptor more, the first.
const KIND_FILE: u8 = 1;

/// A packet that this version does not understand; the text says what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot understand a packet of the link: {0}")]
pub struct MalformedPacket(pub &'static str);

/// A packet to be sent.
#[derive(Debug)]
pub(super) struct Packet<F> {
    pub(super) bytes: Vec<u8>,
    pub(super) fds: Vec<F>,
}

impl<F> Packet<F> {
    fn new() -> Self {
        Self { bytes: vec![0; HEADER], fds: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER && self.fds.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.truncate(HEADER);
        self.bytes.shrink_to(PACKET_MAX);
        self.fds.clear();
    }

    /// Writes the header, now that the packet is complete.
    fn seal(&mut self) {
        self.bytes[..HEADER].copy_from_slice(&header(KIND_MESSAGES, self.fds.len()));
    }

    /// True for a packet that must travel as a file: see [`Packet::header_for_file`].
    pub(super) fn is_oversize(&self) -> bool {
        self.bytes.len() > PACKET_MAX
    }

    /// What is sent instead of an oversize packet, whose bytes go into a file that is sent as the first descriptor.
    pub(super) fn header_for_file(&self) -> [u8; HEADER] {
        header(KIND_FILE, self.fds.len())
    }
}

fn header(kind: u8, fds: usize) -> [u8; HEADER] {
    let [low, high] = u16::try_from(fds).expect("at most 250 descriptors a packet").to_le_bytes();
    [kind, low, high]
}

/// Packets that wait to be sent, with descriptors as `F`; messages pushed between two sendings share packets.
#[derive(Debug)]
pub(super) struct Outbox<F> {
    sealed: VecDeque<Packet<F>>,
    open: Packet<F>,
}

impl<F> Outbox<F> {
    pub(super) fn new() -> Self {
        Self { sealed: VecDeque::new(), open: Packet::new() }
    }

    /// Adds a message with its descriptors.
    ///
    /// # Panics
    /// When there are not as many descriptors as the message says: everything after would get the wrong ones.
    pub(super) fn push<M: Message>(&mut self, message: &M, fds: Vec<F>) {
        assert_eq!(message.fd_count(), fds.len(), "descriptors of a message");
        let start = self.open.bytes.len();
        let bytes = mem::take(&mut self.open.bytes);
        self.open.bytes = postcard::to_extend(message, bytes).expect("messages are plain values");
        let is_first = start == HEADER;
        if !is_first && (self.open.bytes.len() > PACKET_MAX || self.open.fds.len() + fds.len() > FDS_MAX) {
            let message_bytes = self.open.bytes.split_off(start);
            self.seal_open();
            self.open.bytes.extend(message_bytes);
        }
        self.attach(fds);
    }

    /// Gives the open packet the descriptors of its last message. More than one packet takes go ahead of it.
    fn attach(&mut self, mut fds: Vec<F>) {
        while self.open.fds.len() + fds.len() > FDS_MAX {
            let rest = fds.split_off(FDS_MAX);
            let mut ahead = Packet { fds: mem::replace(&mut fds, rest), ..Packet::new() };
            ahead.seal();
            self.sealed.push_back(ahead);
        }
        self.open.fds.append(&mut fds);
    }

    fn seal_open(&mut self) {
        self.open.seal();
        self.sealed.push_back(mem::replace(&mut self.open, Packet::new()));
    }

    /// The packet to be sent next.
    pub(super) fn front(&mut self) -> Option<&Packet<F>> {
        if let Some(packet) = self.sealed.front() {
            return Some(packet);
        }
        self.open.seal();
        (!self.open.is_empty()).then_some(&self.open)
    }

    /// Drops the packet that [`Outbox::front`] gave, since it is sent. The open one keeps its memory for the next turn.
    pub(super) fn pop_front(&mut self) {
        if self.sealed.pop_front().is_none() {
            self.open.clear();
        }
    }
}

/// The packet that is being read, and descriptors (as `T`) whose messages are still to come.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    buffer: Vec<u8>,
    unread: Range<usize>,
    /// `None` stands for one that got lost on the way.
    fds: VecDeque<Option<T>>,
}

/// A message and its descriptors, `None` for each that got lost on the way.
pub(super) type Received<M, T> = (M, Vec<Option<T>>);

impl<T> Inbox<T> {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; PACKET_MAX], unread: 0..0, fds: VecDeque::new() }
    }

    /// Where the next packet is to be written to, once [`Inbox::next`] says that there is no message left.
    pub(super) fn buffer(&mut self) -> &mut [u8] {
        // A file has left its own.
        if self.buffer.len() != PACKET_MAX {
            self.buffer = vec![0; PACKET_MAX];
        }
        &mut self.buffer
    }

    /// Takes a packet of `length` bytes in the buffer and these descriptors. Answers the descriptor of the file that
    /// has the messages, if they are in one: its contents go to [`Inbox::take_file`].
    pub(super) fn take_packet(&mut self, length: usize, fds: Vec<T>) -> Result<Option<T>, MalformedPacket> {
        let packet = self.buffer.get(..length).ok_or(MalformedPacket("longer than the buffer"))?;
        let [kind, low, high] = *packet.first_chunk().ok_or(MalformedPacket("shorter than its header"))?;
        let sent = usize::from(u16::from_le_bytes([low, high]));
        let mut fds = fds.into_iter();
        self.unread = HEADER..length;
        let file = match kind {
            KIND_MESSAGES => None,
            KIND_FILE => Some(fds.next().ok_or(MalformedPacket("no descriptor left for its file"))?),
            _ => return Err(MalformedPacket("unknown kind")),
        };
        if fds.len() > sent {
            return Err(MalformedPacket("more descriptors than it says"));
        }
        let lost = sent - fds.len();
        self.fds.extend(fds.map(Some).chain((0..lost).map(|_| None)));
        Ok(file)
    }

    /// Takes the contents of the file that a packet was sent as; the packet's own header comes first.
    pub(super) fn take_file(&mut self, contents: Vec<u8>) {
        self.unread = HEADER.min(contents.len())..contents.len();
        self.buffer = contents;
    }

    /// The next message of the packet.
    pub(super) fn next<M: Message>(&mut self) -> Result<Option<Received<M, T>>, MalformedPacket> {
        if self.unread.is_empty() {
            return Ok(None);
        }
        let unread = &self.buffer[self.unread.clone()];
        let (message, rest) =
            postcard::take_from_bytes::<M>(unread).map_err(|_| MalformedPacket("unknown message"))?;
        self.unread.start = self.unread.end - rest.len();
        let count = message.fd_count();
        if count > self.fds.len() {
            return Err(MalformedPacket("a message without its descriptors"));
        }
        Ok(Some((message, self.fds.drain(..count).collect())))
    }
}
