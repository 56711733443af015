//! list-units and list-sockets.
//!
//! Invariant: the columns, their order and the counts below them are those of systemctl.

use std::cmp::Ordering;

use sockmgr_unit::UnitType;

use super::exit::{CliError, Exit};
use super::manager::{Interface, ListedUnit, rows, texts};
use super::names::type_of;
use super::session::Session;
use super::style::{Tone, load_tone};
use super::table::{Cell, Table};
use super::units::{self, Filter};

/// Lists loaded units.
pub(crate) fn units(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    let mut units = units::list(session, arguments, UnitType::Service)?;
    units.sort_by(by_type_and_name);
    let table = unit_table(&units, session.flags.plain);
    if session.print_json(&table)? {
        return Ok(Exit::Success);
    }
    let legend = session.flags.legend();
    let mut text = table.render(&session.style, legend, session.width());
    if legend {
        text.push_str(&unit_legend(session, &units)?);
    }
    session.print(&text)?;
    Ok(Exit::Success)
}

fn by_type_and_name(a: &ListedUnit, b: &ListedUnit) -> Ordering {
    let key = |unit: &ListedUnit| (type_of(&unit.name).to_owned(), unit.name.to_lowercase());
    key(a).cmp(&key(b))
}

/// The column of jobs is there only when there are any, that of marks unless the list is to be plain.
fn unit_table(units: &[ListedUnit], plain: bool) -> Table {
    let jobs = units.iter().any(|unit| unit.job != 0);
    let mut columns = vec!["UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION"];
    if jobs {
        columns.insert(4, "JOB");
    }
    if !plain {
        columns.insert(0, "");
    }
    let mut table = Table::new(&columns);
    for unit in units {
        table.push(unit_row(unit, jobs, plain));
    }
    table
}

fn unit_row(unit: &ListedUnit, jobs: bool, plain: bool) -> Vec<Cell> {
    let load = load_tone(&unit.load_state);
    let state = if unit.active_state == "failed" { Tone::Bad } else { Tone::Plain };
    let tone = if load == Tone::Plain { state } else { load };
    let mut row = vec![
        Cell::toned(&unit.name, tone),
        Cell::toned(&unit.load_state, load),
        Cell::toned(&unit.active_state, state),
        Cell::toned(&unit.sub_state, state),
        Cell::new(&unit.description),
    ];
    if jobs {
        row.insert(4, Cell::new(&unit.job_type));
    }
    if !plain {
        row.insert(0, Cell::toned(if tone == Tone::Plain { " " } else { "●" }, tone));
    }
    row
}

fn unit_legend(session: &Session, units: &[ListedUnit]) -> Result<String, CliError> {
    let mut text = String::new();
    if !units.is_empty() {
        text.push_str(
            "\nLOAD   = Reflects whether the unit definition was properly loaded.\n\
             ACTIVE = The high-level unit activation state, i.e. generalization of SUB.\n\
             SUB    = The low-level unit activation state, values depend on unit type.\n",
        );
        if units.iter().any(|unit| unit.job != 0) {
            text.push_str("JOB    = Pending job for the unit.\n\n");
        }
    }
    let filter = Filter::of(&session.flags)?;
    let hint = if session.flags.all || filter.by_state() {
        ""
    } else {
        " Pass --all to see loaded but inactive units, too."
    };
    text.push_str(&format!("{} loaded units listed.{hint}\n", units.len()));
    Ok(text)
}

/// One address of one socket unit.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listening {
    address: String,
    kind: String,
    unit: String,
    activates: Vec<String>,
}

