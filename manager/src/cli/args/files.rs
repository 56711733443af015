//! Operands and modes of the verbs that are about unit files and what services inherit.
//!
//! Only words, as in the parent module, which see.

use clap::{Args, ValueEnum};

/// The modes of `--preset-mode`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetMode {
    /// Enable and disable
    #[default]
    Full,
    /// Only enable
    EnableOnly,
    /// Only disable
    DisableOnly,
}

/// Unit files, of which at least one is needed.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Unit names (`web` is `web.service`), or paths of unit files
    #[arg(required = true, value_name = "UNIT")]
    pub(crate) units: Vec<String>,
}

/// What to edit.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    pub(crate) files: Files,
    /// The name of the drop-in, instead of override.conf
    #[arg(long, value_name = "NAME")]
    pub(crate) drop_in: Option<String>,
    /// Take the text from standard input instead of an editor
    #[arg(long)]
    pub(crate) stdin: bool,
}

/// Variables, of which at least one is needed.
#[derive(Debug, Args)]
pub(crate) struct Variables {
    /// NAME=VALUE, or where one is to be taken out, NAME as well
    #[arg(required = true, value_name = "VARIABLE")]
    pub(crate) variables: Vec<String>,
}

/// Variables by name.
#[derive(Debug, Args)]
pub(crate) struct VariableNames {
    /// Names of variables
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// Units that become dependencies of another one.
#[derive(Debug, Args)]
pub(crate) struct AddDependency {
    /// The unit that is to start them (`web` is `web.target`)
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) files: Files,
}

/// A target.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The target (`web` is `web.target`)
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
}
