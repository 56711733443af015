//! What the library does beyond single files: templates, aliases, defaults, both syntaxes, and what it says of mistakes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use sockmgr_unit::value::{LimitAction, Span};
use sockmgr_unit::{
    DependencyKind, Fragment, Host, Library, LoadState, Property, Settings, Source, Syntax, Unit, UnitKind,
    UnitName,
};

fn name(text: &str) -> UnitName {
    text.parse().unwrap()
}

fn source(path: &str, text: &str) -> Source {
    let syntax = if path.ends_with(".toml") { Syntax::Toml } else { Syntax::Systemd };
    Source { path: Path::new(path).into(), text: text.as_bytes().into(), syntax }
}

fn add(library: &mut Library, file: &str, text: &str) {
    let unit = name(file.strip_suffix(".toml").unwrap_or(file));
    library.add_fragment(unit, Fragment::Source(source(file, text)));
}

/// A library of `(file, text)`.
fn library(files: &[(&str, &str)]) -> Library {
    let mut library = Library::new(Host::default());
    files.iter().for_each(|(file, text)| add(&mut library, file, text));
    library
}

fn load(library: &mut Library, unit: &str) -> Arc<Unit> {
    library.unit(&name(unit))
}

fn said(library: &mut Library) -> Vec<String> {
    library.take_diagnostics().iter().map(ToString::to_string).collect()
}

fn strings(property: Option<Property>) -> Vec<String> {
    match property {
        Some(Property::Strs(values)) => values,
        other => panic!("not a list: {other:?}"),
    }
}

const SERVICE: &str = "[Service]\nExecStart=/bin/x\n";

#[test]
fn toml_means_the_same_as_systemd_s_syntax() {
    let pairs = [
        (
            "web.socket",
            "[Unit]\nDescription=Web\nAfter=a.target b.target\n[Socket]\nListenStream=8080\nListenStream=@web\nListenDatagram=53\n\
             Backlog=16\nNoDelay=yes\nSocketMode=0600\nInstances=4\nFileDescriptorName=x\nTriggerLimitIntervalSec=1.5\n[Install]\n\
             WantedBy=sockets.target\n",
            "[Unit]\nDescription = \"Web\"\nAfter = [\"a.target\", \"b.target\"]\n[Socket]\nListenStream = [8080, \"@web\"]\n\
             ListenDatagram = 53\nBacklog = 16\nNoDelay = true\nSocketMode = 0o600\nWorkers = 4\nFileDescriptorName = \"x\"\n\
             TriggerLimitIntervalSec = \"1.5\"\n[Install]\nWantedBy = \"sockets.target\"\n",
        ),
        (
            "web.service",
            "[Service]\nType=notify\nExecStart=/bin/x -a \"b c\"\nExecStop=/bin/y\nExecStop=/bin/z\nEnvironment=A=1 B=2\n\
             Restart=always\nTimeoutStopSec=1min 30s\nLimitNOFILE=1024:4096\nKillSignal=SIGINT\n",
            "[Service]\nType = \"notify\"\nExecStart = '/bin/x -a \"b c\"'\nExecStop = [\"/bin/y\", \"/bin/z\"]\n\
             Environment = [\"A=1\", \"B=2\"]\nRestart = \"always\"\nTimeoutStopSec = \"1min 30s\"\nLimitNOFILE = \"1024:4096\"\n\
             KillSignal = 2\n",
        ),
    ];
    for (unit, systemd, toml) in pairs {
        let properties = |library: &mut Library| -> Vec<_> {
            let loaded = load(library, unit);
            assert_eq!((loaded.load_state, said(library)), (LoadState::Loaded, vec![]));
            loaded.properties().filter(|(name, _, _)| *name != "FragmentPath").collect()
        };
        let by_systemd = properties(&mut library(&[(unit, systemd)]));
        let by_toml = properties(&mut library(&[(&format!("{unit}.toml"), toml)]));
        assert_eq!(by_systemd, by_toml, "{unit}");
    }
}

