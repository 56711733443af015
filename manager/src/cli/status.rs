//! status: what a unit is and does, for people.
//!
//! The manager's properties become lines here. Invariant: a property that the manager does not send leaves out its line,
//! never the whole.

use std::fs;

use serde::Serialize;

use super::exit::{CliError, Exit, chain};
use super::format::{self, bytes, relative, short_span, timestamp};
use super::logs;
use super::manager::{Properties, UnitProcess};
use super::names::unit_path;
use super::property::{Exec, ended, ended_well};
use super::session::Session;
use super::style::{Style, Tone, load_tone, state_dot, state_tone};
use super::tree;
use super::units::{self, Filter};

/// Commands of a service in the order they run.
const COMMANDS: [&str; 7] =
    ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"];
/// How many log lines are shown unless `--lines` says otherwise.
const LOG_LINES: usize = 10;
/// The column where the values begin.
const INDENT: &str = "             ";

/// Another unit and its active state.
#[derive(Debug, Serialize)]
struct Neighbour {
    unit: String,
    active: String,
}

/// One instance of a group, from `org.sockmgr.Group1`.
#[derive(Debug, Serialize)]
struct Instance {
    slot: u32,
    unit: String,
    main_pid: u32,
    state: String,
}

/// All that is asked for to show one unit.
struct UnitStatus {
    properties: Properties,
    triggered_by: Vec<Neighbour>,
    triggers: Vec<Neighbour>,
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
        let lines = session.flags.lines.unwrap_or(LOG_LINES);
        let logs = logs::tail(properties.text("StandardOutput"), lines);
        Ok(Self { properties, triggered_by, triggers, processes, logs })
    }

    fn instances(&self) -> Vec<Instance> {
        let rows: Vec<(u32, String, u32, String)> = self.properties.rows("Slots");
        rows.into_iter()
            .map(|(slot, unit, main_pid, state)| Instance { slot, unit, main_pid, state })
            .collect()
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
    instances: Vec<Instance>,
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
            instances: status.instances(),
            processes: &status.processes,
            logs: &status.logs,
        }
    }
}

/// Lines with right-aligned titles.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn field(&mut self, title: &str, value: &str) {
        self.0.push_str(&format!("{title:>11}: {value}\n"));
    }

    /// Several values below one title.
    fn list(&mut self, title: &str, values: impl IntoIterator<Item = String>) {
        for (at, value) in values.into_iter().enumerate() {
            match at {
                0 => self.field(title, &value),
                _ => self.0.push_str(&format!("{INDENT}{value}\n")),
            }
        }
    }
}

/// How statuses are drawn: colours, width and the time that "ago" counts from.
struct View {
    style: Style,
    width: Option<usize>,
    now: u64,
}

impl View {
    fn unit(&self, status: &UnitStatus) -> String {
        let mut lines = Lines(self.title(&status.properties));
        self.origin(status, &mut lines);
        self.activity(status, &mut lines);
        self.neighbours(status, &mut lines);
        self.sockets(&status.properties, &mut lines);
        self.instances(status, &mut lines);
        self.service(&status.properties, &mut lines);
        self.resources(&status.properties, &mut lines);
        self.control_group(&status.properties, &status.processes, &mut lines);
        if !status.logs.is_empty() {
            lines.0.push('\n');
            status.logs.iter().for_each(|line| lines.0.push_str(&format!("{line}\n")));
        }
        lines.0
    }

    fn dot(&self, active: &str) -> String {
        self.style.paint(state_tone(active), state_dot(active))
    }

    fn title(&self, properties: &Properties) -> String {
        let (id, description) = (properties.text("Id"), properties.text("Description"));
        let description = if description.is_empty() || description == id {
            String::new()
        } else {
            format!(" - {description}")
        };
        format!("{} {id}{description}\n", self.dot(properties.text("ActiveState")))
    }

    /// Where the unit comes from: its files and what became of reading them.
    fn origin(&self, status: &UnitStatus, lines: &mut Lines) {
        let properties = &status.properties;
        let load_state = properties.text("LoadState");
        let mut loaded = self.style.paint(load_tone(load_state), load_state);
        let error: Option<(String, String)> =
            properties.get("LoadError").and_then(|value| value.try_clone().ok()?.try_into().ok());
        let file = match properties.text("SourcePath") {
            "" => properties.text("FragmentPath"),
            source => source,
        };
        match error {
            Some((_, reason)) if !reason.is_empty() => loaded.push_str(&format!(" (Reason: {reason})")),
            _ if !file.is_empty() => loaded.push_str(&format!(" ({file}{})", enablement(properties))),
            _ => {}
        }
        lines.field("Loaded", &loaded);
        if properties.bool("Transient") {
            lines.field("Transient", "yes");
        }
        lines.list("Drop-In", drop_ins(&properties.texts("DropInPaths")));
    }

