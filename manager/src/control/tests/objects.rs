//! Objects: their properties, of the types that clients insist on, and their introspection.

use std::collections::BTreeMap;

use zbus::{OwnedObjectPath, OwnedVariant};

use super::world::{Client, FIRST_PID, MANAGER, PROPERTIES, unit_path};

const UNIT: &str = "org.freedesktop.systemd1.Unit";
const ALL_UNITS: [&str; 9] = [
    "web.socket",
    "web.service",
    "web@1.service",
    "echo.socket",
    "echo.service",
    "bad.service",
    "masked.service",
    "all.target",
    "absent.timer",
];

fn all(client: &mut Client, path: &str, interface: &str) -> BTreeMap<String, OwnedVariant> {
    client.call((path, PROPERTIES), "GetAll", interface).unwrap()
}

fn signature(value: &OwnedVariant) -> String {
    value.value_signature().to_string()
}

#[test]
fn properties_have_the_types_that_systemctl_insists_on() {
    let common = [
        ("Id", "s"),
        ("Names", "as"),
        ("Description", "s"),
        ("Documentation", "as"),
        ("LoadState", "s"),
        ("LoadError", "(ss)"),
        ("ActiveState", "s"),
        ("SubState", "s"),
        ("FragmentPath", "s"),
        ("DropInPaths", "as"),
        ("Triggers", "as"),
        ("TriggeredBy", "as"),
        ("Requires", "as"),
        ("Wants", "as"),
        ("WantedBy", "as"),
        ("RequiredBy", "as"),
        ("Before", "as"),
        ("After", "as"),
        ("Job", "(uo)"),
        ("StateChangeTimestamp", "t"),
        ("InactiveExitTimestamp", "t"),
        ("ActiveEnterTimestamp", "t"),
        ("ActiveExitTimestamp", "t"),
        ("InactiveEnterTimestamp", "t"),
        ("ActiveEnterTimestampMonotonic", "t"),
        ("CanStart", "b"),
        ("CanStop", "b"),
        ("CanReload", "b"),
        ("CanIsolate", "b"),
    ];
    let socket = [
        ("Listen", "a(ss)"),
        ("Accept", "b"),
        ("NAccepted", "u"),
        ("NConnections", "u"),
        ("NRefused", "u"),
        ("Result", "s"),
        ("Backlog", "u"),
        ("SocketMode", "u"),
        ("DirectoryMode", "u"),
        ("BindIPv6Only", "s"),
        ("FileDescriptorName", "s"),
        ("TriggerLimitIntervalUSec", "t"),
        ("TriggerLimitBurst", "u"),
    ];
    let service = [
        ("Type", "s"),
        ("Restart", "s"),
        ("Result", "s"),
        ("MainPID", "u"),
        ("ExecMainPID", "u"),
        ("ControlPID", "u"),
        ("ExecMainCode", "i"),
        ("ExecMainStatus", "i"),
        ("ExecMainStartTimestamp", "t"),
        ("ExecMainExitTimestamp", "t"),
        ("StatusText", "s"),
        ("StatusErrno", "i"),
        ("ReloadResult", "s"),
        ("NRestarts", "u"),
        ("ExecStart", "a(sasbttttuii)"),
        ("KillSignal", "i"),
    ];
    let mut client = Client::new();
    let units = [
        ("echo.socket", &socket[..]),
        ("echo.service", &service[..]),
        ("web.service", &service[..]),
        ("all.target", &[]),
    ];
    for (unit, own) in units {
        let values = all(&mut client, &unit_path(unit), "");
        for (property, expected) in common.iter().chain(own) {
            let found = values.get(*property).map(signature);
            assert_eq!(found.as_deref(), Some(*expected), "{property} of {unit}");
        }
    }
}

#[test]
fn the_manager_has_its_properties() {
    let mut client = Client::new();
    let values = all(&mut client, MANAGER.0, "");
    let types = [
        ("Version", "s"),
        ("SystemState", "s"),
        ("NNames", "u"),
        ("NFailedUnits", "u"),
        ("NJobs", "u"),
        ("UnitPath", "as"),
    ];
    for (property, expected) in types {
        assert_eq!(signature(&values[property]), expected, "{property}");
    }
    assert_eq!(String::try_from(values["SystemState"].clone()).unwrap(), "running");
    client.start("echo.service");
    client.manager::<()>("KillUnit", ("echo.service", "main", 9)).unwrap();
    let values = all(&mut client, MANAGER.0, MANAGER.1);
    assert_eq!(String::try_from(values["SystemState"].clone()).unwrap(), "degraded");
    assert_eq!(u32::try_from(&values["NFailedUnits"]).unwrap(), 1);
}

