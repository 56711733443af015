//! The wire to the manager: one blocking D-Bus connection, peer to peer over a unix socket.
//!
//! zbus builds and decodes the values; the socket is a plain `std` one. A command lives for a millisecond: a runtime, a
//! reader task and a message queue would cost it more than the work itself. Many calls may be under way at once
//! ([`Bus::pipeline`]). What the calls mean is not known here.
//!
//! Invariant: a reply belongs to exactly one [`Ticket`]; signals that arrive between replies are kept in order.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::Message;
use zbus::message::Flags;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{DynamicType, Endian, OwnedVariant, Type, Variant};

/// Destination of every call; a peer-to-peer server has no other name, and systemd wants to see it.
const DESTINATION: &str = "org.freedesktop.systemd1";
/// The client's whole part of the handshake. The server reads our uid from the socket, so the identity is empty.
const HANDSHAKE: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
/// Longest line a server may answer with during the handshake, in bytes.
const HANDSHAKE_LINE_MAX: usize = 1024;
/// Largest message D-Bus allows, in bytes (specification, "Message Format").
const MESSAGE_MAX: usize = 128 << 20;
/// How long a reply may take; the time systemd's own clients allow for a reload.
const REPLY_TIMEOUT: Duration = Duration::from_secs(90);
/// Calls under way at once in a pipeline: many per round trip, yet their replies always fit into the socket's buffer.
const WINDOW: usize = 64;

/// What can go wrong between the command and the manager.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    /// The manager answered with an error; `message` is meant for people.
    #[error("{message}")]
    Reply { name: String, message: String },
    #[error("the manager closed the connection; it may have died, see its log")]
    Closed,
    #[error("the manager did not answer within {} s", REPLY_TIMEOUT.as_secs())]
    Timeout,
    #[error("the connection to the manager failed")]
    Io(#[source] io::Error),
    #[error("the manager refused the connection: {0}")]
    Refused(String),
    #[error("the manager sent something that is not D-Bus as it should be: {0}")]
    Protocol(String),
    #[error("cannot build the call")]
    Build(#[source] zbus::Error),
}

impl BusError {
    /// The D-Bus name of an error reply, otherwise nothing.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Reply { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// One method call: where it goes, what it asks for, and its arguments.
pub(crate) struct Call<'a, B> {
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
    pub(crate) body: B,
}

/// The right to one reply: the serial number of a call that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u32);

/// A signal as it came in.
#[derive(Debug)]
pub(crate) struct Signal {
    pub(crate) member: String,
    body: Body,
}

impl Signal {
    /// Its arguments.
    pub(crate) fn arguments<T: DeserializeOwned + Type>(&self) -> Result<T, BusError> {
        self.body.decode()
    }
}

/// The undecoded arguments of a message.
#[derive(Debug)]
struct Body {
    bytes: Vec<u8>,
    signature: String,
    endian: Endian,
}

impl Body {
    fn decode<T: DeserializeOwned + Type>(&self) -> Result<T, BusError> {
        let expected = T::SIGNATURE.to_string_no_parens();
        if self.signature != expected {
            let text = format!("arguments of type {:?} instead of {expected:?}", self.signature);
            return Err(BusError::Protocol(text));
        }
        let data = Data::new(self.bytes.as_slice(), Context::new(self.endian, 0));
        data.deserialize().map(|(value, _)| value).map_err(|error| BusError::Protocol(error.to_string()))
    }
}

/// A connection to one manager.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: UnixStream,
    flags: Flags,
    /// Bytes to send before the next read.
    out: Vec<u8>,
    /// Bytes received; those before `start` are done with.
    input: Vec<u8>,
    start: usize,
    authenticated: bool,
    replies: HashMap<Ticket, Result<Body, BusError>>,
    signals: VecDeque<Signal>,
}

impl Bus {
    /// Connects to the manager that listens at `socket`. `interactive` lets the manager ask for authorization.
    pub(crate) fn connect(socket: &Path, interactive: bool) -> io::Result<Self> {
        UnixStream::connect(socket).map(|stream| Self::over(stream, interactive))
    }

    /// Speaks over a connected socket.
    pub(crate) fn over(stream: UnixStream, interactive: bool) -> Self {
        Self {
            stream,
            flags: if interactive { Flags::ALLOW_INTERACTIVE_AUTH } else { Flags::empty() },
            out: Vec::new(),
            input: Vec::new(),
            start: 0,
            authenticated: false,
            replies: HashMap::new(),
            signals: VecDeque::new(),
        }
    }

