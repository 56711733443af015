//! A process for each connection: how many a manager starts in a second.

use std::time::Duration;

use anyhow::Result;

use super::{closed_loop, visit};
use crate::floor::Input;
use crate::peer::PORT;
use crate::starter;
use crate::table::Table;

/// Clients, each with one connection at a time.
const CLIENTS: u32 = 8;

/// How long each runs.
const TIME: Duration = Duration::from_secs(3);

/// Measures all who can do it.
pub fn measure(rounds: u32) -> Result<Table> {
    let rows = starter::rows(rounds, Input::Connection, |site| {
        closed_loop(CLIENTS, TIME, || visit(site.address(PORT)).map(drop))
    })?;
    let text = format!("`Accept=yes`, {CLIENTS} clients in a loop. The floor is as for activation.");
    let columns = vec!["", "connections/s", "to floor", "to ours"];
    Ok(Table { title: "A process for each connection", text, columns, rows })
}
