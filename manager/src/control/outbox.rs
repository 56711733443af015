//! Outboxes: what a connection has yet to send, so that a client which does not read delays nobody else.
//!
//! Never here: what is sent. Invariant: messages leave in the order in which they were pushed, each whole.

use std::cell::RefCell;
use std::collections::VecDeque;

use tokio::sync::Notify;
use zbus::{Connection, Message};

/// Most that may wait, in bytes: the signals of ten thousand units that change at once fit well.
const BYTES_MAX: usize = 32 << 20;
/// Messages sent in one go. Small, so that other tasks get their turn.
const BATCH: usize = 64;

/// A queue of messages with a limit, read by one task.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: RefCell<State>,
    pushed: Notify,
    closed: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Message>,
    /// Of what waits and of what is being sent.
    bytes: usize,
}

impl Outbox {
    /// Queues `message`. Full: it is dropped, and the client is not worth waiting for.
    pub(super) fn push(&self, message: Message) -> Result<(), Full> {
        let mut state = self.state.borrow_mut();
        let bytes = state.bytes + message.data().len();
        if bytes > BYTES_MAX {
            return Err(Full);
        }
        state.bytes = bytes;
        state.queue.push_back(message);
        self.pushed.notify_one();
        Ok(())
    }

    /// Makes [`drain`](Self::drain) return, with or without what waits, even out of the middle of a message.
    pub(super) fn close(&self) {
        self.closed.notify_one();
    }

    /// Whether everything has been given to the kernel.
    pub(super) fn is_empty(&self) -> bool {
        self.state.borrow().bytes == 0
    }

    /// Sends everything, for as long as the connection is good and nobody calls [`close`](Self::close).
    pub(super) async fn drain(&self, connection: &Connection) {
        tokio::select! {
            () = self.send_all(connection) => {}
            () = self.closed.notified() => {}
        }
    }

    async fn send_all(&self, connection: &Connection) {
        loop {
            let batch = self.state.borrow_mut().take_batch();
            if batch.is_empty() {
                self.pushed.notified().await;
                continue;
            }
            let bytes: usize = batch.iter().map(|message| message.data().len()).sum();
            if let Err(error) = connection.send_all(&batch).await {
                tracing::debug!(%error, "cannot send to a client");
                return;
            }
            self.state.borrow_mut().bytes -= bytes;
        }
    }
}

impl State {
    fn take_batch(&mut self) -> Vec<Message> {
        let count = self.queue.len().min(BATCH);
        let batch = self.queue.drain(..count).collect();
        if self.queue.is_empty() {
            // A burst must not stay in memory for the rest of a long connection.
            self.queue.shrink_to(BATCH);
        }
        batch
    }
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_the_rest_stays_in_order() {
        let outbox = Outbox::default();
        let text = "x".repeat(1 << 20);
        let message = |number: u32| Message::signal("/", "a.b", "C").build(&(number, &text)).unwrap();
        let mut pushed = 0;
        while outbox.push(message(pushed)).is_ok() {
            pushed += 1;
        }
        assert_eq!(pushed, 31, "the limit counts whole messages");
        let batch = outbox.state.borrow_mut().take_batch();
        let numbers: Vec<u32> =
            batch.iter().map(|m| m.body().deserialize::<(u32, String)>().unwrap().0).collect();
        assert_eq!(numbers, (0..pushed).collect::<Vec<_>>());
    }
}
