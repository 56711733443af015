//! The state of a unit file: enabled, masked, static, …
//!
//! Never here: whether the unit runs. Invariant: the words and the rules are those of `systemctl is-enabled`.

use sockmgr_unit::section::InstallSection;
use sockmgr_unit::{Library, UnitName};

use super::find::{Follow, Found, Is, Trouble};
use super::tree::{Directory, Tree};
use crate::loader::unit_of;

/// The state of a unit file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitFileState {
    /// Links that `[Install]` asks for are there.
    Enabled,
    /// The same, in the runtime directory.
    EnabledRuntime,
    /// The file lies elsewhere, and a link makes it known.
    Linked,
    /// The same, in the runtime directory.
    LinkedRuntime,
    /// It is another name of a unit.
    Alias,
    /// It cannot be started.
    Masked,
    /// The same, until the machine goes down.
    MaskedRuntime,
    /// There is nothing to enable.
    Static,
    /// It is enabled by way of others only, or known under other names.
    Indirect,
    /// It could be enabled.
    Disabled,
    /// There is a name, and no file that could be read.
    Bad,
}

impl UnitFileState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::EnabledRuntime => "enabled-runtime",
            Self::Linked => "linked",
            Self::LinkedRuntime => "linked-runtime",
            Self::Alias => "alias",
            Self::Masked => "masked",
            Self::MaskedRuntime => "masked-runtime",
            Self::Static => "static",
            Self::Indirect => "indirect",
            Self::Disabled => "disabled",
            Self::Bad => "bad",
        }
    }

    /// Whether `list-unit-files` has a preset to compare it with.
    pub fn has_preset(self) -> bool {
        !matches!(self, Self::Alias | Self::Static)
    }
}

/// Whether the words of a state are for `is-enabled` to succeed.
pub fn counts_as_enabled(word: &str) -> bool {
    matches!(word, "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated")
}

/// Which names of links count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Those that enabling would make.
    OfInstall,
    /// Any.
    Any,
}

/// What a directory has of a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Has {
    Nothing,
    /// A link of the unit's own name to its file.
    OwnName,
    /// A link that enables it.
    Link,
}

impl Tree {
    /// The state of a unit's file.
    pub(super) fn state(&self, name: &UnitName, library: &Library) -> Result<UnitFileState, Trouble> {
        let found = self.find(name, Follow::All)?;
        if found.is == Is::Masked {
            let at_runtime = found.path.parent() == self.runtime.as_deref();
            return Ok(if at_runtime { UnitFileState::MaskedRuntime } else { UnitFileState::Masked });
        }
        let file = found.path.file_name().and_then(|file| unit_of(file.to_str()?));
        if file.is_some_and(|file| file != *name) && !found.name.is_instance() {
            return Ok(UnitFileState::Alias);
        }
        let (install, _) = library.install(&found.name);
        Ok(self
            .linked_state(&found, &install, Names::OfInstall)
            .or_else(|| self.linked_state(&found, &install, Names::Any).map(|_| UnitFileState::Indirect))
            .unwrap_or_else(|| unlinked_state(&install)))
    }

    /// What the links of all directories say, if anything.
    fn linked_state(&self, found: &Found, install: &InstallSection, names: Names) -> Option<UnitFileState> {
        let (mut enabled_runtime, mut elsewhere, mut own, mut own_runtime) = (false, false, false, false);
        // Below the file that counts, names are hidden by it.
        let mut is_hidden = false;
        for directory in &self.directories {
            let is_configuration = directory.path == self.configuration;
            let is_runtime = Some(&directory.path) == self.runtime.as_ref();
            match directory.has(found, install, names, is_hidden) {
                Has::Link if is_configuration => return Some(UnitFileState::Enabled),
                Has::Link if is_runtime => enabled_runtime = true,
                Has::Link => elsewhere = true,
                Has::OwnName if is_configuration => own = true,
                Has::OwnName if is_runtime => own_runtime = true,
                Has::OwnName | Has::Nothing => {}
            }
            is_hidden |= found.path.parent() == Some(&directory.path);
        }
        if enabled_runtime {
            return Some(UnitFileState::EnabledRuntime);
        }
        // An instance that the vendor has made is there to stay.
        if elsewhere && found.name.is_instance() {
            return Some(UnitFileState::Static);
        }
        let linked = own.then_some(UnitFileState::Linked);
        linked.or_else(|| own_runtime.then_some(UnitFileState::LinkedRuntime))
    }
}

impl Directory {
    fn has(&self, found: &Found, install: &InstallSection, names: Names, is_hidden: bool) -> Has {
        let is_known = |name: &UnitName| is_known_name(name, found, install);
        let counts = |name: &UnitName| names == Names::Any || is_known(name);
        let of_template = |name: &UnitName| name.template().is_some_and(|template| template == found.name);
        let wanted = |name: &UnitName| (is_known(name) || of_template(name)) && counts(name);
        if self.dependencies.keys().any(|(_, name)| wanted(name)) {
            return Has::Link;
        }
        let mut has = Has::Nothing;
        for (name, entry) in &self.units {
            let Some(pointer) = &entry.pointer else { continue };
            let (by_name, by_target) =
                (!is_hidden && *name == found.name, pointer.unit().is_some_and(|unit| unit == found.name));
            if by_name && by_target {
                has = Has::OwnName;
            } else if (by_name || by_target) && counts(name) {
                return Has::Link;
            }
        }
        has
    }
}

/// Whether enabling the unit makes links of that name.
fn is_known_name(name: &UnitName, found: &Found, install: &InstallSection) -> bool {
    let default = || {
        let instance = install.default_instance.as_deref().filter(|_| found.name.is_template())?;
        found.name.with_instance(instance).ok()
    };
    *name == found.name || install.alias.contains(name) || default().is_some_and(|default| default == *name)
}

fn unlinked_state(install: &InstallSection) -> UnitFileState {
    let lists = [&install.wanted_by, &install.required_by, &install.upheld_by, &install.alias];
    if lists.iter().any(|list| !list.is_empty()) {
        UnitFileState::Disabled
    } else if install.also.is_empty() {
        UnitFileState::Static
    } else {
        UnitFileState::Indirect
    }
}