    fn activity(&self, status: &UnitStatus, lines: &mut Lines) {
        let properties = &status.properties;
        let (active, sub) = (properties.text("ActiveState"), properties.text("SubState"));
        let state =
            if active == sub || sub.is_empty() { active.to_owned() } else { format!("{active} ({sub})") };
        let mut text = self.style.paint(state_tone(active), &state);
        match properties.text("Result") {
            "" | "success" => {}
            result => text.push_str(&format!(" (Result: {result})")),
        }
        text.push_str(&self.since(status.since()));
        lines.field("Active", &text);
        if let Some(duration) = active_duration(properties) {
            lines.field("Duration", &short_span(duration));
        }
    }

    fn since(&self, time: u64) -> String {
        match timestamp(time) {
            Some(text) => format!(" since {text}; {}", relative(self.now, time)),
            None => String::new(),
        }
    }

    fn neighbours(&self, status: &UnitStatus, lines: &mut Lines) {
        let line = |other: &Neighbour| format!("{} {}", self.dot(&other.active), other.unit);
        lines.list("TriggeredBy", status.triggered_by.iter().map(line));
        // The unit that is waited for is drawn full, as systemctl does: a circle would read as "broken".
        let waiting = |other: &Neighbour| {
            format!("{} {}", self.style.paint(state_tone(&other.active), "●"), other.unit)
        };
        lines.list("Triggers", status.triggers.iter().map(waiting));
        lines.list("Docs", status.properties.texts("Documentation"));
    }

    fn sockets(&self, properties: &Properties, lines: &mut Lines) {
        let listen: Vec<(String, String)> = properties.rows("Listen");
        lines.list("Listen", listen.into_iter().map(|(kind, address)| format!("{address} ({kind})")));
        if properties.bool("Accept") {
            let mut text =
                format!("{}; Connected: {};", properties.u32("NAccepted"), properties.u32("NConnections"));
            if properties.u32("NRefused") > 0 {
                text.push_str(&format!(" Refused: {};", properties.u32("NRefused")));
            }
            lines.field("Accepted", &text);
        }
    }

    fn instances(&self, status: &UnitStatus, lines: &mut Lines) {
        let instances = status.instances();
        if instances.is_empty() {
            return;
        }
        let running = instances.iter().filter(|instance| instance.main_pid != 0).count();
        lines.field("Instances", &format!("{running} of {} running", instances.len()));
        for Instance { slot, unit, main_pid, state } in &instances {
            let dot = match state.as_str() {
                "failed" => self.dot("failed"),
                _ if *main_pid != 0 => self.dot("active"),
                _ => self.dot("inactive"),
            };
            let process = if *main_pid == 0 { String::new() } else { format!(", main PID {main_pid}") };
            lines.0.push_str(&format!("{INDENT}{dot} {slot} {unit}{process} ({state})\n"));
        }
    }

    fn service(&self, properties: &Properties, lines: &mut Lines) {
        let main_pid = properties.u32("MainPID");
        for name in COMMANDS {
            let commands = properties.get(name).map(Exec::all).unwrap_or_default();
            // What is still running is the main or control process, and shown as that.
            for exec in commands.iter().filter(|exec| exec.code != 0 && exec.pid != main_pid) {
                let end = self.end(exec.code, exec.status);
                lines.field("Process", &format!("{} {name}={} {end}", exec.pid, exec.argv.join(" ")));
            }
        }
        if let Some(text) = self.pids(properties) {
            lines.field(if has_main(properties) { "Main PID" } else { "Cntrl PID" }, &text);
        }
        if !properties.text("StatusText").is_empty() {
            lines.field("Status", &format!("\"{}\"", properties.text("StatusText")));
        }
        let errno = properties.i32("StatusErrno");
        if errno > 0 {
            lines.field("Error", &format!("{errno} ({})", nix::errno::Errno::from_raw(errno).desc()));
        }
    }

    fn end(&self, code: i32, status: i32) -> String {
        let tone = if ended_well(code, status) { Tone::Plain } else { Tone::Bad };
        format!("({})", self.style.paint(tone, &ended(code, status)))
    }

