//! status: what a unit is and does, for people.
//!
//! What it takes is asked for here and drawn in [`view`]. Invariant: a unit that goes away between two questions is shown
//! as far as it was still there.

mod view;

use serde::Serialize;
use sockmgr_unit::UnitType;

use self::view::View;
use super::exit::{CliError, Exit, chain};
use super::format;
use super::groups;
use super::logs;
use super::manager::{Properties, UnitProcess};
use super::names::unit_path;
use super::property::QueueRow;
use super::session::Session;
use super::units::{self, Filter};

/// How many log lines are shown unless `--lines` says otherwise.
const LOG_LINES: usize = 10;

/// Another unit and its active state.
#[derive(Debug, Serialize)]
struct Neighbour {
    unit: String,
    active: String,
}

/// One instance of a group, and what waits for it.
#[derive(Debug, Default, Serialize)]
struct Instance {
    slot: u32,
    unit: String,
    main_pid: u32,
    state: String,
    rotation: String,
    in_rotation: bool,
    generation: u32,
    queue: Option<u32>,
    queue_limit: u32,
    queue_drops: u32,
    /// Microseconds, where it is known.
    oldest: Option<u64>,
    /// Steered there per second, where it is known.
    rate: Option<f64>,
}

impl Instance {
    fn of(properties: &Properties) -> Self {
        let rotation = properties.text("Rotation");
        Self {
            slot: properties.u32("Slot"),
            unit: properties.text("Unit").to_owned(),
            main_pid: properties.u32("MainPID"),
            state: properties.text("SubState").to_owned(),
            rotation: rotation.to_owned(),
            in_rotation: rotation == "in",
            generation: properties.u32("Generation"),
            queue: properties.get("QueueLength").map(|_| properties.u32("QueueLength")),
            queue_limit: properties.u32("QueueLimit"),
            queue_drops: properties.u32("QueueDrops"),
            oldest: properties.u64("OldestUSec"),
            rate: properties.f64("SteeredPerSecond"),
        }
    }
}

/// All that is asked for to show one unit.
struct UnitStatus {
    properties: Properties,
    triggered_by: Vec<Neighbour>,
    triggers: Vec<Neighbour>,
    instances: Vec<Instance>,
    processes: Vec<UnitProcess>,
    logs: Vec<String>,
}

/// Shows the units that the arguments name (a number is a process id), or the manager.
pub(crate) fn run(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    if arguments.is_empty() {
        return manager(session);
    }
    let (names, paths) = objects(session, arguments)?;
    show(session, &names, &paths)
}

/// Shows the units of the object `paths`; the names are for messages.
fn show(session: &mut Session, names: &[String], paths: &[String]) -> Result<Exit, CliError> {
    let (mut exit, mut all) = (Exit::Success, Vec::new());
    for (name, properties) in names.iter().zip(session.manager.properties(paths)?) {
        let properties = match properties {
            Ok(properties) => properties,
            Err(error) => {
                eprintln!("Failed to get properties of {name}: {}", chain(&error));
                exit = exit.or(Exit::Failure);
                continue;
            }
        };
        exit = exit.or(judge(&properties));
        if is_missing(&properties) {
            eprintln!("Unit {name} could not be found.");
        } else {
            all.push(UnitStatus::gather(session, properties)?);
        }
    }
    print(session, &all)?;
    Ok(exit)
}

/// Names, for messages, and object paths.
fn objects(session: &mut Session, arguments: &[String]) -> Result<(Vec<String>, Vec<String>), CliError> {
    let (mut names, mut paths) = (Vec::new(), Vec::new());
    for argument in arguments {
        if let Ok(pid) = argument.parse() {
            names.push(argument.clone());
            paths.push(session.manager.unit_of_pid(pid)?);
            continue;
        }
        for name in units::expand(session, std::slice::from_ref(argument))? {
            paths.push(unit_path(&name));
            names.push(name);
        }
    }
    Ok((names, paths))
}

fn is_missing(properties: &Properties) -> bool {
    properties.text("LoadState") == "not-found" && properties.text("ActiveState") == "inactive"
}

fn judge(properties: &Properties) -> Exit {
    match properties.text("ActiveState") {
        _ if is_missing(properties) => Exit::Unknown,
        "inactive" | "failed" => Exit::NotRunning,
        _ => Exit::Success,
    }
}

fn print(session: &Session, all: &[UnitStatus]) -> Result<(), CliError> {
    let summaries: Vec<Summary<'_>> = all.iter().map(Summary::of).collect();
    if session.print_json(&summaries)? {
        return Ok(());
    }
    let view = View { style: session.style, width: session.width(), now: format::now() };
    let texts: Vec<String> = all.iter().map(|status| view.unit(status)).collect();
    session.print(&texts.join("\n"))
}

impl UnitStatus {
    /// Asks for what the properties refer to.
    fn gather(session: &mut Session, properties: Properties) -> Result<Self, CliError> {
        let triggered_by = neighbours(session, properties.texts("TriggeredBy"))?;
        let triggers = neighbours(session, properties.texts("Triggers"))?;
        let processes = match properties.text("ControlGroup") {
            "" => Vec::new(),
            // A unit may stop between the two questions: then there is nothing to show.
            _ => session.manager.processes(properties.text("Id")).unwrap_or_default(),
        };
        let instances = match properties.get("Slots") {
            // As with the processes.
            Some(_) => groups::measured(session, &[properties.text("Id").to_owned()]).unwrap_or_default(),
            None => Vec::new(),
        };
        let instances = instances.iter().map(Instance::of).collect();
        let lines = session.flags.lines.unwrap_or(LOG_LINES);
        let mut logs = logs::tail(properties.text("StandardOutput"), lines);
        if logs.is_empty() {
            logs = logs::last(&session.target, properties.text("Id"), lines, session.style);
        }
        Ok(Self { properties, triggered_by, triggers, instances, processes, logs })
    }

