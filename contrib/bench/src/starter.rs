//! Those who start a service by its traffic, with the same units, and the floor beside them.

use std::fs;

use anyhow::Result;
use sockmgr_tests::manager::Setup;
use sockmgr_tests::site::Site;

use crate::floor::{Floor, Input, words};
use crate::peer::{PORT, UserManager};
use crate::table::{alternate, figure, median, ratio};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub enum Starter {
    /// The least that can be done.
    Floor,
    /// Ours.
    Sockmgr,
    /// `systemd --user`.
    Systemd,
}

/// Floor first, then ours.
const ALL: [Starter; 3] = [Starter::Floor, Starter::Sockmgr, Starter::Systemd];

/// Rows of a table: what each makes of a measure, in medians, and how that is to the floor and to ours.
pub fn rows(rounds: u32, input: Input, measure: impl Fn(&Site) -> Result<f64>) -> Result<Vec<Vec<String>>> {
    let runs = alternate(rounds, &ALL, |starter| {
        eprintln!("{input:?} passed by {starter:?}");
        starter.run(input, &measure)
    });
    let medians: Vec<f64> = runs.into_iter().map(median).collect();
    let rows = ALL.iter().zip(&medians).map(|(starter, value)| {
        let name = format!("{starter:?}").to_lowercase();
        vec![name, figure(*value), ratio(*value, medians[0]), ratio(*value, medians[1])]
    });
    Ok(rows.collect())
}

impl Starter {
    /// Measures while it listens.
    fn run(self, input: Input, measure: impl Fn(&Site) -> Result<f64>) -> Result<f64> {
        let site = Site::new();
        let service = match input {
            Input::Listener => "web.service",
            Input::Connection => "web@.service",
        };
        match self {
            Self::Floor => {
                let _floor = Floor::start(site.address(PORT), input)?;
                measure(&site)
            }
            Self::Sockmgr => {
                site.unit("web.socket", socket(input));
                site.unit(service, &service_of(input)?);
                let manager = Setup::new(&site).start();
                manager.up("web.socket");
                measure(&site)
            }
            Self::Systemd => {
                let manager = UserManager::start(&site)?;
                manager.unit("web.socket", socket(input))?;
                manager.unit(service, &service_of(input)?)?;
                manager.systemctl(&["daemon-reload"]).ok();
                manager.systemctl(&["start", "web.socket"]).ok();
                measure(&site)
            }
        }
    }
}

fn socket(input: Input) -> &'static str {
    match input {
        Input::Listener => "[Socket]\nListenStream={host}:8080\nTriggerLimitIntervalSec=0\n",
        Input::Connection => {
            "[Socket]\nListenStream={host}:8080\nAccept=yes\nMaxConnections=100000\nTriggerLimitIntervalSec=0\n\
             PollLimitIntervalSec=0\nBacklog=4096\n"
        }
    }
}

/// This program as the service. A failure, which a client that leaves is, is none.
fn service_of(input: Input) -> Result<String> {
    let program = fs::canonicalize("/proc/self/exe")?;
    Ok(format!(
        "[Unit]\nStartLimitIntervalSec=0\n\
         [Service]\nStandardInput=socket\nStandardOutput=null\nStandardError=null\nExecStart=-{} {}\n",
        program.display(),
        words(input).join(" ")
    ))
}
