//! Specifiers: `%i`, `%t`, `%n` … in values, expanded once when a unit is loaded (systemd.unit(5), "Specifiers").
//!
//! Never here: asking the machine; the loader fills [`Host`].
//! Invariant: expansion depends on the unit's name, its fragment's path and the host, on nothing else.

use std::path::Path;

use crate::name::{NameError, UnitName, unescape, unescape_path};

/// The longest expansion, in bytes: the kernel takes no longer argument (MAX_ARG_STRLEN).
const EXPANSION_MAX: usize = 128 * 1024;

/// What specifiers can say of the machine and of the manager's user. Empty by default.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// `%H`; up to its first dot it is `%l`.
    pub host_name: Box<str>,
    /// `%q`; the host name where it is not set.
    pub pretty_host_name: Option<Box<str>>,
    /// `%m`: 32 hexadecimal digits.
    pub machine_id: Option<Box<str>>,
    /// `%b`: 32 hexadecimal digits.
    pub boot_id: Option<Box<str>>,
    /// `%v`
    pub kernel_release: Box<str>,
    /// `%a`, in systemd's spelling: `x86-64`, `arm64`.
    pub architecture: Box<str>,
    /// From os-release(5).
    pub os: OsRelease,
    /// The manager is that of a user, not that of the system.
    pub is_of_user: bool,
    /// Who runs the manager, whatever `User=` says.
    pub user: User,
    /// Where things are.
    pub directories: Directories,
    /// Name and index of each network interface, for addresses with a scope.
    pub interfaces: Vec<(Box<str>, u32)>,
    /// Whose manager loads the units.
    pub manager: ManagerKind,
}

/// Whose manager it is; which units are implied depends on that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManagerKind {
    /// The machine's.
    #[default]
    System,
    /// A user's.
    User,
}

/// The operating system, from os-release(5); a field that is not there expands to nothing.
#[derive(Clone, Debug, Default)]
pub struct OsRelease {
    /// `%o`
    pub id: Box<str>,
    /// `%w`
    pub version_id: Box<str>,
    /// `%W`
    pub variant_id: Box<str>,
    /// `%B`
    pub build_id: Box<str>,
    /// `%A`
    pub image_version: Box<str>,
    /// `%M`
    pub image_id: Box<str>,
}

/// The user that runs the manager.
#[derive(Clone, Debug, Default)]
pub struct User {
    /// `%u`
    pub name: Box<str>,
    /// `%U`
    pub uid: u32,
    /// `%g`
    pub group: Box<str>,
    /// `%G`
    pub gid: u32,
    /// `%h`
    pub home: Box<str>,
    /// `%s`
    pub shell: Box<str>,
}

/// The directories of a system or user manager (file-hierarchy(7)).
#[derive(Clone, Debug, Default)]
pub struct Directories {
    /// `%t`: `/run` or `$XDG_RUNTIME_DIR`.
    pub runtime: Box<str>,
    /// `%S`
    pub state: Box<str>,
    /// `%C`
    pub cache: Box<str>,
    /// `%L`
    pub logs: Box<str>,
    /// `%E`
    pub configuration: Box<str>,
    /// `%D`
    pub shared: Box<str>,
    /// `%T`
    pub temporary: Box<str>,
    /// `%V`
    pub var_temporary: Box<str>,
}

impl Host {
    /// The index of a network interface.
    pub fn interface_index(&self, name: &str) -> Option<u32> {
        self.interfaces.iter().find(|(known, _)| **known == *name).map(|&(_, index)| index)
    }

    /// The (first) name of a network interface.
    pub fn interface_name(&self, index: u32) -> Option<&str> {
        self.interfaces.iter().find(|&&(_, known)| known == index).map(|(name, _)| &**name)
    }

    fn short_host_name(&self) -> &str {
        self.host_name.split('.').next().unwrap_or_default()
    }
}

/// Which specifiers a value may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Any,
    /// Those whose expansion can stand in a unit name.
    Name,
}

impl Scope {
    fn has(self, letter: char) -> bool {
        self == Self::Any || "nNpijuUgGaAbBHlmMovwW".contains(letter)
    }
}

/// Why specifiers could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecifierError {
    /// No such specifier.
    #[error("unknown specifier %{0}")]
    Unknown(char),
    /// It exists, but not in values that name units.
    #[error("the specifier %{0} cannot be used in a unit name")]
    NotInNames(char),
    /// The host or unit has nothing to put there.
    #[error("the specifier %{0} has no value here")]
    Unavailable(char),
    /// The unit's name does not unescape.
    #[error("the specifier %{letter} cannot be expanded: {source}")]
    Name {
        /// The specifier.
        letter: char,
        /// What is wrong with the name.
        source: NameError,
    },
    /// The result is longer than any value can be.
    #[error("the expansion is longer than 128 KiB")]
    TooLong,
}

impl SpecifierError {
    /// What would be right.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "write `%%` for a single `%`",
            Self::NotInNames(_) => "names of units take %n %N %p %i %j and those of host and user",
            Self::Unavailable(_) => "write what it should stand for",
            Self::Name { .. } => "use the escaped form: %i instead of %I, %p instead of %P, %j instead of %J",
            Self::TooLong => "write less",
        }
    }
}

