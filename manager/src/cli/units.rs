//! Which units a verb is about: names and globs from the command line, and `--type` and `--state`.
//!
//! As with systemctl a glob means loaded units only, of these the active ones unless `--all` or `--state` asks for more.
//! Invariant: the order is that of the command line, names first.

use sockmgr_unit::UnitType;

use super::args::Flags;
use super::exit::CliError;
use super::manager::{ListedUnit, Manager};
use super::names::{Named, mangle, type_of};
use super::session::Session;

/// The load states of systemd; `--type` takes them too, as systemctl's does.
const LOAD_STATES: [&str; 7] = ["stub", "loaded", "not-found", "bad-setting", "error", "merged", "masked"];

/// The filter of `--type`, `--state`, `--failed` and `--all`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    types: Vec<String>,
    states: Vec<String>,
    all: bool,
}

impl Filter {
    /// Reads the filter from the command line.
    pub(crate) fn of(flags: &Flags) -> Result<Self, CliError> {
        let mut states: Vec<String> =
            flags.states.iter().filter(|state| !state.is_empty()).cloned().collect();
        let mut types = Vec::new();
        for word in flags.types.iter().filter(|word| !word.is_empty()) {
            match word.as_str() {
                kind if UnitType::from_suffix(kind).is_some() => types.push(word.clone()),
                state if LOAD_STATES.contains(&state) => states.push(word.clone()),
                _ => return Err(CliError::Usage(unknown_type(word))),
            }
        }
        if flags.failed {
            states.push("failed".into());
        }
        Ok(Self { types, states, all: flags.all })
    }

    /// Whether states were asked for.
    pub(crate) fn by_state(&self) -> bool {
        !self.states.is_empty()
    }

    /// Whether nothing but the defaults narrows a list.
    pub(crate) fn is_default(&self) -> bool {
        self.types.is_empty() && !self.by_state() && !self.all
    }

    fn accepts(&self, unit: &ListedUnit) -> bool {
        let of_type = self.types.is_empty() || self.types.iter().any(|kind| kind == type_of(&unit.name));
        of_type && (self.all || (unit.following.is_empty() && (self.by_state() || is_busy(unit))))
    }
}

fn is_busy(unit: &ListedUnit) -> bool {
    unit.job != 0 || unit.active_state != "inactive"
}

fn unknown_type(word: &str) -> String {
    let types = UnitType::ALL.map(UnitType::as_str).join(", ");
    format!(
        "unknown unit type or load state {word:?}. Unit types: {types}. Load states: {}.",
        LOAD_STATES.join(", ")
    )
}

/// The loaded units that match the arguments (all, without arguments) and the filter.
pub(crate) fn list(
    session: &mut Session,
    arguments: &[String],
    default_type: UnitType,
) -> Result<Vec<ListedUnit>, CliError> {
    let filter = Filter::of(&session.flags)?;
    let mut patterns = Vec::with_capacity(arguments.len());
    for argument in arguments {
        patterns.push(match mangle(argument, default_type)? {
            Named::Unit(name) | Named::Glob(name) => name,
        });
    }
    query(&mut session.manager, &filter, &patterns)
}

fn query(manager: &mut Manager, filter: &Filter, patterns: &[String]) -> Result<Vec<ListedUnit>, CliError> {
    let mut units = manager.list_units(&filter.states, patterns)?;
    units.retain(|unit| filter.accepts(unit));
    Ok(units)
}

/// The names that the arguments mean; globs become the loaded units that match.
pub(crate) fn expand(session: &mut Session, arguments: &[String]) -> Result<Vec<String>, CliError> {
    let (mut names, mut globs) = (Vec::new(), Vec::new());
    for argument in arguments {
        match mangle(argument, UnitType::Service)? {
            Named::Unit(name) => names.push(name),
            Named::Glob(glob) => globs.push(glob),
        }
    }
    if !globs.is_empty() {
        let filter = Filter::of(&session.flags)?;
        let units = query(&mut session.manager, &filter, &globs)?;
        names.extend(units.into_iter().map(|unit| unit.name));
    }
    Ok(names)
}

/// Whether any argument is a glob.
pub(crate) fn any_glob(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| matches!(mangle(argument, UnitType::Service), Ok(Named::Glob(_))))
}

#[cfg(test)]
mod tests {
    use zbus::wire::{Endian, serialized::Context, to_bytes};

    use super::*;

    fn unit(name: &str, active: &str, following: &str, job: u32) -> ListedUnit {
        let path = zbus::ObjectPath::try_from("/").unwrap();
        let row = (name, "", "loaded", active, "sub", following, &path, job, "", &path);
        let bytes = to_bytes(Context::new(Endian::Little, 0), &row).unwrap();
        bytes.deserialize().unwrap().0
    }

    fn filter(types: &[&str], states: &[&str], all: bool) -> Filter {
        let flags = Flags {
            types: types.iter().map(|word| (*word).into()).collect(),
            states: states.iter().map(|word| (*word).into()).collect(),
            all,
            ..Flags::default()
        };
        Filter::of(&flags).unwrap()
    }

    #[test]
    fn filter_accepts_what_systemctl_lists() {
        let active = unit("a.service", "active", "", 0);
        let inactive = unit("a.socket", "inactive", "", 0);
        let starting = unit("b.socket", "inactive", "", 7);
        let follower = unit("c.device", "active", "d.device", 0);
        let table = [
            (filter(&[], &[], false), [true, false, true, false]),
            (filter(&[], &[], true), [true, true, true, true]),
            (filter(&["socket"], &[], false), [false, false, true, false]),
            (filter(&["socket"], &[], true), [false, true, true, false]),
            (filter(&[], &["dead"], false), [true, true, true, false]),
            (filter(&["loaded"], &[], false), [true, true, true, false]),
        ];
        for (filter, expected) in table {
            let accepted = [&active, &inactive, &starting, &follower].map(|unit| filter.accepts(unit));
            assert_eq!(accepted, expected, "{filter:?}");
        }
    }

    #[test]
    fn an_unknown_type_is_named() {
        let flags = Flags { types: vec!["sokcet".into()], ..Flags::default() };
        let error = Filter::of(&flags).unwrap_err().to_string();
        assert!(
            error.starts_with("unknown unit type or load state \"sokcet\". Unit types: service, "),
            "{error}"
        );
    }
}
