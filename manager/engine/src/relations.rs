//! How units stand to each other: what their files say, what is implied, and the other ends of both.
//!
//! What all units of a kind imply (`shutdown.target`, `basic.target`, a slice) is not kept with the unit that it names but looked for
//! when somebody asks: that unit would have a list as long as there are units. Invariant: a relation holds in both directions.

use std::collections::BTreeSet;

use sockmgr_unit::{LoadState, Relation, UnitKind, UnitName, UnitType};

use crate::engine::Engine;
use crate::names::Names;
use crate::service::is_other;

/// Relations that do not stand in the unit's own file: the other ends of those that stand in others, and those that depend on others.
/// Kept by name, also for units that are not there (yet).
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    /// Units ordered before this one.
    after: Names,
    /// Units ordered after this one.
    before: Names,
    /// Units that require this one.
    required_by: Names,
    /// Units that want this one.
    wanted_by: Names,
    /// All other relations.
    rare: Vec<(Relation, UnitName)>,
    /// What this socket starts.
    pub(crate) triggers: Option<UnitName>,
    /// The sockets that start this service and give it their descriptors.
    pub(crate) triggered_by: Names,
}

impl Links {
    pub(crate) fn add(&mut self, relation: Relation, other: UnitName) {
        match relation {
            Relation::After => self.after.insert(other),
            Relation::Before => self.before.insert(other),
            Relation::RequiredBy => self.required_by.insert(other),
            Relation::WantedBy => self.wanted_by.insert(other),
            _ if self.of(relation).any(|known| *known == other) => {}
            _ => self.rare.push((relation, other)),
        }
    }

    pub(crate) fn of(&self, relation: Relation) -> impl DoubleEndedIterator<Item = &UnitName> {
        let often: &[UnitName] = match relation {
            Relation::After => &self.after,
            Relation::Before => &self.before,
            Relation::RequiredBy => &self.required_by,
            Relation::WantedBy => &self.wanted_by,
            _ => &[],
        };
        let rare = self.rare.iter().filter(move |(known, _)| *known == relation).map(|(_, other)| other);
        often.iter().chain(rare)
    }
}

impl Engine {
    /// The units to which `name` stands in that relation, as clients see it: each once, by their own names, sorted. An order that
    /// stands only in the file of another unit is shown where that is up or about to be; systemd does not know of the others. `name`
    /// itself need not be known.
    pub fn shown_relation(&self, name: &UnitName, relation: Relation) -> Vec<UnitName> {
        let mut all = self.related(name, relation);
        if matches!(relation, Relation::Before | Relation::After) {
            let own = self.nodes.get(name);
            let is_own = |other: &UnitName| own.is_some_and(|node| node.unit.is_related(relation, other));
            all.retain(|other| is_own(other) || self.nodes.contains_key(other) && !self.is_idle(other));
        }
        all
    }

    /// The same, all of them.
    pub(crate) fn related(&self, name: &UnitName, relation: Relation) -> Vec<UnitName> {
        let own_name = |other: &UnitName| self.own_name(other).unwrap_or_else(|| other.clone());
        let names: BTreeSet<UnitName> = self.others(name, relation).map(own_name).collect();
        names.into_iter().collect()
    }

    /// The same, as it comes: some perhaps twice, or by another name of theirs.
    pub(crate) fn others<'a>(
        &'a self,
        name: &'a UnitName,
        relation: Relation,
    ) -> impl DoubleEndedIterator<Item = &'a UnitName> {
        let own = self.nodes.get(name).into_iter().flat_map(move |node| node.unit.related(relation));
        let inverse = relation.inverse();
        let all = is_common(name).then(|| self.nodes.iter()).into_iter().flatten();
        let implying =
            all.filter(move |(other, node)| node.unit.implied.has(inverse, name) && !is_other(other));
        let all = own.chain(self.links(name).of(relation)).chain(implying.map(|(other, _)| other));
        // A unit stands in no relation to itself, whatever its file says.
        all.filter(move |other| *other != name)
    }

    /// Names that stand in relations of others and have no unit.
    pub fn missing_names(&self) -> impl Iterator<Item = &UnitName> {
        let is_missing = |name: &&UnitName| {
            !self.nodes.contains_key(*name) && !name.is_template() && self.own_name(name).is_none()
        };
        self.links.keys().filter(is_missing)
    }

    /// The unit's own name, where `name` is another one of its.
    pub(crate) fn own_name(&self, name: &UnitName) -> Option<UnitName> {
        if self.nodes.contains_key(name) { None } else { self.library.alias_target(name) }
    }

    /// (Re)makes the other ends of what the files of `name` say, and what a target implies of units that it needs.
    pub(crate) fn link_relations(&mut self, name: &UnitName) {
        let unit = self.nodes[name].unit.clone();
        for relation in Relation::ALL {
            for other in unit.written(*relation) {
                let other = self.library.alias_target(other).unwrap_or_else(|| other.clone());
                self.links_mut(&other).add(relation.inverse(), name.clone());
            }
        }
        if let UnitKind::Target = unit.kind {
            self.link_target(name);
        }
    }

    /// `a` is ordered after `b`.
    pub(crate) fn order_after(&mut self, a: &UnitName, b: &UnitName) {
        self.links_mut(a).add(Relation::After, b.clone());
        self.links_mut(b).add(Relation::Before, a.clone());
    }

    /// systemd.target(5), "Default Dependencies": a target comes up after what it needs, unless one of the two says otherwise.
    fn link_target(&mut self, name: &UnitName) {
        const NEEDS: [Relation; 6] = [
            Relation::Requires,
            Relation::Requisite,
            Relation::Wants,
            Relation::BindsTo,
            Relation::PartOf,
            Relation::Upholds,
        ];
        let target = self.nodes[name].unit.clone();
        if !target.relations.default_dependencies {
            return;
        }
        for other in NEEDS.into_iter().flat_map(|relation| target.related(relation)) {
            if other.is_template() {
                continue;
            }
            let other = self.load(other);
            let is_before =
                target.is_related(Relation::Before, &other.name) || other.is_related(Relation::After, name);
            let is_loaded = other.load_state == LoadState::Loaded && other.relations.default_dependencies;
            if is_loaded && !is_before && !target.is_related(Relation::After, &other.name) {
                self.order_after(name, &other.name.clone());
            }
        }
    }
}

/// One of those that units of a kind imply.
fn is_common(name: &UnitName) -> bool {
    const COMMON: [&str; 7] = [
        "basic.target",
        "sockets.target",
        "sysinit.target",
        "shutdown.target",
        "dbus.socket",
        "systemd-journald.socket",
        "-.mount",
    ];
    name.unit_type() == UnitType::Slice || COMMON.contains(&name.as_str())
}