#[test]
fn a_value_is_the_same_however_it_is_asked_for_and_as_introspection_says() {
    let mut client = Client::new();
    client.start("web.socket");
    client.start("echo.service");
    let mut paths: Vec<String> = ALL_UNITS.map(unit_path).to_vec();
    paths.push(MANAGER.0.to_owned());
    for path in paths {
        let values = all(&mut client, &path, "");
        let xml: String =
            client.call((&path, "org.freedesktop.DBus.Introspectable"), "Introspect", ()).unwrap();
        assert_eq!(xml.matches("<property ").count(), values.len(), "{path}: each property once");
        for (property, value) in &values {
            let entry = format!("<property name=\"{property}\" type=\"{}\" ", signature(value));
            assert_eq!(xml.matches(&entry).count(), 1, "{entry} of {path}");
            let alone: OwnedVariant =
                client.call((&path, PROPERTIES), "Get", ("", property.as_str())).unwrap();
            assert_eq!(alone, *value, "{property} of {path}");
        }
    }
}

#[test]
fn properties_belong_to_their_interface_and_stay_as_they_are() {
    let mut client = Client::new();
    let object = unit_path("echo.socket");
    let get = |client: &mut Client, interface: &str, property: &str| {
        client
            .call::<OwnedVariant>((&object, PROPERTIES), "Get", (interface, property))
            .map_err(|error| error.0)
    };
    assert!(get(&mut client, UNIT, "ActiveState").is_ok());
    assert!(get(&mut client, "org.freedesktop.systemd1.Socket", "Accept").is_ok());
    assert_eq!(get(&mut client, UNIT, "Accept").unwrap_err(), "UnknownProperty");
    assert_eq!(
        get(&mut client, "org.freedesktop.systemd1.Service", "MainPID").unwrap_err(),
        "UnknownInterface"
    );
    let set = |client: &mut Client, property: &str| {
        let value = zbus::Variant::from("x");
        client.call::<()>((&object, PROPERTIES), "Set", (UNIT, property, value)).unwrap_err().0
    };
    assert_eq!(set(&mut client, "ActiveState"), "PropertyReadOnly");
    assert_eq!(set(&mut client, "Nothing"), "UnknownProperty");
}

#[test]
fn a_unit_that_nobody_knows_is_down_and_not_found() {
    let mut client = Client::new();
    for unit in ["absent.socket", "absent.service", "absent.target", "absent.timer"] {
        let states =
            ["LoadState", "ActiveState", "SubState", "Id"].map(|property| client.text(unit, property));
        assert_eq!(states, ["not-found", "inactive", "dead", unit]);
        let error = <(String, String)>::try_from(client.property(unit, UNIT, "LoadError").unwrap()).unwrap();
        assert_eq!(error.0, "org.freedesktop.systemd1.NoSuchUnit");
    }
}

#[test]
fn load_errors_are_told() {
    let mut client = Client::new();
    let error = |client: &mut Client, unit: &str| {
        <(String, String)>::try_from(client.property(unit, UNIT, "LoadError").unwrap()).unwrap()
    };
    assert_eq!(error(&mut client, "echo.socket"), (String::new(), String::new()));
    let (name, text) = error(&mut client, "bad.service");
    assert_eq!(name, "org.freedesktop.systemd1.BadUnitSetting");
    assert!(text.contains("ExecStart"), "{text}");
    assert_eq!(error(&mut client, "masked.service").0, "org.freedesktop.systemd1.UnitMasked");
}

