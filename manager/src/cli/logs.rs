//! logs: what services have written to the log of the manager. Reads files only; no manager need run.
//!
//! What to read is chosen here, lines are drawn in [`form`], times are read in [`moment`]. Invariant: the lines of all files
//! come in the order of their time.

mod form;
mod journal;
mod moment;
mod tail;

use std::io::{self, Write};
use std::iter::Peekable;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::geteuid;
use sockmgr_unit::{UnitName, UnitType};

use super::args::{Flags, Logs};
use super::exit::{CliError, Exit};
use super::format;
use super::names::{Named, mangle};
use super::session::Target;
use super::style::Style;
use crate::loader;
use crate::logfile::{self, Order, OwnedRecord, Places, Reader, Source};
use crate::paths;
pub(crate) use form::Form;
use form::Printer;
pub(crate) use tail::tail;

/// Lines before those that are waited for, unless `--lines` says otherwise.
const BEFORE_FOLLOWING: usize = 10;
/// How long to wait before files are looked at without being told, in milliseconds.
const LOOK_EVERY: u16 = 1000;

/// Shows lines of the logs that the arguments name.
pub(crate) fn run(flags: &Flags, target: &Target, what: &Logs) -> Result<Exit, CliError> {
    let selection = Selection::of(&what.units, &places(target))?;
    let span = moment::Span::of(what)?;
    let lines = flags.lines.or(what.follow.then_some(BEFORE_FOLLOWING));
    let mut sources = selection.sources()?;
    if sources.is_empty() && journal::is_asked(target) {
        let error = journal::command(flags, what, lines).exec();
        return Err(unreadable(Path::new("the journal by journalctl"), error));
    }
    let printer = Printer::new(what.output, Style::of_stdout());
    let mut out = io::BufWriter::new(io::stdout().lock());
    for record in chosen(&sources, &selection, span, lines, what.reverse)? {
        out.write_all(&printer.line(&record?)).map_err(CliError::Output)?;
    }
    out.flush().map_err(CliError::Output)?;
    if !what.follow {
        return Ok(Exit::Success);
    }
    let mut watch = Watch::new(&selection.directories);
    loop {
        for record in added(&mut sources, &selection)? {
            out.write_all(&printer.line(&record)).map_err(CliError::Output)?;
        }
        out.flush().map_err(CliError::Output)?;
        watch.wait();
    }
}

/// The last `count` lines of a unit, as people read them; empty where they cannot be read.
pub(crate) fn last(target: &Target, unit: &str, count: usize, style: Style) -> Vec<String> {
    let read = || {
        let selection = Selection::of(&[unit.to_owned()], &places(target))?;
        let sources = selection.sources()?;
        if sources.is_empty() && journal::is_asked(target) {
            return Ok(last_in_journal(unit, count));
        }
        let printer = Printer::new(Form::Short, style);
        let records = chosen(&sources, &selection, moment::Span::default(), Some(count), false)?;
        let lines = records.map(|record| {
            let line = printer.line(&record?);
            Ok(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned())
        });
        lines.collect::<Result<Vec<String>, CliError>>()
    };
    read().unwrap_or_default()
}

fn last_in_journal(unit: &str, count: usize) -> Vec<String> {
    let flags = Flags { quiet: true, ..Flags::default() };
    let what = Logs { units: vec![unit.to_owned()], ..Logs::default() };
    let output = journal::command(&flags, &what, Some(count)).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().map(|line| form::visible(line.as_bytes())).collect()
}

fn places(target: &Target) -> Places {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let xdg = variable("XDG_RUNTIME_DIR");
    let usual = paths::runtime_dir(target.scope, geteuid().as_raw(), xdg.as_deref());
    Places::of(target.scope, &target.runtime_dir, &usual, variable)
}

/// Which units, and where their logs are.
struct Selection {
    directories: Vec<PathBuf>,
    /// None means all.
    wanted: Vec<Wanted>,
}

enum Wanted {
    /// This one; a group also with all of its instances.
    Unit(UnitName),
    Glob(String),
}

