//! What specifiers can say of this machine and of the manager's user.
//!
//! Never here: what a specifier means. Invariant: nothing here fails; what is not known is empty.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sockmgr_unit::specifier::{Directories, OsRelease, User};
use sockmgr_unit::value::parse_environment_file;
use sockmgr_unit::{Host, ManagerKind};

use super::search_path::{absolute, environment, or_in_home};
use crate::paths::Scope;

/// This machine, as the manager of `scope` sees it; `runtime_dir` is what `%t` means to a user without `XDG_RUNTIME_DIR`.
pub fn host(scope: Scope, runtime_dir: &Path) -> Host {
    let os_release =
        variables("/etc/os-release").or_else(|| variables("/usr/lib/os-release")).unwrap_or_default();
    let machine = variables("/etc/machine-info").unwrap_or_default();
    Host {
        host_name: first_line("/proc/sys/kernel/hostname").unwrap_or_default(),
        pretty_host_name: value(&machine, "PRETTY_HOSTNAME").filter(|name| !name.is_empty()).map(Into::into),
        machine_id: first_line("/etc/machine-id"),
        boot_id: first_line("/proc/sys/kernel/random/boot_id").map(|id| id.replace('-', "").into()),
        kernel_release: first_line("/proc/sys/kernel/osrelease").unwrap_or_default(),
        architecture: architecture().into(),
        os: os(&os_release),
        is_of_user: scope == Scope::User,
        user: user(scope),
        directories: match scope {
            Scope::System => system_directories(&environment),
            Scope::User => user_directories(runtime_dir, &environment),
        },
        interfaces: interfaces(),
        manager: match scope {
            Scope::System => ManagerKind::System,
            Scope::User => ManagerKind::User,
        },
    }
}

fn first_line(path: &str) -> Option<Box<str>> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(str::trim).filter(|line| !line.is_empty()).map(Into::into)
}

type Variables = Vec<(String, String)>;

fn variables(path: &str) -> Option<Variables> {
    parse_environment_file(&fs::read(path).ok()?).ok()
}

fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn os(release: &Variables) -> OsRelease {
    let field = |name| value(release, name).unwrap_or_default().into();
    OsRelease {
        id: field("ID"),
        version_id: field("VERSION_ID"),
        variant_id: field("VARIANT_ID"),
        build_id: field("BUILD_ID"),
        image_version: field("IMAGE_VERSION"),
        image_id: field("IMAGE_ID"),
    }
}

/// systemd's word for the architecture that this was built for (systemd.unit(5), ConditionArchitecture=).
pub fn architecture() -> &'static str {
    let little = cfg!(target_endian = "little");
    match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        "aarch64" if little => "arm64",
        "aarch64" => "arm64-be",
        "arm" if little => "arm",
        "arm" => "arm-be",
        "powerpc64" if little => "ppc64-le",
        "powerpc64" => "ppc64",
        "powerpc" => "ppc",
        "loongarch64" => "loongarch64",
        "mips" if little => "mips-le",
        "mips64" if little => "mips64-le",
        other => other,
    }
}

/// Who runs this process. `/etc/passwd` is asked, and for users of other databases the environment; a user's own environment comes
/// first where it says home and shell.
fn user(scope: Scope) -> User {
    let (uid, gid) = fs::metadata("/proc/self").map_or((0, 0), |metadata| (metadata.uid(), metadata.gid()));
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = entry_with_id(&passwd, uid).unwrap_or_default();
    let field = |index: usize, variable: &str, otherwise: &str| -> Box<str> {
        let known = entry.get(index).filter(|field| !field.is_empty()).map(|field| (*field).to_owned());
        known.or_else(|| std::env::var(variable).ok()).unwrap_or_else(|| otherwise.to_owned()).into()
    };
    let own = |variable: &str| -> Option<Box<str>> {
        let value = std::env::var(variable).ok().filter(|value| value.starts_with('/'));
        value.filter(|_| scope == Scope::User).map(Into::into)
    };
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let group = entry_with_id(&groups, gid).and_then(|entry| entry.first().map(|name| Box::from(*name)));
    User {
        name: field(0, "USER", &uid.to_string()),
        uid,
        group: group.unwrap_or_else(|| gid.to_string().into()),
        gid,
        home: own("HOME").unwrap_or_else(|| field(5, "HOME", "/")),
        shell: own("SHELL").unwrap_or_else(|| field(6, "SHELL", "/bin/sh")),
    }
}

