//! Paths as text: simplifying and checking what a unit file says, and the one absolute path type.
//!
//! Never here: looking at the disk.
//! Invariant: a checked path is absolute, simplified, without `..` and shorter than PATH_MAX.

use super::ValueError;
use crate::directive::{Context, Property, Scalar, Value};

/// The longest path, in bytes, without its NUL.
pub const PATH_MAX: usize = 4095;

/// `path` without doubled slashes, `.` components and a slash at the end; the meaning stays.
pub fn simplify(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let inner: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match (root, inner.is_empty()) {
        // Nothing is left of `./.`, yet the empty path means something else.
        ("", true) if !path.is_empty() => ".".to_owned(),
        _ => format!("{root}{}", inner.join("/")),
    }
}

/// Where `/var/run` is a link to `/run` both name one place, and `/run` is there earlier (systemd.socket(5)).
pub fn below_run(path: &str) -> String {
    match path.strip_prefix("/var/run") {
        Some("") => "/run/".to_owned(),
        Some(rest) if rest.starts_with('/') => format!("/run{rest}"),
        Some(_) | None => path.to_owned(),
    }
}

/// Whether no component of `path` is `.` or `..`.
pub fn is_normalized(path: &str) -> bool {
    path.split('/').all(|part| part != "." && part != "..")
}

/// Whether the kernel could take `path`: not empty, below PATH_MAX, each component of at most 255 bytes.
pub fn is_valid(path: &str) -> bool {
    !path.is_empty() && path.len() <= PATH_MAX && path.split('/').all(|part| part.len() <= 255)
}

/// Whether `name` can be one component of a path.
pub fn is_file_name(name: &str) -> bool {
    is_valid(name) && !name.contains('/') && name != "." && name != ".."
}

/// Checks and simplifies a path that must be absolute.
///
/// # Errors
/// It is relative, too long, or goes through `..`.
pub fn absolute(path: &str) -> Result<Box<str>, ValueError> {
    if !path.starts_with('/') {
        return Err(ValueError::NotAbsolute(path.to_owned()));
    }
    let simple = simplify(path);
    if !is_valid(&simple) {
        return Err(ValueError::TooLong { length: simple.len(), limit: PATH_MAX });
    }
    if !is_normalized(&simple) {
        return Err(ValueError::NotNormalized(path.to_owned()));
    }
    Ok(simple.into())
}
/// A path from the root of the file system; the empty text unsets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsolutePath(Box<str>);

impl AbsolutePath {
    /// One that is written here, and therefore right.
    pub(crate) fn known(path: &'static str) -> Self {
        Self(path.into())
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Scalar for AbsolutePath {
    const FORM: &'static str = "an absolute path";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        absolute(&cx.expand(text)?).map(Self)
    }

    fn property(&self) -> Property {
        Property::Str(self.0.to_string())
    }
}

/// Directories to look programs up in, first wins; assignments add up, the empty one forgets all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPath(Vec<Box<str>>);

impl SearchPath {
    /// In this order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|directory| &**directory)
    }

    /// As `PATH` has it; `None` where there are none.
    pub fn joined(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(":"))
    }
}

impl Value for SearchPath {
    const FORM: &'static str = "absolute paths of directories with colons between";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        for word in text.split(':').filter(|word| !word.is_empty()) {
            match cx.expand(word).and_then(|word| absolute(&word)) {
                Ok(directory) => self.0.push(directory),
                Err(error) => cx.warn(error),
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.iter().map(str::to_owned).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}
