//! `Condition…=` and `Assert…=`: asked of the driver when a unit is about to start, and what follows from the answer.
//!
//! Invariant: they are looked at before a start counts against any limit, and once for each start.

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;
use sockmgr_unit::value::{Condition, Conditions};

use crate::engine::Engine;
use crate::event::Action;
use crate::ids::Time;
use crate::job::{Begun, JobKind, JobResult};
use crate::node::Machine;
use crate::service::{Activity, ServiceState};

/// How far a job is with the conditions of its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Check {
    /// They are to be looked at.
    #[default]
    Due,
    /// The driver looks at them.
    Asked,
    /// They hold.
    Met,
    /// They do not, and so what runs is only stopped.
    Unmet,
}

/// What the last look at all conditions of a unit, or all its asserts, found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// When it was.
    pub at: Option<Time>,
    /// They were as the unit needs them.
    pub holds: bool,
    /// Of each line, in order: whether it held; `None`: it did not matter any more.
    pub lines: Vec<Option<bool>>,
}

/// Both verdicts on a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checks {
    pub(crate) conditions: Verdict,
    pub(crate) asserts: Verdict,
}

impl Engine {
    /// Asks whether the unit's conditions hold, where that is still to be done; the job goes on with the answer.
    pub(crate) fn check_conditions(&mut self, name: &UnitName, kind: JobKind) -> Option<Begun> {
        if !self.needs_check(name, kind) {
            return None;
        }
        let id = self.nodes.get(name)?.job?;
        let job = self.jobs.get_mut(&id)?;
        match job.check {
            Check::Due => {
                job.check = Check::Asked;
                self.out.push(Action::Check { unit: name.clone() });
                Some(Begun::Pending)
            }
            Check::Asked => Some(Begun::Pending),
            Check::Met | Check::Unmet => None,
        }
    }

    fn needs_check(&self, name: &UnitName, kind: JobKind) -> bool {
        let Some(node) = self.nodes.get(name) else { return false };
        if node.unit.conditions.is_empty() || matches!(node.machine, Machine::Group(_)) {
            return false;
        }
        match kind {
            JobKind::Start => self.active_state(name).is_down() || self.activity(name) == Activity::Waiting,
            // Else it is a start, once the unit is down.
            JobKind::Restart => matches!(node.machine, Machine::Service(_)) && self.restart_overlaps(name),
            JobKind::Stop | JobKind::Reload | JobKind::VerifyActive => false,
        }
    }

    /// Answers [`Action::Check`]: of each line whether it holds.
    pub(crate) fn conditions_checked(&mut self, name: &UnitName, conditions: &[bool], asserts: &[bool]) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let section = node.unit.conditions.clone();
        let mut checks =
            Checks { conditions: judge(self.now, &section.conditions, conditions), ..Checks::default() };
        if checks.conditions.holds {
            checks.asserts = judge(self.now, &section.asserts, asserts);
        }
        let met = (checks.conditions.holds, checks.asserts.holds);
        let why = (
            unmet("Condition", &section.conditions, &checks.conditions),
            unmet("Assert", &section.asserts, &checks.asserts),
        );
        node.checks = Some(Box::new(checks));
        self.stir(name);
        let Some(id) = self.nodes[name].job else { return };
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.check == Check::Asked) else { return };
        let is_restart = job.kind == JobKind::Restart;
        match met {
            (true, true) => job.check = Check::Met,
            _ if is_restart => job.check = Check::Unmet,
            (false, _) => {
                self.log_info(name, format!("skipped because of an unmet condition: {}", why.0));
                return self.not_started(name, JobResult::Done);
            }
            (true, false) => {
                self.log_error(name, format!("not started because of an unmet assertion: {}", why.1));
                return self.not_started(name, JobResult::Assert);
            }
        }
        self.begin_again(id);
    }

    fn not_started(&mut self, name: &UnitName, result: JobResult) {
        let Some(id) = self.nodes[name].job else { return };
        self.finish_job(id, result);
        if self.activity(name) == Activity::Waiting {
            self.set_service_state(name, ServiceState::Dead);
        }
    }
}

/// Lines count from the last to the first, as in systemd. The first that must hold and does not ends it; of those with `|` one is
/// enough.
fn judge(now: Time, conditions: &Conditions, results: &[bool]) -> Verdict {
    let mut verdict = Verdict { at: Some(now), holds: true, lines: vec![None; conditions.len()] };
    let mut triggered = None;
    for (line, condition) in conditions.iter().enumerate().rev() {
        let holds = results.get(line).copied().unwrap_or(false);
        verdict.lines[line] = Some(holds);
        if condition.is_trigger {
            triggered = Some(triggered == Some(true) || holds);
        } else if !holds {
            verdict.holds = false;
            return verdict;
        }
    }
    verdict.holds = triggered != Some(false);
    verdict
}

/// The line that is to blame.
fn unmet(prefix: &str, conditions: &Conditions, verdict: &Verdict) -> String {
    let failed =
        |(condition, holds): &(&Condition, &Option<bool>)| !condition.is_trigger && **holds == Some(false);
    let culprit = conditions.iter().zip(&verdict.lines).find(failed);
    culprit.map_or_else(
        || "none of those with | holds".to_owned(),
        |(condition, _)| format!("{prefix}{condition}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockmgr_unit::value::ConditionKind;

    #[test]
    fn one_trigger_is_enough_and_everything_else_must_hold() {
        // Of each line `|` or not, and whether it holds; what comes of it, and of the lines.
        let table = [
            ("", true, ""),
            ("+", true, "+"),
            ("-", false, "-"),
            ("|+ |-", true, "+-"),
            ("|- |-", false, "--"),
            ("+ |-", false, "+-"),
            ("- |+", false, "-+"),
            ("- +", false, "-+"),
            ("+ -", false, ".-"),
        ];
        for (lines, holds, shown) in table {
            let words: Vec<&str> = lines.split_whitespace().collect();
            let results: Vec<bool> = words.iter().map(|word| word.ends_with('+')).collect();
            let of_word = |word: &&str| Condition {
                kind: ConditionKind::PathExists,
                is_trigger: word.starts_with('|'),
                is_negated: false,
                parameter: "/".into(),
            };
            let conditions: Conditions = words.iter().map(of_word).collect();
            let verdict = judge(Time::default(), &conditions, &results);
            let sign = |line: &Option<bool>| line.map_or('.', |holds| if holds { '+' } else { '-' });
            assert_eq!(
                (verdict.holds, verdict.lines.iter().map(sign).collect::<String>().as_str()),
                (holds, shown),
                "{lines}"
            );
        }
    }
}