#[test]
fn toml_mistakes_have_a_place_and_the_form_that_is_right() {
    let text =
        "[Socket]\nListenStream = [80, { port = 81 }]\nNoDelay = 2\nTimeoutSec = 5\nReceiveBuffer = 0x10\n";
    let mut library = library(&[("a.socket.toml", text)]);
    assert_eq!(load(&mut library, "a.socket").load_state, LoadState::Loaded);
    let lines = said(&mut library);
    assert!(lines[0].starts_with("a.socket.toml:2:21: warning: ListenStream cannot be a table"), "{lines:?}");
    assert!(lines[0].contains("\n    help: ListenStream= takes "), "{lines:?}");
    assert!(lines[1].starts_with("a.socket.toml:3:1: warning: NoDelay=: "), "{lines:?}");
    assert!(lines[2].contains(":4:1: warning: TimeoutSec=: a time span is a text"), "{lines:?}");
    assert!(lines[3].contains(":5:1: warning: ReceiveBuffer=: a size is a text"), "{lines:?}");
    assert_eq!(lines.len(), 4);
}

#[test]
fn instances_share_what_does_not_depend_on_their_name() {
    let mut library = library(&[("a@.service", SERVICE), ("b@.service", "[Service]\nExecStart=/bin/x %i\n")]);
    let service = |unit: &Unit| match &unit.kind {
        UnitKind::Service(service) => Arc::as_ptr(service),
        other => panic!("not a service: {other:?}"),
    };
    let [a1, a2] = ["a@1.service", "a@2.service"].map(|unit| load(&mut library, unit));
    assert_eq!(
        (a1.name.as_str(), a2.name.as_str(), service(&a1)),
        ("a@1.service", "a@2.service", service(&a2))
    );
    assert_eq!(a2.description(), "a@2.service");
    let argv = |unit: &Unit| unit.service().unwrap().service.exec_start[0].argv.join(" ");
    let [b1, b2] = ["b@1.service", "b@2.service"].map(|unit| load(&mut library, unit));
    assert_eq!([argv(&b1), argv(&b2)], ["/bin/x 1", "/bin/x 2"]);
}

#[test]
fn an_instance_with_files_of_its_own_differs_from_its_siblings() {
    let mut library = library(&[("a@.service", SERVICE)]);
    library.add_drop_in("a@2.service", source("a@2.service.d/x.conf", "[Unit]\nDescription=two"), 0);
    library.add_dependency_link(name("a@3.service"), DependencyKind::Wants, name("b.service"));
    library.add_dependency_link(name("a@.service"), DependencyKind::Requires, name("c.service"));
    let [one, two, three, four] =
        [1, 2, 3, 4].map(|number| load(&mut library, &format!("a@{number}.service")));
    assert_eq!(
        [one.description(), two.description(), four.description()],
        ["a@1.service", "two", "a@4.service"]
    );
    assert_eq!((one.unit.wants.len(), three.unit.wants.as_slice()), (0, &[name("b.service")][..]));
    assert!([one, two, three, four].iter().all(|unit| unit.unit.requires == [name("c.service")]));
}

#[test]
fn a_link_to_a_template_means_the_instance_of_the_same_name() {
    let mut library = library(&[("a@.service", SERVICE)]);
    library.add_dependency_link(name("a@.service"), DependencyKind::Wants, name("b@.service"));
    let wants = |unit: &Arc<Unit>| unit.unit.wants.clone();
    let [x, y] = ["a@x.service", "a@y.service"].map(|unit| load(&mut library, unit));
    assert_eq!((wants(&x), wants(&y)), (vec![name("b@x.service")], vec![name("b@y.service")]));
}

#[test]
fn diagnostics_of_a_template_are_given_once() {
    let mut library = library(&[("a@.service", "[Service]\nExecStart=/bin/x %i\nNo=1\n")]);
    load(&mut library, "a@1.service");
    assert_eq!(said(&mut library), ["a@.service:3: warning: unknown directive No= in [Service]"]);
    load(&mut library, "a@2.service");
    assert_eq!(said(&mut library), [""; 0]);
}