    /// The socket, to ask who is at its other end.
    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Calls and waits for the answer.
    pub(crate) fn call<T, B>(&mut self, call: &Call<'_, B>) -> Result<T, BusError>
    where
        T: DeserializeOwned + Type,
        B: Serialize + DynamicType,
    {
        let ticket = self.send(call)?;
        self.reply(ticket)
    }

    /// Queues a call. It leaves with the next wait.
    pub(crate) fn send<B: Serialize + DynamicType>(
        &mut self,
        call: &Call<'_, B>,
    ) -> Result<Ticket, BusError> {
        let message = Message::method_call(call.path, call.member)
            .destination(DESTINATION)
            .interface(call.interface)
            .with_flags(self.flags)
            .build(&call.body)
            .map_err(BusError::Build)?;
        self.out.extend_from_slice(message.data().bytes());
        Ok(Ticket(message.primary_header().serial_num().get()))
    }

    /// Waits for the answer to one call.
    pub(crate) fn reply<T: DeserializeOwned + Type>(&mut self, ticket: Ticket) -> Result<T, BusError> {
        loop {
            if let Some(reply) = self.replies.remove(&ticket) {
                return reply?.decode();
            }
            if !self.receive(Some(REPLY_TIMEOUT))? {
                return Err(BusError::Timeout);
            }
        }
    }

    /// Makes all calls with several under way at once; the answers are in the order of the calls.
    ///
    /// # Errors
    /// Only when the connection fails; an error reply is the result of its call.
    pub(crate) fn pipeline<'a, T, B>(
        &mut self,
        calls: impl IntoIterator<Item = Call<'a, B>>,
    ) -> Result<Vec<Result<T, BusError>>, BusError>
    where
        T: DeserializeOwned + Type,
        B: Serialize + DynamicType,
    {
        let mut answers = Vec::new();
        let mut under_way = VecDeque::with_capacity(WINDOW);
        for call in calls {
            // Half a window at a time: one write then carries many calls.
            if under_way.len() == WINDOW {
                for ticket in under_way.drain(..WINDOW / 2) {
                    answers.push(self.answer(ticket)?);
                }
            }
            under_way.push_back(self.send(&call)?);
        }
        for ticket in under_way {
            answers.push(self.answer(ticket)?);
        }
        Ok(answers)
    }

    /// As [`Bus::reply`], with an error reply as a value.
    fn answer<T: DeserializeOwned + Type>(
        &mut self,
        ticket: Ticket,
    ) -> Result<Result<T, BusError>, BusError> {
        match self.reply(ticket) {
            Ok(value) => Ok(Ok(value)),
            Err(error @ (BusError::Reply { .. } | BusError::Protocol(_))) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Waits for the next signal; nothing came when `timeout` is over. Without a timeout it waits for good.
    pub(crate) fn next_signal(&mut self, timeout: Option<Duration>) -> Result<Option<Signal>, BusError> {
        while self.signals.is_empty() {
            if !self.receive(timeout)? {
                return Ok(None);
            }
        }
        Ok(self.signals.pop_front())
    }

    /// Sends what is queued and files the next message. False when nothing came within `timeout`.
    fn receive(&mut self, timeout: Option<Duration>) -> Result<bool, BusError> {
        self.handshake()?;
        self.flush()?;
        loop {
            if self.file_message()? {
                return Ok(true);
            }
            if !self.fill(timeout)? {
                return Ok(false);
            }
        }
    }

    /// Introduces us, once. A server may be deaf to calls that come before its OK: systemd leaves them in its buffer
    /// until more bytes arrive.
    fn handshake(&mut self) -> Result<(), BusError> {
        if self.authenticated {
            return Ok(());
        }
        self.stream.write_all(HANDSHAKE).map_err(connection_error)?;
        while !self.authenticate()? {
            if !self.fill(Some(REPLY_TIMEOUT))? {
                return Err(BusError::Timeout);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BusError> {
        let result = self.stream.write_all(&self.out);
        self.out.clear();
        result.map_err(connection_error)
    }

    /// Reads once. False on a timeout.
    fn fill(&mut self, timeout: Option<Duration>) -> Result<bool, BusError> {
        self.stream.set_read_timeout(timeout).map_err(BusError::Io)?;
        self.input.drain(..self.start);
        self.start = 0;
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(BusError::Closed),
                Ok(length) => {
                    self.input.extend_from_slice(&buffer[..length]);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(connection_error(error)),
            }
        }
    }

    /// Reads the server's part of the handshake as far as it is there: `DATA`, then `OK guid`.
    fn authenticate(&mut self) -> Result<bool, BusError> {
        while !self.authenticated {
            let rest = &self.input[self.start..];
            let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
                return match rest.len() {
                    0..HANDSHAKE_LINE_MAX => Ok(false),
                    _ => Err(BusError::Protocol("endless handshake".into())),
                };
            };
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            self.start += end + 2;
            match line.split(' ').next() {
                Some("DATA") => {}
                Some("OK") => self.authenticated = true,
                _ => return Err(BusError::Refused(line)),
            }
        }
        Ok(true)
    }

    /// Takes one whole message from the input, if there is one, and puts it where it belongs.
    fn file_message(&mut self) -> Result<bool, BusError> {
        let rest = &self.input[self.start..];
        let Some(frame) = Frame::of(rest)? else { return Ok(false) };
        if rest.len() < frame.total() {
            return Ok(false);
        }
        let message = Incoming::decode(&rest[..frame.total()], &frame)?;
        self.start += frame.total();
        self.file(message);
        Ok(true)
    }

    fn file(&mut self, message: Incoming) {
        match message.kind {
            Incoming::RETURN => {
                self.replies.insert(Ticket(message.reply_serial), Ok(message.body));
            }
            Incoming::ERROR => {
                let text = message.body.decode().unwrap_or_else(|_| message.error_name.clone());
                let error = BusError::Reply { name: message.error_name, message: text };
                self.replies.insert(Ticket(message.reply_serial), Err(error));
            }
            Incoming::SIGNAL => {
                let Incoming { member, body, .. } = message;
                self.signals.push_back(Signal { member, body });
            }
            // A manager has no reason to call us, and the specification says to ignore unknown types.
            _ => {}
        }
    }
}

/// A peer that goes away shows as a reset or a broken pipe when bytes were under way.
fn connection_error(error: io::Error) -> BusError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => BusError::Closed,
        _ => BusError::Io(error),
    }
}

/// The sizes in the fixed part of a message.
struct Frame {
    endian: Endian,
    fields: usize,
    body: usize,
}

impl Frame {
    /// Bytes of the fixed part, which ends with the length of the header fields.
    const FIXED: usize = 16;