#[test]
fn a_socket_and_its_service_name_each_other() {
    let mut client = Client::new();
    let texts = |value: OwnedVariant| Vec::<String>::try_from(value).unwrap();
    let listen = client.property("echo.socket", "org.freedesktop.systemd1.Socket", "Listen").unwrap();
    let expected =
        [("Stream", "/run/echo"), ("Datagram", "@echo")].map(|(kind, at)| (kind.to_owned(), at.to_owned()));
    assert_eq!(Vec::<(String, String)>::try_from(listen).unwrap(), expected);
    assert_eq!(texts(client.property("echo.socket", UNIT, "Triggers").unwrap()), ["echo.service"]);
    assert_eq!(texts(client.property("echo.service", UNIT, "TriggeredBy").unwrap()), ["echo.socket"]);
    assert_eq!(texts(client.property("web.socket", UNIT, "Triggers").unwrap()), ["web.service"]);
    assert_eq!(texts(client.property("echo.socket", UNIT, "WantedBy").unwrap()), ["all.target"]);
    assert_eq!(
        texts(client.property("ping.service", UNIT, "Names").unwrap()),
        ["echo.service", "ping.service"]
    );
}

#[test]
fn a_service_shows_its_process_while_it_runs_and_after() {
    type Line = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);
    let mut client = Client::new();
    client.start("echo.service");
    let number = |client: &mut Client, property: &str| {
        u32::try_from(client.property("echo.service", "", property).unwrap()).unwrap()
    };
    assert_eq!((number(&mut client, "MainPID"), number(&mut client, "ExecMainPID")), (FIRST_PID, FIRST_PID));
    client.manager::<()>("KillUnit", ("echo.service", "main", 9)).unwrap();
    assert_eq!((number(&mut client, "MainPID"), number(&mut client, "ExecMainPID")), (0, FIRST_PID));

    let lines: Vec<Line> = client.property("echo.service", "", "ExecStart").unwrap().try_into().unwrap();
    let (path, argv, ignore_failure, start, start_mono, exit, exit_mono, pid, code, status) = &lines[0];
    assert_eq!((path.as_str(), argv.len(), *ignore_failure), ("/bin/echo", 2, false));
    assert_eq!(start - start_mono, 1_700_000_000_000_000);
    assert_eq!(exit - exit_mono, 1_700_000_000_000_000);
    assert!(exit_mono > start_mono);
    assert_eq!((*pid, *code, *status), (FIRST_PID, 2, 9));

    let lines: Vec<Line> = client.property("web@1.service", "", "ExecStart").unwrap().try_into().unwrap();
    assert_eq!((lines[0].1.join(" ").as_str(), lines[0].2, lines[0].7), ("/bin/web -x 1", true, 0));
}

#[test]
fn a_group_is_a_service_with_slots() {
    type Slot = (u32, String, String, u32, bool);
    const GROUP: &str = "org.sockmgr.Group1";
    let mut client = Client::new();
    let slots = |client: &mut Client| -> Vec<Slot> {
        client.property("web.service", GROUP, "Slots").unwrap().try_into().unwrap()
    };
    assert_eq!(slots(&mut client)[1], (2, "web@2.service".to_owned(), "dead".to_owned(), 0, false));
    client.start("web.socket");
    client.start("web.service");
    let expected = [(1, "web@1.service", FIRST_PID), (2, "web@2.service", FIRST_PID + 1)]
        .map(|(number, unit, pid)| (number, unit.to_owned(), "running".to_owned(), pid, true));
    assert_eq!(slots(&mut client), expected);
    assert_eq!(u32::try_from(client.property("web.service", GROUP, "Instances").unwrap()).unwrap(), 2);
    assert_eq!(u32::try_from(client.property("web.service", "", "MainPID").unwrap()).unwrap(), 0);
    assert_eq!(client.text("web.service", "ActiveState"), "active");
    assert_eq!(client.property("echo.service", GROUP, "Slots").unwrap_err().0, "UnknownInterface");
}

#[test]
fn the_tree_leads_to_every_unit() {
    let mut client = Client::new();
    let mut introspect = |path: &str| -> String {
        client.call((path, "org.freedesktop.DBus.Introspectable"), "Introspect", ()).unwrap()
    };
    let mut path = String::new();
    for step in ["org", "freedesktop", "systemd1", "unit", "echo_2esocket"] {
        let xml = introspect(if path.is_empty() { "/" } else { &path });
        assert!(xml.contains(&format!("<node name=\"{step}\"/>")), "{path}: {xml}");
        path = format!("{path}/{step}");
    }
    assert!(introspect(&path).contains("<interface name=\"org.freedesktop.systemd1.Socket\">"));
    let jobs: Vec<(u32, String, String, String, OwnedObjectPath, OwnedObjectPath)> =
        client.manager("ListJobs", ()).unwrap();
    assert_eq!(jobs, []);
}
