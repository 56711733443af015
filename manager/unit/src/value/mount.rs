//! What processes see of the file system: lists of paths, binds and temporary file systems (systemd.exec(5), "Sandboxing", "Paths").
//!
//! Never here: mounting anything. Invariant: every path is absolute and simplified.

use super::word::{Backslash, Words};
use super::{ValueError, path};
use crate::directive::{Context, Property, Scalar, Value};

/// A path that something is done about, with its prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxPath {
    /// `-`: it may be missing.
    pub optional: bool,
    /// `+`: it is below `RootDirectory=`.
    pub in_root: bool,
    /// The path.
    pub path: Box<str>,
}

impl SandboxPath {
    fn parse(word: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let (rest, optional) = word.strip_prefix('-').map_or((word, false), |rest| (rest, true));
        let (rest, in_root) = rest.strip_prefix('+').map_or((rest, false), |rest| (rest, true));
        let path = cx.expand(rest).and_then(|path| path::absolute(&path))?;
        Ok(Self { optional, in_root, path })
    }
}

/// Paths; assignments add up, an empty one forgets the earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathList(Vec<SandboxPath>);

impl PathList {
    /// The paths in the order in which they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, SandboxPath> {
        self.0.iter()
    }
}

/// Adds what each word of `text` means; a bad word is warned of, and the others are used.
fn add_words<T>(
    list: &mut Vec<T>,
    text: &str,
    cx: &Context<'_>,
    parse: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<(), ValueError> {
    if text.is_empty() {
        list.clear();
    }
    for word in Words::new(text, Backslash::Quotes) {
        match parse(&word?.into_text()?) {
            Ok(item) => list.push(item),
            Err(error) => cx.warn(error),
        }
    }
    Ok(())
}

impl Value for PathList {
    const FORM: &'static str =
        "absolute paths, after a - where they may be missing, then a + where they are below RootDirectory=";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        add_words(&mut self.0, text, cx, |word| SandboxPath::parse(word, cx))
    }

    fn property(&self) -> Property {
        let text = |item: &SandboxPath| {
            let (optional, in_root) =
                (if item.optional { "-" } else { "" }, if item.in_root { "+" } else { "" });
            format!("{optional}{in_root}{}", item.path)
        };
        Property::Strs(self.0.iter().map(text).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// A place of the file system that is seen at another one as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// What is seen.
    pub source: Box<str>,
    /// Where.
    pub destination: Box<str>,
    /// It may be missing.
    pub optional: bool,
    /// With what is mounted below it.
    pub recursive: bool,
}

/// `SOURCE[:DESTINATION[:OPTION]]` words; assignments add up, an empty one forgets the earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindList(Vec<Bind>);

impl BindList {
    /// The binds in the order in which they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, Bind> {
        self.0.iter()
    }
}

/// What ends a path of a bind.
const PATH_ENDS: &[char] = &[':', ' ', '\t', '\n', '\r'];

/// The parts of one bind, still as text.
struct Parts {
    source: String,
    destination: Option<String>,
    option: Option<String>,
}

impl Parts {
    /// Reads the next bind off `words`, which end at colons.
    fn next(words: &mut Words<'_>) -> Result<Option<Self>, ValueError> {
        words.continue_at(words.rest().trim_start_matches(':'));
        let Some(source) = words.next() else { return Ok(None) };
        let mut parts = Self { source: source?.into_text()?, destination: None, option: None };
        if words.pass(':') {
            parts.destination = Some(Self::destination(words)?);
            if words.pass(':') {
                let mut rest = Words::new(words.rest(), Backslash::Quotes);
                parts.option = rest.next().transpose()?.map(|word| word.into_text()).transpose()?;
                words.continue_at(rest.rest());
            }
        }
        Ok(Some(parts))
    }

    fn destination(words: &mut Words<'_>) -> Result<String, ValueError> {
        if words.is_at_blank() {
            return Ok(String::new());
        }
        words.next().map_or(Ok(String::new()), |word| word?.into_text())
    }
}

impl Bind {
    fn of(parts: &Parts, cx: &Context<'_>) -> Result<Self, ValueError> {
        let (source, optional) =
            parts.source.strip_prefix('-').map_or((&*parts.source, false), |rest| (rest, true));
        let absolute = |text: &str| cx.expand(text).and_then(|path| path::absolute(&path));
        let source = absolute(source)?;
        let destination = parts.destination.as_deref().map_or(Ok(source.clone()), absolute)?;
        let recursive = match parts.option.as_deref() {
            None | Some("" | "rbind") => true,
            Some("norbind") => false,
            Some(other) => return Err(ValueError::invalid(other, "rbind or norbind")),
        };
        Ok(Self { source, destination, optional, recursive })
    }
}

impl Value for BindList {
    const FORM: &'static str = "paths as SOURCE, SOURCE:DESTINATION or SOURCE:DESTINATION:norbind, after a - where they may be missing";
    const SIGNATURE: &'static str = "a(ssbt)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        let mut words = Words::new(text, Backslash::Quotes).ending_at(PATH_ENDS);
        while let Some(parts) = Parts::next(&mut words)? {
            match Bind::of(&parts, cx) {
                Ok(bind) => self.0.push(bind),
                Err(error) => cx.warn(error),
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        const MS_REC: u64 = 0x4000;
        let row = |bind: &Bind| {
            let flags = if bind.recursive { MS_REC } else { 0 };
            (bind.source.to_string(), bind.destination.to_string(), bind.optional, flags)
        };
        Property::Binds(self.0.iter().map(row).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// An empty file system in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemporaryFileSystem {
    /// Where.
    pub path: Box<str>,
    /// Options of mount(8) and tmpfs(5), with commas between.
    pub options: Box<str>,
}

/// `PATH[:OPTIONS]` words; assignments add up, an empty one forgets the earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemporaryFileSystems(Vec<TemporaryFileSystem>);

impl TemporaryFileSystems {
    /// The file systems in the order in which they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, TemporaryFileSystem> {
        self.0.iter()
    }
}

impl Value for TemporaryFileSystems {
    const FORM: &'static str =
        "absolute paths, each perhaps with :OPTIONS of tmpfs, such as /var:ro,mode=0700";
    const SIGNATURE: &'static str = "a(ss)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        add_words(&mut self.0, text, cx, |word| {
            let (path, options) = word.split_once(':').unwrap_or((word, ""));
            let path = cx.expand(path).and_then(|path| path::absolute(&path))?;
            Ok(TemporaryFileSystem { path, options: options.into() })
        })
    }

    fn property(&self) -> Property {
        let row = |fs: &TemporaryFileSystem| (fs.path.to_string(), fs.options.to_string());
        Property::Listen(self.0.iter().map(row).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// Whether mounts of a process and of the machine reach each other (`MountFlags=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Propagation {
    /// As systemd does it where nothing is said: from the machine to the process, and among its own.
    #[default]
    Unset,
    /// Among the process's own, and from the machine.
    Shared,
    /// From the machine only.
    Slave,
    /// Not at all.
    Private,
}

impl Propagation {
    const WORDS: [(&str, Self, u64); 3] = [
        ("shared", Self::Shared, 1 << 20),
        ("slave", Self::Slave, 1 << 19),
        ("private", Self::Private, 1 << 18),
    ];

    /// The word for the flags of a property; nothing for none.
    pub fn word(flags: u64) -> &'static str {
        Self::WORDS.into_iter().find(|(_, _, flag)| *flag == flags).map_or("", |(word, _, _)| word)
    }
}

impl Scalar for Propagation {
    const FORM: &'static str = "one of shared, slave, private";
    const SIGNATURE: &'static str = "t";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Ok(Self::Unset);
        }
        let found = Self::WORDS.into_iter().find(|(word, _, _)| *word == text);
        found.map(|(_, value, _)| value).ok_or_else(|| ValueError::invalid(text, "an accepted word"))
    }

    fn property(&self) -> Property {
        let found = Self::WORDS.into_iter().find(|(_, value, _)| value == self);
        Property::U64(found.map_or(0, |(_, _, flag)| flag))
    }
}

/// Another root directory. A bad one keeps the unit from being loaded: it must not run in the machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootDirectory(Box<str>);

impl std::ops::Deref for RootDirectory {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Scalar for RootDirectory {
    const FORM: &'static str = "an absolute path";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let path = cx.expand(text).and_then(|path| path::absolute(&path));
        path.map(Self).map_err(ValueError::fatal)
    }

    fn property(&self) -> Property {
        Property::Str(self.0.to_string())
    }
}
