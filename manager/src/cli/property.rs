//! The value of a property as text, in the forms of `systemctl show`, and as JSON.
//!
//! By the property's type first; by its name only where systemd gives a number a meaning (a span, a time, a mode).
//! Invariant: what is not understood prints as `[unprintable]` and never fails.

use serde_json::Value;
use sockmgr_unit::value::{NumberSet, Propagation, base64, capability_names, namespaces_text};
use zbus::wire::{Array, Variant};

use super::format;
use super::signal::signal_name;

/// `CLD_EXITED` of waitid(2): the process ended by itself.
const EXITED: i32 = 1;

/// One command of a unit and how its last run went; `a(sasbttttuii)` on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exec {
    pub(crate) path: String,
    pub(crate) argv: Vec<String>,
    pub(crate) ignore_failure: bool,
    /// Microseconds since 1970, 0 when it never ran.
    pub(crate) start: u64,
    pub(crate) stop: u64,
    pub(crate) pid: u32,
    /// `si_code` of waitid(2), 0 when it has not ended.
    pub(crate) code: i32,
    pub(crate) status: i32,
}

impl Exec {
    /// Reads one structure; nothing when it has another shape.
    fn of(value: &Variant<'_>) -> Option<Self> {
        let Variant::Structure(structure) = value else { return None };
        let [path, argv, ignore, start, _, stop, _, pid, code, status] = structure.fields() else {
            return None;
        };
        let Variant::Array(argv) = argv else { return None };
        Some(Self {
            path: String::try_from(path).ok()?,
            argv: argv.inner().iter().filter_map(|word| String::try_from(word).ok()).collect(),
            ignore_failure: bool::try_from(ignore).ok()?,
            start: u64::try_from(start).ok()?,
            stop: u64::try_from(stop).ok()?,
            pid: u32::try_from(pid).ok()?,
            code: i32::try_from(code).ok()?,
            status: i32::try_from(status).ok()?,
        })
    }

    /// The commands of a property.
    pub(crate) fn all(value: &Variant<'_>) -> Vec<Self> {
        match value {
            Variant::Array(array) => array.inner().iter().filter_map(Self::of).collect(),
            _ => Vec::new(),
        }
    }
}

impl std::fmt::Display for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = |time| format::timestamp(time).unwrap_or_else(|| "n/a".into());
        let status = match self.code {
            EXITED => self.status.to_string(),
            _ => format!("{}/{}", self.status, signal_name(self.status)),
        };
        write!(
            f,
            "{{ path={} ; argv[]={} ; ignore_errors={} ; start_time=[{}] ; stop_time=[{}] ; pid={} ; code={} ; status={status} }}",
            self.path,
            self.argv.join(" "),
            yes_no(self.ignore_failure),
            time(self.start),
            time(self.stop),
            self.pid,
            code_name(self.code).unwrap_or("(null)"),
        )
    }
}

/// The word for a `si_code` of SIGCHLD.
pub(crate) fn code_name(code: i32) -> Option<&'static str> {
    Some(match code {
        EXITED => "exited",
        2 => "killed",
        3 => "dumped",
        4 => "trapped",
        5 => "stopped",
        6 => "continued",
        _ => return None,
    })
}

/// How a process ended, as in `code=exited, status=1/FAILURE`.
pub(crate) fn ended(code: i32, status: i32) -> String {
    let name = code_name(code).unwrap_or("n/a");
    match (code, exit_status_name(status)) {
        (EXITED, Some(word)) => format!("code={name}, status={status}/{word}"),
        (EXITED, None) => format!("code={name}, status={status}"),
        _ => format!("code={name}, signal={}", signal_name(status)),
    }
}

/// Whether a process ended as a service may: exit status 0, or by one of the signals that ask to stop.
pub(crate) fn ended_well(code: i32, status: i32) -> bool {
    match code {
        EXITED => status == 0,
        2 => matches!(status, 1 | 2 | 13 | 15),
        _ => false,
    }
}

/// The word for an exit status (systemd.exec(5)); systemctl says those for libc, LSB and the steps before the program ran.
fn exit_status_name(status: i32) -> Option<&'static str> {
    let status = u8::try_from(status).ok().filter(|status| !(64..200).contains(status))?;
    sockmgr_unit::exit_status_name(status)
}

/// What stands for a value that has no text form.
pub(crate) const UNPRINTABLE: &str = "[unprintable]";

