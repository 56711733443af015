//! Command lines: `ExecStart=-/usr/bin/prog --flag "one argument"` (systemd.service(5), "Command lines").
//!
//! Never here: running one, and looking a program up in the search path.
//! Invariant: a command has a program, which is an absolute path or a plain file name, and at least `argv[0]`.

use std::fmt;

use super::expand::expand_argument;
use super::number::BLANKS;
use super::word::{Backslash, Words};
use super::{ValueError, path};
use crate::directive::{Context, Property, Value};

/// One command with its arguments, specifiers expanded, variables not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecCommand {
    /// The program: an absolute path, or a file name to look up when it is run.
    pub path: Box<str>,
    /// The arguments, the zeroth included, before [`ExecCommand::expand`].
    pub argv: Vec<Box<str>>,
    /// What the prefixes before the program ask for.
    pub flags: ExecFlags,
}

/// What the characters before the program ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecFlags {
    /// `-`: failure counts as success.
    pub ignore_failure: bool,
    /// `:`: no `$` is expanded.
    pub no_env_expand: bool,
    /// `+`, `!` or `!!`
    pub privilege: Privilege,
}

/// How much of the manager's privilege a command keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privilege {
    /// As the unit says.
    #[default]
    None,
    /// `+`: all of it; `User=` and every restriction are void.
    Full,
    /// `!`: `User=` and `Group=` are void, the rest applies.
    NoSetuid,
    /// `!!`: as `!` only where the kernel has no ambient capabilities, which every supported one has: nothing.
    Ambient,
}

impl ExecCommand {
    /// The arguments with variables expanded: `$NAME` alone is split into words and may vanish, `${NAME}` anywhere is
    /// replaced as it is. `env` is asked for the value of a variable as the new program will have it.
    pub fn expand<S: AsRef<str>>(&self, env: &impl Fn(&str) -> Option<S>) -> Vec<String> {
        if self.flags.no_env_expand {
            return self.argv.iter().map(|argument| argument.to_string()).collect();
        }
        self.argv.iter().flat_map(|argument| expand_argument(argument, env)).collect()
    }
}

/// As it could have been written, quoted where it must be.
impl fmt::Display for ExecCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_program = |name: &str| *path::simplify(name) == *self.path && check_program(name).is_ok();
        let (program, arguments) = match self.argv.split_first() {
            Some((name, arguments)) if is_program(name) => (name, arguments),
            _ => (&self.path, &self.argv[..]),
        };
        let own_name = if arguments.len() == self.argv.len() { "@" } else { "" };
        write!(f, "{}{own_name}{}", self.flags, Quoted(program))?;
        arguments.iter().try_for_each(|argument| write!(f, " {}", Quoted(argument)))
    }
}

impl fmt::Display for ExecFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ignore_failure { "-" } else { "" })?;
        f.write_str(if self.no_env_expand { ":" } else { "" })?;
        f.write_str(match self.privilege {
            Privilege::None => "",
            Privilege::Full => "+",
            Privilege::NoSetuid => "!",
            Privilege::Ambient => "!!",
        })
    }
}

/// A word that reads back as itself, specifiers included.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'\\;".contains(c);
        let text = self.0.replace('%', "%%");
        if !text.is_empty() && text.chars().all(plain) { f.write_str(&text) } else { write_quoted(f, &text) }
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// Commands add up over lines, and one line may hold several with ` ; ` between; the empty assignment forgets all.
impl Value for Vec<ExecCommand> {
    const FORM: &'static str = "a command line: the program's absolute path or file name, then its arguments";
    const SIGNATURE: &'static str = "a(sasbttttuii)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.trim_start_matches(BLANKS).is_empty() {
            self.clear();
            return Ok(());
        }
        let mut reader = CommandReader { words: Words::new(text, Backslash::EscapesOrLiteral), cx };
        while let Some(command) = reader.command()? {
            self.push(command);
        }
        self.shrink_to_fit();
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Exec(self.clone())
    }

    fn shrink(&mut self) {
        self.shrink_to_fit();
        self.iter_mut().for_each(|command| command.argv.shrink_to_fit());
    }
}

/// Reads the commands of one line, one after the other.
struct CommandReader<'a> {
    words: Words<'a>,
    cx: &'a Context<'a>,
}

