//! What clients have changed of the environment that all services inherit (`set-environment` and its kin).
//!
//! Never here: what is inherited otherwise. Invariant: a change outlives the manager, not the keeper; a reload does not undo it.

use std::collections::BTreeMap;

use sockmgr_unit::value::is_variable_name;

use super::Driver;
use crate::protocol::ToKeeper;

/// Under which the keeper remembers it; no unit has such a name.
const KEY: &str = "environment";

/// Variables by name; `None`: there is to be none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes(BTreeMap<String, Option<String>>);

impl Changes {
    /// What an earlier manager left.
    pub(super) fn take_up(values: &mut Vec<(String, Vec<u8>)>) -> Self {
        let own = values.iter().position(|(key, _)| key == KEY).map(|at| values.swap_remove(at).1);
        let read = |bytes: &Vec<u8>| {
            postcard::from_bytes(bytes)
                .inspect_err(|error| tracing::error!("cannot read the saved environment: {error}"))
                .ok()
        };
        Self(own.as_ref().and_then(read).unwrap_or_default())
    }

    /// Changes what is inherited otherwise.
    pub(super) fn apply(&self, inherited: &mut BTreeMap<String, String>) {
        for (name, value) in &self.0 {
            match value {
                Some(value) => drop(inherited.insert(name.clone(), value.clone())),
                None => drop(inherited.remove(name)),
            }
        }
    }

    /// The same with variables taken out, then others put in.
    fn with(&self, unset: &[String], set: &[String]) -> Result<Self, String> {
        let mut changed = self.clone();
        for word in unset {
            let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
            check_name(name, word)?;
            changed.0.insert(name.to_owned(), None);
        }
        for word in set {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("Invalid environment assignment {word:?}: no ="))?;
            check_name(name, word)?;
            if value.contains('\0') {
                return Err(format!("Invalid environment assignment {word:?}: a NUL byte in it"));
            }
            changed.0.insert(name.to_owned(), Some(value.to_owned()));
        }
        Ok(changed)
    }
}

fn check_name(name: &str, word: &str) -> Result<(), String> {
    if is_variable_name(name) {
        Ok(())
    } else {
        Err(format!(
            "Invalid environment variable {word:?}: names have letters, digits and _, no digit first"
        ))
    }
}

impl Driver {
    /// See [`Core::change_environment`](crate::control::Core::change_environment).
    pub(super) fn set_environment(&mut self, unset: &[String], set: &[String]) -> Result<(), String> {
        self.environment = self.environment.with(unset, set)?;
        self.planner.set_defaults(self.engine.settings(), &self.environment);
        self.push(ToKeeper::Environment(self.planner.common_environment()));
        let value = postcard::to_stdvec(&self.environment.0).map_err(|error| error.to_string())?;
        self.push(ToKeeper::Remember { key: KEY.to_owned(), value });
        self.commanded.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn variables_come_and_go() {
        let mut inherited =
            BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]);
        let changes = Changes::default().with(&words(&["A", "C=x"]), &words(&["C=3", "D=a=b"])).unwrap();
        changes.apply(&mut inherited);
        let text: Vec<String> = inherited.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(text, ["B=2", "C=3", "D=a=b"]);
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for (unset, set) in
            [(&["1A"][..], &[][..]), (&[], &["A"]), (&[], &["A B=1"]), (&[""], &[]), (&[], &["A=\0"])]
        {
            assert!(Changes::default().with(&words(unset), &words(set)).is_err(), "{unset:?} {set:?}");
        }
    }

    #[test]
    fn it_is_found_among_what_was_saved() {
        let changes = Changes::default().with(&[], &words(&["A=1"])).unwrap();
        let mut values = vec![
            ("a.service".to_owned(), vec![1]),
            (KEY.to_owned(), postcard::to_stdvec(&changes.0).unwrap()),
        ];
        assert_eq!(Changes::take_up(&mut values), changes);
        assert_eq!(values.len(), 1);
    }
}
