//! The standard streams of a process (systemd.exec(5), "Logging and Standard Input/Output"): what each of them is, opened
//! and ready to go along with its plan.

use std::os::fd::AsFd;

use sockmgr_engine::ExecList;
use sockmgr_sys::spawn::{SpawnStep, Stdio, Terminal};
use sockmgr_sys::stdio::{self, OutputMode};
use sockmgr_sys::terminal::{self, Access};
use sockmgr_sys::{SysError, intake};
use sockmgr_unit::section::StreamSection;
use sockmgr_unit::value::{LogTarget, TerminalMode};
use sockmgr_unit::{FdName, StandardInput, StandardOutput};

use super::journal::{Journal, JournalStream};
use super::listeners::chain;
use super::output::Pipe;
use super::plan::{Owner, Passing, PlanError, Request};
use crate::paths::Scope;

/// The terminal where the unit names none.
const CONSOLE: &str = "/dev/console";

/// The three streams, and what the first of them is to the session.
pub(super) struct Streams {
    pub(super) stdin: Stdio,
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
    pub(super) terminal: Terminal,
    /// The pipe by which we read what goes to our own log.
    pub(super) output: Option<Pipe>,
    /// What goes to the journal instead goes there by the stream of this name.
    pub(super) journal_stream: Option<String>,
}

/// Opens what the unit asks for.
///
/// `program` is the name by which output is logged unless the unit says another.
pub(super) fn open(
    request: &Request,
    program: &str,
    scope: Scope,
    journal: &Journal,
    fds: &mut Passing,
) -> Result<Streams, PlanError> {
    let section = request.owner.streams();
    let identifier = section.syslog_identifier.as_deref().unwrap_or(program);
    let (own_log, journal_stream) = (None, None);
    let mut opener = Opener { section, request, identifier, scope, journal, fds, own_log, journal_stream };
    opener.prepare_terminal()?;
    let terminal = opener.controlling_terminal();
    let stdin = opener.input()?;
    let stdout = opener.stdout(stdin)?;
    let stderr = opener.stderr(stdout)?;
    let (output, journal_stream) = (opener.own_log.map(|(_, pipe)| pipe), opener.journal_stream);
    Ok(Streams { stdin, stdout, stderr, terminal, output, journal_stream })
}

struct Opener<'a> {
    section: &'a StreamSection,
    request: &'a Request<'a>,
    identifier: &'a str,
    scope: Scope,
    journal: &'a Journal,
    fds: &'a mut Passing,
    own_log: Option<(Stdio, Pipe)>,
    journal_stream: Option<String>,
}