impl CommandReader<'_> {
    /// The next command; `None` at the end of the line.
    fn command(&mut self) -> Result<Option<ExecCommand>, ValueError> {
        let first = loop {
            match self.next_word()? {
                None => return Ok(None),
                Some(word) if word == ";" => {}
                Some(word) => break word,
            }
        };
        let (prefix, program) = Prefix::split(&first);
        let severity = |error: ValueError| if prefix.flags.ignore_failure { error } else { error.fatal() };
        let command = self.rest_of_command(prefix, program).map_err(severity)?;
        Ok(Some(command))
    }

    fn rest_of_command(&mut self, prefix: Prefix, program: &str) -> Result<ExecCommand, ValueError> {
        let program = self.cx.expand(program)?;
        check_program(&program)?;
        let mut argv: Vec<Box<str>> = Vec::new();
        if !prefix.own_name {
            argv.push(program.as_str().into());
        }
        while let Some(argument) = self.argument()? {
            argv.push(argument.into());
        }
        if argv.is_empty() {
            return Err(ValueError::new(format!(
                "`@` before \"{program}\" needs the program's name as the next word"
            )));
        }
        argv.shrink_to_fit();
        Ok(ExecCommand { path: path::simplify(&program).into(), argv, flags: prefix.flags })
    }

    /// The next argument; `None` at the end of the command, with its `;` taken.
    fn argument(&mut self) -> Result<Option<String>, ValueError> {
        let rest = self.words.rest();
        if let Some(after) = strip_word(rest, ";") {
            self.words.continue_at(after);
            return Ok(None);
        }
        // Looked for before unescaping, which would make the same of `";"`: only a bare `;` ends a command.
        if let Some(after) = strip_word(rest, "\\;") {
            self.words.continue_at(after);
            return Ok(Some(";".to_owned()));
        }
        self.next_word()?.map(|word| self.cx.expand(&word)).transpose()
    }

    fn next_word(&mut self) -> Result<Option<String>, ValueError> {
        self.words.next_text(|warning| self.cx.warn(warning)).transpose()
    }
}

/// What follows `word` in `text`, if that stands there alone.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.strip_prefix(word).filter(|after| after.is_empty() || after.starts_with(BLANKS))
}

/// What the characters before the program say.
#[derive(Clone, Copy, Default)]
struct Prefix {
    flags: ExecFlags,
    /// `@`: the first argument is the program's own name.
    own_name: bool,
}

impl Prefix {
    /// Takes the prefix off; a character that repeats or contradicts an earlier one already belongs to the program.
    fn split(word: &str) -> (Self, &str) {
        let mut prefix = Self::default();
        let mut rest = word;
        while let Some(after) =
            rest.chars().next().filter(|&c| prefix.accept(c)).map(|c| &rest[c.len_utf8()..])
        {
            rest = after;
        }
        (prefix, rest)
    }

    fn accept(&mut self, c: char) -> bool {
        match (c, self.flags.privilege) {
            ('-', _) => !std::mem::replace(&mut self.flags.ignore_failure, true),
            ('@', _) => !std::mem::replace(&mut self.own_name, true),
            (':', _) => !std::mem::replace(&mut self.flags.no_env_expand, true),
            ('+', Privilege::None) => self.keep(Privilege::Full),
            ('!', Privilege::None) => self.keep(Privilege::NoSetuid),
            ('!', Privilege::NoSetuid) => self.keep(Privilege::Ambient),
            _ => false,
        }
    }

    fn keep(&mut self, privilege: Privilege) -> bool {
        self.flags.privilege = privilege;
        true
    }
}

fn check_program(program: &str) -> Result<(), ValueError> {
    let complain = |what: &str| Err(ValueError::new(format!("the program \"{program}\" {what}")));
    if program.is_empty() {
        return Err(ValueError::new("the command line names no program"));
    }
    if program.chars().any(|c| c.is_ascii_control() || "\"'\\".contains(c)) {
        return complain("contains quotes, backslashes or control characters");
    }
    if program.ends_with('/') {
        return complain("is a directory");
    }
    let is_program =
        if program.starts_with('/') { path::is_valid(program) } else { path::is_file_name(program) };
    if is_program { Ok(()) } else { complain("is neither an absolute path nor a plain file name") }
}
