//! The interfaces that every object has: Properties, Introspectable and Peer (D-Bus specification, "Standard Interfaces").
//!
//! Never here: a property or an interface by name. Invariant: `GetAll("")` is all interfaces together; systemctl lives on it.

use super::dispatch::{Answer, Call};
use super::error::{BusError, ErrorName};
use super::interface::{Access, Interface, Method, Signal};
use super::introspect;
use super::value::Dict;

/// All of them.
pub(super) static INTERFACES: [&Interface; 3] = [&PROPERTIES, &INTROSPECTABLE, &PEER];

static PROPERTIES: Interface = Interface {
    name: "org.freedesktop.DBus.Properties",
    methods: &[
        Method::any(
            "Get",
            Access::Read,
            &[("interface_name", "s"), ("property_name", "s")],
            &[("value", "v")],
            get,
        ),
        Method::any("GetAll", Access::Read, &[("interface_name", "s")], &[("props", "a{sv}")], get_all),
        Method::any(
            "Set",
            Access::Read,
            &[("interface_name", "s"), ("property_name", "s"), ("value", "v")],
            &[],
            set,
        ),
    ],
    signals: &[Signal {
        name: "PropertiesChanged",
        arguments: &[
            ("interface_name", "s"),
            ("changed_properties", "a{sv}"),
            ("invalidated_properties", "as"),
        ],
    }],
    ..Interface::EMPTY
};

static INTROSPECTABLE: Interface = Interface {
    name: "org.freedesktop.DBus.Introspectable",
    methods: &[Method::any("Introspect", Access::Read, &[], &[("xml_data", "s")], introspect)],
    ..Interface::EMPTY
};

static PEER: Interface = Interface {
    name: "org.freedesktop.DBus.Peer",
    methods: &[
        Method::any("Ping", Access::Read, &[], &[], |call| call.answer(&())),
        Method::any("GetMachineId", Access::Read, &[], &[("machine_uuid", "s")], machine_id),
    ],
    ..Interface::EMPTY
};

/// The interfaces that a caller means: all of them by the empty name.
fn meant(call: &Call<'_>, name: &str) -> Result<Vec<&'static Interface>, BusError> {
    let mut interfaces = call.object.interfaces(call.core.engine());
    interfaces.retain(|interface| name.is_empty() || interface.name == name);
    if interfaces.is_empty() {
        return Err(BusError::new(ErrorName::UnknownInterface, format!("Unknown interface '{name}'.")));
    }
    Ok(interfaces)
}

fn get(call: &mut Call<'_>) -> Answer {
    let (interface, property): (String, String) = call.arguments()?;
    let interfaces = meant(call, &interface)?;
    let subject = call.object.subject(&*call.core);
    let value = interfaces.iter().find_map(|interface| interface.get(&subject, &property));
    call.answer(&value.ok_or_else(|| unknown_property(&property))?)
}

fn get_all(call: &mut Call<'_>) -> Answer {
    let interface: String = call.arguments()?;
    let interfaces = meant(call, &interface)?;
    let subject = call.object.subject(&*call.core);
    call.answer(&Dict(interfaces.iter().flat_map(|interface| interface.get_all(&subject)).collect()))
}

fn set(call: &mut Call<'_>) -> Answer {
    let (interface, property, _): (String, String, zbus::OwnedVariant) = call.arguments()?;
    let interfaces = meant(call, &interface)?;
    let subject = call.object.subject(&*call.core);
    if interfaces.iter().any(|interface| interface.get(&subject, &property).is_some()) {
        return Err(BusError::new(
            ErrorName::PropertyReadOnly,
            format!("Property '{property}' is not writable."),
        ));
    }
    Err(unknown_property(&property))
}

fn unknown_property(name: &str) -> BusError {
    BusError::new(ErrorName::UnknownProperty, format!("Unknown property '{name}'."))
}

fn introspect(call: &mut Call<'_>) -> Answer {
    call.answer(&introspect::document(&*call.core, &call.object))
}

fn machine_id(call: &mut Call<'_>) -> Answer {
    let id = std::fs::read_to_string("/etc/machine-id")
        .map_err(|error| BusError::new(ErrorName::Failed, format!("Cannot read /etc/machine-id: {error}")))?;
    call.answer(&id.trim())
}