#[test]
fn aliases_lead_to_the_unit_that_knows_them() {
    let mut library = library(&[("web.service", SERVICE), ("t@.service", SERVICE), ("other.socket", "")]);
    let links = [
        ("www.service", "web.service"),
        ("http.service", "www.service"),
        ("u@.service", "t@.service"),
        ("loop1.service", "loop2.service"),
        ("loop2.service", "loop1.service"),
        ("bad.service", "other.socket"),
        ("plain.service", "t@.service"),
    ];
    for (link, target) in links {
        library.add_fragment(name(link), Fragment::Alias(name(target)));
    }
    for alias in ["web.service", "www.service", "http.service"] {
        let unit = load(&mut library, alias);
        assert_eq!(unit.name.as_str(), "web.service");
        assert_eq!(strings(unit.property("Names")), ["web.service", "www.service", "http.service"]);
    }
    let instance = load(&mut library, "u@1.service");
    assert_eq!(strings(instance.property("Names")), ["t@1.service", "u@1.service"]);
    for nothing in ["loop1.service", "bad.service", "plain.service", "no.service"] {
        assert_eq!(load(&mut library, nothing).load_state, LoadState::NotFound, "{nothing}");
    }
}

#[test]
fn what_was_not_found_may_be_added_later() {
    let mut library = library(&[]);
    assert_eq!(load(&mut library, "a@1.service").load_state, LoadState::NotFound);
    add(&mut library, "a@.service", SERVICE);
    assert_eq!(load(&mut library, "a@1.service").load_state, LoadState::Loaded);
}

#[test]
fn units_that_cannot_be_used_say_why() {
    let mut library = library(&[
        ("empty.service", ""),
        ("fatal.service", "[Unit]\nDescription=d\n[Service]\nUser=a:b\nType=exec\n"),
    ]);
    library.add_fragment(
        name("gone.service"),
        Fragment::Unreadable(Path::new("/u/gone.service").into(), "is a FIFO".into()),
    );
    assert_eq!(load(&mut library, "empty.service").load_state, LoadState::Masked);
    let fatal = load(&mut library, "fatal.service");
    assert_eq!((fatal.load_state, fatal.description()), (LoadState::BadSetting, "d"));
    assert_eq!(fatal.load_error.as_deref(), Some("User=: \"a:b\" cannot be the name of a user or group"));
    let gone = load(&mut library, "gone.service");
    assert_eq!((gone.load_state, gone.load_error.as_deref()), (LoadState::Error, Some("is a FIFO")));
    let expected = [
        "fatal.service:4: error: User=: \"a:b\" cannot be the name of a user or group\n    help: User= takes a name or number of a user or group",
        "/u/gone.service: error: is a FIFO",
    ];
    assert_eq!(said(&mut library), expected);
}

#[test]
fn built_in_targets_need_no_file_and_take_drop_ins_and_links() {
    let mut library = library(&[]);
    library.add_drop_in("sockets.target", source("x.conf", "[Unit]\nDescription=all"), 0);
    library.add_dependency_link(name("sockets.target"), DependencyKind::Wants, name("a.socket"));
    let target = load(&mut library, "sockets.target");
    assert_eq!(
        (target.load_state, target.description(), &target.fragment_path),
        (LoadState::Loaded, "all", &None)
    );
    assert_eq!(target.unit.wants, [name("a.socket")]);
    assert_eq!(load(&mut library, "other.target").load_state, LoadState::NotFound);
}

#[test]
fn a_bad_line_in_a_drop_in_ends_only_the_drop_in() {
    let mut library = library(&[("a.service", SERVICE)]);
    let text = "[Service]\nType=exec\nUser=:\nRestart=always\n";
    library.add_drop_in("a.service", source("a.service.d/x.conf", text), 0);
    let unit = load(&mut library, "a.service");
    let shown = |property| unit.property(property).unwrap();
    assert_eq!(unit.load_state, LoadState::Loaded);
    assert_eq!((shown("Type"), shown("Restart")), (Property::Str("exec".into()), Property::Str("no".into())));
    assert_eq!(said(&mut library).len(), 1);
}