/// Text with its specifiers expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// The text.
    pub text: String,
    /// Whether another instance of the same template would have got another text.
    pub instance_dependent: bool,
}

/// What specifiers speak of while one unit is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The unit.
    pub unit: &'a UnitName,
    /// Its file, for `%y` and `%Y`.
    pub fragment: Option<&'a Path>,
    /// The machine.
    pub host: &'a Host,
}

impl Subject<'_> {
    /// Expands the specifiers of `text`: `%%` is a percent sign, and so is one before anything but a letter or digit.
    ///
    /// # Errors
    /// A letter or digit after `%` that is no specifier of `scope`, or one that has no value here.
    pub fn expand(&self, text: &str, scope: Scope) -> Result<Expansion, SpecifierError> {
        let mut expansion = Expansion { text: String::with_capacity(text.len()), instance_dependent: false };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            expansion.text.push_str(before);
            rest = after;
            let letter = after.chars().next().filter(|&c| c == '%' || c.is_ascii_alphanumeric());
            match letter {
                None => expansion.text.push('%'),
                Some('%') => expansion.text.push('%'),
                Some(letter) => self.push(&mut expansion, letter, scope)?,
            }
            rest = &rest[letter.map_or(0, char::len_utf8)..];
            if expansion.text.len() + rest.len() > EXPANSION_MAX {
                return Err(SpecifierError::TooLong);
            }
        }
        expansion.text.push_str(rest);
        Ok(expansion)
    }

    fn push(&self, to: &mut Expansion, letter: char, scope: Scope) -> Result<(), SpecifierError> {
        let value = self.value(letter)?;
        if !scope.has(letter) {
            return Err(SpecifierError::NotInNames(letter));
        }
        to.text.push_str(&value);
        to.instance_dependent |= "nNiIfd".contains(letter);
        Ok(())
    }

    fn value(&self, letter: char) -> Result<String, SpecifierError> {
        if let Some(value) = self.of_unit(letter) {
            return value.map_err(|source| SpecifierError::Name { letter, source });
        }
        let value = self.of_fragment(letter).or_else(|| self.host.value(letter));
        value.ok_or(SpecifierError::Unknown(letter))?.ok_or(SpecifierError::Unavailable(letter))
    }

    fn of_unit(&self, letter: char) -> Option<Result<String, NameError>> {
        let unit = self.unit;
        let instance = unit.instance().unwrap_or_default();
        let last = unit.prefix().rsplit('-').next().unwrap_or_default();
        Some(match letter {
            'n' => Ok(unit.to_string()),
            'N' => Ok(unit.stem().to_owned()),
            'p' => Ok(unit.prefix().to_owned()),
            'P' => unescape(unit.prefix()),
            'i' => Ok(instance.to_owned()),
            'I' => unescape(instance),
            'j' => Ok(last.to_owned()),
            'J' => unescape(last),
            'd' => Ok(format!("{}/credentials/{unit}", self.host.directories.runtime)),
            'f' => unescape_path(unit.instance().unwrap_or_else(|| unit.prefix())),
            _ => return None,
        })
    }

    /// The outer `None`: no such specifier; the inner: this unit has no file.
    fn of_fragment(&self, letter: char) -> Option<Option<String>> {
        let path = match letter {
            'y' => self.fragment,
            'Y' => self.fragment.and_then(Path::parent),
            _ => return None,
        };
        Some(path.and_then(Path::to_str).map(str::to_owned))
    }
}

impl Host {
    /// The outer `None`: no such specifier; the inner: this host has no such thing.
    fn value(&self, letter: char) -> Option<Option<String>> {
        let text: &str = match letter {
            'H' => &self.host_name,
            'l' => self.short_host_name(),
            'q' => self.pretty_host_name.as_deref().unwrap_or(&self.host_name),
            'm' => return Some(self.machine_id.as_deref().map(str::to_owned)),
            'b' => return Some(self.boot_id.as_deref().map(str::to_owned)),
            'v' => &self.kernel_release,
            'a' => &self.architecture,
            'U' => return Some(Some(self.user.uid.to_string())),
            'G' => return Some(Some(self.user.gid.to_string())),
            'u' => &self.user.name,
            'g' => &self.user.group,
            'h' => &self.user.home,
            's' => &self.user.shell,
            'o' => &self.os.id,
            'w' => &self.os.version_id,
            'W' => &self.os.variant_id,
            'B' => &self.os.build_id,
            'A' => &self.os.image_version,
            'M' => &self.os.image_id,
            't' => &self.directories.runtime,
            'S' => &self.directories.state,
            'C' => &self.directories.cache,
            'L' => &self.directories.logs,
            'E' => &self.directories.configuration,
            'D' => &self.directories.shared,
            'T' => &self.directories.temporary,
            'V' => &self.directories.var_temporary,
            // Paths of control groups: sockmgr has none.
            'c' | 'r' | 'R' => return Some(None),
            _ => return None,
        };
        Some(Some(text.to_owned()))
    }
}
