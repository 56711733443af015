//! The message bus: the same manager once more, under a name, for programs that do not know our socket.
//!
//! Never here: anything that peer-to-peer clients depend on. Invariant: a bus that is not there, goes away or is stuck
//! costs nothing but the clients on it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::wire::OwnedVariant;
use zbus::{Connection, Message, MessageStream};

use super::dispatch::Caller;
use super::hub::{Hub, Link, LinkKind};
use super::peer::next;
use crate::paths::Scope;

/// The manager's name.
const NAME: &str = "org.sockmgr.Manager1";
/// The bus's own name; its path and its interface are of the same words.
pub(super) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
/// Fail instead of waiting for the name's owner to go (D-Bus specification, "RequestName").
const DO_NOT_QUEUE: u32 = 4;
/// RequestName: the name is ours.
const PRIMARY_OWNER: u32 = 1;
/// Clients that leave the bus.
const DEPARTURES: &str = "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',\
     interface='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''";
/// First and longest wait before the bus is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Time for the bus to answer us.
pub(super) const BUS_TIMEOUT: Duration = Duration::from_secs(25);
/// Calls that wait in memory before the bus is no longer read.
const CALLS_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

/// Why we are not on the bus.
#[derive(Debug, thiserror::Error)]
pub(super) enum JoinError {
    #[error("there is no message bus")]
    NoBus,
    #[error("the message bus is not usable: {0}")]
    Bus(#[from] zbus::Error),
    #[error("another program has the name {NAME}")]
    NameTaken,
}

/// Serves the clients on the bus of `scope`, whenever there is one, for ever.
pub(super) async fn serve(hub: Rc<Hub>, scope: Scope) {
    let mut wait = RETRY_FIRST;
    let mut last_complaint = String::new();
    loop {
        let begin = Instant::now();
        match serve_once(&hub, address(scope)).await {
            Ok(()) => last_complaint.clear(),
            // The same cause is told once, not every minute.
            Err(error) if error.to_string() != last_complaint => {
                last_complaint = error.to_string();
                match error {
                    JoinError::NameTaken => tracing::warn!("not on the message bus: {last_complaint}"),
                    _ => tracing::debug!("not on the message bus: {last_complaint}"),
                }
            }
            Err(_) => {}
        }
        let lasted = begin.elapsed() > RETRY_MAX;
        wait = if lasted { RETRY_FIRST } else { wait };
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// Serves the clients on the bus at `address` until it is gone.
pub(super) async fn serve_once(hub: &Rc<Hub>, address: Option<String>) -> Result<(), JoinError> {
    let (session, messages) = Session::join(hub, &address.ok_or(JoinError::NoBus)?).await?;
    tracing::debug!("on the message bus as {NAME}");
    session.run(messages).await;
    tracing::debug!("the message bus is gone");
    Ok(())
}

/// Where the bus is, if it is there at all. Looked at each time: a session bus may come later than we do.
pub(super) fn address(scope: Scope) -> Option<String> {
    let socket = |path: PathBuf| path.exists().then(|| format!("unix:path={}", path.display()));
    match scope {
        Scope::System => std::env::var("DBUS_SYSTEM_BUS_ADDRESS")
            .ok()
            .or_else(|| socket(Path::new("/run/dbus/system_bus_socket").to_owned())),
        Scope::User => std::env::var("DBUS_SESSION_BUS_ADDRESS").ok().or_else(|| {
            let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR")?;
            socket(Path::new(&runtime_dir).join("bus"))
        }),
    }
}

/// One connection to the bus, as long as it lasts.
struct Session {
    hub: Rc<Hub>,
    link: Rc<Link>,
    connection: Connection,
    own_uid: u32,
    clients: RefCell<HashMap<String, Client>>,
}

/// What we know of a client on the bus.
enum Client {
    /// The bus was asked who it is; these calls wait for the answer, in order.
    Asked(Vec<Message>),
    /// It was told.
    Known(Caller),
}

impl Session {
    async fn join(hub: &Rc<Hub>, address: &str) -> Result<(Rc<Self>, MessageStream), JoinError> {
        let builder = Builder::address(address).max_queued(CALLS_MAX).method_timeout(BUS_TIMEOUT);
        let messages = within(builder.build_message_stream()).await?;
        let connection = Connection::from(&messages);
        // Nobody knows the name yet, so nothing comes in that nobody would read meanwhile.
        within(ask(&connection, "AddMatch", &DEPARTURES)).await?;
        let reply = within(ask(&connection, "RequestName", &(NAME, DO_NOT_QUEUE))).await?;
        if reply.body().deserialize::<u32>()? != PRIMARY_OWNER {
            return Err(JoinError::NameTaken);
        }
        let link = hub.join(LinkKind::Bus);
        let own_uid = sockmgr_sys::user::own_uid();
        let session = Self { hub: hub.clone(), link, connection, own_uid, clients: RefCell::default() };
        Ok((Rc::new(session), messages))
    }

    async fn run(self: Rc<Self>, mut messages: MessageStream) {
        let receive_all = async {
            while let Some(message) = next(&mut messages).await {
                self.receive(message);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = receive_all => {}
            () = self.link.outbox.drain(&self.connection) => {}
        }
        self.hub.leave(&self.link);
    }

    fn receive(self: &Rc<Self>, message: Message) {
        let Some(sender) = message.header().sender().map(ToString::to_string) else { return };
        match message.message_type() {
            Type::MethodCall => self.receive_call(sender, message),
            Type::Signal if sender == BUS => self.forget(&message),
            Type::Signal | Type::MethodReturn | Type::Error => {}
        }
    }

    fn receive_call(self: &Rc<Self>, sender: String, call: Message) {
        let mut clients = self.clients.borrow_mut();
        match clients.get_mut(&sender) {
            Some(Client::Known(caller)) => self.hub.answer(&self.link, &sender, *caller, &call),
            Some(Client::Asked(calls)) => calls.push(call),
            None => {
                clients.insert(sender.clone(), Client::Asked(vec![call]));
                // Not here and now: while we wait for this answer, nobody would read what the bus sends before it.
                self.hub.spawn(self.clone().identify(sender));
            }
        }
    }

    /// Finds out who `sender` is, then answers what it has called meanwhile.
    async fn identify(self: Rc<Self>, sender: String) {
        let caller = self.caller(&sender).await.unwrap_or_else(|error| {
            tracing::debug!(sender, %error, "cannot find out who a client is; it may only read");
            Caller::default()
        });
        let mut clients = self.clients.borrow_mut();
        // It may have left; then nobody waits for a reply.
        let Some(client) = clients.get_mut(&sender) else { return };
        if let Client::Asked(calls) = std::mem::replace(client, Client::Known(caller)) {
            calls.iter().for_each(|call| self.hub.answer(&self.link, &sender, caller, call));
        }
    }

    async fn caller(&self, sender: &str) -> zbus::Result<Caller> {
        let reply = ask(&self.connection, "GetConnectionCredentials", &sender).await?;
        let credentials: HashMap<String, OwnedVariant> = reply.body().deserialize()?;
        let number = |key: &str| credentials.get(key).and_then(|value| u32::try_from(value).ok());
        let may_change = number("UnixUserID").is_some_and(|uid| uid == 0 || uid == self.own_uid);
        Ok(Caller { pid: number("ProcessID"), may_change, is_subscribed: false })
    }

    /// A client has left the bus.
    fn forget(&self, signal: &Message) {
        if let Ok((name, _, new_owner)) = signal.body().deserialize::<(String, String, String)>()
            && new_owner.is_empty()
        {
            self.clients.borrow_mut().remove(&name);
            self.link.unsubscribe(&name);
        }
    }
}

/// Calls a method of the bus itself.
pub(super) async fn ask<B>(connection: &Connection, method: &str, body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + zbus::wire::DynamicType,
{
    connection.call_method(Some(BUS), BUS_PATH, Some(BUS), method, body).await
}

/// The same, but no longer than the bus may take.
pub(super) async fn within<T>(step: impl Future<Output = zbus::Result<T>>) -> zbus::Result<T> {
    match tokio::time::timeout(BUS_TIMEOUT, step).await {
        Ok(result) => result,
        Err(_) => Err(zbus::Error::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
    }
}