    /// When the unit got into its present state.
    fn since(&self) -> u64 {
        let name = match self.properties.text("ActiveState") {
            "active" | "reloading" => "ActiveEnterTimestamp",
            "inactive" | "failed" => "InactiveEnterTimestamp",
            "activating" => "InactiveExitTimestamp",
            _ => "ActiveExitTimestamp",
        };
        self.properties.u64(name).unwrap_or(0)
    }
}

fn neighbours(session: &mut Session, units: Vec<String>) -> Result<Vec<Neighbour>, CliError> {
    let states = session.manager.unit_texts(&units, "ActiveState")?;
    let pairs = units.into_iter().zip(states);
    Ok(pairs.map(|(unit, active)| Neighbour { unit, active: active.unwrap_or_default() }).collect())
}

/// How the group of a socket is steered.
#[derive(Serialize)]
struct Steering<'a> {
    make: &'a str,
    reason: &'a str,
    migration: &'a str,
}

impl<'a> Steering<'a> {
    /// `None` where there is no group.
    fn of(properties: &'a Properties) -> Option<Self> {
        let [make, reason, migration] =
            ["SteeringMake", "SteeringReason", "Migration"].map(|name| properties.text(name));
        (!make.is_empty()).then_some(Self { make, reason, migration })
    }
}

/// A unit's status for programs.
#[derive(Serialize)]
struct Summary<'a> {
    unit: &'a str,
    description: &'a str,
    load: &'a str,
    active: &'a str,
    sub: &'a str,
    result: &'a str,
    /// Microseconds since 1970, 0 for never.
    since: u64,
    fragment: &'a str,
    drop_ins: Vec<String>,
    triggered_by: &'a [Neighbour],
    triggers: &'a [Neighbour],
    listen: Vec<(String, String)>,
    accepted: u32,
    connections: u32,
    main_pid: u32,
    status_text: &'a str,
    instances: &'a [Instance],
    /// Microseconds from the first traffic until the first of them was ready.
    cold_start: Option<u64>,
    queues: Vec<QueueRow>,
    steering: Option<Steering<'a>>,
    processes: &'a [UnitProcess],
    logs: &'a [String],
}

impl<'a> Summary<'a> {
    fn of(status: &'a UnitStatus) -> Self {
        let properties = &status.properties;
        Self {
            unit: properties.text("Id"),
            description: properties.text("Description"),
            load: properties.text("LoadState"),
            active: properties.text("ActiveState"),
            sub: properties.text("SubState"),
            result: properties.text("Result"),
            since: status.since(),
            fragment: properties.text("FragmentPath"),
            drop_ins: properties.texts("DropInPaths"),
            triggered_by: &status.triggered_by,
            triggers: &status.triggers,
            listen: properties.rows("Listen"),
            accepted: properties.u32("NAccepted"),
            connections: properties.u32("NConnections"),
            main_pid: properties.u32("MainPID"),
            status_text: properties.text("StatusText"),
            instances: &status.instances,
            cold_start: properties.u64("ColdStartUSec").filter(|span| *span != 0),
            queues: properties.rows("Queues"),
            steering: Steering::of(properties),
            processes: &status.processes,
            logs: &status.logs,
        }
    }
}

/// Shows the manager, and with `--all`, `--type` or `--state` the units, too.
fn manager(session: &mut Session) -> Result<Exit, CliError> {
    let properties = session.manager.own_properties()?;
    if !session.print_json(&ManagerSummary::of(&properties))? {
        let processes = match properties.text("ControlGroup") {
            "" => Vec::new(),
            _ => session.manager.processes("-.slice").unwrap_or_default(),
        };
        let view = View { style: session.style, width: session.width(), now: format::now() };
        session.print(&view.manager(&properties, &processes))?;
    }
    if Filter::of(&session.flags)?.is_default() {
        return Ok(Exit::Success);
    }
    let names: Vec<String> =
        units::list(session, &[], UnitType::Service)?.into_iter().map(|unit| unit.name).collect();
    let paths: Vec<String> = names.iter().map(|name| unit_path(name)).collect();
    session.print("\n")?;
    show(session, &names, &paths).map(|_| Exit::Success)
}

/// The manager's status for programs.
#[derive(Serialize)]
struct ManagerSummary<'a> {
    state: &'a str,
    units: u32,
    jobs: u32,
    failed: u32,
    since: u64,
    version: &'a str,
}

impl<'a> ManagerSummary<'a> {
    fn of(properties: &'a Properties) -> Self {
        Self {
            state: properties.text("SystemState"),
            units: properties.u32("NNames"),
            jobs: properties.u32("NJobs"),
            failed: properties.u32("NFailedUnits"),
            since: properties.u64("UserspaceTimestamp").unwrap_or(0),
            version: own_version(properties.text("Version")),
        }
    }
}

/// Our part of the manager's version, which begins with the systemd release whose interfaces it has: `252-sockmgr-0.1.0`.
fn own_version(version: &str) -> &str {
    version.rsplit_once("-sockmgr-").map_or(version, |(_, own)| own)
}
