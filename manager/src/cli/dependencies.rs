//! list-dependencies: what units need, or are needed by, as a tree.
//!
//! Invariant: a unit is opened once on each way down, so that a loop of dependencies ends.

use std::collections::HashMap;

use serde::Serialize;

use super::args::Dependencies;
use super::exit::{CliError, Exit};
use super::manager::Properties;
use super::names::{type_of, unit_path};
use super::session::Session;
use super::style::{state_dot, state_tone};
use super::tree::{branch, trunk};
use super::units;

/// The dependencies that are followed forwards, and those that are their reverse.
const FORWARD: &[&str] = &["Requires", "Requisite", "Wants", "ConsistsOf", "BindsTo", "Upholds"];
const REVERSE: &[&str] = &["RequiredBy", "RequisiteOf", "WantedBy", "PartOf", "BoundBy", "UpheldBy"];

/// A unit with what hangs below it.
#[derive(Serialize)]
struct Node {
    unit: String,
    active: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Node>,
}

/// Prints the dependencies of the units that the arguments name, of `default.target` without arguments.
pub(crate) fn run(session: &mut Session, wanted: &Dependencies) -> Result<Exit, CliError> {
    let names = match wanted.patterns.units.as_slice() {
        [] => vec!["default.target".to_owned()],
        arguments => units::expand(session, arguments)?,
    };
    let kinds: &[&str] = match wanted {
        Dependencies { after: true, .. } => &["After"],
        Dependencies { before: true, .. } => &["Before"],
        Dependencies { reverse: true, .. } => REVERSE,
        _ => FORWARD,
    };
    let mut walk = Walk { session, kinds, known: HashMap::new() };
    let mut roots = Vec::new();
    for name in names {
        roots.push(walk.node(name, &mut Vec::new())?);
    }
    if !session.print_json(&roots)? {
        session.print(&roots.iter().map(|root| render(session, root)).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::Success)
}

struct Walk<'a> {
    session: &'a mut Session,
    kinds: &'a [&'a str],
    /// State and dependencies of the units seen so far.
    known: HashMap<String, (String, Vec<String>)>,
}

impl Walk<'_> {
    /// The node of a unit that is reached by way of the units in `way`.
    fn node(&mut self, unit: String, way: &mut Vec<String>) -> Result<Node, CliError> {
        self.learn(std::slice::from_ref(&unit))?;
        let (active, below) = self.known.get(&unit).cloned().unwrap_or_default();
        let mut dependencies = Vec::new();
        if way.is_empty() || self.session.flags.all || type_of(&unit) == "target" {
            self.learn(&below)?;
            way.push(unit.clone());
            for name in below.into_iter().filter(|name| !way.contains(name)).collect::<Vec<_>>() {
                dependencies.push(self.node(name, way)?);
            }
            way.pop();
        }
        Ok(Node { unit, active, dependencies })
    }

    /// Asks for the properties of all units that are not known yet, in one go.
    fn learn(&mut self, units: &[String]) -> Result<(), CliError> {
        let new: Vec<String> = units.iter().filter(|unit| !self.known.contains_key(*unit)).cloned().collect();
        let paths: Vec<String> = new.iter().map(|unit| unit_path(unit)).collect();
        for (unit, properties) in new.into_iter().zip(self.session.manager.properties(&paths)?) {
            let properties = properties?;
            let below = dependencies(&properties, self.kinds);
            self.known.insert(unit, (properties.text("ActiveState").to_owned(), below));
        }
        Ok(())
    }
}

/// The units of all given kinds, targets last, as systemctl sorts them.
fn dependencies(properties: &Properties, kinds: &[&str]) -> Vec<String> {
    let mut units: Vec<String> = kinds.iter().flat_map(|kind| properties.texts(kind)).collect();
    units.sort_by_key(|unit| (type_of(unit) == "target", unit.to_lowercase()));
    units.dedup();
    units
}

fn render(session: &Session, root: &Node) -> String {
    let mut text = format!("{}\n", root.unit);
    draw(session, &root.dependencies, "", &mut text);
    text
}

fn draw(session: &Session, nodes: &[Node], prefix: &str, text: &mut String) {
    for (at, node) in nodes.iter().enumerate() {
        let last = at + 1 == nodes.len();
        if session.flags.plain {
            text.push_str(&format!("  {}\n", node.unit));
        } else {
            let dot = session.style.paint(state_tone(&node.active), state_dot(&node.active));
            text.push_str(&format!("{dot} {prefix}{}{}\n", branch(last), node.unit));
        }
        draw(session, &node.dependencies, &format!("{prefix}{}", trunk(last)), text);
    }
}
