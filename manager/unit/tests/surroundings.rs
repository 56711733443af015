//! Users, environment and directories: what a line makes of its property.

mod common;

use common::load;
use sockmgr_unit::Property;

fn property(lines: &str, name: &str) -> Option<Property> {
    load("web@1.service", &format!("[Service]\nExecStart=/bin/true\n{lines}\n")).0.property(name)
}

fn words(words: &[&str]) -> Option<Property> {
    Some(Property::Strs(words.iter().map(|word| (*word).to_owned()).collect()))
}

fn text(text: &str) -> Option<Property> {
    Some(Property::Str(text.to_owned()))
}

#[test]
fn lists_add_up_and_an_empty_line_forgets_them() {
    let table: &[(&str, &str, &[&str])] = &[
        ("PassEnvironment=A B\nPassEnvironment=A C", "PassEnvironment", &["A", "B", "C"]),
        ("PassEnvironment=A 1B C=d", "PassEnvironment", &["A"]),
        ("PassEnvironment=A\nPassEnvironment=", "PassEnvironment", &[]),
        ("UnsetEnvironment=A B=1 =x", "UnsetEnvironment", &["A", "B=1"]),
        ("ExecSearchPath=/a:/b/../c:/d//e", "ExecSearchPath", &["/a", "/d/e"]),
        ("ExecSearchPath=/a\nExecSearchPath=/b", "ExecSearchPath", &["/a", "/b"]),
        ("ExecSearchPath=/a\nExecSearchPath=\nExecSearchPath=/%i", "ExecSearchPath", &["/1"]),
        ("SupplementaryGroups=a b\nSupplementaryGroups=c", "SupplementaryGroups", &["a", "b", "c"]),
        ("SupplementaryGroups=a\nSupplementaryGroups=", "SupplementaryGroups", &[]),
        ("RuntimeDirectory=web web/a", "RuntimeDirectory", &["web", "web/a"]),
        ("RuntimeDirectory=b a:x/y a:z", "RuntimeDirectory", &["a", "b"]),
        ("RuntimeDirectory=a/./b//c/ %p-%i", "RuntimeDirectory", &["a/b/c", "web-1"]),
        ("RuntimeDirectory=/a ../b a/../b private private/x privat", "RuntimeDirectory", &["privat"]),
        ("StateDirectory=a\nStateDirectory=\nStateDirectory=b", "StateDirectory", &["b"]),
        ("ConfigurationDirectory=a:b c", "ConfigurationDirectory", &["c"]),
    ];
    for (lines, name, expected) in table {
        assert_eq!(property(lines, name), words(expected), "{name} of {lines:?}");
    }
}

#[test]
fn links_are_properties_of_their_own() {
    let links = |pairs: &[(&str, &str)]| {
        let owned = |(path, link): &(&str, &str)| ((*path).to_owned(), (*link).to_owned(), 0);
        Some(Property::Links(pairs.iter().map(owned).collect()))
    };
    let lines = "RuntimeDirectory=b a:x/y a:z\nStateDirectory=a\nLogsDirectory=a:private/x";
    assert_eq!(property(lines, "RuntimeDirectorySymlink"), links(&[("a", "x/y"), ("a", "z")]));
    assert_eq!(property(lines, "StateDirectorySymlink"), links(&[]));
    assert_eq!(property(lines, "LogsDirectorySymlink"), links(&[]));
}

#[test]
fn a_user_who_is_made_up_is_called_after_the_unit() {
    assert_eq!(property("DynamicUser=yes", "User"), text("web"));
    assert_eq!(property("DynamicUser=yes", "Group"), text("web"));
    assert_eq!(property("DynamicUser=yes\nUser=me", "Group"), text("me"));
    assert_eq!(property("DynamicUser=no", "User"), text(""));
    for implied in ["NoNewPrivileges", "RestrictSUIDSGID"] {
        assert_eq!(property("DynamicUser=yes", implied), Some(Property::Bool(true)), "{implied}");
    }
    let implied = [
        ("", "PrivateTmp", Property::Bool(true)),
        ("PrivateTmp=no", "PrivateTmp", Property::Bool(true)),
        ("ProtectSystem=no", "ProtectSystem", Property::Str("strict".to_owned())),
        ("", "ProtectHome", Property::Str("read-only".to_owned())),
        ("ProtectHome=no", "ProtectHome", Property::Str("read-only".to_owned())),
        ("ProtectHome=yes", "ProtectHome", Property::Str("yes".to_owned())),
        ("ProtectHome=tmpfs", "ProtectHome", Property::Str("tmpfs".to_owned())),
    ];
    for (line, name, value) in implied {
        assert_eq!(property(&format!("DynamicUser=yes\n{line}"), name), Some(value), "{line} {name}");
    }
    let (unit, _) = load("a.b.service", "[Service]\nExecStart=/bin/true\nDynamicUser=yes\n");
    let Some(Property::Str(user)) = unit.property("User") else { panic!("no user") };
    assert!(user.starts_with("_du") && user.len() == 19, "{user}");
    for bad in ["DynamicUser=maybe", "SupplementaryGroups=a:b"] {
        let (unit, _) = load("a.service", &format!("[Service]\nExecStart=/bin/true\n{bad}\n"));
        assert_eq!(unit.load_state.as_str(), "bad-setting", "{bad}");
    }
}

#[test]
fn how_long_directories_stay_is_a_word_or_a_boolean() {
    let preserve =
        |value: &str| property(&format!("RuntimeDirectoryPreserve={value}"), "RuntimeDirectoryPreserve");
    for (value, shown) in [("no", "no"), ("1", "yes"), ("off", "no"), ("restart", "restart"), ("x", "no")] {
        assert_eq!(preserve(value), text(shown), "{value}");
    }
}
