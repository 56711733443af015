//! What a unit will do: where it listens, what it starts, as whom, and what that needs.
//!
//! Never here: what is wrong with it. Invariant: nothing is asked of the machine; the files alone say it.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use sockmgr_unit::value::Instances;
use sockmgr_unit::{Library, Listen, LoadState, Property, Unit, UnitName};

/// What is to be said of one unit. What does not concern it is empty.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    /// The unit's name; a template's is its own.
    pub(super) unit: String,
    /// Its main file.
    file: Option<PathBuf>,
    /// `loaded`, `bad-setting`, …
    load: &'static str,
    /// Addresses, with their kind.
    listens: Vec<String>,
    /// What traffic starts.
    starts: Option<String>,
    /// Sockets whose traffic starts it.
    started_by: Vec<String>,
    /// Command lines of the main process.
    runs: Vec<String>,
    /// The user that these run as.
    user: Option<String>,
    /// Privileges, each with what needs it.
    needs: Vec<String>,
}

impl Explanation {
    pub(super) fn of(library: &mut Library, name: &UnitName, unit: &Unit) -> Self {
        let loaded = unit.load_state == LoadState::Loaded;
        let only = |list: Vec<String>| if loaded { list } else { Vec::new() };
        Self {
            unit: name.to_string(),
            file: unit.fragment_path.as_deref().map(Into::into),
            load: unit.load_state.as_str(),
            listens: only(listens(unit)),
            starts: starts(unit).filter(|_| loaded),
            started_by: only(started_by(library, name)),
            runs: only(runs(unit)),
            user: user(unit).filter(|_| loaded),
            needs: only(
                needs(unit).into_iter().map(|need| format!("{} for {}", need.name, need.why)).collect(),
            ),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.unit, self.load)?;
        let mut say = |label: &str, values: &[String]| {
            values.iter().try_for_each(|value| writeln!(f, "  {label:<11} {value}"))
        };
        say("listens on", &self.listens)?;
        say("starts", self.starts.as_slice())?;
        say("started by", &self.started_by)?;
        say("runs", &self.runs)?;
        say("as user", self.user.as_slice())?;
        say("needs", &self.needs)
    }
}

fn listens(unit: &Unit) -> Vec<String> {
    let Some(socket) = unit.socket() else { return Vec::new() };
    let count = match socket.instances {
        Some(Instances::Count(count)) if !socket.accept => format!(", {count} listeners"),
        Some(Instances::Auto) if !socket.accept => ", a listener for each CPU".to_owned(),
        _ => String::new(),
    };
    let shown = |listen: &Listen| {
        let own = if listen.address.is_inet() { count.as_str() } else { "" };
        format!("{} ({}{own})", listen.address, listen.kind.as_str().to_lowercase())
    };
    socket.listen.iter().map(shown).collect()
}

fn starts(unit: &Unit) -> Option<String> {
    let service = unit.triggers()?;
    let socket = unit.socket()?;
    Some(match socket.instances {
        _ if socket.accept => format!("an instance of {service} for each connection"),
        Some(Instances::Count(count)) => format!("{count} instances of {service}"),
        Some(Instances::Auto) => format!("an instance of {service} for each CPU"),
        None => service.to_string(),
    })
}

/// The sockets that start `name`, a service or a template.
pub(super) fn started_by(library: &mut Library, name: &UnitName) -> Vec<String> {
    let mut sockets: Vec<UnitName> =
        library.names().filter(|other| other.as_str().ends_with(".socket")).cloned().collect();
    sockets.sort();
    let starts = |socket: &UnitName| {
        let own = if socket.is_template() { socket.with_instance("1").ok() } else { Some(socket.clone()) };
        own.is_some_and(|own| library.unit(&own).triggers().as_ref() == Some(name))
    };
    let found = sockets.into_iter().filter(starts).map(|socket| socket.to_string()).collect();
    // What is wrong with those is told when they are asked for.
    library.take_diagnostics();
    found
}

fn runs(unit: &Unit) -> Vec<String> {
    let commands = unit.service().map(|service| service.service.exec_start.as_slice()).unwrap_or_default();
    commands.iter().map(|command| command.argv.join(" ")).collect()
}

fn user(unit: &Unit) -> Option<String> {
    let exec = &unit.service()?.exec;
    exec.user.as_ref().map(|user| user.as_str().to_owned())
}

/// A capability (capabilities(7)), and what of the unit wants it.
pub(super) struct Need {
    pub(super) name: &'static str,
    /// Its number.
    pub(super) bit: u32,
    pub(super) why: String,
}

const NET_BIND_SERVICE: (&str, u32) = ("CAP_NET_BIND_SERVICE", 10);
const NET_ADMIN: (&str, u32) = ("CAP_NET_ADMIN", 12);
const CHOWN: (&str, u32) = ("CAP_CHOWN", 0);
const SETUID: (&str, u32) = ("CAP_SETUID", 7);
const SETGID: (&str, u32) = ("CAP_SETGID", 6);

/// The first port that anybody may listen on, unless the kernel was told otherwise (ip(7), ip_unprivileged_port_start).
const FIRST_FREE_PORT: u16 = 1024;

/// Everything that an ordinary user could not have done.
pub(super) fn needs(unit: &Unit) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut need = |(name, bit): (&'static str, u32), why: String| needs.push(Need { name, bit, why });
    let set = |property: &str| match unit.property(property) {
        Some(Property::Bool(set)) => set,
        Some(Property::I32(value)) => value >= 0,
        Some(Property::Str(text)) => !text.is_empty(),
        _ => false,
    };
    for listen in unit.socket().map(|socket| socket.listen.as_slice()).unwrap_or_default() {
        if listen.address.socket_addr(true).is_some_and(|address| address.port() < first_free_port()) {
            need(NET_BIND_SERVICE, format!("{}", listen.address));
        }
    }
    for directive in ["Mark", "Transparent"] {
        if set(directive) {
            need(NET_ADMIN, format!("{directive}="));
        }
    }
    if matches!(unit.property("Priority"), Some(Property::I32(priority)) if priority > 6) {
        need(NET_ADMIN, "Priority= above 6".to_owned());
    }
    for directive in ["SocketUser", "SocketGroup"] {
        if set(directive) {
            need(CHOWN, format!("{directive}="));
        }
    }
    if unit.service().is_some() {
        for (directive, capability) in [("User", SETUID), ("Group", SETGID)] {
            if set(directive) {
                need(capability, format!("{directive}="));
            }
        }
    }
    needs
}

fn first_free_port() -> u16 {
    let told = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    told.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(FIRST_FREE_PORT)
}
