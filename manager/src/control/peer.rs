//! Peer to peer: the control socket, and one connection for each client of it.
//!
//! Never here: what is said. Invariant: nobody but root and the manager's own user gets past `accept`; the handshake of
//! D-Bus proves nothing.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zbus::connection::Builder;
use zbus::export::futures_core::Stream;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, OwnedGuid};

use super::dispatch::Caller;
use super::hub::{Hub, Link, LinkKind};

/// Connections at once; one more is closed. systemd allows 4096, at some 16 kB each.
const PEERS_MAX: usize = 1024;
/// Time for the handshake. Clients send all of it in one write.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls that wait in memory before the socket is no longer read.
const CALLS_MAX: NonZeroUsize = NonZeroUsize::new(16).expect("it is not zero");
/// Calls answered before other tasks get their turn.
const CALLS_PER_TURN: u32 = 16;
/// Wait after a failed accept(2), which is for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves all who connect, for ever.
pub(super) async fn accept(hub: Rc<Hub>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(PEERS_MAX));
    let guid = OwnedGuid::from(zbus::Guid::generate());
    let own_uid = sockmgr_sys::user::own_uid();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match (admit(&stream, own_uid), places.clone().try_acquire_owned()) {
                (Some(caller), Ok(place)) => {
                    hub.spawn(serve(hub.clone(), stream, guid.clone(), caller, place));
                }
                (Some(_), Err(_)) => {
                    tracing::warn!("more than {PEERS_MAX} clients at once; one was turned away")
                }
                (None, _) => {}
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Who has connected, if they may.
fn admit(stream: &UnixStream, own_uid: u32) -> Option<Caller> {
    let peer = stream.peer_cred().ok()?;
    if peer.uid() != 0 && peer.uid() != own_uid {
        tracing::warn!(uid = peer.uid(), "a client of another user was turned away");
        return None;
    }
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
    Some(Caller { pid, may_change: true, is_subscribed: false })
}

async fn serve(
    hub: Rc<Hub>,
    stream: UnixStream,
    guid: OwnedGuid,
    caller: Caller,
    _place: OwnedSemaphorePermit,
) {
    let Some(mut messages) = greet(stream, guid).await else { return };
    let connection = Connection::from(&messages);
    let link = hub.join(LinkKind::Private);
    tokio::select! {
        biased;
        () = answer_all(&hub, &link, caller, &mut messages) => {}
        () = link.outbox.drain(&connection) => {}
    }
    hub.leave(&link);
}

/// The handshake.
async fn greet(stream: UnixStream, guid: OwnedGuid) -> Option<MessageStream> {
    let stream = stream.into_std().ok()?;
    let builder = Builder::unix_stream(stream).server(guid).p2p().max_queued(CALLS_MAX);
    // One step: between two, the first calls of a client that does not wait would be lost.
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, builder.build_message_stream()).await {
        Ok(Ok(messages)) => Some(messages),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the handshake with a client failed");
            None
        }
        Err(_) => {
            tracing::debug!("a client did not finish the handshake in time");
            None
        }
    }
}

async fn answer_all(hub: &Hub, link: &Link, caller: Caller, messages: &mut MessageStream) {
    let mut count = 0u32;
    while let Some(message) = next(messages).await {
        if message.message_type() == Type::MethodCall {
            hub.answer(link, "", caller, &message);
        }
        count = count.wrapping_add(1);
        if count.is_multiple_of(CALLS_PER_TURN) {
            tokio::task::yield_now().await;
        }
    }
}

/// The next message; `None` when the connection has ended, well or badly.
pub(super) async fn next(messages: &mut MessageStream) -> Option<Message> {
    poll_fn(|cx| Pin::new(&mut *messages).poll_next(cx)).await?.ok()
}
