//! What `status` prints for people: the lines of a unit and of the manager.
//!
//! Only drawing; everything has been asked for before. Invariant: a property that the manager does not send leaves out
//! its line, never the whole.

use std::fs;

use super::{Instance, ManagerSummary, Neighbour, Steering, UnitStatus};
use crate::cli::format::{bytes, relative, short_span, timestamp};
use crate::cli::manager::{Properties, UnitProcess};
use crate::cli::property::{Exec, QueueRow, ended, ended_well};
use crate::cli::style::{Style, Tone, load_tone, state_dot, state_tone};
use crate::cli::tree;

/// Commands of a service in the order they run.
const COMMANDS: [&str; 7] =
    ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"];
/// The column where the values begin.
const INDENT: &str = "             ";

/// One line of `Conditions`: its name, `|`, `!`, its parameter, and whether it held.
type ConditionRow = (String, bool, bool, String, i32);

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
pub(super) struct View {
    pub(super) style: Style,
    pub(super) width: Option<usize>,
    /// Microseconds since 1970.
    pub(super) now: u64,
}

impl View {
    /// One unit.
    pub(super) fn unit(&self, status: &UnitStatus) -> String {
        let mut lines = Lines(self.title(&status.properties));
        self.origin(status, &mut lines);
        self.activity(status, &mut lines);
        self.neighbours(status, &mut lines);
        self.sockets(&status.properties, &mut lines);
        self.queues(&status.properties, &mut lines);
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
        self.condition(properties, lines);
        if let Some(duration) = active_duration(properties) {
            lines.field("Duration", &short_span(duration));
        }
    }

