//! Enabling: the links that `[Install]` asks for.
//!
//! Never here: removing. Invariant: each unit is taken once, however often `Also=` names it.

use std::collections::{BTreeSet, VecDeque};

use sockmgr_unit::section::InstallSection;
use sockmgr_unit::{Diagnostic, Severity, UnitName};

use super::change::{Change, Refusal};
use super::find::{Follow, Found, Is};
use super::plan::{DependencyWord, Planner, Stop, Templates, dependency_directory};
use super::tree::Pointer;

/// The directives of `[Install]` whose mistakes keep a unit from being enabled.
const KEYS: [&str; 6] = ["Alias", "WantedBy", "RequiredBy", "UpheldBy", "Also", "DefaultInstance"];

impl Planner {
    pub(super) fn enable(&mut self, operands: &[String]) -> Result<(), Stop> {
        let found: Result<Vec<Found>, Refusal> =
            operands.iter().map(|operand| self.usable(operand, Follow::NotConfigured)).collect();
        self.enable_found(found?)
    }

    /// Disables, then enables: a link to a file elsewhere, and other names, are followed before they are removed.
    pub(super) fn reenable(&mut self, operands: &[String]) -> Result<(), Stop> {
        let found: Result<Vec<Found>, Refusal> =
            operands.iter().map(|operand| self.usable(operand, Follow::All)).collect();
        let found = found?;
        self.disable(operands)?;
        self.enable_found(found)
    }

    /// Enables these units and, as far as it can, what they name in `Also=`.
    pub(super) fn enable_found(&mut self, units: Vec<Found>) -> Result<(), Stop> {
        let mut seen: BTreeSet<UnitName> = units.iter().map(|found| found.name.clone()).collect();
        let mut queue: VecDeque<Found> = units.into();
        while let Some(found) = queue.pop_front() {
            let install = self.install(&found.name)?;
            self.enable_one(&found, &install)?;
            for also in &install.also {
                if seen.insert(also.clone()) {
                    queue.extend(
                        self.auxiliary(also)
                            .filter(|found| *also == found.name || seen.insert(found.name.clone())),
                    );
                }
            }
        }
        Ok(())
    }

    /// The file of a unit that another one names in `Also=`. That it cannot be enabled is only remarked.
    fn auxiliary(&mut self, unit: &UnitName) -> Option<Found> {
        match self.tree().find(unit, Follow::NotConfigured) {
            Ok(found) if found.is == Is::Regular => Some(found),
            Ok(found) => {
                self.changes.push(Change::Masked(found.path));
                self.rules += 1;
                None
            }
            Err(_) => {
                self.changes.push(Change::AuxiliaryFailed(unit.clone()));
                None
            }
        }
    }

    fn install(&self, unit: &UnitName) -> Result<InstallSection, Refusal> {
        let (install, diagnostics) = self.library().install(unit);
        let is_mistake = |found: &&Diagnostic| {
            let of_install = found.directive.as_deref().is_none_or(|directive| KEYS.contains(&directive));
            found.severity == Severity::Error || found.severity == Severity::Warning && of_install
        };
        match diagnostics.iter().find(is_mistake) {
            Some(mistake) => Err(Refusal::Setting(format!("{mistake:#}"))),
            None => Ok(install),
        }
    }

    fn enable_one(&mut self, found: &Found, install: &InstallSection) -> Result<(), Stop> {
        self.make_known(found);
        for alias in &install.alias {
            self.alias(found, alias);
        }
        let lists = [
            (DependencyWord::Wants, &install.wanted_by),
            (DependencyWord::Requires, &install.required_by),
            (DependencyWord::Upholds, &install.upheld_by),
        ];
        for (kind, targets) in lists.into_iter().filter(|(_, targets)| !targets.is_empty()) {
            let of = self.dependent(found, install)?;
            targets.iter().for_each(|target| self.depend(&of, target, kind));
        }
        Ok(())
    }

