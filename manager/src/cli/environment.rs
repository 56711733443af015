//! show-environment, set-environment, unset-environment, import-environment: what all services inherit.
//!
//! Invariant: what show-environment prints can be given to a shell.

use super::exit::{CliError, Exit};
use super::session::Session;

/// Prints the variables, one a line.
pub(crate) fn show(session: &mut Session) -> Result<Exit, CliError> {
    let variables = session.manager.own_properties()?.texts("Environment");
    if !session.print_json(&variables)? {
        let lines = variables.iter().map(|variable| {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            format!("{name}={}\n", quoted(value))
        });
        session.print(&lines.collect::<String>())?;
    }
    Ok(Exit::Success)
}

/// Takes variables out, puts others in.
pub(crate) fn change(session: &mut Session, unset: &[String], set: &[String]) -> Result<Exit, CliError> {
    session.manager.change_environment(unset, set)?;
    Ok(Exit::Success)
}

/// Puts variables of this process in: those of these names, or all.
pub(crate) fn import(session: &mut Session, names: &[String]) -> Result<Exit, CliError> {
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    // What cannot be a variable's name (bash exports functions so) is left out.
    let own = own.filter(|(name, _)| sockmgr_unit::value::is_variable_name(name));
    let own: Vec<(String, String)> = own.collect();
    if let Some(missing) = names.iter().find(|name| own.iter().all(|(known, _)| known != *name)) {
        return Err(CliError::Usage(format!("there is no variable {missing} here to import")));
    }
    let meant = own.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name));
    let set: Vec<String> = meant.map(|(name, value)| format!("{name}={value}")).collect();
    change(session, &[], &set)
}

/// The value as a shell reads it.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:,@%+=".contains(c);
    if value.chars().all(is_plain) {
        return value.to_owned();
    }
    let escaped: String = value
        .chars()
        .map(|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            '\n' => "\\n".to_owned(),
            '\t' => "\\t".to_owned(),
            other => other.to_string(),
        })
        .collect();
    format!("$'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_a_shell_would_take_them_apart() {
        for (value, expected) in [
            ("", ""),
            ("/usr/bin:/bin", "/usr/bin:/bin"),
            ("de_DE.UTF-8", "de_DE.UTF-8"),
            ("a b", "$'a b'"),
            ("it's\n", "$'it\\'s\\n'"),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }
}
