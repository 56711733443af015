//! The unit files of the simulated machine, in three versions that a reload may find.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sockmgr_engine::Engine;
use sockmgr_unit::{Library, Settings};

use crate::support::{library, name};

/// Units whose sockets no command and no limit ever closes: every connection to them must be served.
pub(crate) const KEPT: [&str; 4] = ["web.socket", "shared.socket", "http.socket", "always.socket"];

/// Sockets that are held and released.
pub(crate) const HELD: [&str; 4] = ["web.socket", "shared.socket", "http.socket", "echo.socket"];

/// What commands are given to. Sockets are among them only where their connections may be lost.
const COMMANDED: [&str; 27] = [
    "web.service",
    "web@1.service",
    "web@2.service",
    "web@3.service",
    "shared.service",
    "shared@1.service",
    "http.service",
    "always.service",
    "db.service",
    "once.service",
    "inetd.service",
    "inetd.socket",
    "moved.socket",
    "moved.service",
    "echo.socket",
    "mail.socket",
    "all.target",
    "loop1.service",
    "loop2.service",
    "missing.service",
    "daemon.service",
    "idle.service",
    "watched.service",
    "bus.service",
    "reloading.service",
    "day.service",
    "night.service",
];

/// The service that has a watchdog.
pub(crate) const WATCHED: &str = "watched.service";

/// The name that `bus.service` takes.
pub(crate) const BUS_NAME: &str = "org.example.Bus";

/// Which units there are, and how long they are played with.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// None: all.
    units: Option<&'static [&'static str]>,
    /// Random steps.
    pub(crate) steps: usize,
}

pub(crate) const EVERYTHING: Scene = Scene { name: "everything", units: None, steps: 400 };

/// Few units each, that have to do with one another.
pub(crate) const SCENES: [Scene; 14] = [
    small("group", &["web.socket", "web@.service"]),
    small("two groups", &["web.socket", "web@.service", "shared.socket", "shared@.service"]),
    small("shared group", &["shared.socket", "shared@.service"]),
    small("single", &["http.socket", "http.service"]),
    small("always", &["always.socket", "always.service", "db.service"]),
    small("requirements", &["always.socket", "always.service", "db.service", "once.service"]),
    small("daemon", &["daemon.service", "idle.service"]),
    small("cycle", &["loop1.service", "loop2.service"]),
    small("moved", &["moved.socket", "moved.service"]),
    small("inetd", &["inetd.socket", "inetd.service"]),
    small("connections", &["echo.socket", "echo@.service"]),
    small("limits", &["mail.socket", "mail@.service"]),
    small("types", &["watched.service", "bus.service", "reloading.service"]),
    small("conflict", &["day.service", "night.service", "idle.service"]),
];

