//! Presets: which units are enabled unless somebody says otherwise (systemd.preset(5)).
//!
//! Never here: the links themselves. Invariant: the first line that matches a unit decides; without one it is enabled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sockmgr_unit::{UnitName, glob};

use super::change::{Change, Refusal};
use super::find::{Follow, Found, Is, Trouble};
use super::plan::{Planner, Stop, name_of};
use super::tree::Means;
use crate::loader::{SearchPath, read_source};
use crate::paths::Scope;

/// Where presets for all users lie, beside those of the search path.
const FOR_USERS: [&str; 4] = ["/etc", "/run", "/usr/local/lib", "/usr/lib"];

/// What presets say of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Enable it; a template's instances instead where there are any.
    Enable(Vec<UnitName>),
    /// Disable it.
    Disable,
    /// Leave it.
    Ignore,
}

impl Preset {
    /// The word for lists and properties.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Enable(_) => "enabled",
            Self::Disable => "disabled",
            Self::Ignore => "ignored",
        }
    }
}

/// Which half of presets is carried out (systemctl(1), `--preset-mode=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PresetMode {
    /// Both.
    #[default]
    Full,
    /// Only enabling.
    EnableOnly,
    /// Only disabling.
    DisableOnly,
}

impl PresetMode {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::EnableOnly => "enable-only",
            Self::DisableOnly => "disable-only",
        }
    }

    /// The mode of that name; the empty one is the default.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "" | "full" => Some(Self::Full),
            "enable-only" => Some(Self::EnableOnly),
            "disable-only" => Some(Self::DisableOnly),
            _ => None,
        }
    }
}

/// All lines of all preset files.
#[derive(Debug, Default)]
pub(super) struct Presets {
    rules: Vec<Rule>,
    problems: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    action: Action,
    pattern: String,
    instances: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Enable,
    Disable,
    Ignore,
}

impl Presets {
    /// Reads the directories that lie beside those of the search path: `system-preset` beside `system`.
    pub(super) fn read(path: &SearchPath, scope: Scope) -> Self {
        let beside = |directory: &PathBuf| PathBuf::from(format!("{}-preset", directory.display()));
        let mut directories: Vec<PathBuf> = path.directories().iter().map(beside).collect();
        if scope == Scope::User {
            directories.extend(
                FOR_USERS
                    .iter()
                    .map(|root| path.root().join(root.trim_start_matches('/')).join("sockmgr/user-preset")),
            );
        }
        let mut presets = Self::default();
        for file in files(&directories) {
            match read_source(&file) {
                Ok(source) => presets.add(&file, &String::from_utf8_lossy(&source.text)),
                Err(error) => presets.problems.push(format!("{}: cannot be read: {error}", file.display())),
            }
        }
        presets
    }

    fn add(&mut self, file: &Path, text: &str) {
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            match parse(line) {
                Some(rule) => self.rules.push(rule),
                None => self.problems.push(format!(
                    "{}:{}: \"{line}\" is ignored; expected enable, disable or ignore, and the name of a unit",
                    file.display(),
                    number + 1
                )),
            }
        }
    }

    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What the first line says that matches.
    pub(super) fn of(&self, unit: &UnitName) -> Preset {
        let says = |rule: &Rule| {
            let instances = rule.instances_of(unit);
            let by_pattern = rule.instances.is_empty() || !unit.is_instance();
            let fits = instances.is_some() || by_pattern && glob::matches(&rule.pattern, unit.as_str());
            fits.then(|| match rule.action {
                Action::Enable => Preset::Enable(instances.unwrap_or_default()),
                Action::Disable => Preset::Disable,
                Action::Ignore => Preset::Ignore,
            })
        };
        self.rules.iter().find_map(says).unwrap_or(Preset::Enable(Vec::new()))
    }
}

impl Rule {
    /// For a line with instances that is about the unit's template: which of them it means.
    fn instances_of(&self, unit: &UnitName) -> Option<Vec<UnitName>> {
        let template = if unit.is_template() { unit.clone() } else { unit.template()? };
        if self.instances.is_empty() || self.pattern != template.as_str() {
            return None;
        }
        match unit.instance() {
            Some(instance) => {
                self.instances.iter().any(|known| known == instance).then(|| vec![unit.clone()])
            }
            None => {
                Some(self.instances.iter().filter_map(|name| template.with_instance(name).ok()).collect())
            }
        }
    }
}

/// The preset files: of several of one name the first, sorted by name.
fn files(directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = BTreeMap::new();
    for directory in directories {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        for name in entries.map(|entry| entry.file_name()) {
            let path = directory.join(&name);
            if path.extension().is_some_and(|extension| extension == "preset") {
                files.entry(name).or_insert(path);
            }
        }
    }
    files.into_values().collect()
}