/// Lists what is listened on.
pub(crate) fn sockets(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    let mut units = units::list(session, arguments, UnitType::Socket)?;
    units.retain(|unit| type_of(&unit.name) == "socket");
    let names: Vec<String> = units.iter().map(|unit| unit.name.clone()).collect();
    let listening = listening(session, &names)?;
    let table = socket_table(&listening);
    if session.print_json(&table)? {
        return Ok(Exit::Success);
    }
    let legend = session.flags.legend();
    let mut text = table.render(&session.style, legend, session.width());
    if legend {
        text.push_str(&format!("\n{} sockets listed.\n", table.len()));
        if !session.flags.all {
            text.push_str("Pass --all to see loaded but inactive sockets, too.\n");
        }
    }
    session.print(&text)?;
    Ok(Exit::Success)
}

/// What the socket units listen on, sorted by address.
fn listening(session: &mut Session, names: &[String]) -> Result<Vec<Listening>, CliError> {
    let triggers = session.manager.unit_values(names, Interface::Unit, "Triggers")?;
    let addresses = session.manager.unit_values(names, Interface::Type, "Listen")?;
    let mut all = Vec::new();
    for ((unit, triggers), addresses) in names.iter().zip(triggers).zip(addresses) {
        let activates = triggers.as_deref().map(texts).unwrap_or_default();
        let pairs: Vec<(String, String)> = addresses.as_deref().map(rows).unwrap_or_default();
        all.extend(pairs.into_iter().map(|(kind, address)| Listening {
            address,
            kind,
            unit: unit.clone(),
            activates: activates.clone(),
        }));
    }
    all.sort();
    Ok(all)
}

fn socket_table(listening: &[Listening]) -> Table {
    let mut table = Table::new(&["LISTEN", "UNIT", "ACTIVATES"]);
    for socket in listening {
        table.push(vec![Cell::new(&socket.address), Cell::new(&socket.unit), Cell::list(&socket.activates)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use zbus::wire::{Endian, serialized::Context, to_bytes};

    use super::*;
    use crate::cli::style::Style;

    fn unit(name: &str, load: &str, active: &str, sub: &str, job: (u32, &str)) -> ListedUnit {
        let root = zbus::ObjectPath::try_from("/").unwrap();
        let row = (name, "A unit", load, active, sub, "", &root, job.0, job.1, &root);
        to_bytes(Context::new(Endian::Little, 0), &row).unwrap().deserialize().unwrap().0
    }

    fn render(table: &Table) -> String {
        table.render(&Style::default(), true, None)
    }

    #[test]
    fn units_are_sorted_and_marked() {
        let mut units = vec![
            unit("web.socket", "loaded", "active", "listening", (0, "")),
            unit("Zeta.service", "loaded", "failed", "failed", (0, "")),
            unit("alpha.service", "not-found", "inactive", "dead", (0, "")),
        ];
        units.sort_by(by_type_and_name);
        expect![[r#"
              UNIT          LOAD      ACTIVE   SUB       DESCRIPTION
            ● alpha.service not-found inactive dead      A unit
            ● Zeta.service  loaded    failed   failed    A unit
              web.socket    loaded    active   listening A unit
        "#]]
        .assert_eq(&render(&unit_table(&units, false)));
        units.push(unit("job.service", "loaded", "activating", "start", (7, "start")));
        expect![[r#"
            UNIT          LOAD      ACTIVE     SUB       JOB   DESCRIPTION
            alpha.service not-found inactive   dead            A unit
            Zeta.service  loaded    failed     failed          A unit
            web.socket    loaded    active     listening       A unit
            job.service   loaded    activating start     start A unit
        "#]]
        .assert_eq(&render(&unit_table(&units, true)));
    }

    #[test]
    fn sockets_show_what_they_start() {
        let socket = |address: &str, activates: &[&str]| Listening {
            address: address.into(),
            kind: "Stream".into(),
            unit: "web.socket".into(),
            activates: activates.iter().map(|name| (*name).into()).collect(),
        };
        let mut sockets = vec![socket("[::]:80", &["web.service"]), socket("/run/x", &[])];
        sockets.sort();
        expect![[r#"
            LISTEN  UNIT       ACTIVATES
            /run/x  web.socket -
            [::]:80 web.socket web.service
        "#]]
        .assert_eq(&render(&socket_table(&sockets)));
    }
}
