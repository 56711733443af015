//! The methods about unit files: what they answer, what they do on disk, and what they tell.

use std::fs;

use super::world::Client;

type Rows = Vec<(String, String, String)>;

/// A client of a manager with these files on disk.
fn client(files: &[(&str, &str)]) -> Client {
    let client = Client::new();
    for (file, install) in files {
        let text = format!("[Service]\nExecStart=/bin/true\n[Install]\n{install}\n");
        fs::write(client.world.unit_files.path().join(file), text).unwrap();
    }
    client
}

/// The first and the last part of each row, from the directory on.
fn short(client: &Client, rows: &Rows) -> Vec<String> {
    let root = client.world.unit_files.path().display().to_string();
    let line = |(what, path, source): &(String, String, String)| format!("{what} {path} {source}");
    rows.iter().map(|row| line(row).replace(&root, "").trim_end().to_owned()).collect()
}

#[test]
fn what_is_enabled_and_disabled_is_told_and_done() {
    let mut client = client(&[("a.service", "WantedBy=x.target\nAlias=b.service"), ("c.service", "")]);
    let state = |client: &mut Client, unit: &str| client.manager::<String>("GetUnitFileState", (unit,));
    assert_eq!(state(&mut client, "a.service").unwrap(), "disabled");
    let (has_install, rows): (bool, Rows) =
        client.manager("EnableUnitFiles", (vec!["a.service"], false, false)).unwrap();
    let made = ["symlink /b.service /a.service", "symlink /x.target.wants/a.service /a.service"];
    assert_eq!((has_install, &short(&client, &rows)[..2]), (true, &made.map(str::to_owned)[..]));
    assert_eq!(short(&client, &rows)[2], "destination not present x.target /a.service");
    assert_eq!(state(&mut client, "a.service").unwrap(), "enabled");
    assert_eq!(state(&mut client, "b.service").unwrap(), "alias");
    let list: Vec<(String, String)> =
        client.manager("ListUnitFilesByPatterns", (vec!["enabled"], vec!["*.service"])).unwrap();
    assert_eq!(list.len(), 1);
    let links: Vec<String> = client.manager("GetUnitFileLinks", ("a.service", false)).unwrap();
    assert_eq!(links.len(), 2);
    let (has_install, rows): (bool, Rows) =
        client.manager("EnableUnitFilesWithFlags", (vec!["c.service"], 0u64)).unwrap();
    assert!(!has_install && rows.is_empty());
    let (rows,): (Rows,) = client.manager("DisableUnitFiles", (vec!["a.service"], false)).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(state(&mut client, "a.service").unwrap(), "disabled");
}

#[test]
fn refusals_have_systemds_names() {
    let mut client = client(&[
        ("a.service", "Alias=taken.service"),
        ("taken.service", ""),
        ("t@.service", "WantedBy=x.target"),
        ("wrong.service", "WantedBy=nonsense"),
    ]);
    let (rows,): (Rows,) = client.manager("MaskUnitFiles", (vec!["m.service"], false, false)).unwrap();
    assert_eq!(rows.len(), 1);
    for (unit, name, text) in [
        ("a.service", "UnitExists", "already exists"),
        ("m.service", "UnitMasked", "is masked"),
        ("none.service", "NoSuchUnit", "does not exist"),
        ("t@.service", "BadUnitSetting", "DefaultInstance="),
        ("wrong.service", "BadUnitSetting", "wrong.service:4: WantedBy="),
        ("not a name", "InvalidArgs", "not a valid unit name"),
    ] {
        let refused = client.manager::<(bool, Rows)>("EnableUnitFiles", (vec![unit], false, false));
        let (got, said) = refused.unwrap_err();
        assert_eq!(got, name, "{unit}");
        assert!(said.contains(text), "{said}");
    }
    let (name, text) = client.manager::<String>("GetUnitFileState", ("none.service",)).unwrap_err();
    assert_eq!((name.as_str(), text.as_str()), ("FileNotFound", "No such file or directory"));
    let runtime = client.manager::<(Rows,)>("MaskUnitFiles", (vec!["x.service"], true, false));
    assert_eq!(runtime.unwrap_err().0, "InvalidArgs");
    let flags = client.manager::<(Rows,)>("DisableUnitFilesWithFlags", (vec!["a.service"], 64u64));
    assert_eq!(flags.unwrap_err().0, "InvalidArgs");
    let kind = (vec!["a.service"], "x.target", "Follows", false, false);
    assert_eq!(client.manager::<(Rows,)>("AddDependencyUnitFiles", kind).unwrap_err().0, "InvalidArgs");
}

#[test]
fn only_what_changes_something_is_announced() {
    let mut client = client(&[("a.service", "WantedBy=x.target")]);
    let mut announces = |member: &str| {
        let message = super::world::message(
            super::world::MANAGER.0,
            super::world::MANAGER.1,
            member,
            &(vec!["a.service"], false, false),
        );
        client.send(&message).unit_files_changed
    };
    assert!(announces("EnableUnitFiles"));
    assert!(!announces("EnableUnitFiles"));
    assert!(announces("ReenableUnitFiles"));
}

#[test]
fn properties_tell_of_files() {
    let mut client = Client::new();
    assert_eq!(client.text("echo.socket", "UnitFileState"), "enabled");
    assert_eq!(client.text("echo.socket", "UnitFilePreset"), "disabled");
    assert_eq!(client.text("absent.socket", "UnitFileState"), "");
    client.manager::<()>("SetEnvironment", (vec!["A=1"],)).unwrap();
    client.manager::<()>("UnsetAndSetEnvironment", (vec!["A=1"], vec!["B=2"])).unwrap();
    assert_eq!(client.world.environment, ["B=2"]);
}