/// The texts of a property, one per line: none when a list of structures is empty, and nothing at all for a type that has
/// no text form.
pub(crate) fn texts(name: &str, value: &Variant<'_>) -> Option<Vec<String>> {
    match value {
        // One line, where other lists of the same type have one for each row.
        Variant::Array(array) if is_one_line(name) => Some(vec![joined(array, mounted)]),
        Variant::Array(array) => array_texts(name, array),
        Variant::Dict(_) | Variant::Fd(_) => None,
        _ => Some(vec![scalar(name, value)]),
    }
}

fn is_one_line(name: &str) -> bool {
    matches!(name, "BindPaths" | "BindReadOnlyPaths" | "TemporaryFileSystem")
}

/// A bind or a temporary file system, as in a unit file.
fn mounted(value: &Variant<'_>) -> String {
    let Variant::Structure(fields) = value else { return UNPRINTABLE.into() };
    match fields.fields() {
        [Variant::Str(path), Variant::Str(options)] if options.is_empty() => path.to_string(),
        [Variant::Str(path), Variant::Str(options)] => format!("{path}:{options}"),
        [Variant::Str(source), Variant::Str(destination), Variant::Bool(optional), Variant::U64(flags)] => {
            let (optional, recursive) =
                (if *optional { "-" } else { "" }, if *flags == 0 { "" } else { ":rbind" });
            format!("{optional}{source}:{destination}{recursive}")
        }
        _ => UNPRINTABLE.into(),
    }
}

fn array_texts(name: &str, array: &Array<'_>) -> Option<Vec<String>> {
    Some(match array.element_signature().to_string().as_str() {
        "s" | "o" => vec![joined(array, |text| quote(&plain(text)))],
        "y" if name == "StandardInputData" => {
            let bytes: Vec<u8> = array.inner().iter().filter_map(|byte| u8::try_from(byte).ok()).collect();
            vec![base64::encode(&bytes)]
        }
        "y" if matches!(name, "CPUAffinity" | "NUMAMask") => vec![numbers(array)],
        "y" => vec![array.inner().iter().map(hexadecimal).collect()],
        "ay" => vec![joined(array, byte_string)],
        "b" | "i" | "u" | "x" | "t" => vec![joined(array, plain)],
        "(ss)" | "(sb)" | "(sst)" | "(ussub)" | "(uuuuuttd)" | "(sasbttttuii)" => {
            array.inner().iter().map(structure).collect()
        }
        _ => return None,
    })
}

fn joined(array: &Array<'_>, text: impl Fn(&Variant<'_>) -> String) -> String {
    array.inner().iter().map(text).collect::<Vec<_>>().join(" ")
}

/// Text that came as bytes.
fn byte_string(value: &Variant<'_>) -> String {
    let Variant::Array(bytes) = value else { return UNPRINTABLE.into() };
    let bytes: Vec<u8> = bytes.inner().iter().filter_map(|byte| u8::try_from(byte).ok()).collect();
    String::from_utf8(bytes).unwrap_or_else(|_| UNPRINTABLE.into())
}

/// A mask as the numbers that are in it: `0-3 8`.
fn numbers(mask: &Array<'_>) -> String {
    let mut set = NumberSet::default();
    let bytes = mask.inner().iter().map(|byte| u8::try_from(byte).unwrap_or(0));
    let bits = bytes
        .enumerate()
        .flat_map(|(at, byte)| (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| at * 8 + bit));
    bits.for_each(|number| set.insert(number));
    set.to_string()
}

fn hexadecimal(byte: &Variant<'_>) -> String {
    u8::try_from(byte).map(|byte| format!("{byte:02x}")).unwrap_or_default()
}

/// One row of a list: an address, an environment file, a slot of a group or a command.
fn structure(value: &Variant<'_>) -> String {
    let Variant::Structure(fields) = value else { return UNPRINTABLE.into() };
    match fields.fields() {
        [Variant::Str(kind), Variant::Str(address)] => format!("{address} ({kind})"),
        [Variant::Str(path), Variant::Str(link), Variant::U64(_)] => format!("{path}:{link}"),
        [Variant::Str(path), Variant::Bool(ignore)] => format!("{path} (ignore_errors={})", yes_no(*ignore)),
        [
            Variant::U32(slot),
            Variant::Str(unit),
            Variant::Str(state),
            Variant::U32(pid),
            Variant::Bool(rotation),
        ] => {
            format!("{slot} {unit} (pid={pid} ; state={state} ; in_rotation={})", yes_no(*rotation))
        }
        _ => match (Exec::of(value), QueueRow::try_from(value.clone())) {
            (Some(exec), _) => exec.to_string(),
            (None, Ok(queue)) => queue_text(queue),
            (None, Err(_)) => UNPRINTABLE.into(),
        },
    }
}