impl Selection {
    fn of(arguments: &[String], places: &Places) -> Result<Self, CliError> {
        let wanted = arguments.iter().map(|argument| match mangle(argument, UnitType::Service)? {
            Named::Unit(name) => Ok(Wanted::Unit(name.parse()?)),
            Named::Glob(pattern) => Ok(Wanted::Glob(pattern)),
        });
        let wanted = wanted.collect::<Result<Vec<_>, sockmgr_unit::NameError>>()?;
        Ok(Self { directories: places.all().map(Path::to_owned).collect(), wanted })
    }

    /// All logs that may have what is wanted.
    fn sources(&self) -> Result<Vec<Source>, CliError> {
        self.paths()?.iter().map(|path| Source::open(path).map_err(|error| unreadable(path, error))).collect()
    }

    fn paths(&self) -> Result<Vec<PathBuf>, CliError> {
        let names: Option<Vec<Vec<String>>> = self.wanted.iter().map(Wanted::file_names).collect();
        let mut paths = Vec::new();
        for directory in &self.directories {
            if let Some(names) = names.as_ref().filter(|names| !names.is_empty()) {
                let named = names.iter().flatten().map(|name| directory.join(name));
                paths.extend(named.filter(|path| logfile::is_there(path)));
                continue;
            }
            paths.extend(logfile::logs_in(directory).map_err(|error| unreadable(directory, error))?);
        }
        paths.sort_unstable();
        paths.dedup();
        Ok(paths)
    }

    fn wants(&self, record: &OwnedRecord) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted.is(&record.unit))
    }
}

impl Wanted {
    /// The files in which its lines are; `None`: any.
    fn file_names(&self) -> Option<Vec<String>> {
        let Self::Unit(name) = self else { return None };
        let all = std::iter::once(name.clone()).chain(template_of(name));
        Some(all.map(|name| logfile::file_name(&name)).collect())
    }

    fn is(&self, unit: &str) -> bool {
        match self {
            Self::Glob(pattern) => loader::matches(pattern, unit),
            Self::Unit(name) if name.as_str() == unit => true,
            Self::Unit(name) if name.is_instance() => false,
            Self::Unit(name) => {
                let template = unit.parse::<UnitName>().ok().and_then(|unit| unit.template());
                template.is_some() && (template == template_of(name) || template.as_ref() == Some(name))
            }
        }
    }
}

/// What the instances of a group are made of: `web@.service` for `web.service`.
fn template_of(name: &UnitName) -> Option<UnitName> {
    if name.is_template() || name.is_instance() {
        return None;
    }
    format!("{}@.{}", name.prefix(), name.unit_type().as_str()).parse().ok()
}

/// The same for what stands on the command line.
fn template_of_argument(argument: &str) -> Option<UnitName> {
    match mangle(argument, UnitType::Service).ok()? {
        Named::Unit(name) => template_of(&name.parse().ok()?),
        Named::Glob(_) => None,
    }
}

fn unreadable(path: &Path, source: io::Error) -> CliError {
    CliError::Log { path: path.to_owned(), source }
}

type Records<'a> = Box<dyn Iterator<Item = Result<OwnedRecord, CliError>> + 'a>;

/// The records that are to be shown, in the order in which they are shown.
fn chosen<'a>(
    sources: &'a [Source],
    selection: &'a Selection,
    span: moment::Span,
    lines: Option<usize>,
    is_reversed: bool,
) -> Result<Records<'a>, CliError> {
    let order = if is_reversed || lines.is_some() { Order::Backward } else { Order::Forward };
    let merged = Merged::new(sources, order).filter(|record| match record {
        Ok(record) => selection.wants(record),
        Err(_) => true,
    });
    let failed =
        |record: io::Result<OwnedRecord>| record.map_err(|error| unreadable(Path::new("the log"), error));
    let is_past = move |record: &io::Result<OwnedRecord>| match (record, order) {
        (Ok(record), Order::Backward) => record.time < span.since,
        (Ok(record), Order::Forward) => record.time > span.until,
        (Err(_), _) => false,
    };
    let is_before = move |record: &io::Result<OwnedRecord>| match (record, order) {
        (Ok(record), Order::Backward) => record.time > span.until,
        (Ok(record), Order::Forward) => record.time < span.since,
        (Err(_), _) => false,
    };
    let within = merged.skip_while(is_before).take_while(move |record| !is_past(record)).map(failed);
    if is_reversed || lines.is_none() {
        return Ok(Box::new(within.take(lines.unwrap_or(usize::MAX))));
    }
    let mut newest = within.take(lines.unwrap_or(usize::MAX)).collect::<Result<Vec<_>, _>>()?;
    newest.reverse();
    Ok(Box::new(newest.into_iter().map(Ok)))
}

