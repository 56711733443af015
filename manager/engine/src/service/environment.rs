//! The variables of a command that the engine knows (systemd.exec(5), "Environment Variables Set or Propagated by the Service
//! Manager"); the driver adds those of descriptors, users and files.

use std::collections::BTreeSet;

use sockmgr_unit::value::{Signal, Span};
use sockmgr_unit::{Relation, UnitName};

use crate::engine::Engine;
use crate::event::{ExecList, ExitStatus, Peer};
use crate::node::Machine;

type Variables = Vec<(&'static str, String)>;

impl Engine {
    pub(super) fn environment(&self, name: &UnitName, list: ExecList) -> Variables {
        let service = self.service(name);
        let mut environment = vec![
            // Not `name`: another generation has one that only the engine knows.
            ("SOCKMGR_UNIT", self.nodes[name].unit.name.to_string()),
            ("SOCKMGR_GENERATION", service.generation.to_string()),
            ("INVOCATION_ID", invocation_text(service.run().invocation)),
        ];
        self.add_seat(name, &mut environment);
        if let Some(served) = service.served.as_deref() {
            environment.extend(remote_variables(&served.peer));
        }
        if let Some(pid) = service.main.and_then(|main| main.pid) {
            environment.push(("MAINPID", pid.to_string()));
        }
        if let Some(file) = &self.service_unit(name).service.pid_file {
            environment.push(("PIDFILE", file.to_string()));
        }
        match list {
            ExecList::Start => {
                self.add_watchdog(name, &mut environment);
                self.add_monitored(name, &mut environment);
            }
            ExecList::Condition | ExecList::StartPre | ExecList::StartPost => {
                self.add_monitored(name, &mut environment);
            }
            ExecList::ReadyCheck | ExecList::Reload | ExecList::Chown | ExecList::StopPre => {}
            ExecList::Stop | ExecList::StopPost => self.add_result(name, &RESULT, &mut environment),
        }
        environment
    }

    fn add_seat(&self, name: &UnitName, environment: &mut Variables) {
        let service = self.service(name);
        let Some(seat) = &service.seat else { return };
        let group = self.nodes.get(&seat.group).and_then(|node| node.group());
        environment.push(("SOCKMGR_INSTANCE", (seat.slot + 1).to_string()));
        environment.push(("SOCKMGR_INSTANCES", group.map_or(0, |group| group.size).to_string()));
    }

    fn add_watchdog(&self, name: &UnitName, environment: &mut Variables) {
        let section = &self.service_unit(name).service;
        if section.watchdog_sec != Span::ZERO && !section.watchdog_sec.is_infinite() {
            environment.push(("WATCHDOG_USEC", section.watchdog_sec.as_micros().to_string()));
        }
        if section.file_descriptor_store_max > 0 {
            environment.push(("FDSTORE", section.file_descriptor_store_max.to_string()));
        }
    }

    /// Of the unit whose end started this one (`OnFailure=`, `OnSuccess=`), where there is only one that could have.
    fn add_monitored(&self, name: &UnitName, environment: &mut Variables) {
        let relations = [Relation::OnFailureOf, Relation::OnSuccessOf];
        let starters: BTreeSet<&UnitName> =
            relations.into_iter().flat_map(|relation| self.links(name).of(relation)).collect();
        let Some(of) = starters.first().copied().filter(|_| starters.len() == 1) else { return };
        if !matches!(self.nodes.get(of).map(|node| &node.machine), Some(Machine::Service(_))) {
            return;
        }
        self.add_result(of, &MONITOR, environment);
        environment.push(("MONITOR_INVOCATION_ID", invocation_text(self.service(of).run().invocation)));
        environment.push(("MONITOR_UNIT", of.to_string()));
    }

    fn add_result(&self, name: &UnitName, [result, code, status]: &[&'static str; 3], into: &mut Variables) {
        let service = self.service(name);
        into.push((*result, service.result.as_str().to_owned()));
        let Some(end) = service.main_status else { return };
        let (word, value) = match end {
            ExitStatus::Exited(code) => ("exited", code.to_string()),
            ExitStatus::Killed(signal) => ("killed", signal_word(signal)),
            ExitStatus::Dumped(signal) => ("dumped", signal_word(signal)),
        };
        into.push((*code, word.to_owned()));
        into.push((*status, value));
    }
}

/// `REMOTE_ADDR` and `REMOTE_PORT` (systemd.socket(5), `Accept=`).
fn remote_variables(peer: &Peer) -> Variables {
    match peer {
        Peer::Inet { remote, .. } => vec![
            ("REMOTE_ADDR", remote.ip().to_canonical().to_string()),
            ("REMOTE_PORT", remote.port().to_string()),
        ],
        Peer::Vsock { remote: (cid, port), .. } => {
            vec![("REMOTE_ADDR", format!("vsock:{cid}")), ("REMOTE_PORT", port.to_string())]
        }
        Peer::Unix { name: Some(name), .. } => vec![("REMOTE_ADDR", name.to_string())],
        Peer::Unix { name: None, .. } => Vec::new(),
    }
}

const RESULT: [&str; 3] = ["SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"];
const MONITOR: [&str; 3] = ["MONITOR_SERVICE_RESULT", "MONITOR_EXIT_CODE", "MONITOR_EXIT_STATUS"];

/// 32 hexadecimal digits, as sd_id128_to_string(3).
fn invocation_text(invocation: u128) -> String {
    format!("{invocation:032x}")
}

/// `TERM`, without SIG.
fn signal_word(number: i32) -> String {
    let name = Signal::from_number(number).map(|signal| signal.to_string());
    name.map_or_else(|| number.to_string(), |name| name.trim_start_matches("SIG").to_owned())
}
