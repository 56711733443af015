//! Introspection: the tables as XML, for busctl, d-feet and code generators.
//!
//! Never here: a name that is not in a table. Invariant: every property, method and signal of an object is listed once.

use std::fmt::{self, Write};

use super::Core;
use super::interface::{Argument, Interface, Method, Signal};
use super::object::Object;
use super::path;
use super::subject::Subject;

const DOCTYPE: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n\
     \"https://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n";

/// The document for one object: its interfaces and the objects right below it.
pub(super) fn document(core: &dyn Core, object: &Object) -> String {
    let mut xml = DOCTYPE.to_owned();
    write_node(&mut xml, core, object).expect("a String takes all that is written");
    xml
}

fn write_node(xml: &mut String, core: &dyn Core, object: &Object) -> fmt::Result {
    let subject = object.subject(core);
    xml.push_str("<node>\n");
    for interface in object.interfaces(core.engine()) {
        write_interface(xml, interface, &subject)?;
    }
    for child in children(core, object) {
        writeln!(xml, " <node name=\"{child}\"/>")?;
    }
    xml.push_str("</node>\n");
    Ok(())
}

fn children(core: &dyn Core, object: &Object) -> Vec<String> {
    let one = |name: &str| vec![name.to_owned()];
    match object {
        Object::Manager => vec!["unit".to_owned(), "job".to_owned()],
        Object::Parent("/") => one("org"),
        Object::Parent("/org") => one("freedesktop"),
        Object::Parent("/org/freedesktop") => one("systemd1"),
        Object::Parent(path::UNITS) => {
            core.engine().unit_names().map(|name| path::escape(name.as_str())).collect()
        }
        Object::Parent(path::JOBS) => core.engine().jobs().map(|job| job.id.to_string()).collect(),
        Object::Parent(_) | Object::Unit(_) | Object::Job(_) => Vec::new(),
    }
}

fn write_interface(xml: &mut String, interface: &Interface, subject: &Subject<'_>) -> fmt::Result {
    writeln!(xml, " <interface name=\"{}\">", interface.name)?;
    for (name, signature, is_announced) in interface.properties(subject) {
        writeln!(xml, "  <property name=\"{name}\" type=\"{signature}\" access=\"read\">")?;
        writeln!(
            xml,
            "   <annotation name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" value=\"{is_announced}\"/>"
        )?;
        writeln!(xml, "  </property>")?;
    }
    for Method { name, input, output, .. } in interface.methods {
        writeln!(xml, "  <method name=\"{name}\">")?;
        write_arguments(xml, input, " direction=\"in\"")?;
        write_arguments(xml, output, " direction=\"out\"")?;
        writeln!(xml, "  </method>")?;
    }
    for Signal { name, arguments } in interface.signals {
        writeln!(xml, "  <signal name=\"{name}\">")?;
        write_arguments(xml, arguments, "")?;
        writeln!(xml, "  </signal>")?;
    }
    writeln!(xml, " </interface>")
}

fn write_arguments(xml: &mut String, arguments: &[Argument], direction: &str) -> fmt::Result {
    for (name, signature) in arguments {
        writeln!(xml, "   <arg type=\"{signature}\" name=\"{name}\"{direction}/>")?;
    }
    Ok(())
}