/// One queue of `Queues`: slot (0: shared), line, length, limit, drops, age of the oldest, steered there, and per second.
pub(crate) type QueueRow = (u32, u32, u32, u32, u32, u64, u64, f64);

fn queue_text((slot, line, used, limit, drops, oldest, steered, per_second): QueueRow) -> String {
    let unknown = || "unknown".to_owned();
    let oldest = if oldest == u64::MAX { unknown() } else { format::span(oldest, 1) };
    let steered = if steered == u64::MAX { unknown() } else { steered.to_string() };
    let rate = if per_second < 0.0 { unknown() } else { format!("{per_second:.1}") };
    format!(
        "slot {slot} line {line} (length={used} ; limit={limit} ; drops={drops} ; oldest={oldest} ; steered={steered} ; per_second={rate})"
    )
}

fn scalar(name: &str, value: &Variant<'_>) -> String {
    match value {
        Variant::Str(text) if text.contains('\n') => UNPRINTABLE.into(),
        Variant::U64(number) => number_text(name, *number),
        Variant::I32(number) if name == "NUMAPolicy" => numa_policy(*number).into(),
        Variant::U32(number) if is_mode(name) => format!("{number:04o}"),
        Variant::U32(u32::MAX) if matches!(name, "UID" | "GID") => "[not set]".into(),
        Variant::Structure(fields) => match fields.fields() {
            [Variant::U32(0), Variant::ObjectPath(_)] => String::new(),
            [Variant::U32(id), Variant::ObjectPath(_)] => id.to_string(),
            [Variant::Str(name), Variant::Str(text)] if name.is_empty() && text.is_empty() => String::new(),
            [Variant::Str(name), Variant::Str(text)] => format!("{name} \"{text}\""),
            [Variant::Bool(is_allow_list), Variant::Array(names)] => {
                format!("{}{}", if *is_allow_list { "" } else { "~" }, joined(names, plain))
            }
            [Variant::Array(codes), Variant::Array(signals)] => exit_statuses(codes, signals),
            _ => UNPRINTABLE.into(),
        },
        other => plain(other),
    }
}

/// The word for a policy of set_mempolicy(2).
fn numa_policy(number: i32) -> &'static str {
    const WORDS: [&str; 5] = ["default", "preferred", "bind", "interleave", "local"];
    usize::try_from(number).ok().and_then(|at| WORDS.get(at)).unwrap_or(&"n/a")
}

/// The numbers of exit codes, then the names of signals, each in order.
fn exit_statuses(codes: &Array<'_>, signals: &Array<'_>) -> String {
    let sorted = |numbers: &Array<'_>| {
        let mut numbers: Vec<i32> =
            numbers.inner().iter().filter_map(|number| i32::try_from(number).ok()).collect();
        numbers.sort_unstable();
        numbers
    };
    let codes = sorted(codes).into_iter().map(|code| code.to_string());
    codes.chain(sorted(signals).into_iter().map(signal_name)).collect::<Vec<_>>().join(" ")
}

fn is_mode(name: &str) -> bool {
    name == "UMask" || name.ends_with("Mode")
}

/// A 64-bit number: a time, a span, or something that can be unknown or unlimited.
fn number_text(name: &str, number: u64) -> String {
    if name.ends_with("Timestamp") {
        return format::timestamp(number).unwrap_or_default();
    }
    match name {
        "CapabilityBoundingSet" | "AmbientCapabilities" => {
            return capability_names(number).collect::<Vec<_>>().join(" ");
        }
        "RestrictNamespaces" => return namespaces_text(number),
        "MountFlags" => return Propagation::word(number).to_owned(),
        _ => {}
    }
    if name.ends_with("USec") {
        return format::span(number, 1);
    }
    if name == "CoredumpFilter" {
        return format!("{number:#x}");
    }
    if number != u64::MAX {
        return number.to_string();
    }
    match name {
        _ if name.starts_with("IPIngress") || name.starts_with("IPEgress") => "[no data]".into(),
        "MemoryCurrent" | "TasksCurrent" | "CPUUsageNSec" => "[not set]".into(),
        _ if name.ends_with("Weight") || name.ends_with("Shares") => "[not set]".into(),
        _ if name.contains("Limit") || name.starts_with("Memory") || name == "TasksMax" => "infinity".into(),
        _ => number.to_string(),
    }
}

