//! Interfaces as tables: one list each of properties, methods and signals, from which Get, GetAll, PropertiesChanged, the
//! calls and the introspection all come, so that they cannot drift apart.
//!
//! Never here: what is in the tables. Invariant: a name occurs once in an interface.

use sockmgr_engine::JobView;
use sockmgr_unit::UnitName;

use super::Core;
use super::dispatch::{Answer, Call};
use super::subject::{Subject, UnitSubject};
use super::value::{self, Value};

/// One interface.
pub(super) struct Interface {
    pub(super) name: &'static str,
    /// Properties that change at run time.
    pub(super) fields: &'static [Field],
    /// The part of the directive table whose properties belong here as well.
    pub(super) files: Option<sockmgr_unit::Interface>,
    pub(super) methods: &'static [Method],
    pub(super) signals: &'static [Signal],
}

impl Interface {
    /// An interface without anything, to be filled in.
    pub(super) const EMPTY: Self = Self { name: "", fields: &[], files: None, methods: &[], signals: &[] };

    /// The value of one property.
    pub(super) fn get(&self, subject: &Subject<'_>, name: &str) -> Option<Value> {
        let field = self.fields.iter().find(|field| field.name == name);
        field.and_then(|field| field.value(subject)).or_else(|| {
            self.file_properties(subject)
                .find(|(known, _)| *known == name)
                .map(|(_, property)| value::from_property(property))
        })
    }

    /// All properties, those of the run time first.
    pub(super) fn get_all(&self, subject: &Subject<'_>) -> Vec<(String, Value)> {
        let fields = self.fields.iter().filter_map(|field| Some((field.name, field.value(subject)?)));
        let files =
            self.file_properties(subject).map(|(name, property)| (name, value::from_property(property)));
        fields.chain(files).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The properties whose changes are announced.
    pub(super) fn announced(&self, subject: &Subject<'_>) -> Vec<(String, Value)> {
        let fields = self.fields.iter().filter(|field| field.is_announced);
        fields.filter_map(|field| Some((field.name.to_owned(), field.value(subject)?))).collect()
    }

    /// Name, signature, and whether changes are announced, of every property.
    pub(super) fn properties(&self, subject: &Subject<'_>) -> Vec<(&'static str, &'static str, bool)> {
        let fields = self.fields.iter().map(|field| (field.name, field.signature, field.is_announced));
        let files = self.file_properties(subject).map(|(name, property)| (name, property.signature(), false));
        fields.chain(files).collect()
    }

    /// What the unit's files decide, except for what the engine knows better.
    fn file_properties<'s>(
        &'s self,
        subject: &'s Subject<'_>,
    ) -> impl Iterator<Item = (&'static str, sockmgr_unit::Property)> + 's {
        let unit = match (subject, self.files) {
            (Subject::Unit(subject), Some(_)) => Some(&subject.unit),
            _ => None,
        };
        let part = self.files.map_or("", sockmgr_unit::Interface::as_str);
        unit.into_iter()
            .flat_map(|unit| unit.properties())
            .filter(move |(name, of, _)| *of == part && self.fields.iter().all(|field| field.name != *name))
            .map(|(name, _, property)| (name, property))
    }
}

/// One property that changes at run time.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) signature: &'static str,
    pub(super) is_announced: bool,
    pub(super) get: Get,
}

/// How a property is read, by the kind of object that has it.
pub(super) enum Get {
    Manager(fn(&dyn Core) -> Value),
    Unit(for<'s, 'a> fn(&'s UnitSubject<'a>) -> Value),
    Job(for<'s, 'a> fn(&'s JobView<'a>) -> Value),
}

impl Field {
    pub(super) const fn of_manager(
        name: &'static str,
        signature: &'static str,
        get: fn(&dyn Core) -> Value,
    ) -> Self {
        Self { name, signature, is_announced: false, get: Get::Manager(get) }
    }

    pub(super) const fn of_unit(
        name: &'static str,
        signature: &'static str,
        get: for<'s, 'a> fn(&'s UnitSubject<'a>) -> Value,
    ) -> Self {
        Self { name, signature, is_announced: false, get: Get::Unit(get) }
    }

    pub(super) const fn of_job(
        name: &'static str,
        signature: &'static str,
        get: for<'s, 'a> fn(&'s JobView<'a>) -> Value,
    ) -> Self {
        Self { name, signature, is_announced: false, get: Get::Job(get) }
    }

    /// The same, and PropertiesChanged tells of it.
    pub(super) const fn announced(self) -> Self {
        Self { is_announced: true, ..self }
    }

    /// Nothing, if the object is not of the kind that has the property.
    pub(super) fn value(&self, subject: &Subject<'_>) -> Option<Value> {
        match (&self.get, subject) {
            (Get::Manager(get), Subject::Manager(core)) => Some(get(*core)),
            (Get::Unit(get), Subject::Unit(unit)) => Some(get(unit)),
            (Get::Job(get), Subject::Job(job)) => Some(get(job)),
            (Get::Manager(_) | Get::Unit(_) | Get::Job(_), _) => None,
        }
    }
}

/// Name and signature of an argument.
pub(super) type Argument = (&'static str, &'static str);

/// One method.
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) input: &'static [Argument],
    pub(super) output: &'static [Argument],
    pub(super) access: Access,
    pub(super) run: Run,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody who can connect.
    Read,
    /// Root and the user of the manager.
    Change,
}

/// What a method does.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// It looks at nothing but the call.
    Any(fn(&mut Call<'_>) -> Answer),
    /// It is about the unit whose object was called.
    Unit(fn(&mut Call<'_>, &UnitName) -> Answer),
}

impl Method {
    pub(super) const fn any(
        name: &'static str,
        access: Access,
        input: &'static [Argument],
        output: &'static [Argument],
        run: fn(&mut Call<'_>) -> Answer,
    ) -> Self {
        Self { name, input, output, access, run: Run::Any(run) }
    }

    pub(super) const fn of_unit(
        name: &'static str,
        access: Access,
        input: &'static [Argument],
        output: &'static [Argument],
        run: fn(&mut Call<'_>, &UnitName) -> Answer,
    ) -> Self {
        Self { name, input, output, access, run: Run::Unit(run) }
    }
}

/// The signatures of `arguments`, one after the other.
pub(super) fn signature_of(arguments: &[Argument]) -> String {
    arguments.iter().map(|(_, signature)| *signature).collect()
}

/// One signal.
pub(super) struct Signal {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Argument],
}
