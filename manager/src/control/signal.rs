//! Signals: the engine's notices as messages.
//!
//! Never here: who gets them; a message only says whether it is for everybody or for subscribers. Invariant: a unit's
//! changed properties come before the end of the job that changed them, as in systemd, so that a client which waits for
//! the job then knows the result.

use std::collections::BTreeSet;

use serde::Serialize;
use sockmgr_engine::Notice;
use sockmgr_unit::UnitName;
use zbus::wire::DynamicType;
use zbus::{Message, OwnedObjectPath};

use super::Core;
use super::interface::Interface;
use super::object::{Object, unit_interfaces};
use super::value::Dict;
use super::{manager, path};

/// A signal and its audience.
#[derive(Debug)]
pub(super) struct News {
    pub(super) message: Message,
    /// Only those who called Subscribe want it.
    pub(super) is_for_subscribers: bool,
}

/// The signals that `notices` give rise to, in the order in which they are to be sent. Nothing is built for subscribers
/// that are not there.
pub(super) fn of_notices(core: &dyn Core, notices: &[Notice], has_subscribers: bool) -> Vec<News> {
    let mut news = Vec::new();
    if has_subscribers {
        news.extend(notices.iter().filter_map(unit_new));
        news.extend(changed_units(notices).into_iter().flat_map(|unit| properties_changed(core, unit)));
    }
    for notice in notices {
        match notice {
            Notice::JobNew { id, unit, .. } => {
                news.extend(for_everybody("JobNew", &(id.0, path::of_job(*id), unit.as_str())));
            }
            Notice::JobRemoved { id, unit, result } => {
                let body = (id.0, path::of_job(*id), unit.as_str(), result.as_str());
                news.extend(for_everybody("JobRemoved", &body));
            }
            Notice::UnitRemoved(unit) if has_subscribers => {
                news.extend(for_subscribers("UnitRemoved", &(unit.as_str(), path::of_unit(unit))));
            }
            Notice::UnitRemoved(_) | Notice::UnitNew(_) | Notice::UnitChanged(_) | Notice::Log { .. } => {}
        }
    }
    news
}

/// Says that all unit files are being read (true), or have been (false).
pub(super) fn reloading(active: bool) -> Option<News> {
    for_subscribers("Reloading", &active)
}

/// Says that links to unit files were made or removed.
pub(super) fn unit_files_changed() -> Option<News> {
    for_subscribers("UnitFilesChanged", &())
}

fn unit_new(notice: &Notice) -> Option<News> {
    let Notice::UnitNew(unit) = notice else { return None };
    for_subscribers("UnitNew", &(unit.as_str(), path::of_unit(unit)))
}

/// Each unit once: a message shows the state of now, so earlier ones would say the same.
fn changed_units(notices: &[Notice]) -> BTreeSet<&UnitName> {
    fn changed(notice: &Notice) -> Option<&UnitName> {
        if let Notice::UnitChanged(unit) = notice { Some(unit) } else { None }
    }
    notices.iter().filter_map(changed).collect()
}

/// What may have changed, for each interface of the unit that announces anything. A unit that is gone has none.
fn properties_changed(core: &dyn Core, unit: &UnitName) -> Vec<News> {
    if core.engine().unit(unit).is_none() {
        return Vec::new();
    }
    let subject = Object::Unit(unit.clone()).subject(core);
    let object = path::of_unit(unit);
    // The type's interface first, as in systemd: what waits for the active state finds the rest up to date.
    let interfaces = unit_interfaces(core.engine(), unit).into_iter().rev();
    let changed = |interface: &'static Interface| {
        let dict = Dict(interface.announced(&subject));
        if dict.0.is_empty() {
            return None;
        }
        let body = (interface.name, dict, Vec::<&str>::new());
        let message = build(&object, "org.freedesktop.DBus.Properties", "PropertiesChanged", &body)?;
        Some(News { message, is_for_subscribers: true })
    };
    interfaces.filter_map(changed).collect()
}

fn for_everybody<B: Serialize + DynamicType>(signal: &'static str, body: &B) -> Option<News> {
    Some(News { message: of_manager(signal, body)?, is_for_subscribers: false })
}

fn for_subscribers<B: Serialize + DynamicType>(signal: &'static str, body: &B) -> Option<News> {
    Some(News { message: of_manager(signal, body)?, is_for_subscribers: true })
}

fn of_manager<B: Serialize + DynamicType>(signal: &'static str, body: &B) -> Option<Message> {
    let object = OwnedObjectPath::try_from(path::MANAGER).expect("the manager's path is a valid one");
    build(&object, manager::NAME, signal, body)
}

/// Fails only when the message gets larger than D-Bus allows.
fn build<B: Serialize + DynamicType>(
    object: &OwnedObjectPath,
    interface: &'static str,
    member: &'static str,
    body: &B,
) -> Option<Message> {
    let built = Message::signal(object, interface, member).build(body);
    built.inspect_err(|error| tracing::error!(%object, member, %error, "cannot build a signal")).ok()
}