    /// Why it was not started, where its conditions or asserts did not hold.
    fn condition(&self, properties: &Properties, lines: &mut Lines) {
        for name in ["Condition", "Assert"] {
            let time = properties.u64(&format!("{name}Timestamp")).unwrap_or(0);
            if time == 0 || properties.bool(&format!("{name}Result")) {
                continue;
            }
            let state = self.style.paint(Tone::Warning, &format!("start {} failed", name.to_lowercase()));
            let at = timestamp(time).map(|text| format!(" at {text}; {}", relative(self.now, time)));
            let rows: Vec<ConditionRow> = properties.rows(&format!("{name}s"));
            let list =
                rows.iter().filter(|row| row.4 < 0).map(|(condition, trigger, negate, parameter, _)| {
                    let marks =
                        format!("{}{}", if *trigger { "|" } else { "" }, if *negate { "!" } else { "" });
                    format!("└─ {condition}={marks}{parameter} was not met")
                });
            lines.list(name, std::iter::once(format!("{state}{}", at.unwrap_or_default())).chain(list));
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

    /// What waits on the listeners of a socket, and how they are steered.
    fn queues(&self, properties: &Properties, lines: &mut Lines) {
        let mut queues: Vec<QueueRow> = properties.rows("Queues");
        // Of a single socket only what is out of the ordinary is told; of a group, how the load is spread.
        queues.retain(|(slot, _, used, _, drops, ..)| *slot > 0 || *used > 0 || *drops > 0);
        let has_lines = queues.iter().any(|(_, line, ..)| *line > 1);
        lines.list(
            "Queue",
            queues.iter().map(|(slot, line, used, limit, drops, oldest, _, _)| {
                let mut text = match slot {
                    0 => String::new(),
                    slot => format!("{slot} "),
                };
                if has_lines {
                    text.push_str(&format!("line {line} "));
                }
                let oldest = Some(*oldest).filter(|age| *age != u64::MAX);
                text + &queue_text(*used, *limit, *drops, oldest)
            }),
        );
        if let Some(Steering { make, reason, migration }) = Steering::of(properties) {
            lines.field("Steering", &format!("{make} ({reason}); migration: {migration}"));
        }
    }

    fn instances(&self, status: &UnitStatus, lines: &mut Lines) {
        if status.instances.is_empty() {
            return;
        }
        let running = status.instances.iter().filter(|instance| instance.main_pid != 0).count();
        lines.field("Instances", &format!("{running} of {} running", status.instances.len()));
        for instance in &status.instances {
            lines.0.push_str(&format!("{INDENT}{}\n", self.instance(instance)));
        }
        if let Some(span) = status.properties.u64("ColdStartUSec").filter(|span| *span != 0) {
            lines.field("Cold start", &short_span(span));
        }
    }

    fn instance(&self, instance: &Instance) -> String {
        let Instance { slot, unit, main_pid, state, rotation, .. } = instance;
        let dot = match state.as_str() {
            "failed" => self.dot("failed"),
            _ if *main_pid != 0 => self.dot("active"),
            _ => self.dot("inactive"),
        };
        let process = if *main_pid == 0 { String::new() } else { format!(", main PID {main_pid}") };
        let rotation = match rotation.as_str() {
            "in" => String::new(),
            _ if *main_pid == 0 => String::new(),
            why => format!(", out of rotation: {why}"),
        };
        let mut text = format!("{dot} {slot} {unit}{process} ({state}{rotation})");
        if let Some(length) = instance.queue {
            text.push_str("; ");
            text.push_str(&queue_text(length, instance.queue_limit, instance.queue_drops, instance.oldest));
        }
        if let Some(rate) = instance.rate {
            text.push_str(&format!(", {rate:.1}/s"));
        }
        text
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
        for (title, name) in [("Outgoing PID", "OutgoingPID"), ("Incoming PID", "IncomingPID")] {
            match properties.u32(name) {
                0 => {}
                pid => lines.field(title, &living(pid)),
            }
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

/// `3 of 4096 waiting for 12ms, 1 dropped`. Of datagrams these are bytes.
fn queue_text(used: u32, limit: u32, drops: u32, oldest: Option<u64>) -> String {
    let age = match (used, oldest) {
        (0, _) => String::new(),
        (_, Some(age)) => format!(" for {}", short_span(age)),
        (_, None) => " (nobody knows for how long)".to_owned(),
    };
    let drops = if drops == 0 { String::new() } else { format!(", {drops} dropped") };
    format!("{used} of {limit} waiting{age}{drops}")
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

impl View {
    /// The manager itself.
    pub(super) fn manager(&self, properties: &Properties, processes: &[UnitProcess]) -> String {
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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use zbus::wire::Variant;

    use super::*;

    const NOW: u64 = 1_795_362_448_000_000;

    fn check(properties: Properties, triggers: &[(&str, &str)], expected: &Expect) {
        check_group(properties, triggers, Vec::new(), expected);
    }

    fn check_group(
        properties: Properties,
        triggers: &[(&str, &str)],
        instances: Vec<Instance>,
        expected: &Expect,
    ) {
        let neighbour =
            |(unit, active): &(&str, &str)| Neighbour { unit: (*unit).into(), active: (*active).into() };
        let status = UnitStatus {
            properties,
            triggered_by: Vec::new(),
            triggers: triggers.iter().map(neighbour).collect(),
            instances,
            processes: vec![("/web".into(), 4711, "/usr/bin/web".into())],
            logs: vec!["listening".into()],
        };
        let view = View { style: Style::default(), width: None, now: NOW };
        expected.assert_eq(&view.unit(&status));
    }

    fn strings(words: &[&str]) -> Variant<'static> {
        words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>().into()
    }

    #[test]
    fn a_socket_shows_where_it_listens() {
        let listen =
            vec![("Stream".to_owned(), "127.0.0.1:80".to_owned()), ("Stream".into(), "/run/x".into())];
        let properties = Properties::of([
            ("Id", "web.socket".into()),
            ("Description", "Web".into()),
            ("LoadState", "loaded".into()),
            ("FragmentPath", "/u/web.socket".into()),
            (
                "DropInPaths",
                strings(&["/u/web.socket.d/1.conf", "/u/web.socket.d/2.conf", "/v/socket.d/3.conf"]),
            ),
            ("ActiveState", "active".into()),
            ("SubState", "listening".into()),
            ("Listen", listen.into()),
            ("Accept", true.into()),
            ("NAccepted", 9u32.into()),
            ("NConnections", 2u32.into()),
            (
                "Queues",
                vec![(1u32, 1u32, 2u32, 8u32, 0u32, 7000u64, u64::MAX, -1.0), (2, 1, 0, 8, 3, 0, 9, 1.5)]
                    .into(),
            ),
            ("SteeringMake", "ebpf".into()),
            ("SteeringReason", "bpf(2) is permitted".into()),
            ("Migration", "program".into()),
        ]);
        check(
            properties,
            &[("web@1.service", "inactive")],
            &expect![[r#"
            ● web.socket - Web
                 Loaded: loaded (/u/web.socket)
                Drop-In: /u/web.socket.d
                         └─1.conf, 2.conf
                         /v/socket.d
                         └─3.conf
                 Active: active (listening)
               Triggers: ● web@1.service
                 Listen: 127.0.0.1:80 (Stream)
                         /run/x (Stream)
               Accepted: 9; Connected: 2;
                  Queue: 1 2 of 8 waiting for 7ms
                         2 0 of 8 waiting, 3 dropped
               Steering: ebpf (bpf(2) is permitted); migration: program

            listening
        "#]],
        );
    }

    #[test]
    fn a_group_lists_its_instances() {
        let running = |slot| Instance {
            slot,
            unit: format!("web@{slot}.service"),
            state: "running".into(),
            ..Instance::default()
        };
        let instances = vec![
            Instance {
                main_pid: 4711,
                rotation: "in".into(),
                queue: Some(3),
                queue_limit: 4096,
                queue_drops: 1,
                oldest: Some(12_345),
                rate: Some(99.96),
                ..running(1)
            },
            Instance {
                state: "failed".into(),
                rotation: "not-ready".into(),
                queue: Some(2),
                queue_limit: 8,
                ..running(2)
            },
            Instance { main_pid: 4712, rotation: "drained".into(), ..running(3) },
        ];
        let properties = Properties::of([
            ("Id", "web.service".into()),
            ("LoadState", "loaded".into()),
            ("ActiveState", "active".into()),
            ("SubState", "running".into()),
            ("ColdStartUSec", 62_000u64.into()),
            ("ControlGroup", "/web".into()),
            ("TasksCurrent", 3u64.into()),
            ("TasksMax", u64::MAX.into()),
            ("MemoryCurrent", 1_572_864u64.into()),
            ("CPUUsageNSec", 2_500_000_000u64.into()),
        ]);
        check_group(
            properties,
            &[],
            instances,
            &expect![[r#"
            ● web.service
                 Loaded: loaded
                 Active: active (running)
              Instances: 2 of 3 running
                         ● 1 web@1.service, main PID 4711 (running); 3 of 4096 waiting for 12ms, 1 dropped, 100.0/s
                         × 2 web@2.service (failed); 2 of 8 waiting (nobody knows for how long)
                         ● 3 web@3.service, main PID 4712 (running, out of rotation: drained)
             Cold start: 62ms
                  Tasks: 3
                 Memory: 1.5M
                    CPU: 2.500s
                 CGroup: /web
                         └─4711 /usr/bin/web

            listening
        "#]],
        );
    }

    #[test]
    fn a_failed_service_says_why() {
        let argv = || vec!["/bin/web".to_owned(), "-x".to_owned()];
        let exec = vec![("/bin/web".to_owned(), argv(), false, 0u64, 0u64, 0u64, 0u64, 99u32, 1i32, 203i32)];
        let properties = Properties::of([
            ("Id", "web.service".into()),
            ("LoadState", "loaded".into()),
            ("FragmentPath", "/u/web.service".into()),
            ("UnitFileState", "static".into()),
            ("ActiveState", "failed".into()),
            ("SubState", "failed".into()),
            ("Result", "exit-code".into()),
            ("ActiveEnterTimestampMonotonic", 1000u64.into()),
            ("ActiveExitTimestampMonotonic", 3000u64.into()),
            ("ExecStart", exec.into()),
            ("ExecMainPID", 99u32.into()),
            ("ExecMainCode", 1i32.into()),
            ("ExecMainStatus", 203i32.into()),
            ("StatusText", "going down".into()),
            ("StatusErrno", 2i32.into()),
        ]);
        check(
            properties,
            &[],
            &expect![[r#"
            × web.service
                 Loaded: loaded (/u/web.service; static)
                 Active: failed (Result: exit-code)
               Duration: 2ms
                Process: 99 ExecStart=/bin/web -x (code=exited, status=203/EXEC)
               Main PID: 99 (code=exited, status=203/EXEC)
                 Status: "going down"
                  Error: 2 (No such file or directory)

            listening
        "#]],
        );
    }

    #[test]
    fn a_broken_unit_says_what_is_broken() {
        let properties = Properties::of([
            ("Id", "web.socket".into()),
            ("LoadState", "bad-setting".into()),
            (
                "LoadError",
                ("org.freedesktop.systemd1.BadUnitSetting".to_owned(), "no Listen line".to_owned()).into(),
            ),
            ("ActiveState", "inactive".into()),
            ("SubState", "dead".into()),
        ]);
        check(
            properties,
            &[],
            &expect![[r#"
            ○ web.socket
                 Loaded: bad-setting (Reason: no Listen line)
                 Active: inactive (dead)

            listening
        "#]],
        );
    }
}