/// The fields of the line with this id in a file like passwd(5) or group(5).
fn entry_with_id(text: &str, id: u32) -> Option<Vec<&str>> {
    let mut entries = text.lines().map(|line| line.split(':').collect::<Vec<&str>>());
    entries.find(|fields| fields.get(2).is_some_and(|field| field.parse() == Ok(id)))
}

fn system_directories(environment: &dyn Fn(&str) -> Option<OsString>) -> Directories {
    Directories {
        runtime: "/run".into(),
        state: "/var/lib".into(),
        cache: "/var/cache".into(),
        logs: "/var/log".into(),
        configuration: "/etc".into(),
        shared: "/usr/share".into(),
        temporary: temporary(environment, "/tmp"),
        var_temporary: temporary(environment, "/var/tmp"),
    }
}

fn user_directories(runtime_dir: &Path, environment: &dyn Fn(&str) -> Option<OsString>) -> Directories {
    // Who has no directory for state has it with the configuration: systemd 252 knows no other place, 254 moves it to ~/.local/state.
    let configuration = or_in_home(environment, "XDG_CONFIG_HOME", ".config");
    let state = absolute(environment, "XDG_STATE_HOME").unwrap_or_else(|| configuration.clone());
    Directories {
        runtime: text(absolute(environment, "XDG_RUNTIME_DIR").unwrap_or_else(|| runtime_dir.to_owned())),
        cache: text(or_in_home(environment, "XDG_CACHE_HOME", ".cache")),
        logs: text(state.join("log")),
        state: text(state),
        configuration: text(configuration),
        shared: text(or_in_home(environment, "XDG_DATA_HOME", ".local/share")),
        temporary: temporary(environment, "/tmp"),
        var_temporary: temporary(environment, "/var/tmp"),
    }
}

fn temporary(environment: &dyn Fn(&str) -> Option<OsString>, usual: &str) -> Box<str> {
    let given = ["TMPDIR", "TEMP", "TMP"].iter().find_map(|variable| absolute(environment, variable));
    given.map_or_else(|| usual.into(), text)
}

fn text(path: PathBuf) -> Box<str> {
    path.display().to_string().into()
}

/// Name and index of every network interface of the manager's network namespace.
fn interfaces() -> Vec<(Box<str>, u32)> {
    let Ok(interfaces) = nix::net::if_::if_nameindex() else {
        return Vec::new();
    };
    interfaces
        .iter()
        .map(|interface| (interface.name().to_string_lossy().into(), interface.index()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n# comment\nweb:x:33:33::/var/www:/bin/false\n";
        assert_eq!(entry_with_id(passwd, 33).map(|entry| (entry[0], entry[5])), Some(("web", "/var/www")));
        assert_eq!(entry_with_id(passwd, 3), None);
    }

    #[test]
    fn a_user_s_directories_follow_the_environment() {
        let variables = [("HOME", "/h"), ("XDG_CACHE_HOME", "/c"), ("TMPDIR", "relative"), ("TEMP", "/t")];
        let environment = |wanted: &str| {
            variables.iter().find(|(variable, _)| *variable == wanted).map(|(_, value)| OsString::from(value))
        };
        let found = user_directories(Path::new("/r"), &environment);
        let found = [&found.runtime, &found.state, &found.cache, &found.logs, &found.temporary];
        assert_eq!(found.map(|path| &**path), ["/r", "/h/.config", "/c", "/h/.config/log", "/t"]);
    }

    #[test]
    fn this_machine_has_a_name_a_user_and_a_loopback() {
        let host = host(Scope::User, Path::new("/r"));
        assert!(!host.host_name.is_empty() && !host.kernel_release.is_empty() && !host.user.name.is_empty());
        assert!(host.boot_id.is_some_and(|id| id.len() == 32));
        assert!(host.interfaces.iter().any(|(name, _)| &**name == "lo"));
    }
}