impl Opener<'_> {
    /// With a stream that is the socket there is exactly one descriptor, and it is the first.
    fn socket(&self) -> Stdio {
        if self.request.fds.is_empty() { Stdio::Null } else { Stdio::Fd(0) }
    }

    /// Whether this command gets the terminal to read from; those beside the main process do not.
    fn reads_terminal(&self) -> bool {
        match (self.request.owner, self.request.list) {
            // Those of sockets have nobody beside them.
            (Owner::Socket(_), _) => true,
            (_, ExecList::Start | ExecList::Condition | ExecList::StartPre | ExecList::StopPost) => true,
            (_, ExecList::StartPost | ExecList::Reload | ExecList::Stop | ExecList::ReadyCheck) => false,
            (_, ExecList::StopPre | ExecList::Chown) => false,
        }
    }

    fn terminal_path(&self) -> &str {
        self.section.tty_path.as_ref().map_or(CONSOLE, |path| path.as_str())
    }

    fn open_terminal(&mut self, access: Access, step: SpawnStep) -> Result<Stdio, PlanError> {
        let path = self.terminal_path();
        let opened = terminal::open(path, access).map_err(|error| not_opened(step, path, &error))?;
        Ok(self.fds.add(opened))
    }

    /// What `TTYReset=` and its like ask for happens before anybody gets the terminal.
    fn prepare_terminal(&self) -> Result<(), PlanError> {
        let StreamSection { tty_reset, tty_vhangup, tty_rows, tty_columns, .. } = self.section;
        let is_sized = tty_rows.0.is_some() || tty_columns.0.is_some();
        if !(self.reads_terminal() && (*tty_reset || *tty_vhangup || is_sized)) {
            return Ok(());
        }
        let path = self.terminal_path();
        let failed = |error: SysError| not_opened(SpawnStep::Stdin, path, &error);
        if *tty_vhangup {
            let terminal = terminal::open(path, Access::Both).map_err(failed)?;
            terminal::hang_up(terminal.as_fd()).map_err(failed)?;
        }
        // What was open before is cut off by now.
        let terminal = terminal::open(path, Access::Both).map_err(failed)?;
        let terminal = terminal.as_fd();
        if *tty_reset {
            terminal::reset(terminal).map_err(failed)?;
        }
        terminal::resize(terminal, tty_rows.0, tty_columns.0).map_err(failed)
    }

    fn controlling_terminal(&self) -> Terminal {
        match &self.section.standard_input {
            StandardInput::Tty(_) if !self.reads_terminal() => Terminal::None,
            StandardInput::Tty(TerminalMode::Force) => Terminal::Take,
            StandardInput::Tty(TerminalMode::Ask | TerminalMode::Fail) => Terminal::Ask,
            StandardInput::Null
            | StandardInput::Data
            | StandardInput::Socket
            | StandardInput::File(_)
            | StandardInput::Fd(_) => Terminal::None,
        }
    }

    fn input(&mut self) -> Result<Stdio, PlanError> {
        let step = SpawnStep::Stdin;
        match &self.section.standard_input {
            StandardInput::Null => Ok(Stdio::Null),
            StandardInput::Tty(_) if !self.reads_terminal() => Ok(Stdio::Null),
            StandardInput::Tty(_) => self.open_terminal(Access::Both, step),
            StandardInput::Data => {
                let bytes = self.section.standard_input_data.bytes();
                let file = stdio::input_of(bytes).map_err(|error| PlanError::Step(step, chain(&error)))?;
                Ok(self.fds.add(file))
            }
            StandardInput::Socket => Ok(self.socket()),
            StandardInput::File(path) => {
                let file = stdio::open_input(path).map_err(|error| not_opened(step, path, &error))?;
                Ok(self.fds.add(file))
            }
            StandardInput::Fd(name) => self.named(name),
        }
    }

    fn stdout(&mut self, stdin: Stdio) -> Result<Stdio, PlanError> {
        match &self.section.standard_output {
            StandardOutput::Inherit => self.inherited(stdin),
            other => self.output(other, SpawnStep::Stdout),
        }
    }

    fn stderr(&mut self, stdout: Stdio) -> Result<Stdio, PlanError> {
        match &self.section.standard_error {
            StandardOutput::Inherit => Ok(stdout),
            // One open file, so that the two do not overwrite each other.
            same if *same == self.section.standard_output => Ok(stdout),
            other => self.output(other, SpawnStep::Stderr),
        }
    }

    /// Output that goes to where the input is. From an input that is for reading only a user's manager passes on its own output;
    /// that of the machine has none to pass on.
    fn inherited(&mut self, stdin: Stdio) -> Result<Stdio, PlanError> {
        match &self.section.standard_input {
            StandardInput::Tty(_) if !self.reads_terminal() => {
                self.open_terminal(Access::Write, SpawnStep::Stdout)
            }
            StandardInput::Null | StandardInput::Data => Ok(match self.scope {
                Scope::User => Stdio::Inherit,
                Scope::System => Stdio::Null,
            }),
            StandardInput::Tty(_) | StandardInput::Socket | StandardInput::File(_) | StandardInput::Fd(_) => {
                Ok(stdin)
            }
        }
    }

    fn output(&mut self, wanted: &StandardOutput, step: SpawnStep) -> Result<Stdio, PlanError> {
        let (mode, path) = match wanted {
            StandardOutput::Inherit | StandardOutput::Null => return Ok(Stdio::Null),
            StandardOutput::Tty => return self.open_terminal(Access::Write, step),
            StandardOutput::Socket => return Ok(self.socket()),
            StandardOutput::Log(target) => return self.log(*target, step),
            StandardOutput::Fd(name) => return self.named(name),
            StandardOutput::File(path) => (OutputMode::Keep, path),
            StandardOutput::Append(path) => (OutputMode::Append, path),
            StandardOutput::Truncate(path) => (OutputMode::Truncate, path),
        };
        let file = stdio::open_output(path, mode).map_err(|error| not_opened(step, path, &error))?;
        Ok(self.fds.add(file))
    }

    /// The journal, else a pipe to us: one for both streams, so that their lines stay in order.
    fn log(&mut self, target: LogTarget, step: SpawnStep) -> Result<Stdio, PlanError> {
        let Self { identifier, section, request, .. } = *self;
        match self.journal.connect(request.unit, identifier, section, target) {
            Ok(Some(JournalStream { fd, name })) => {
                self.journal_stream = Some(name);
                return Ok(self.fds.add(fd));
            }
            Ok(None) => {}
            Err(error) => {
                let unit = request.unit.as_str();
                tracing::warn!(
                    unit,
                    "the journal does not take its output, so the log does: {}",
                    chain(&error)
                );
            }
        }
        if let Some((stdio, _)) = &self.own_log {
            return Ok(*stdio);
        }
        let (read, write) = intake::pipe().map_err(|error| PlanError::Step(step, chain(&error)))?;
        let pipe = Pipe { read, unit: request.unit.clone(), identifier: identifier.to_owned() };
        let stdio = self.fds.add(write);
        self.own_log = Some((stdio, pipe));
        Ok(stdio)
    }

    /// The first inherited descriptor of this name.
    fn named(&self, name: &FdName) -> Result<Stdio, PlanError> {
        let at = self.request.fds.iter().position(|passed| passed.name == name.as_str());
        let index = at.and_then(|at| u16::try_from(at).ok());
        index.map(Stdio::Fd).ok_or_else(|| {
            PlanError::Resources(format!(
                "it inherits no descriptor with the name {name} for a standard stream"
            ))
        })
    }
}

fn not_opened(step: SpawnStep, path: &str, error: &SysError) -> PlanError {
    PlanError::Step(step, format!("{path}: {}", chain(error)))
}
