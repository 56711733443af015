//! `Condition…=` and `Assert…=`: what must be so that a unit is started (systemd.unit(5), "Conditions and Asserts").
//!
//! Never here: whether it is so. Invariant: the parameter of a condition on a path is an absolute one.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::choice::choice;
use super::{ValueError, path};
use crate::directive::{Context, Property, Value};

choice! {
    /// What a condition is about; the words are those after `Condition` and `Assert`.
    pub enum ConditionKind = "the name of a condition" {
        /// Something is at the path.
        PathExists = "PathExists",
        /// Something is at a path that matches.
        PathExistsGlob = "PathExistsGlob",
        /// A directory is at the path.
        PathIsDirectory = "PathIsDirectory",
        /// A symbolic link is at the path.
        PathIsSymbolicLink = "PathIsSymbolicLink",
        /// Something is mounted at the path.
        PathIsMountPoint = "PathIsMountPoint",
        /// The file system of the path is writable.
        PathIsReadWrite = "PathIsReadWrite",
        /// The file system of the path lies on an encrypted device.
        PathIsEncrypted = "PathIsEncrypted",
        /// The directory has something in it.
        DirectoryNotEmpty = "DirectoryNotEmpty",
        /// The file is a regular one, and not empty.
        FileNotEmpty = "FileNotEmpty",
        /// The file is a regular one, and executable.
        FileIsExecutable = "FileIsExecutable",
        /// `/usr` is newer than the last update of `/etc` or `/var`.
        NeedsUpdate = "NeedsUpdate",
        /// The machine boots for the first time.
        FirstBoot = "FirstBoot",
        /// The manager runs as this user.
        User = "User",
        /// The manager runs in this group.
        Group = "Group",
        /// The host has this name or machine id.
        Host = "Host",
        /// The CPU is of this kind.
        Architecture = "Architecture",
        /// The firmware is of this kind.
        Firmware = "Firmware",
        /// The machine is a virtual one.
        Virtualization = "Virtualization",
        /// A word is on the kernel's command line.
        KernelCommandLine = "KernelCommandLine",
        /// The kernel's version is in a range.
        KernelVersion = "KernelVersion",
        /// A field of os-release(5) has a value.
        OsRelease = "OSRelease",
        /// A security module is there.
        Security = "Security",
        /// The manager may have this capability.
        Capability = "Capability",
        /// The machine runs on mains power.
        AcPower = "ACPower",
        /// The manager has a variable.
        Environment = "Environment",
        /// The manager has a credential.
        Credential = "Credential",
        /// A controller of control groups is there.
        ControlGroupController = "ControlGroupController",
        /// There are so many CPUs.
        Cpus = "CPUs",
        /// The CPU has a feature.
        CpuFeature = "CPUFeature",
        /// There is so much memory.
        Memory = "Memory",
    }
}

impl ConditionKind {
    /// The parameter is a path.
    fn takes_path(self) -> bool {
        matches!(
            self,
            Self::PathExists
                | Self::PathExistsGlob
                | Self::PathIsDirectory
                | Self::PathIsSymbolicLink
                | Self::PathIsMountPoint
                | Self::PathIsReadWrite
                | Self::PathIsEncrypted
                | Self::DirectoryNotEmpty
                | Self::FileNotEmpty
                | Self::FileIsExecutable
                | Self::NeedsUpdate
        )
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub kind: ConditionKind,
    /// `|`: of all of these one is enough.
    pub is_trigger: bool,
    /// `!`: it must not be so.
    pub is_negated: bool,
    /// What stands behind.
    pub parameter: Box<str>,
}

/// All lines of a unit, in their order; an empty assignment forgets the earlier ones, of whatever kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions(Vec<Condition>);

impl Deref for Conditions {
    type Target = [Condition];

    fn deref(&self) -> &[Condition] {
        &self.0
    }
}

impl FromIterator<Condition> for Conditions {
    fn from_iter<T: IntoIterator<Item = Condition>>(lines: T) -> Self {
        Self(lines.into_iter().collect())
    }
}

impl Value for Conditions {
    const FORM: &'static str = "what is to hold; | before it: one of these is enough, then !: the opposite";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
            return Ok(());
        }
        let word = cx.key().trim_start_matches("Condition").trim_start_matches("Assert");
        let kind = ConditionKind::parse(word)?;
        let (text, is_trigger) = text.strip_prefix('|').map_or((text, false), |rest| (rest, true));
        let (text, is_negated) = text.strip_prefix('!').map_or((text, false), |rest| (rest, true));
        let expanded = cx.expand(text)?;
        let parameter = if kind.takes_path() { path::absolute(&expanded)? } else { expanded.into() };
        self.0.push(Condition { kind, is_trigger, is_negated, parameter });
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.0.iter().map(ToString::to_string).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trigger = if self.is_trigger { "|" } else { "" };
        let negated = if self.is_negated { "!" } else { "" };
        write!(f, "{}={trigger}{negated}{}", self.kind, self.parameter)
    }
}
