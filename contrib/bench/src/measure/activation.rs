//! How long the first visitor of a service that is not running waits.

use std::time::Duration;

use anyhow::Result;
use sockmgr_tests::site::Site;

use super::visit;
use crate::floor::Input;
use crate::peer::PORT;
use crate::starter;
use crate::table::{Table, median};

/// Visits in a run.
const VISITS: u32 = 30;

/// Measures all who can do it.
pub fn measure(rounds: u32) -> Result<Table> {
    let text = format!(
        "From connect(2) to the end of the answer, for a service that answers once and ends; the median of {VISITS} \
         visits. The floor is a loop of poll(2) and posix_spawn(3) without anything else."
    );
    let columns = vec!["", "p50 ms", "to floor", "to ours"];
    Ok(Table { title: "Activation", text, columns, rows: starter::rows(rounds, Input::Listener, visits)? })
}

/// The median in ms.
fn visits(site: &Site) -> Result<f64> {
    let mut millis = Vec::new();
    for _ in 0..VISITS {
        millis.push(visit(site.address(PORT))?.as_secs_f64() * 1000.0);
        // The service is gone, and its manager knows.
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(median(millis))
}
