//! How one unit can stand to another (systemd.unit(5)), by the names of the properties.
//!
//! Never here: what follows from it at run time; that is the engine's. Invariant: every relation has an inverse, and the inverse of
//! that is itself.

use std::fmt;

use crate::name::UnitName;

/// Declares the relations in pairs: each with its inverse.
macro_rules! relations {
    ($($(#[$doc:meta])* $one:ident / $(#[$other_doc:meta])* $other:ident,)+) => {
        /// How a unit stands to another: `a Before b`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Relation {
            $($(#[$doc])* $one, $(#[$other_doc])* $other,)+
        }

        impl Relation {
            /// Every relation, each followed by its inverse.
            pub const ALL: &'static [Self] = &[$(Self::$one, Self::$other,)+];

            /// The name of the property.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$one => stringify!($one), Self::$other => stringify!($other),)+
                }
            }

            /// How the other unit stands to this one.
            #[must_use]
            pub const fn inverse(self) -> Self {
                match self {
                    $(Self::$one => Self::$other, Self::$other => Self::$one,)+
                }
            }
        }
    };
}

relations! {
    /// Starts before it, and stops after it.
    Before /
    /// Starts after it, and stops before it.
    After,
    /// Starts it, and fails without it.
    Requires /
    /// The inverse of `Requires`.
    RequiredBy,
    /// Fails unless it is up already.
    Requisite /
    /// The inverse of `Requisite`.
    RequisiteOf,
    /// Starts it.
    Wants /
    /// The inverse of `Wants`.
    WantedBy,
    /// As `Requires`, and goes down with it for whatever reason.
    BindsTo /
    /// The inverse of `BindsTo`.
    BoundBy,
    /// Is stopped and restarted with it.
    PartOf /
    /// The inverse of `PartOf`.
    ConsistsOf,
    /// Starts it whenever it is down.
    Upholds /
    /// The inverse of `Upholds`.
    UpheldBy,
    /// Stops it, as it stops this one.
    Conflicts /
    /// The inverse of `Conflicts`.
    ConflictedBy,
    /// Starts it after a failure.
    OnFailure /
    /// The inverse of `OnFailure`.
    OnFailureOf,
    /// Starts it after a good end.
    OnSuccess /
    /// The inverse of `OnSuccess`.
    OnSuccessOf,
    /// Is reloaded, and it with this one.
    PropagatesReloadTo /
    /// The inverse of `PropagatesReloadTo`.
    ReloadPropagatedFrom,
    /// Is stopped, and it with this one.
    PropagatesStopTo /
    /// The inverse of `PropagatesStopTo`.
    StopPropagatedFrom,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Relations that no file of the unit says: defaults (`DefaultDependencies=`) and what follows from other directives. Units that have
/// the same share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Implied(Vec<(Relation, UnitName)>);

impl Implied {
    /// Adds a relation, once.
    pub(crate) fn add(&mut self, relation: Relation, other: UnitName) {
        if !self.has(relation, &other) {
            self.0.push((relation, other));
        }
    }

    /// The units to which it is of that kind.
    pub fn of(&self, relation: Relation) -> impl DoubleEndedIterator<Item = &UnitName> {
        self.0.iter().filter(move |(known, _)| *known == relation).map(|(_, other)| other)
    }

    /// Whether this relation to `other` is implied.
    pub fn has(&self, relation: Relation, other: &UnitName) -> bool {
        self.of(relation).any(|known| known == other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_leads_back() {
        for relation in Relation::ALL {
            assert_eq!(relation.inverse().inverse(), *relation);
            assert_ne!(relation.inverse(), *relation);
        }
    }
}
