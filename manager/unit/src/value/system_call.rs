//! Lists of system calls, allowed or denied (systemd.exec(5), "System Call Filtering").
//!
//! Never here: numbers of system calls, which differ between architectures. Invariant: whether a list allows or denies is decided by
//! its first assignment; later ones of the other sense take away.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::{Refusal, ValueError};
use crate::directive::{Context, Property, Value};

/// Built by the first unit that has a filter.
static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| table::NAMES.split_ascii_whitespace().collect());

/// A system call of whatever architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SystemCall(u16);

impl SystemCall {
    fn named(name: &str) -> Option<Self> {
        NAMES.binary_search(&name).ok().map(|at| Self(at as u16))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }
}

/// The calls of a group (`@clock`), of groups within it too.
pub fn system_call_group(name: &str) -> Option<BTreeSet<SystemCall>> {
    if name == "@known" {
        let known = NAMES.iter().filter(|name| !table::UNGROUPED.contains(name));
        return Some(known.filter_map(|name| SystemCall::named(name)).collect());
    }
    let mut lines = table::GROUPS.lines().map(str::split_ascii_whitespace);
    let words = lines.find_map(|mut words| (words.next() == Some(name)).then_some(words))?;
    let calls_of = |word: &str| match SystemCall::named(word) {
        Some(call) => BTreeSet::from([call]),
        None => system_call_group(word).unwrap_or_default(),
    };
    Some(words.flat_map(calls_of).collect())
}

/// The calls that a word of a list means: a name or a group.
fn calls(word: &str) -> Result<BTreeSet<SystemCall>, ValueError> {
    let single = || SystemCall::named(word).map(|call| BTreeSet::from([call]));
    let found = if word.starts_with('@') { system_call_group(word) } else { single() };
    found.ok_or_else(|| ValueError::new(format!("\"{word}\" is not a system call or a group of them")))
}

/// The words of an assignment, and whether it begins with a `~`.
fn words(text: &str) -> (impl Iterator<Item = &str>, bool) {
    let (rest, inverted) = text.strip_prefix('~').map_or((text, false), |rest| (rest, true));
    (rest.split_ascii_whitespace(), inverted)
}

/// `SystemCallFilter=`: which calls are allowed, or which are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemCallFilter(Option<Box<Filter>>);

/// A filter as it is to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Whether what is not listed is refused.
    pub is_allow_list: bool,
    /// What is listed; in either sort of list a call with a refusal of its own is refused that way.
    pub calls: BTreeMap<SystemCall, Option<Refusal>>,
}

impl SystemCallFilter {
    /// The filter, if there is one.
    pub fn get(&self) -> Option<&Filter> {
        self.0.as_deref()
    }
}

impl Filter {
    fn new(is_allow_list: bool) -> Self {
        let mut filter = Self { is_allow_list, calls: BTreeMap::new() };
        if is_allow_list {
            // Without these nothing runs at all.
            let default = system_call_group("@default").unwrap_or_default();
            filter.calls.extend(default.into_iter().map(|call| (call, None)));
        }
        filter
    }

    fn apply(&mut self, word: &str, inverted: bool) -> Result<(), ValueError> {
        let (name, refusal) = match word.split_once(':') {
            Some((name, refusal)) => (name, Some(Refusal::parse(refusal)?)),
            None => (word, None),
        };
        for call in calls(name)? {
            if refusal.is_some() || inverted != self.is_allow_list {
                self.calls.insert(call, refusal);
            } else {
                self.calls.remove(&call);
            }
        }
        Ok(())
    }
}

impl Value for SystemCallFilter {
    const FORM: &'static str = "system calls and groups, such as @system-service, after a ~ what is forbidden; each may have an :ERROR";
    const SIGNATURE: &'static str = "(bas)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0 = None;
            return Ok(());
        }
        let (words, inverted) = words(text);
        let filter = self.0.get_or_insert_with(|| Box::new(Filter::new(!inverted)));
        for word in words {
            if let Err(error) = filter.apply(word, inverted) {
                cx.warn(error);
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        let Some(Filter { is_allow_list, calls }) = self.get() else {
            return Property::AllowList(false, Vec::new());
        };
        let text = |(call, refusal): (&SystemCall, &Option<Refusal>)| match refusal {
            // Of an allow list it is no part.
            Some(_) if *is_allow_list => None,
            Some(refusal) => Some(format!("{}:{refusal}", call.name())),
            None => Some(call.name().to_owned()),
        };
        let mut texts: Vec<String> = calls.iter().filter_map(text).collect();
        texts.sort_unstable();
        Property::AllowList(*is_allow_list, texts)
    }
}

/// `SystemCallLog=`: which calls are logged, or which are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemCallLog(Option<Box<LoggedCalls>>);

/// Calls to be logged, as they are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedCalls {
    /// Whether those that are listed are logged, instead of all others.
    pub is_allow_list: bool,
    /// What is listed.
    pub calls: BTreeSet<SystemCall>,
}

impl SystemCallLog {
    /// The list, if there is one.
    pub fn get(&self) -> Option<&LoggedCalls> {
        self.0.as_deref()
    }
}

impl Value for SystemCallLog {
    const FORM: &'static str = "system calls and groups, such as @clock, after a ~ all but those";
    const SIGNATURE: &'static str = "(bas)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0 = None;
            return Ok(());
        }
        let (words, inverted) = words(text);
        let new = || Box::new(LoggedCalls { is_allow_list: !inverted, calls: BTreeSet::new() });
        let list = self.0.get_or_insert_with(new);
        for word in words {
            match calls(word) {
                Ok(calls) if inverted != list.is_allow_list => list.calls.extend(calls),
                Ok(calls) => list.calls.retain(|call| !calls.contains(call)),
                Err(error) => cx.warn(error),
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        let (is_allow_list, calls) = match self.get() {
            Some(list) => (list.is_allow_list, Some(&list.calls)),
            None => (false, None),
        };
        let names = calls.into_iter().flatten().map(|call| call.name().to_owned());
        Property::AllowList(is_allow_list, names.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order_and_groups_name_known_calls() {
        assert!(NAMES.is_sorted(), "the names are searched");
        for line in table::GROUPS.lines() {
            for word in line.split_ascii_whitespace() {
                let known = SystemCall::named(word).is_some() || system_call_group(word).is_some();
                assert!(known, "{word}");
            }
        }
        assert!(table::UNGROUPED.iter().all(|name| SystemCall::named(name).is_some()));
    }

    #[test]
    fn groups_have_what_groups_in_them_have() {
        let service = system_call_group("@system-service").unwrap();
        assert!(system_call_group("@aio").unwrap().is_subset(&service));
        assert!(!service.contains(&SystemCall::named("reboot").unwrap()));
        assert_eq!(system_call_group("@nosuch"), None);
    }
}