    /// Reads the fixed part; nothing when it is not all there yet.
    fn of(bytes: &[u8]) -> Result<Option<Self>, BusError> {
        let Some(fixed) = bytes.first_chunk::<{ Self::FIXED }>() else { return Ok(None) };
        let endian = match fixed[0] {
            b'l' => Endian::Little,
            b'B' => Endian::Big,
            other => return Err(BusError::Protocol(format!("a message starts with byte {other:#04x}"))),
        };
        let number = |at: usize| {
            let bytes = [fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]];
            let number = match endian {
                Endian::Little => u32::from_le_bytes(bytes),
                Endian::Big => u32::from_be_bytes(bytes),
            };
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let frame = Self { endian, body: number(4), fields: number(12) };
        match frame.fields.saturating_add(frame.body) {
            0..MESSAGE_MAX => Ok(Some(frame)),
            _ => Err(BusError::Protocol("a message longer than 128 MiB".into())),
        }
    }

    /// Where the body begins: behind the header fields, on a multiple of eight.
    fn body_start(&self) -> usize {
        (Self::FIXED + self.fields).next_multiple_of(8)
    }

    fn total(&self) -> usize {
        self.body_start() + self.body
    }
}

/// A message with its header fields decoded.
struct Incoming {
    kind: u8,
    reply_serial: u32,
    member: String,
    error_name: String,
    body: Body,
}

/// The header of a message as D-Bus lays it out: byte order, type, flags, version, body length, serial, fields.
type Header = (u8, u8, u8, u8, u32, u32, Vec<(u8, OwnedVariant)>);

impl Incoming {
    const RETURN: u8 = 2;
    const ERROR: u8 = 3;
    const SIGNAL: u8 = 4;

    fn decode(bytes: &[u8], frame: &Frame) -> Result<Self, BusError> {
        let data = Data::new(bytes, Context::new(frame.endian, 0));
        let (header, _): (Header, usize) =
            data.deserialize().map_err(|error| BusError::Protocol(error.to_string()))?;
        let body = Body {
            bytes: bytes[frame.body_start()..].to_vec(),
            signature: String::new(),
            endian: frame.endian,
        };
        let mut message =
            Self { kind: header.1, reply_serial: 0, member: String::new(), error_name: String::new(), body };
        for (code, value) in header.6 {
            message.set_field(code, &value);
        }
        Ok(message)
    }

    /// Field codes: D-Bus specification, "Header Fields".
    fn set_field(&mut self, code: u8, value: &Variant<'_>) {
        match (code, value) {
            (3, Variant::Str(member)) => self.member = member.to_string(),
            (4, Variant::Str(name)) => self.error_name = name.to_string(),
            (5, Variant::U32(serial)) => self.reply_serial = *serial,
            (8, Variant::Signature(signature)) => self.body.signature = signature.to_string_no_parens(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
