//! What became of a load: how many ended how, and how long they took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It was answered in full; by whom.
    Answered(String),
    /// The server that had accepted it, as it said itself, did not finish: this is whom it was.
    Abandoned(String),
    /// It ended without any word of a server.
    Lost(Loss),
    /// There was nobody to connect to.
    Refused(String),
    /// The load's own want of ports or descriptors: says nothing about the servers, and makes the report worthless.
    Local(String),
}

/// How a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Reset, before or after it was established.
    Reset,
    /// Closed before a whole answer.
    Eof,
    /// No answer while the client was patient.
    Timeout,
    /// Another answer than there can be.
    Mismatch,
}

/// What became of a load.
#[derive(Debug, Default)]
pub struct Report {
    /// How many ended how. Each request of a connection that is kept alive counts.
    pub ends: BTreeMap<End, u64>,
    /// Answers on one client's datagrams that came from another server than the one before.
    pub moves: u64,
    /// How late the load itself was at most: what the machine, not the servers, did to it.
    pub lag: Duration,
    /// From when each of the answered was due to its answer, in µs; in order once the load has ended.
    micros: Vec<u32>,
}

impl Report {
    /// Takes an answer in.
    pub(super) fn answer(&mut self, who: &str, took: Duration) {
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        self.end(End::Answered(who.to_owned()));
    }

    /// Takes another end in.
    pub(super) fn end(&mut self, end: End) {
        *self.ends.entry(end).or_default() += 1;
    }

    /// So that there are quantiles.
    pub(super) fn sort(&mut self) {
        self.micros.sort_unstable();
    }

    /// Those that ended so.
    #[must_use]
    pub fn count(&self, which: impl Fn(&End) -> bool) -> usize {
        let matching = self.ends.iter().filter(|(end, _)| which(end)).map(|(_, count)| *count);
        usize::try_from(matching.sum::<u64>()).unwrap_or(usize::MAX)
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> usize {
        self.count(|_| true)
    }

    /// Those that were not answered.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.count(|end| !matches!(end, End::Answered(_)))
    }

    /// Checks that every connection was answered.
    ///
    /// # Panics
    /// When one was not.
    #[track_caller]
    pub fn nothing_lost(&self) {
        assert_eq!(self.lost(), 0, "{self}");
        assert!(self.total() > 0, "there was no load");
    }

    /// How long the quickest part of the answered took at most: `quantile(0.999)` is p99.9.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn quantile(&self, part: f64) -> Duration {
        let rank = (self.micros.len() as f64 * part).ceil() as usize;
        let micros = self.micros.get(rank.saturating_sub(1)).copied().unwrap_or_default();
        Duration::from_micros(micros.into())
    }

    /// The longest that one of the answered waited.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.quantile(1.0)
    }

    /// How many each server answered.
    #[must_use]
    pub fn shares(&self) -> BTreeMap<&str, u64> {
        let answered = self.ends.iter().filter_map(|(end, count)| match end {
            End::Answered(who) => Some((who.as_str(), *count)),
            End::Abandoned(_) | End::Lost(_) | End::Refused(_) | End::Local(_) => None,
        });
        answered.collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} connections, {} lost", self.total(), self.lost())?;
        write!(out, ", p50 {:?}, p99 {:?}", self.quantile(0.5), self.quantile(0.99))?;
        write!(out, ", p99.9 {:?}, longest {:?}", self.quantile(0.999), self.longest())?;
        writeln!(out, ", moves {}, load late by {:?}", self.moves, self.lag)?;
        self.ends.iter().try_for_each(|(end, count)| writeln!(out, "{count:8} {end:?}"))
    }
}