/// The records of several logs by their time.
struct Merged<'a> {
    readers: Vec<Peekable<Reader<'a>>>,
    order: Order,
}

impl<'a> Merged<'a> {
    fn new(sources: &'a [Source], order: Order) -> Self {
        Self { readers: sources.iter().map(|source| source.read(order).peekable()).collect(), order }
    }
}

impl Iterator for Merged<'_> {
    type Item = io::Result<OwnedRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        let order = self.order;
        let mut next: Option<(u64, &mut Peekable<Reader<'_>>)> = None;
        for reader in &mut self.readers {
            let time = match reader.peek() {
                None => continue,
                Some(Err(_)) => return reader.next(),
                Some(Ok(record)) => record.time,
            };
            let is_first = next.as_ref().is_none_or(|(best, _)| match order {
                Order::Forward => time < *best,
                Order::Backward => time > *best,
            });
            if is_first {
                next = Some((time, reader));
            }
        }
        next?.1.next()
    }
}

/// What was written since the last look, also to logs that are new.
fn added(sources: &mut Vec<Source>, selection: &Selection) -> Result<Vec<OwnedRecord>, CliError> {
    for path in selection.paths()? {
        if !sources.iter().any(|source| source.path() == path) {
            sources.push(Source::later(&path));
        }
    }
    let mut records = Vec::new();
    for source in sources {
        let path = source.path().to_owned();
        records.extend(source.added().map_err(|error| unreadable(&path, error))?);
    }
    records.retain(|record| selection.wants(record));
    records.sort_by_key(|record| record.time);
    Ok(records)
}

/// Waits until a directory changes. Where that cannot be told, it is time that passes.
struct Watch(Option<Inotify>);

impl Watch {
    fn new(directories: &[PathBuf]) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        for directory in directories {
            // One that is made later is seen all the same, a little later.
            let _ = inotify.as_ref().map(|inotify| inotify.add_watch(directory, changes));
        }
        Self(inotify)
    }

    fn wait(&mut self) {
        let Some(inotify) = &self.0 else {
            return std::thread::sleep(std::time::Duration::from_millis(LOOK_EVERY.into()));
        };
        let mut fds = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        // Interrupted or not: then files are looked at.
        let _ = poll(&mut fds, PollTimeout::from(LOOK_EVERY));
        while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

/// Now, for times that are relative.
fn now() -> u64 {
    format::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_all_of_its_instances() {
        let wanted = |name: &str| Wanted::Unit(name.parse().unwrap());
        let table = [
            ("web.service", "web.service", true),
            ("web.service", "web@2.service", true),
            ("web@.service", "web@2.service", true),
            ("web@2.service", "web@2.service", true),
            ("web@2.service", "web@1.service", false),
            ("web@2.service", "web.service", false),
            ("web.service", "web.socket", false),
            ("web.service", "webs@1.service", false),
        ];
        for (name, unit, expected) in table {
            assert_eq!(wanted(name).is(unit), expected, "{name} {unit}");
        }
        assert!(Wanted::Glob("we*@[12].service".to_owned()).is("web@2.service"));
        assert!(!Wanted::Glob("we?".to_owned()).is("web.service"));
        assert_eq!(wanted("web.service").file_names().unwrap(), ["web.service.log", "web@.service.log"]);
        assert_eq!(wanted("web@1.service").file_names().unwrap(), ["web@.service.log"]);
    }
}
