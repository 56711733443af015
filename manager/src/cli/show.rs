//! show: the properties of units, of jobs or of the manager itself, as `NAME=VALUE` lines.
//!
//! Values are formatted in [`property`](super::property). Invariant: properties come in the manager's order, whatever the
//! order of `-p`.

use serde::{Serialize, Serializer};

use super::args::Flags;
use super::exit::{CliError, Exit, chain};
use super::manager::Properties;
use super::names::unit_path;
use super::property;
use super::session::Session;
use super::units;

/// Shows the properties of what the arguments name, or of the manager.
pub(crate) fn run(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    if arguments.is_empty() {
        let own = session.manager.own_properties()?;
        if !session.print_json(&Shown { properties: &own, flags: &session.flags })? {
            session.print(&lines(&own, &session.flags))?;
        }
        return Ok(Exit::Success);
    }
    let paths = objects(session, arguments)?;
    let (mut shown, mut exit) = (Vec::new(), Exit::Success);
    for (path, properties) in paths.iter().zip(session.manager.properties(&paths)?) {
        match properties {
            Ok(properties) => shown.push(properties),
            Err(error) => {
                eprintln!("Failed to get properties of {path}: {}", chain(&error));
                exit = Exit::Failure;
            }
        }
    }
    let objects: Vec<_> =
        shown.iter().map(|properties| Shown { properties, flags: &session.flags }).collect();
    if !session.print_json(&objects)? {
        let texts: Vec<String> = shown.iter().map(|properties| lines(properties, &session.flags)).collect();
        session.print(&texts.join("\n"))?;
    }
    Ok(exit)
}

/// A number names a job, everything else units.
fn objects(session: &mut Session, arguments: &[String]) -> Result<Vec<String>, CliError> {
    let mut paths = Vec::new();
    for argument in arguments {
        match argument.parse::<u32>() {
            Ok(job) => paths.push(format!("/org/freedesktop/systemd1/job/{job}")),
            Err(_) => {
                let names = units::expand(session, std::slice::from_ref(argument))?;
                paths.extend(names.iter().map(|name| unit_path(name)));
            }
        }
    }
    Ok(paths)
}

/// Properties without a value are left out, unless they are asked for.
fn lines(properties: &Properties, flags: &Flags) -> String {
    let wanted = flags.properties();
    let empty_too = flags.all || !wanted.is_empty();
    let mut text = String::new();
    for (name, value) in properties.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)) {
        let texts = property::texts(name, value);
        let texts = texts.or_else(|| empty_too.then(|| vec![property::UNPRINTABLE.into()]));
        for line in texts.unwrap_or_default() {
            if line.is_empty() && !empty_too {
                continue;
            }
            if !flags.values_only() {
                text.push_str(name);
                text.push('=');
            }
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// Properties as one JSON object, in the manager's order.
struct Shown<'a> {
    properties: &'a Properties,
    flags: &'a Flags,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wanted = self.flags.properties();
        let own = self.properties.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
        serializer.collect_map(own.map(|(name, value)| (name, property::json(value))))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn sample() -> Properties {
        let listen =
            vec![("Stream".to_owned(), "0.0.0.0:80".to_owned()), ("Datagram".to_owned(), "/x".to_owned())];
        Properties::of([
            ("Accept", false.into()),
            ("Listen", listen.into()),
            ("TimeoutUSec", 90_000_000u64.into()),
            ("Id", "web.socket".into()),
            ("SourcePath", "".into()),
        ])
    }

    fn flags(property: &[&str], value_of: &[&str], all: bool) -> Flags {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Flags { property: own(property), property_value: own(value_of), all, ..Flags::default() }
    }

    #[test]
    fn everything_with_a_value_is_shown() {
        expect![[r#"
            Accept=no
            Listen=0.0.0.0:80 (Stream)
            Listen=/x (Datagram)
            TimeoutUSec=1min 30s
            Id=web.socket
        "#]]
        .assert_eq(&lines(&sample(), &flags(&[], &[], false)));
        assert!(lines(&sample(), &flags(&[], &[], true)).ends_with("SourcePath=\n"));
    }

    #[test]
    fn only_what_is_asked_for_is_shown() {
        expect![[r#"
            Accept=no
            Id=web.socket
            SourcePath=
        "#]]
        .assert_eq(&lines(&sample(), &flags(&["Id", "", "Accept", "SourcePath", "Nothing"], &[], false)));
        assert_eq!(
            lines(&sample(), &flags(&[], &["Id", "Listen"], false)),
            "0.0.0.0:80 (Stream)\n/x (Datagram)\nweb.socket\n"
        );
    }

    #[test]
    fn json_keeps_types_and_order() {
        let flags = flags(&["Id", "Listen", "TimeoutUSec", "Accept"], &[], false);
        let shown = serde_json::to_string(&Shown { properties: &sample(), flags: &flags }).unwrap();
        expect![[r#"{"Accept":false,"Listen":[["Stream","0.0.0.0:80"],["Datagram","/x"]],"TimeoutUSec":90000000,"Id":"web.socket"}"#]]
            .assert_eq(&shown);
    }
}
