//! Of all that is said about paths, the mounts that make it so: of several directives about one path the strictest counts, and what
//! is said about a path holds for all below it that nothing else is said about.

use std::collections::BTreeMap;

use sockmgr_sys::spawn::{Mount, MountAttributes, MountKind, MountPlan, Restriction, SpawnStep};
use sockmgr_unit::value::Propagation;

use super::super::plan::PlanError;
use super::text;
use super::view::{Entry, View, Wish, below};

impl View<'_> {
    /// Weighs the wishes against each other. Parents come before what is below them, as their paths do.
    pub(super) fn into_plan(self, propagation: Propagation) -> Result<MountPlan, PlanError> {
        let weighed =
            self.entries.into_iter().filter_map(|(path, entries)| Some((path, Place::of(entries)?)));
        let mut places: BTreeMap<String, Place> = weighed.collect();
        // What is below something inaccessible cannot be reached.
        let closed: Vec<String> = places
            .iter()
            .filter(|(_, place)| place.wish == Wish::Inaccessible)
            .map(|(path, _)| path.clone())
            .collect();
        places.retain(|path, _| closed.iter().all(|above| above == path || below(path, above).is_none()));
        let root = self.root.map(|root| text(root, SpawnStep::Namespace)).transpose()?;
        let mut plan = MountPlan { root, propagation: propagation_flag(propagation), ..MountPlan::default() };
        for (path, place) in &places {
            plan.mounts.extend(mount(path, place, &self.nodes)?);
        }
        plan.restrictions = restrictions(&places, |place| place.read_only, READ_ONLY)?;
        plan.restrictions.extend(restrictions(&places, |place| place.no_exec, NO_EXEC)?);
        Ok(plan)
    }
}

/// What becomes of a path after all.
struct Place {
    wish: Wish,
    optional: bool,
    /// `Some(false)`: it stays as it is, whatever is above.
    read_only: Option<bool>,
    no_exec: Option<bool>,
}

impl Place {
    /// Several entries about one path.
    fn of(mut entries: Vec<Entry>) -> Option<Self> {
        // The sort is stable: of two of a kind the first that was written counts.
        entries.sort_by_key(|entry| rank(&entry.wish));
        let any = |test: fn(&Entry) -> bool| entries.iter().any(test);
        let read_only = any(|entry| entry.read_only || entry.wish == Wish::ReadOnly);
        let no_exec = any(|entry| entry.wish == Wish::NoExec);
        let exec = any(|entry| entry.wish == Wish::Exec);
        let optional = entries.iter().all(|entry| entry.optional);
        let is_other = any(|entry| !matches!(entry.wish, Wish::NoExec | Wish::Exec));
        let wish = entries.into_iter().next()?.wish;
        Some(Self {
            wish,
            optional,
            read_only: if read_only { Some(true) } else { is_other.then_some(false) },
            no_exec: if no_exec { Some(true) } else { exec.then_some(false) },
        })
    }
}

fn rank(wish: &Wish) -> u8 {
    match wish {
        Wish::Inaccessible => 0,
        Wish::Bind { .. } => 1,
        Wish::Devices => 2,
        Wish::Processes(_) | Wish::MessageQueues => 3,
        Wish::ReadOnly => 4,
        Wish::ReadWrite => 5,
        Wish::NoExec => 6,
        Wish::Exec => 7,
        Wish::Memory { .. } => 8,
        Wish::Untouched => 9,
    }
}

const NOTHING: MountAttributes =
    MountAttributes { read_only: false, no_exec: false, no_suid: false, no_dev: false };
const READ_ONLY: MountAttributes = MountAttributes { read_only: true, ..NOTHING };
const NO_EXEC: MountAttributes = MountAttributes { no_exec: true, ..NOTHING };

fn propagation_flag(propagation: Propagation) -> u64 {
    match propagation {
        Propagation::Unset | Propagation::Shared => libc::MS_SHARED,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Private => libc::MS_PRIVATE,
    }
}

/// The mount of a place, if it has one.
fn mount(path: &str, place: &Place, nodes: &str) -> Result<Option<Mount>, PlanError> {
    let text = |path: &str| text(path, SpawnStep::Namespace);
    let pairs = |options: &[(String, String)]| -> Result<Vec<_>, PlanError> {
        let pair = |(name, value): &(String, String)| {
            Ok((text(name)?, if value.is_empty() { None } else { Some(text(value)?) }))
        };
        options.iter().map(pair).collect()
    };
    let (kind, attributes, makes_place) = match &place.wish {
        Wish::Inaccessible => {
            let closed = MountAttributes { read_only: true, no_exec: true, no_suid: true, no_dev: true };
            (MountKind::Nothing { nodes: text(nodes)? }, closed, false)
        }
        Wish::Bind { source, recursive } => {
            (MountKind::Bind { source: text(source)?, recursive: *recursive }, NOTHING, true)
        }
        Wish::Devices => (MountKind::Devices, MountAttributes { no_suid: true, ..NO_EXEC }, false),
        Wish::Processes(options) => {
            let closed = MountAttributes { no_suid: true, no_dev: true, ..NO_EXEC };
            (MountKind::New { file_system: c"proc".into(), options: pairs(options)? }, closed, true)
        }
        Wish::MessageQueues => {
            let closed = MountAttributes { no_suid: true, no_dev: true, ..NO_EXEC };
            (MountKind::New { file_system: c"mqueue".into(), options: Vec::new() }, closed, false)
        }
        Wish::Memory { options, attributes: [no_exec, no_suid, no_dev] } => {
            let [no_exec, no_suid, no_dev] = [*no_exec, *no_suid, *no_dev];
            let attributes = MountAttributes { read_only: false, no_exec, no_suid, no_dev };
            (MountKind::New { file_system: c"tmpfs".into(), options: pairs(options)? }, attributes, true)
        }
        Wish::ReadOnly | Wish::ReadWrite | Wish::NoExec | Wish::Exec | Wish::Untouched => return Ok(None),
    };
    let optional = place.optional;
    // An optional bind is one whose source may be missing.
    let makes_place = makes_place && (!optional || matches!(kind, MountKind::Bind { .. }));
    Ok(Some(Mount { path: text(path)?, kind, attributes, optional, makes_place }))
}

/// What is done about every place for which `is_restricted` says yes, except for those below that say something themselves.
fn restrictions(
    places: &BTreeMap<String, Place>,
    is_restricted: impl Fn(&Place) -> Option<bool>,
    attributes: MountAttributes,
) -> Result<Vec<Restriction>, PlanError> {
    let said: Vec<(&String, &Place, bool)> =
        places.iter().filter_map(|(path, place)| Some((path, place, is_restricted(place)?))).collect();
    let text = |path: &str| text(path, SpawnStep::Namespace);
    let mut all = Vec::new();
    // What nobody can open is as it is.
    let open = said.iter().filter(|(_, place, restricted)| *restricted && place.wish != Wish::Inaccessible);
    for (path, place, _) in open {
        let is_below = |other: &String| other != *path && below(other, path).is_some();
        let inner = said.iter().filter(|(other, _, _)| is_below(other));
        let outermost = |other: &String| {
            said.iter()
                .all(|(third, _, _)| !is_below(third) || *third == other || below(other, third).is_none())
        };
        let exceptions = inner.filter(|(other, _, _)| outermost(other)).map(|(other, _, _)| text(other));
        all.push(Restriction {
            path: text(path)?,
            attributes,
            exceptions: exceptions.collect::<Result<_, _>>()?,
            optional: place.optional,
        });
    }
    Ok(all)
}
