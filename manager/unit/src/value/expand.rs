//! `$NAME` and `${NAME}` in the arguments of command lines, as of each start (systemd.service(5), "Command lines").
//!
//! Never here: specifiers, which are expanded once, at load.
//! Invariant: this is no shell: whatever is not of these two forms stays as it is.

use super::is_variable_name;
use super::word::{Backslash, Words};

/// The arguments that `argument` turns into: any number where it is `$NAME` alone, else exactly one.
pub(super) fn expand_argument<S: AsRef<str>>(
    argument: &str,
    env: &impl Fn(&str) -> Option<S>,
) -> Vec<String> {
    match argument.strip_prefix('$') {
        Some(name) if !name.starts_with(['{', '$']) => split_variable(name, env),
        _ => vec![replace_variables(argument, env)],
    }
}

/// The words of a variable; none where it is unset or `name` is no name. Quotes in it work, unbalanced ones too.
fn split_variable<S: AsRef<str>>(name: &str, env: &impl Fn(&str) -> Option<S>) -> Vec<String> {
    let Some(value) = lookup(name, env) else { return Vec::new() };
    // The words are parts of a text, so they are text.
    Words::lenient(value.as_ref(), Backslash::Quotes).filter_map(|word| word.ok()?.into_text().ok()).collect()
}

/// `text` with each `${NAME}` replaced, by nothing where it is unset, and each `$$` by `$`.
fn replace_variables<S: AsRef<str>>(text: &str, env: &impl Fn(&str) -> Option<S>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            rest = replace_braced(inner, &mut result, env);
        } else {
            result.push('$');
            // What follows a `$` without meaning is past, so that `$x$y` and `${A:-$$}` are read as systemd does.
            let kept = after.chars().next().map_or(0, char::len_utf8);
            result.push_str(&after[..kept]);
            rest = &after[kept..];
        }
    }
    result.push_str(rest);
    result
}

/// Adds what stands for `${inner` up to its brace; what follows. With a colon or the end before the brace it is a form
/// that only shells have, and stays as it is.
fn replace_braced<'a, S: AsRef<str>>(
    inner: &'a str,
    to: &mut String,
    env: &impl Fn(&str) -> Option<S>,
) -> &'a str {
    let (name, after) = inner.split_at(inner.find(['}', ':']).unwrap_or(inner.len()));
    let Some(after) = after.strip_prefix('}') else {
        to.push_str("${");
        to.push_str(name);
        return after;
    };
    if let Some(value) = lookup(name, env) {
        to.push_str(value.as_ref());
    }
    after
}

fn lookup<S: AsRef<str>>(name: &str, env: &impl Fn(&str) -> Option<S>) -> Option<S> {
    if is_variable_name(name) { env(name) } else { None }
}
