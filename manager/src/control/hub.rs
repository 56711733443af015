//! The hub: all connections of clients, and the one place where replies and signals are put in their order.
//!
//! Never here: what a call means (`dispatch`), how a connection comes about (`peer`, `bus`). Invariant: no borrow of the
//! core outlives a call; nothing here awaits with one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::time::Duration;

use sockmgr_engine::Notice;
use tokio::task::JoinSet;
use zbus::Message;

use super::dispatch::{Caller, Dispatcher};
use super::error::StartError;
use super::outbox::{Full, Outbox};
use super::{Core, bus, bus_names, peer, signal};
use crate::paths::Scope;

/// How long clients have at the end to take what waits for them.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long after a client has left.
const TIDY_AFTER: Duration = Duration::from_millis(250);

/// All clients of the manager.
pub struct Hub {
    core: Rc<RefCell<dyn Core>>,
    dispatcher: RefCell<Dispatcher>,
    links: RefCell<Vec<Rc<Link>>>,
    tasks: RefCell<JoinSet<()>>,
    /// A task waits to give memory back.
    is_tidying: Cell<bool>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("links", &self.links.borrow().len()).finish_non_exhaustive()
    }
}

impl Hub {
    /// Serves clients on `listener`, which is bound where only its owner can connect, and, whenever there is one, on the
    /// bus of `scope`. To be called within a [`tokio::task::LocalSet`], on whose thread everything happens.
    ///
    /// # Errors
    /// The listener cannot be watched. A bus that is not there is no error.
    pub fn start(
        core: Rc<RefCell<dyn Core>>,
        listener: UnixListener,
        scope: Scope,
    ) -> Result<Rc<Self>, StartError> {
        let hub = Self::without_bus(core, listener)?;
        hub.spawn(bus::serve(hub.clone(), scope));
        hub.spawn(bus_names::watch(hub.clone(), scope));
        Ok(hub)
    }

    /// The same, peer to peer only.
    pub(super) fn without_bus(
        core: Rc<RefCell<dyn Core>>,
        listener: UnixListener,
    ) -> Result<Rc<Self>, StartError> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        let hub = Rc::new(Self {
            core,
            dispatcher: RefCell::default(),
            links: RefCell::default(),
            tasks: RefCell::default(),
            is_tidying: Cell::new(false),
        });
        hub.spawn(peer::accept(hub.clone(), listener));
        Ok(hub)
    }

    /// Tells clients what the core has to tell. To be called after everything that may have changed something; a call
    /// for nothing costs nothing.
    pub fn broadcast(&self) {
        let mut core = self.core.borrow_mut();
        let notices = core.take_notices();
        self.tell(&*core, &notices);
    }

    /// Does something with the core, which nobody else has then.
    pub(super) fn with_core<T>(&self, what: impl FnOnce(&mut dyn Core) -> T) -> T {
        what(&mut *self.core.borrow_mut())
    }

    /// Ends all connections, after a moment for what waits to be sent. Nothing of the hub holds the core afterwards but
    /// the hub itself.
    pub async fn stop(&self) {
        let all_sent = async {
            while !self.links.borrow().iter().all(|link| link.outbox.is_empty()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(FAREWELL, all_sent).await.is_err() {
            tracing::debug!("some clients did not take what was for them");
        }
        let mut tasks = self.tasks.take();
        tasks.shutdown().await;
        self.links.borrow_mut().clear();
    }

    /// Runs `task` until it ends or the hub stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        // Those that ended since are forgotten here, so that the set does not grow.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(task);
    }

    /// Makes a connection known: it gets signals from now on, until [`leave`](Self::leave).
    pub(super) fn join(&self, kind: LinkKind) -> Rc<Link> {
        let link = Rc::new(Link {
            kind,
            outbox: Outbox::default(),
            subscribers: RefCell::default(),
            lost: Cell::new(0),
        });
        self.links.borrow_mut().push(link.clone());
        link
    }

    pub(super) fn leave(self: &Rc<Self>, link: &Rc<Link>) {
        self.links.borrow_mut().retain(|other| !Rc::ptr_eq(other, link));
        if !self.is_tidying.replace(true) {
            self.spawn(self.clone().tidy());
        }
    }

    /// Big answers (a list of all units) leave a big heap behind. A moment after clients have left, when nobody waits, what is free of
    /// it goes back.
    async fn tidy(self: Rc<Self>) {
        tokio::time::sleep(TIDY_AFTER).await;
        self.is_tidying.set(false);
        sockmgr_sys::memory::give_back();
    }

    /// Performs a call that came over `link` from `client` (its name on the bus, empty where there is none). Queues the
    /// reply, then the signals.
    pub(super) fn answer(&self, link: &Link, client: &str, caller: Caller, call: &Message) {
        let mut core = self.core.borrow_mut();
        let caller = Caller { is_subscribed: link.subscribers.borrow().contains(client), ..caller };
        let outcome = self.dispatcher.borrow_mut().dispatch(&mut *core, caller, call);
        if let Some(reply) = outcome.reply {
            link.push(reply);
        }
        match outcome.subscription {
            Some(true) => link.subscribe(client),
            Some(false) => link.unsubscribe(client),
            None => {}
        }
        if outcome.reloaded {
            [true, false].into_iter().filter_map(signal::reloading).for_each(|news| self.send(&news));
        }
        if outcome.unit_files_changed {
            signal::unit_files_changed().into_iter().for_each(|news| self.send(&news));
        }
        let mut notices = outcome.notices;
        notices.extend(core.take_notices());
        self.tell(&*core, &notices);
    }

    fn tell(&self, core: &dyn Core, notices: &[Notice]) {
        if notices.is_empty() || self.links.borrow().is_empty() {
            return;
        }
        let has_subscribers = self.links.borrow().iter().any(|link| link.has_subscribers());
        for news in signal::of_notices(core, notices, has_subscribers) {
            self.send(&news);
        }
    }

    fn send(&self, news: &signal::News) {
        let links = self.links.borrow();
        for link in links.iter().filter(|link| !news.is_for_subscribers || link.has_subscribers()) {
            link.push(news.message.clone());
        }
    }
}

/// What is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// One client, peer to peer.
    Private,
    /// A bus, with many clients behind it.
    Bus,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    kind: LinkKind,
    pub(super) outbox: Outbox,
    /// Clients that called Subscribe.
    subscribers: RefCell<BTreeSet<String>>,
    /// Messages dropped because the bus did not take them.
    lost: Cell<u64>,
}

impl Link {
    fn push(&self, message: Message) {
        match (self.outbox.push(message), self.kind) {
            (Ok(()), _) => self.lost.set(0),
            (Err(Full), LinkKind::Private) => {
                tracing::warn!("a client does not read what it is told; disconnected");
                self.outbox.close();
            }
            // The other clients of the bus are not to suffer; one warning for each time that it is stuck.
            (Err(Full), LinkKind::Bus) => {
                if self.lost.replace(self.lost.get() + 1) == 0 {
                    tracing::warn!("the message bus does not take messages; some are lost");
                }
            }
        }
    }

    fn has_subscribers(&self) -> bool {
        !self.subscribers.borrow().is_empty()
    }

    fn subscribe(&self, client: &str) {
        self.subscribers.borrow_mut().insert(client.to_owned());
    }

    /// Forgets a subscription, if there is one.
    pub(super) fn unsubscribe(&self, client: &str) {
        self.subscribers.borrow_mut().remove(client);
    }
}