    /// A file outside of the search path gets a link in it.
    fn make_known(&mut self, found: &Found) {
        if !self.tree().is_searched(&found.path) {
            let own = if found.name.is_instance() { found.name.template() } else { None };
            self.link_unit(&own.unwrap_or_else(|| found.name.clone()), &found.path, self.manner.force);
        }
    }

    fn alias(&mut self, found: &Found, alias: &UnitName) {
        if *alias == found.name {
            return;
        }
        match fitting_alias(&found.name, alias) {
            Some(alias) => {
                self.rules += 1;
                self.link_unit(&alias, &found.path, self.manner.force);
            }
            None => self.refuse(Refusal::Alias { unit: found.name.clone(), alias: alias.clone() }),
        }
    }

    /// The unit that becomes a dependency: the unit itself, or the default instance of a template.
    fn dependent(&self, found: &Found, install: &InstallSection) -> Result<Found, Refusal> {
        let Some(instance) = install.default_instance.as_deref().filter(|_| found.name.is_template()) else {
            return Ok(found.clone());
        };
        let name = instance_of(&found.name, instance)?;
        match self.tree().find(&name, Follow::NotConfigured) {
            Ok(own) if own.is == Is::Masked => Err(Refusal::Masked(own.path)),
            _ => Ok(Found { name, ..found.clone() }),
        }
    }

    fn depend(&mut self, found: &Found, target: &UnitName, kind: DependencyWord) {
        if found.name.is_template() && !target.is_template() {
            if self.templates == Templates::Skipped {
                return;
            }
            return self.refuse(Refusal::NotATemplate { unit: found.name.clone(), target: target.clone() });
        }
        self.rules += 1;
        self.link_dependency(found, target, kind);
        if self.tree().search(target).is_none() && !self.library().is_built_in(target) {
            self.changes.push(Change::MissingTarget { unit: found.path.clone(), target: target.clone() });
        }
    }

    /// A link of this kind takes the place of another one without asking: only its name means anything.
    fn link_dependency(&mut self, found: &Found, target: &UnitName, kind: DependencyWord) {
        let of = dependency_directory(target, kind);
        let path = self.config.join(&of).join(found.name.as_str());
        let to = self.tree().as_seen_from_root(&found.path);
        let config = self.config.clone();
        let Some(directory) = self.files.tree.directory_mut(&config) else { return };
        let pointer = Pointer { text: to.clone(), target: found.path.clone() };
        let there = directory.dependencies.insert((of, found.name.clone()), pointer);
        if there.as_ref().is_none_or(|there| there.target != found.path) {
            self.changes.push(Change::Link { path, target: to, replaces: there.is_some() });
        }
    }

    pub(super) fn add_dependency(
        &mut self,
        units: &[String],
        target: &str,
        kind: DependencyWord,
    ) -> Result<(), Stop> {
        let target = match super::plan::name_of(target)? {
            name if self.library().is_built_in(&name) && self.tree().search(&name).is_none() => name,
            _ => self.usable(target, Follow::All)?.name,
        };
        let found: Result<Vec<Found>, Refusal> =
            units.iter().map(|unit| self.usable(unit, Follow::All)).collect();
        for found in found? {
            self.make_known(&found);
            self.depend(&found, &target, kind);
        }
        Ok(())
    }
}

fn instance_of(template: &UnitName, instance: &str) -> Result<UnitName, Refusal> {
    template
        .with_instance(instance)
        .map_err(|error| Refusal::Setting(format!("DefaultInstance={instance}: {error}")))
}

/// The name that `Alias=` gives the unit; `None` where the two do not fit (systemd.unit(5), "Aliases").
fn fitting_alias(unit: &UnitName, alias: &UnitName) -> Option<UnitName> {
    if alias.unit_type() != unit.unit_type() {
        return None;
    }
    match (unit.instance(), alias.instance()) {
        (Some(instance), None) if alias.is_template() => alias.with_instance(instance).ok(),
        (Some(instance), Some(same)) => (instance == same).then(|| alias.clone()),
        (None, Some(_)) => unit.is_template().then(|| alias.clone()),
        (None, None) => (alias.is_template() == unit.is_template()).then(|| alias.clone()),
        (Some(_), None) => None,
    }
}