/// A value that needs no name to be understood.
fn plain(value: &Variant<'_>) -> String {
    match value {
        Variant::Str(text) => text.to_string(),
        Variant::ObjectPath(path) => path.to_string(),
        Variant::Bool(flag) => yes_no(*flag).into(),
        Variant::U8(number) => number.to_string(),
        Variant::I16(number) => number.to_string(),
        Variant::I32(number) => number.to_string(),
        Variant::U32(number) => number.to_string(),
        Variant::I64(number) => number.to_string(),
        Variant::U64(number) => number.to_string(),
        Variant::F64(number) => number.to_string(),
        _ => UNPRINTABLE.into(),
    }
}

fn yes_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

/// A word of a list: in quotes where it would not read as one word, as systemd does.
fn quote(word: &str) -> String {
    const SPECIAL: &str = " \t\n\r\"\\`$*?['()<>|&;!";
    let is_special = |c: char| SPECIAL.contains(c) || c.is_ascii_control();
    if !word.is_empty() && !word.contains(is_special) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' | '`' | '$' => quoted.extend(['\\', c]),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0b' => quoted.push_str("\\v"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' | '\r' | '\t' => quoted.extend(c.escape_default()),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\{:03o}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The value as JSON, as it came over the bus: numbers are numbers, structures and lists are lists.
pub(crate) fn json(value: &Variant<'_>) -> Value {
    match value {
        Variant::Bool(flag) => (*flag).into(),
        Variant::U8(number) => (*number).into(),
        Variant::I16(number) => (*number).into(),
        Variant::U16(number) => (*number).into(),
        Variant::I32(number) => (*number).into(),
        Variant::U32(number) => (*number).into(),
        Variant::I64(number) => (*number).into(),
        Variant::U64(number) => (*number).into(),
        Variant::F64(number) => (*number).into(),
        Variant::Str(text) => text.as_str().into(),
        Variant::ObjectPath(path) => path.as_str().into(),
        Variant::Signature(signature) => signature.to_string().into(),
        Variant::Variant(inner) => json(inner),
        Variant::Array(array) => array.inner().iter().map(json).collect(),
        Variant::Structure(structure) => structure.fields().iter().map(json).collect(),
        Variant::Dict(dict) => dict
            .iter()
            .map(|(key, value)| (plain(key), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Variant::Fd(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use zbus::wire::ObjectPath;

    use super::*;

    fn show(name: &str, value: impl Into<Variant<'static>>) -> String {
        texts(name, &value.into()).unwrap_or_else(|| vec!["(no text)".into()]).join("\n")
    }

    fn strings(words: &[&str]) -> Variant<'static> {
        words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>().into()
    }

    #[test]
    fn names_give_numbers_their_meaning() {
        let table = [
            ("TimeoutUSec", 90_000_000, "1min 30s"),
            ("TimeoutUSec", u64::MAX, "infinity"),
            ("RestartUSec", 100_000, "100ms"),
            ("ActiveEnterTimestamp", 0, ""),
            ("ActiveEnterTimestampMonotonic", 1117, "1117"),
            ("MemoryCurrent", u64::MAX, "[not set]"),
            ("CPUUsageNSec", u64::MAX, "[not set]"),
            ("MemoryMax", u64::MAX, "infinity"),
            ("LimitNOFILE", u64::MAX, "infinity"),
            ("LimitNOFILE", 1024, "1024"),
            ("TasksMax", u64::MAX, "infinity"),
            ("IPIngressBytes", u64::MAX, "[no data]"),
            ("CPUWeight", u64::MAX, "[not set]"),
            ("IOReadBytes", u64::MAX, "18446744073709551615"),
            ("CapabilityBoundingSet", 0b10_0001, "cap_chown cap_kill"),
            ("AmbientCapabilities", 0, ""),
            ("RestrictNamespaces", u64::MAX, "no"),
            ("RestrictNamespaces", 0, "yes"),
            ("RestrictNamespaces", 0x4802_0000, "ipc net mnt"),
        ];
        for (name, number, expected) in table {
            assert_eq!(show(name, number), expected, "{name}={number}");
        }
        assert_eq!(show("SocketMode", 0o666u32), "0666");
        assert_eq!(show("UID", u32::MAX), "[not set]");
        assert_eq!(show("MainPID", 17u32), "17");
        assert_eq!(show("Accept", false), "no");
    }

    #[test]
    fn lists_quote_only_where_needed() {
        let table = [
            (strings(&[]), ""),
            (strings(&["a.service", "b.socket"]), "a.service b.socket"),
            (strings(&["A=1", "B=2 3"]), "A=1 \"B=2 3\""),
            (strings(&["man:foo(1)", "https://example.org/"]), "\"man:foo(1)\" https://example.org/"),
            (strings(&["a\"b$c"]), "\"a\\\"b\\$c\""),
            (strings(&[""]), "\"\""),
            (strings(&["a\nb\x01", "c"]), "\"a\\nb\\001\" c"),
        ];
        for (value, expected) in table {
            assert_eq!(texts("Environment", &value), Some(vec![expected.to_owned()]));
        }
    }

    #[test]
    fn structures_have_their_own_forms() {
        let root = || ObjectPath::try_from("/").unwrap();
        let listen =
            vec![("Stream".to_owned(), "[::]:80".to_owned()), ("Datagram".to_owned(), "/x".to_owned())];
        assert_eq!(show("Listen", listen), "[::]:80 (Stream)\n/x (Datagram)");
        assert_eq!(show("Listen", Vec::<(String, String)>::new()), "");
        assert_eq!(show("EnvironmentFiles", vec![("/etc/x".to_owned(), true)]), "/etc/x (ignore_errors=yes)");
        assert_eq!(show("Job", (0u32, root())), "");
        assert_eq!(show("Job", (118u32, root())), "118");
        assert_eq!(show("LoadError", (String::new(), String::new())), "");
        assert_eq!(show("LoadError", ("a.B".to_owned(), "bad line".to_owned())), "a.B \"bad line\"");
        assert_eq!(
            show("Slots", vec![(1u32, "web@1.service".to_owned(), "running".to_owned(), 4711u32, true)]),
            "1 web@1.service (pid=4711 ; state=running ; in_rotation=yes)"
        );
        let queues: Vec<QueueRow> =
            vec![(1, 1, 3, 4096, 0, 2500, 70, 12.34), (0, 2, 1, 4096, 9, u64::MAX, u64::MAX, -1.0)];
        assert_eq!(
            show("Queues", queues),
            "slot 1 line 1 (length=3 ; limit=4096 ; drops=0 ; oldest=2.500ms ; steered=70 ; per_second=12.3)\n\
             slot 0 line 2 (length=1 ; limit=4096 ; drops=9 ; oldest=unknown ; steered=unknown ; per_second=unknown)"
        );
        assert_eq!(show("Unheard", vec![(1.5f64, 2u32)]), "(no text)");
        assert_eq!(show("StatusText", "two\nlines"), UNPRINTABLE);
    }

    #[test]
    fn commands_print_with_their_last_run() {
        let command = |code: i32, status: i32, pid: u32| {
            let argv = vec!["/bin/sleep".to_owned(), "1000".to_owned()];
            vec![("/bin/sleep".to_owned(), argv, false, 0u64, 0u64, 0u64, 0u64, pid, code, status)]
        };
        let text =
            [command(0, 0, 0), command(1, 1, 7), command(2, 10, 7)].map(|value| show("ExecStart", value));
        expect![[r#"
            { path=/bin/sleep ; argv[]=/bin/sleep 1000 ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
            { path=/bin/sleep ; argv[]=/bin/sleep 1000 ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=7 ; code=exited ; status=1 }
            { path=/bin/sleep ; argv[]=/bin/sleep 1000 ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=7 ; code=killed ; status=10/USR1 }"#]]
        .assert_eq(&text.join("\n"));
    }

    #[test]
    fn ends_of_processes_are_named() {
        let table = [
            (1, 0, "code=exited, status=0/SUCCESS", true),
            (1, 1, "code=exited, status=1/FAILURE", false),
            (1, 77, "code=exited, status=77", false),
            (1, 203, "code=exited, status=203/EXEC", false),
            (1, 217, "code=exited, status=217/USER", false),
            (1, 235, "code=exited, status=235/CHOWN", false),
            (2, 9, "code=killed, signal=KILL", false),
            (2, 15, "code=killed, signal=TERM", true),
            (3, 11, "code=dumped, signal=SEGV", false),
        ];
        for (code, status, expected, well) in table {
            assert_eq!((ended(code, status).as_str(), ended_well(code, status)), (expected, well));
        }
    }
}
