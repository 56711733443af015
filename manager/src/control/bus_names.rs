//! Names on the message bus that services are to get (`BusName=`): who has them is asked here, on a connection of its own, since
//! ours under our name may be refused while this one is not.
//!
//! There is no connection before the first such service starts. Never here: what a name means for its unit. Invariant: each change
//! of owner is fed once, in the order in which the bus tells.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, Message};

use super::bus::{BUS, BUS_TIMEOUT, address, ask, within};
use super::hub::Hub;
use super::peer::next;
use crate::paths::Scope;

/// First and longest wait before the bus is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Tells the core about the names that it wants to know of, for ever.
pub(super) async fn watch(hub: Rc<Hub>, scope: Scope) {
    let wanted = hub.with_core(|core| core.bus_names_wanted());
    let mut wait = RETRY_FIRST;
    wanted.notified().await;
    loop {
        let outcome = match address(scope) {
            Some(address) => watch_on(&hub, &address).await.map_err(|error| error.to_string()),
            None => Err("there is none".to_owned()),
        };
        match outcome {
            Ok(()) => wait = RETRY_FIRST,
            Err(why) => tracing::warn!("cannot see on the message bus who has the names of services: {why}"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// The same on the bus at `address`, until it is gone.
async fn watch_on(hub: &Rc<Hub>, address: &str) -> zbus::Result<()> {
    let builder = Builder::address(address).method_timeout(BUS_TIMEOUT);
    let mut messages = within(builder.build_message_stream()).await?;
    let connection = Connection::from(&messages);
    let wanted = hub.with_core(|core| core.bus_names_wanted());
    let mut known = BTreeSet::new();
    loop {
        let names = hub.with_core(|core| core.bus_names());
        for name in names {
            if known.insert(name.clone()) {
                // Not here and now: while we wait for the answer nobody would read what comes before it.
                hub.spawn(ask_for(hub.clone(), connection.clone(), name));
            }
        }
        tokio::select! {
            message = next(&mut messages) => match message {
                Some(message) => feed(hub, &message),
                None => return Ok(()),
            },
            () = wanted.notified() => {}
        }
    }
}

/// Has the bus tell of this name's owners from now on, and asks whether it has one.
async fn ask_for(hub: Rc<Hub>, connection: Connection, name: String) {
    let rule =
        format!("type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{name}'");
    let outcome = async {
        within(ask(&connection, "AddMatch", &rule)).await?;
        let reply = within(ask(&connection, "NameHasOwner", &name)).await?;
        reply.body().deserialize::<bool>()
    };
    match outcome.await {
        Ok(is_owned) => tell(&hub, &name, is_owned),
        Err(error) => tracing::warn!("cannot ask the message bus who has the name {name}: {error}"),
    }
}

fn feed(hub: &Hub, message: &Message) {
    let is_from_bus = message.header().sender().is_some_and(|sender| sender.as_str() == BUS);
    if message.message_type() != Type::Signal || !is_from_bus {
        return;
    }
    if let Ok((name, _, new_owner)) = message.body().deserialize::<(String, String, String)>() {
        tell(hub, &name, !new_owner.is_empty());
    }
}

fn tell(hub: &Hub, name: &str, is_owned: bool) {
    hub.with_core(|core| core.bus_name_changed(name, is_owned));
    hub.broadcast();
}