fn parse(line: &str) -> Option<Rule> {
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let action = match words.next()?.as_str() {
        "enable" => Action::Enable,
        "disable" => Action::Disable,
        "ignore" => Action::Ignore,
        _ => return None,
    };
    let pattern = words.next()?;
    let instances: Vec<String> = words.collect();
    // Only a template has instances, and only enabling takes some of them.
    let is_sound = instances.is_empty() || action == Action::Enable && pattern.contains("@.");
    is_sound.then_some(Rule { action, pattern, instances })
}

/// What presets come to: units to enable, and units to disable.
#[derive(Default)]
struct Sorted {
    plus: Vec<Found>,
    minus: Vec<UnitName>,
}

impl Planner {
    pub(super) fn preset(&mut self, units: &[String], mode: PresetMode) -> Result<(), Stop> {
        let mut sorted = Sorted::default();
        for unit in units {
            self.sort(&name_of(unit)?, &mut sorted)?;
        }
        self.carry_out(sorted, mode)
    }

    pub(super) fn preset_all(&mut self, mode: PresetMode) -> Result<(), Stop> {
        let files = self.tree().files().into_iter();
        let names: Vec<UnitName> = files.map(|(name, _)| name.clone()).collect();
        let mut sorted = Sorted::default();
        for name in names {
            match self.sort(&name, &mut sorted) {
                Ok(()) => {}
                Err(Refusal::Masked(path)) => self.changes.push(Change::Masked(path)),
                Err(Refusal::Dangling(name)) => self.changes.push(Change::Dangling(name)),
                Err(refusal) => self.refuse(refusal),
            }
        }
        self.carry_out(sorted, mode)
    }

    fn sort(&self, unit: &UnitName, sorted: &mut Sorted) -> Result<(), Refusal> {
        let found = self.found(unit)?;
        // Another name follows its unit.
        let is_name = self.tree().search(unit).is_some_and(|entry| matches!(entry.means, Means::Unit(_)));
        if is_name && found.name != *unit {
            return Ok(());
        }
        match self.files.presets.of(unit) {
            Preset::Enable(instances) if instances.is_empty() => sorted.plus.push(unmasked(found)?),
            Preset::Enable(instances) => {
                for instance in instances {
                    sorted.plus.push(unmasked(self.found(&instance)?)?);
                }
            }
            Preset::Disable => sorted.minus.push(found.name),
            Preset::Ignore => {}
        }
        Ok(())
    }

    fn found(&self, unit: &UnitName) -> Result<Found, Refusal> {
        self.tree().find(unit, Follow::All).map_err(|trouble: Trouble| trouble.refuse(unit.as_str()))
    }

    fn carry_out(&mut self, sorted: Sorted, mode: PresetMode) -> Result<(), Stop> {
        if mode != PresetMode::EnableOnly && !sorted.minus.is_empty() {
            self.disable_names(sorted.minus)?;
        }
        if mode != PresetMode::DisableOnly {
            self.enable_found(sorted.plus)?;
        }
        Ok(())
    }
}

fn unmasked(found: Found) -> Result<Found, Refusal> {
    match found.is {
        Is::Regular => Ok(found),
        Is::Masked => Err(Refusal::Masked(found.path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, unit: &str) -> String {
        let mut presets = Presets::default();
        presets.add(Path::new("/p"), text);
        match presets.of(&unit.parse().unwrap()) {
            Preset::Enable(instances) if !instances.is_empty() => {
                instances.iter().map(UnitName::as_str).collect::<Vec<_>>().join(" ")
            }
            preset => preset.as_str().to_owned(),
        }
    }

    #[test]
    fn the_first_line_that_matches_decides() {
        let text = "# comment\n; another\n\n  disable ab.service\nenable a*\nignore i.socket\nenable t@.service x y\ndisable *\nenable z*";
        for (unit, expected) in [
            ("ab.service", "disabled"),
            ("aa.service", "enabled"),
            ("i.socket", "ignored"),
            ("z.service", "disabled"),
            ("t@.service", "t@x.service t@y.service"),
            ("t@x.service", "t@x.service"),
            ("t@z.service", "disabled"),
        ] {
            assert_eq!(of(text, unit), expected, "{unit}");
        }
        assert_eq!(of("", "a.service"), "enabled");
    }

    #[test]
    fn lines_that_mean_nothing_are_named() {
        let mut presets = Presets::default();
        presets.add(Path::new("/p"), "enable a.service\nbogus x\nenable\ndisable t@.service x\n");
        assert_eq!(presets.rules.len(), 1);
        let places: Vec<&str> = presets.problems.iter().map(|problem| &problem[..5]).collect();
        assert_eq!(places, ["/p:2:", "/p:3:", "/p:4:"].map(|place| &place[..5]));
    }
}