const fn small(name: &'static str, units: &'static [&'static str]) -> Scene {
    Scene { name, units: Some(units), steps: 20 }
}

thread_local! {
    /// By scene and version.
    static LIBRARIES: RefCell<BTreeMap<(&'static str, usize), Library>> = RefCell::default();
}

impl Scene {
    /// The unit files of one version.
    pub(crate) fn text(&self, version: usize) -> String {
        let all = text(version);
        let files = all.split("-- ").skip(1).filter(|file| self.has(file.lines().next().unwrap_or_default()));
        let files: String = files.map(|file| format!("-- {file}")).collect();
        let wanted: Vec<&str> = WANTED.iter().copied().filter(|unit| self.has(unit)).collect();
        let wanted = wanted.join(" ");
        format!("{files}-- all.target\n[Unit]\nWants={wanted}\nAfter={wanted}\n")
    }

    fn has(&self, unit: &str) -> bool {
        self.units.is_none_or(|units| units.contains(&unit))
    }

    pub(crate) fn library(&self, version: usize) -> Library {
        LIBRARIES.with_borrow_mut(|libraries| {
            libraries.entry((self.name, version)).or_insert_with(|| self.read(version)).clone()
        })
    }

    /// All units are loaded already: reading their files takes longer than playing with them.
    fn read(&self, version: usize) -> Library {
        let settings = Settings::default;
        let read = || library(&self.text(version), &settings());
        let engine = Engine::new(read(), settings(), 2);
        let mut library = read();
        for unit in engine.unit_names().cloned().chain(self.commanded().into_iter().map(name)) {
            library.unit(&unit);
        }
        library
    }

    /// What commands are given to.
    pub(crate) fn commanded(&self) -> Vec<&'static str> {
        let has = |unit: &&str| {
            let (group, instance) =
                (unit.replace(".service", "@.service"), unit.replace(['1', '2', '3'], ""));
            *unit == "all.target" || self.has(unit) || self.has(&group) || self.has(&instance)
        };
        COMMANDED.iter().copied().filter(has).collect()
    }
}

/// What the machine starts with.
const WANTED: [&str; 12] = [
    "web.socket",
    "shared.socket",
    "http.socket",
    "always.socket",
    "inetd.socket",
    "moved.socket",
    "echo.socket",
    "mail.socket",
    "daemon.service",
    "watched.service",
    "bus.service",
    "reloading.service",
];

/// All files; `web_instances` and so on are what the versions differ in.
fn text(version: usize) -> String {
    // In the same pool, so that a reload changes the group while its listeners stay.
    let (instances, restart, connections) =
        [(3, "no", 3), (2, "on-failure", 1), (4, "always", 5)][version % 3];
    let extra = if version % 3 == 1 { "" } else { ONCE };
    // What the manager chooses itself is rolling for `web`, and overlap for `http`.
    let mode = ["", "RestartMode=overlap\n", "RestartMode=stop-first\n"][version % 3];
    let check = ["", "ReadyCheck=exec:/bin/check\n", "ReadyCheck=tcp\n"][version % 3];
    let moved = [
        "ListenStream=127.0.0.1:70\nListenStream=127.0.0.1:71",
        "ListenStream=127.0.0.1:71",
        "ListenStream=127.0.0.1:72\nListenStream=127.0.0.1:71",
    ][version % 3];
    let idle = |own: usize| if version % 3 == own { "IdleStopSec=300ms\n" } else { "" };
    let (web_idle, shared_idle, http_idle) = (idle(2), idle(1), idle(0));
    let queue = [
        "",
        "AcceptTimeoutSec=60ms\nScaleOn=queue\nScaleUpQueue=1\nScaleUpSec=50ms\nScaleDownSec=100ms\n",
        "AcceptTimeoutSec=60ms\nOnHang=restart\n",
    ][version % 3];
    let daemon = ["PIDFile=/run/daemon\n", "", "KillMode=mixed\n"][version % 3];
    let stop = if version % 3 == 2 { "ExecStop=/bin/stop\n" } else { "" };
    format!(
        "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
ListenStream=/run/web
Instances={instances}
MaxInstances=5
{web_idle}{queue}-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
ExecReload=/bin/reload
{mode}{stop}TimeoutStartSec=2s
TimeoutStopSec=1s
-- shared.socket
[Socket]
ListenStream=/run/shared
Instances=2
{shared_idle}-- shared@.service
[Service]
ExecStart=/bin/shared
Restart=on-failure
TimeoutStopSec=1s
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
ListenStream=127.0.0.1:8081
{http_idle}-- http.service
[Service]
Type=notify
ExecCondition=/bin/condition
ExecStartPre=/bin/pre
ExecStart=/bin/http
ExecStartPost=/bin/post
ExecStopPost=/bin/post
FileDescriptorStoreMax=3
ExecReload=/bin/reload
Restart={restart}
{stop}TimeoutStartSec=2s
TimeoutStopSec=1s
-- always.socket
[Socket]
ListenStream=127.0.0.1:90
TriggerLimitBurst=3
-- always.service
[Unit]
Requires=db.service
After=db.service
[Service]
ExecStart=/bin/always
ExecStop=/bin/stop
Restart=always
{mode}{check}RestartSec=200ms
KillMode=mixed
TimeoutStartSec=2s
TimeoutStopSec=1s
-- db.service
[Unit]
Wants=once.service
After=once.service
[Service]
Type=notify
ExecStart=/bin/db
ExecReload=/bin/reload
TimeoutStartSec=2s
TimeoutStopSec=1s
-- daemon.service
[Unit]
OnFailure=idle.service
[Service]
Type=forking
{daemon}ExecStart=/bin/daemon
ExecStopPost=/bin/post
Restart=on-failure
RestartSteps=3
RestartMaxDelaySec=2s
TimeoutStartSec=2s
TimeoutStopSec=1s
-- idle.service
[Service]
Type=idle
ExecStart=/bin/idle
RuntimeMaxSec=20s
RuntimeRandomizedExtraSec=5s
TimeoutStopSec=1s
TimeoutStopFailureMode=abort
-- loop1.service
[Unit]
After=loop2.service
Requires=loop2.service
[Service]
ExecStart=/bin/loop
TimeoutStopSec=1s
-- loop2.service
[Unit]
After=loop1.service
Wants=loop1.service
[Service]
Type=exec
ExecStart=/bin/loop
Restart=on-abnormal
TimeoutStopSec=1s
{extra}-- moved.socket
[Socket]
{moved}
ExecStartPost=/bin/post
TimeoutSec=1s
-- moved.service
[Service]
ExecStart=/bin/moved
TimeoutStopSec=1s
-- inetd.socket
[Socket]
ListenStream=127.0.0.1:79
SocketUser=somebody
ExecStartPre=/bin/one
ExecStartPre=/bin/two
ExecStartPost=/bin/post
ExecStopPre=/bin/pre
ExecStopPost=/bin/post
PassFileDescriptorsToExec=yes
PollLimitIntervalSec=200ms
PollLimitBurst=2
TimeoutSec=1s
-- inetd.service
[Unit]
Requires=inetd.socket
After=inetd.socket
[Service]
ExecStart=/bin/fingerd
StandardInput=socket
TimeoutStopSec=1s
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
MaxConnections={connections}
-- echo@.service
[Service]
ExecStartPre=/bin/pre
ExecStart=/bin/echo
TimeoutStartSec=2s
TimeoutStopSec=1s
-- mail.socket
[Socket]
ListenStream=127.0.0.1:25
Accept=yes
MaxConnections=2
MaxConnectionsPerSource=1
LimitAction=fail
TriggerLimitBurst=8
ExecStopPre=/bin/pre
ExecStopPost=-/bin/post
TimeoutSec=500ms
-- mail@.service
[Service]
ExecStart=/bin/mail
TimeoutStopSec=1s
-- watched.service
[Service]
Type=notify
ExecStart=/bin/watched
WatchdogSec=10s
Restart={restart}
TimeoutStartSec=2s
TimeoutStopSec=1s
-- bus.service
[Service]
Type=dbus
BusName={BUS_NAME}
ExecStart=/bin/bus
ExecStopPost=/bin/post
Restart=on-failure
TimeoutStartSec=2s
TimeoutStopSec=1s
-- reloading.service
[Unit]
OnFailure=idle.service
[Service]
Type=notify-reload
ExecStart=/bin/reloading
{stop}TimeoutStartSec=2s
TimeoutStopSec=1s
-- day.service
[Unit]
Conflicts=night.service
ConditionPathExists=/sun
[Service]
ExecStart=/bin/day
ExecStop=/bin/stop
TimeoutStopSec=1s
-- night.service
[Unit]
After=day.service
AssertPathExists=/moon
OnFailure=idle.service
[Service]
Type=exec
ExecStart=/bin/night
Restart=on-failure
TimeoutStopSec=1s
"
    )
}

const ONCE: &str = "-- once.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/one
ExecStart=/bin/two
ExecStop=/bin/undo
TimeoutStartSec=2s
TimeoutStopSec=1s
";
