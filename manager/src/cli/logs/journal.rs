//! The journal instead: where it runs, the machine's services write to it, and journalctl shows what they wrote.

use std::path::Path;
use std::process::Command;

use crate::cli::args::{Flags, Logs};
use crate::cli::session::Target;
use crate::paths::Scope;
use clap::ValueEnum;

/// Where the journal takes output, unless the settings of the manager say otherwise.
const SOCKET: &str = "/run/systemd/journal/stdout";

/// Whether output of this manager's services is to be looked for there. The journal does not believe what a user's manager
/// says of units.
pub(super) fn is_asked(target: &Target) -> bool {
    target.scope == Scope::System && Path::new(SOCKET).exists()
}

/// The command that shows the same as we would.
pub(super) fn command(flags: &Flags, what: &Logs, lines: Option<usize>) -> Command {
    let mut command = Command::new("journalctl");
    command.arg("--no-pager").args(what.units.iter().flat_map(|unit| unit_arguments(unit)));
    match lines {
        Some(usize::MAX) => drop(command.arg("--lines=all")),
        Some(lines) => drop(command.arg(format!("--lines={lines}"))),
        None => {}
    }
    for (is_given, option) in
        [(what.follow, "--follow"), (what.reverse, "--reverse"), (flags.quiet, "--quiet")]
    {
        command.args(is_given.then_some(option));
    }
    for (moment, option) in [(&what.since, "--since"), (&what.until, "--until")] {
        command.args(moment.iter().map(|moment| format!("{option}={moment}")));
    }
    let form = what.output.to_possible_value();
    command.args(form.map(|form| format!("--output={}", form.get_name())));
    command
}

/// A unit, and the instances of a group.
fn unit_arguments(unit: &str) -> Vec<String> {
    let own = format!("--unit={unit}");
    match super::template_of_argument(unit) {
        Some(template) => vec![own, format!("--unit={}", template.as_str().replacen("@.", "@*.", 1))],
        None => vec![own],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::logs::Form;

    fn arguments(what: &Logs, lines: Option<usize>) -> Vec<String> {
        let command = command(&Flags::default(), what, lines);
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn journalctl_is_asked_for_the_same() {
        let what = Logs {
            units: vec!["web".to_owned(), "api@1.service".to_owned(), "x*".to_owned()],
            follow: true,
            reverse: false,
            since: Some("-1h".to_owned()),
            until: None,
            output: Form::ShortIso,
        };
        let expected = [
            "--no-pager",
            "--unit=web",
            "--unit=web@*.service",
            "--unit=api@1.service",
            "--unit=x*",
            "--lines=7",
            "--follow",
            "--since=-1h",
            "--output=short-iso",
        ];
        assert_eq!(arguments(&what, Some(7)), expected);
    }
}
