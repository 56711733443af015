//! A small sorted set of unit names.

use std::ops::Deref;

use sockmgr_unit::UnitName;

/// Sorted, each name once. Most sets have one or two names, and there are several for each unit: a `BTreeSet` would take ten times
/// the memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Vec<UnitName>);

impl Names {
    pub(crate) fn insert(&mut self, name: UnitName) {
        if let Err(place) = self.0.binary_search(&name) {
            if self.0.len() < 4 {
                self.0.reserve_exact(1);
            }
            self.0.insert(place, name);
        }
    }
}

impl Deref for Names {
    type Target = [UnitName];

    fn deref(&self) -> &[UnitName] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Names {
    type Item = &'a UnitName;
    type IntoIter = std::slice::Iter<'a, UnitName>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Names {
    type Item = UnitName;
    type IntoIter = std::vec::IntoIter<UnitName>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_each_once() {
        let mut names = Names::default();
        for name in ["c.socket", "a.socket", "b.socket", "a.socket"] {
            names.insert(name.parse().unwrap());
        }
        let names: Vec<&str> = names.iter().map(UnitName::as_str).collect();
        assert_eq!(names, ["a.socket", "b.socket", "c.socket"]);
    }
}