#[test]
fn settings_are_the_defaults_of_what_units_do_not_say() {
    let settings = Settings {
        default_timeout_start_sec: Span::from_secs(7),
        default_timeout_stop_sec: Span::ZERO,
        default_start_limit_burst: 9,
        default_limit_action: LimitAction::Fail,
        ..Settings::default()
    };
    let mut library = Library::with_settings(Host::default(), Arc::new(settings));
    add(&mut library, "a.service", SERVICE);
    add(&mut library, "o.service", "[Service]\nType=oneshot\nExecStart=/bin/x\nTimeoutStopSec=1\n");
    add(&mut library, "z.service", "[Service]\nExecStart=/bin/x\nTimeoutSec=0\n");
    add(&mut library, "a.socket", "[Socket]\nListenStream=1\n");
    let timeouts = |unit: Arc<Unit>| {
        let service = &unit.service().unwrap().service;
        (service.timeout_start_sec.unwrap(), service.timeout_stop_sec.unwrap())
    };
    assert_eq!(timeouts(load(&mut library, "a.service")), (Span::from_secs(7), Span::INFINITY));
    assert_eq!(timeouts(load(&mut library, "o.service")), (Span::INFINITY, Span::from_secs(1)));
    assert_eq!(timeouts(load(&mut library, "z.service")), (Span::INFINITY, Span::INFINITY));
    let socket = load(&mut library, "a.socket");
    assert_eq!(
        (socket.unit.start_limit_burst, socket.socket().unwrap().limit_action),
        (9, Some(LimitAction::Fail))
    );
}

/// `(lines of [Socket], load error)`
const SOCKET_CHECKS: &[(&str, Option<&str>)] = &[
    ("ListenStream=1", None),
    ("", Some("the socket listens nowhere")),
    ("ListenStream=1\nListenDatagram=", Some("the socket listens nowhere")),
    ("ListenStream=1\nAccept=yes", None),
    ("ListenSequentialPacket=/x\nAccept=yes", None),
    ("ListenStream=1\nListenDatagram=1\nAccept=yes", Some("Accept=yes is for connections only")),
    ("ListenStream=1\nAccept=yes\nMaxConnections=0", Some("MaxConnections=0 would close every connection")),
    ("ListenStream=1\nMaxConnections=0", None),
    ("ListenStream=1\nAccept=yes\nService=b.service", Some("Accept=yes starts the template")),
    ("ListenStream=1\nAccept=yes\nWorkers=2", Some("Accept=yes and Instances= exclude each other")),
    ("ListenStream=1\nInstances=2\nService=b.service", Some("Instances= needs a template")),
    ("ListenStream=1\nInstances=2\nService=b@.service", None),
    ("ListenStream=/a/../b", Some("the path /a/../b must not go through")),
];

/// `(lines of [Service], load error)`
const SERVICE_CHECKS: &[(&str, Option<&str>)] = &[
    ("ExecStart=/x", None),
    ("", Some("the service runs nothing")),
    ("ExecStop=/x", Some("without ExecStart= the service needs RemainAfterExit=yes")),
    ("ExecStop=/x\nRemainAfterExit=yes", None),
    ("Type=exec\nExecStop=/x\nRemainAfterExit=yes", Some("only Type=oneshot may go without ExecStart=")),
    ("ExecStart=/x\nExecStart=/y", Some("only Type=oneshot may have more than one ExecStart=")),
    ("ExecStart=/x\nExecStart=\nExecStart=/y", None),
    ("Type=oneshot\nExecStart=/x\nExecStart=/y", None),
    ("Type=oneshot\nExecStart=/x\nRestart=always", Some("Type=oneshot cannot have Restart=always")),
    ("Type=oneshot\nExecStart=/x\nRestart=on-failure", None),
];

#[test]
fn contradictions_within_a_unit_are_refused() {
    for (unit, section, checks) in
        [("a.socket", "Socket", SOCKET_CHECKS), ("a.service", "Service", SERVICE_CHECKS)]
    {
        for (lines, expected) in checks {
            let mut library = library(&[(unit, &format!("[{section}]\n{lines}\n"))]);
            let error = load(&mut library, unit).load_error.clone();
            let fits = match (&error, expected) {
                (Some(error), Some(expected)) => error.starts_with(expected),
                (error, expected) => error.is_none() && expected.is_none(),
            };
            assert!(fits, "{lines:?}: {error:?}");
        }
    }
}