    /// The main and the control process, living or dead.
    fn pids(&self, properties: &Properties) -> Option<String> {
        let (main, control) = (properties.u32("MainPID"), properties.u32("ControlPID"));
        let mut parts = Vec::new();
        if main != 0 {
            parts.push(living(main));
        } else if has_main(properties) {
            let end = self.end(properties.i32("ExecMainCode"), properties.i32("ExecMainStatus"));
            parts.push(format!("{} {end}", properties.u32("ExecMainPID")));
        }
        if control != 0 {
            let title = if parts.is_empty() { "" } else { "Control PID: " };
            parts.push(format!("{title}{}", living(control)));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn resources(&self, properties: &Properties, lines: &mut Lines) {
        if let Some(tasks) = properties.u64("TasksCurrent") {
            let limit =
                properties.u64("TasksMax").map(|limit| format!(" (limit: {limit})")).unwrap_or_default();
            lines.field("Tasks", &format!("{tasks}{limit}"));
        }
        if let Some(memory) = properties.u64("MemoryCurrent") {
            lines.field("Memory", &bytes(memory));
        }
        if let Some(nanoseconds) = properties.u64("CPUUsageNSec") {
            lines.field("CPU", &short_span(nanoseconds / 1000));
        }
    }

    fn control_group(&self, properties: &Properties, processes: &[UnitProcess], lines: &mut Lines) {
        let group = properties.text("ControlGroup");
        if group.is_empty() {
            return;
        }
        lines.field("CGroup", group);
        let width = self.width.map(|width| width.saturating_sub(INDENT.len()).max(20));
        for line in tree::processes(group, processes, width) {
            lines.0.push_str(&format!("{INDENT}{}\n", self.style.paint(Tone::Faint, &line)));
        }
    }
}

/// `; enabled; preset: enabled`, as far as the manager says.
fn enablement(properties: &Properties) -> String {
    match (properties.text("UnitFileState"), properties.text("UnitFilePreset")) {
        ("", _) => String::new(),
        (state @ ("enabled" | "enabled-runtime" | "disabled" | "linked" | "indirect"), preset)
            if !preset.is_empty() =>
        {
            format!("; {state}; preset: {preset}")
        }
        (state, _) => format!("; {state}"),
    }
}

/// Each directory with its files below it.
fn drop_ins(paths: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut directory = None;
    for path in paths {
        let (own, file) = path.rsplit_once('/').unwrap_or(("", path));
        match lines.last_mut() {
            Some(line) if directory == Some(own) => line.push_str(&format!(", {file}")),
            _ => {
                lines.push(own.to_owned());
                lines.push(format!("└─{file}"));
                directory = Some(own);
            }
        }
    }
    lines
}

/// How long a unit that is inactive now was active.
fn active_duration(properties: &Properties) -> Option<u64> {
    let time = |name| properties.u64(name).filter(|time| *time != 0);
    let inactive = matches!(properties.text("ActiveState"), "inactive" | "failed");
    let (enter, exit) = (time("ActiveEnterTimestampMonotonic")?, time("ActiveExitTimestampMonotonic")?);
    (inactive && exit >= enter).then(|| exit - enter)
}

/// Whether there is, or was, a main process.
fn has_main(properties: &Properties) -> bool {
    properties.u32("MainPID") != 0
        || (properties.u32("ExecMainPID") != 0 && properties.i32("ExecMainCode") != 0)
}

/// A process id with the name of its program, if it still runs.
fn living(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{pid} ({})", name.trim_end()),
        Err(_) => pid.to_string(),
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
        units::list(session, &[], "service")?.into_iter().map(|unit| unit.name).collect();
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
            version: properties.text("Version"),
        }
    }
}

impl View {
    fn manager(&self, properties: &Properties, processes: &[UnitProcess]) -> String {
        let summary = ManagerSummary::of(properties);
        let tone = match summary.state {
            "running" => Tone::Good,
            "degraded" | "maintenance" => Tone::Bad,
            _ => Tone::Warning,
        };
        let host =
            nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut lines = Lines(format!("{} {host}\n", self.style.paint(tone, "●")));
        let mut field = |title: &str, value: &str| lines.0.push_str(&format!("{title:>9}: {value}\n"));
        field("State", &self.style.paint(tone, summary.state));
        field("Units", &format!("{} loaded (incl. loaded aliases)", summary.units));
        field("Jobs", &format!("{} queued", summary.jobs));
        field("Failed", &format!("{} units", summary.failed));
        if let Some(text) = timestamp(summary.since) {
            field("Since", &format!("{text}; {}", relative(self.now, summary.since)));
        }
        field("sockmgr", summary.version);
        let group = properties.text("ControlGroup");
        if !group.is_empty() {
            field("CGroup", group);
            for line in
                tree::processes(group, processes, self.width.map(|width| width.saturating_sub(11).max(20)))
            {
                lines.0.push_str(&format!("           {line}\n"));
            }
        }
        lines.0
    }
}