#[test]
fn a_socket_triggers_the_service_that_fits() {
    let cases = [
        ("web.socket", "", "web.service"),
        ("web.socket", "Accept=yes", "web@.service"),
        ("web@a.socket", "", "web@a.service"),
        ("web@a.socket", "Accept=yes", "web@.service"),
        ("web.socket", "Instances=2", "web@.service"),
        ("web.socket", "Instances=auto\nService=x@.service", "x@.service"),
        ("web@a.socket", "Service=%p-x.service", "web-x.service"),
    ];
    for (unit, line, service) in cases {
        let mut library = library(&[(unit, &format!("[Socket]\nListenStream=1\n{line}\n"))]);
        assert_eq!(strings(load(&mut library, unit).property("Triggers")), [service], "{unit} {line}");
    }
}

#[test]
fn descriptor_names_go_with_their_lines_where_there_is_one_for_each() {
    let cases: [(&str, [&str; 2]); 6] = [
        ("", ["a.socket", "a.socket"]),
        ("Accept=yes", ["connection", "connection"]),
        ("FileDescriptorName=x", ["x", "x"]),
        ("FileDescriptorName=x\nFileDescriptorName=y", ["x", "y"]),
        ("FileDescriptorName=x\nFileDescriptorName=\nFileDescriptorName=z", ["z", "z"]),
        ("FileDescriptorName=x\nFileDescriptorName=y\nFileDescriptorName=z", ["z", "z"]),
    ];
    for (lines, names) in cases {
        let mut library =
            library(&[("a.socket", &format!("[Socket]\nListenStream=1\nListenStream=2\n{lines}\n"))]);
        let unit = load(&mut library, "a.socket");
        let found = [0, 1].map(|line| unit.socket().unwrap().fd_name(line, &unit.name).to_owned());
        assert_eq!(found, names, "{lines:?}");
    }
}

#[test]
fn mistakes_are_named_with_what_would_be_right() {
    let text = "[Unit]\nAfter=ok.target bad name.target\n[Socket]\nListenStream=80\nListenStreem=81\nNoDelay=maybe\nExecStart=/x\n\
                SELinuxContextFromNet=yes\nBacklog\n[Sokcet]\nX=1\n";
    let mut library = library(&[("a.socket", text)]);
    let unit = load(&mut library, "a.socket");
    assert_eq!(unit.load_state, LoadState::Loaded);
    assert_eq!(unit.unit.after, [name("ok.target"), name("name.target")]);
    let lines: Vec<String> =
        said(&mut library).iter().map(|said| said.replace("\n    help: ", " | ")).collect();
    let expected = [
        (
            "a.socket:2: warning: After=: ",
            " | After= takes names of units, such as web.service, with blanks between",
        ),
        (
            "a.socket:5: warning: unknown directive ListenStreem= in [Socket]",
            " | did you mean ListenStream=?",
        ),
        ("a.socket:6: warning: NoDelay=: ", " | NoDelay= takes a boolean: yes or no"),
        (
            "a.socket:7: warning: unknown directive ExecStart= in [Socket]",
            " | ExecStart= belongs in [Service]",
        ),
        (
            "a.socket:8: warning: SELinuxContextFromNet= is a directive of systemd's that sockmgr does not support",
            "",
        ),
        (
            "a.socket:9: warning: the line has no '='",
            " | a line is a [Section] header, Key=value, or a # comment",
        ),
        (
            "a.socket:10: warning: unknown section [Sokcet]; it is skipped",
            " | a .socket has the sections [Unit], [Socket] and [Install]",
        ),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (start, end)) in lines.iter().zip(expected) {
        assert!(line.starts_with(start) && line.ends_with(end), "{line}");
    }
}

#[test]
fn a_socket_has_the_surroundings_of_the_processes_that_it_runs() {
    let text = "[Socket]\nListenStream=1\nUser=www-data\nEnvironment=A=1\nKillMode=mixed\n";
    let mut library = library(&[("a.socket", text)]);
    let unit = load(&mut library, "a.socket");
    assert_eq!(unit.property("User"), Some(Property::Str("www-data".to_owned())));
    assert_eq!(unit.property("KillMode"), Some(Property::Str("mixed".to_owned())));
    assert_eq!(unit.socket_unit().unwrap().exec.environment, [("A".to_owned(), "1".to_owned())]);
    assert_eq!(said(&mut library), [""; 0]);
}
