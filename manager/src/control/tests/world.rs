//! A core for tests: a real engine in a world where every program starts, and dies of the first signal.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sockmgr_engine::{
    Action, Command, Direction, Engine, Event, ExitStatus, JobId, KillWho, Notice, ProcessId, RequestError,
    Time, Verb,
};
use sockmgr_unit::{Fragment, Host, Library, Settings, Source, Syntax, Unit, UnitName};
use tokio::sync::Notify;
use zbus::Message;
use zbus::message::Flags;
use zbus::wire::{DynamicType, Type};

use crate::control::dispatch::{Caller, Dispatcher, Outcome};
use crate::control::signal::{self, News};
use crate::control::{Core, StoredDescriptor};
use crate::install::{SearchPath, UnitFiles};
use crate::paths::Scope;

/// The files of the world; the last two are only seen when somebody looks for them.
const FILES: [(&str, &str); 9] = [
    ("web.socket", "[Socket]\nListenStream=127.0.0.1:8080\nInstances=2\n"),
    ("web@.service", "[Unit]\nDescription=Web\n[Service]\nExecStart=-/bin/web -x %i\nExecReload=/bin/true\n"),
    ("echo.socket", "[Unit]\nDescription=Echo\n[Socket]\nListenStream=/run/echo\nListenDatagram=@echo\n"),
    ("echo.service", "[Service]\nExecStart=/bin/echo one\n[Install]\nAlias=ping.service\n"),
    ("bad.service", "[Service]\nType=simple\n"),
    ("needy.service", "[Unit]\nRequires=absent.service\n[Service]\nExecStart=/bin/needy\n"),
    ("all.target", "[Unit]\nWants=echo.socket\nAfter=echo.socket\n"),
    ("late.service", "[Service]\nExecStart=/bin/late\n"),
    ("later.socket", "[Socket]\nListenStream=1\n"),
];
const ON_DISK_ONLY: [&str; 2] = ["late.service", "later.socket"];

/// What the first process gets; the others follow.
pub(super) const FIRST_PID: u32 = 1000;

pub(super) struct World {
    engine: Engine,
    actions: Vec<Action>,
    notices: Vec<Notice>,
    now: u64,
    pids: BTreeMap<ProcessId, u32>,
    pub(super) reload_error: Option<String>,
    pub(super) environment: Vec<String>,
    /// What is on disk; the engine knows nothing of it.
    pub(super) unit_files: tempfile::TempDir,
}

pub(super) fn name(text: &str) -> UnitName {
    text.parse().unwrap()
}

fn fragment(name: &str) -> Fragment {
    let text = FILES.iter().find(|(known, _)| *known == name).unwrap().1;
    let path = PathBuf::from(format!("/units/{name}")).into_boxed_path();
    Fragment::Source(Source { path, text: text.as_bytes().into(), syntax: Syntax::Systemd })
}

impl World {
    pub(super) fn new() -> Self {
        let mut library = Library::new(Host::default());
        for (file, _) in FILES.iter().filter(|(file, _)| !ON_DISK_ONLY.contains(file)) {
            library.add_fragment(name(file), fragment(file));
        }
        library.add_fragment(name("ping.service"), Fragment::Alias(name("echo.service")));
        library.add_fragment(
            name("masked.service"),
            Fragment::Masked(Path::new("/units/masked.service").into()),
        );
        let engine = Engine::new(library, Settings::default(), 4);
        let (actions, notices, pids) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut world = Self {
            engine,
            actions,
            notices,
            now: 1_000_000,
            pids,
            reload_error: None,
            environment: Vec::new(),
            unit_files: tempfile::tempdir().unwrap(),
        };
        // What a manager has up before anybody asks for more.
        let basic =
            Command { verb: Verb::Start, unit: name("basic.target"), mode: sockmgr_engine::JobMode::Replace };
        world.request(&basic).unwrap();
        // That the units are new is no news.
        world.notices.clear();
        world
    }

    pub(super) fn shared() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self::new()))
    }

    fn ask<T>(&mut self, ask: impl FnOnce(&mut Engine, Time, &mut Vec<Action>) -> T) -> T {
        self.now += 1000;
        let now = Time::from_micros(self.now);
        let answer = ask(&mut self.engine, now, &mut self.actions);
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                if let Some(event) = self.act(action) {
                    self.engine.handle(now, event, &mut self.actions);
                }
            }
        }
        answer
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Open { socket, .. } => Some(Event::Opened { socket, result: Ok(()) }),
            Action::Spawn { process, .. } => {
                let pid = FIRST_PID + u32::try_from(self.pids.len()).unwrap();
                self.pids.insert(process, pid);
                Some(Event::Spawned { process, pid })
            }
            Action::Kill { process, signal, .. } => {
                Some(Event::Exited { process, status: ExitStatus::Killed(signal), leaves_others: false })
            }
            Action::Notice(notice) => {
                self.notices.push(notice);
                None
            }
            _ => None,
        }
    }
}

impl Core for World {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn request(&mut self, command: &Command) -> Result<Option<JobId>, RequestError> {
        self.ask(|engine, now, actions| engine.request(now, command, actions))
    }

    fn cancel(&mut self, job: JobId) -> Result<(), RequestError> {
        self.ask(|engine, now, actions| engine.cancel(now, job, actions))
    }

    fn cancel_all(&mut self) {
        self.ask(|engine, now, actions| engine.cancel_all(now, actions));
    }

    fn kill(&mut self, unit: &UnitName, who: KillWho, signal: i32) -> Result<(), RequestError> {
        self.ask(|engine, now, actions| engine.kill(now, unit, who, signal, actions))
    }

    fn reset_failed(&mut self, unit: Option<&UnitName>) -> Result<(), RequestError> {
        self.ask(|engine, now, actions| engine.reset_failed(now, unit, actions))
    }

    fn clean(&mut self, _: &UnitName, _: &[crate::control::Resource]) -> Result<(), String> {
        Ok(())
    }

    fn direct(&mut self, unit: &UnitName, direction: Direction) -> Result<Vec<JobId>, RequestError> {
        self.ask(|engine, now, actions| engine.direct(now, unit, direction, actions))
    }

    fn roll_out(&mut self, unit: &UnitName) -> Result<Vec<JobId>, RequestError> {
        let mut fresh = Library::new(Host::default());
        self.ask(|engine, now, actions| engine.roll_out(now, unit, &mut fresh, actions))
    }

    fn reload(&mut self) -> Result<(), String> {
        self.reload_error.clone().map_or(Ok(()), Err)
    }

    fn find(&mut self, unit: &UnitName) {
        if ON_DISK_ONLY.contains(&unit.as_str()) {
            self.engine.library_mut().add_fragment(unit.clone(), fragment(unit.as_str()));
            self.engine.ensure_unit(unit);
        }
    }

    fn bus_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn bus_names_wanted(&self) -> Rc<Notify> {
        Rc::default()
    }

    fn bus_name_changed(&mut self, _: &str, _: bool) {}

    fn stored_descriptors(&self, _: &UnitName) -> Vec<StoredDescriptor> {
        Vec::new()
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn realtime(&self, time: Time) -> u64 {
        1_700_000_000_000_000 + time.as_micros()
    }

    fn steering(&self, _: &UnitName) -> Option<crate::control::SteeringView> {
        None
    }

    fn queues(&self, _: &UnitName) -> Vec<crate::control::QueueView> {
        Vec::new()
    }

    fn unit_path(&self) -> Vec<PathBuf> {
        vec![PathBuf::from("/units")]
    }

    fn unit_file_state(&self, unit: &UnitName) -> (&'static str, &'static str) {
        if self.engine.unit(unit).is_some() { ("enabled", "disabled") } else { ("", "") }
    }

    fn needs_reload(&self, unit: &Unit) -> bool {
        unit.name == "bad.service"
    }

    fn environment(&self) -> Vec<String> {
        self.environment.clone()
    }

    fn change_environment(&mut self, unset: &[String], set: &[String]) -> Result<(), String> {
        self.environment.retain(|variable| !unset.contains(variable));
        self.environment.extend_from_slice(set);
        Ok(())
    }

    fn unit_files(&self, operands: &[String]) -> UnitFiles {
        let path = SearchPath::new(Scope::User, &[self.unit_files.path().to_owned()], &[""; 0]);
        UnitFiles::read(path, Scope::User, Host::default(), operands)
    }
}

pub(super) const MANAGER: (&str, &str) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The object of a unit.
pub(super) fn unit_path(unit: &str) -> String {
    crate::control::path::of_unit(&name(unit)).to_string()
}

/// A client without a connection.
pub(super) struct Client {
    pub(super) world: World,
    pub(super) caller: Caller,
    dispatcher: Dispatcher,
}

/// An error reply: its name without the part that all have in common, and its text.
pub(super) type Refusal = (String, String);

impl Client {
    pub(super) fn new() -> Self {
        let caller = Caller { pid: Some(4711), may_change: true, is_subscribed: false };
        Self { world: World::new(), caller, dispatcher: Dispatcher::default() }
    }

    /// Performs a call, with what comes of it.
    pub(super) fn send(&mut self, message: &Message) -> Outcome {
        let mut outcome = self.dispatcher.dispatch(&mut self.world, self.caller, message);
        outcome.notices.extend(self.world.take_notices());
        outcome
    }

    /// The signals that come after a reply.
    pub(super) fn news(&self, outcome: &Outcome) -> Vec<News> {
        signal::of_notices(&self.world, &outcome.notices, true)
    }

    /// Calls a method and reads the answer. The answer's type is part of the test: `T`'s signature must be the reply's.
    pub(super) fn call<T: DeserializeOwned + Type>(
        &mut self,
        (path, interface): (&str, &str),
        member: &str,
        body: impl Serialize + DynamicType,
    ) -> Result<T, Refusal> {
        let reply = self.send(&message(path, interface, member, &body)).reply.unwrap();
        read(&reply)
    }

    /// A method of the manager.
    pub(super) fn manager<T: DeserializeOwned + Type>(
        &mut self,
        member: &str,
        body: impl Serialize + DynamicType,
    ) -> Result<T, Refusal> {
        self.call(MANAGER, member, body)
    }

    /// A property of a unit.
    pub(super) fn property(
        &mut self,
        unit: &str,
        interface: &str,
        property: &str,
    ) -> Result<zbus::OwnedVariant, Refusal> {
        self.call((&unit_path(unit), PROPERTIES), "Get", (interface, property))
    }

    /// A text property, of whichever interface has it.
    pub(super) fn text(&mut self, unit: &str, property: &str) -> String {
        String::try_from(self.property(unit, "", property).unwrap()).unwrap()
    }

    pub(super) fn start(&mut self, unit: &str) {
        self.manager::<zbus::OwnedObjectPath>("StartUnit", (unit, "replace")).unwrap();
    }
}

pub(super) fn message(
    path: &str,
    interface: &str,
    member: &str,
    body: &(impl Serialize + DynamicType),
) -> Message {
    let call = Message::method_call(path, member).destination("org.freedesktop.systemd1");
    let call = if interface.is_empty() { call } else { call.interface(interface) };
    call.build(body).unwrap()
}

pub(super) fn without_reply(member: &str) -> Message {
    let call = Message::method_call(MANAGER.0, member).interface(MANAGER.1);
    call.with_flags(Flags::NO_REPLY_EXPECTED).build(&()).unwrap()
}

/// Reads a reply. `T`'s signature must be the message's, not only fit it.
pub(super) fn read<T: DeserializeOwned + Type>(reply: &Message) -> Result<T, Refusal> {
    if reply.message_type() == zbus::message::Type::Error {
        let error = reply.header().error_name().unwrap().to_string();
        let short = error.rsplit('.').next().unwrap().to_owned();
        return Err((short, reply.body().deserialize().unwrap()));
    }
    let body = reply.body();
    assert_eq!(body.signature().to_string_no_parens(), T::SIGNATURE.to_string_no_parens());
    Ok(body.deserialize().unwrap())
}

/// Member, path and first text of each signal, for comparison.
pub(super) fn summary(news: &[News]) -> Vec<String> {
    news.iter().map(|news| summarize(&news.message)).collect()
}

pub(super) fn summarize(message: &Message) -> String {
    let header = message.header();
    let member = header.member().unwrap();
    let body = message.body();
    match body.signature().to_string_no_parens().as_str() {
        "uoss" => {
            let (_, _, unit, result): (u32, zbus::OwnedObjectPath, String, String) =
                body.deserialize().unwrap();
            format!("{member} {unit} {result}")
        }
        "uos" => {
            let (_, _, unit): (u32, zbus::OwnedObjectPath, String) = body.deserialize().unwrap();
            format!("{member} {unit}")
        }
        "so" => {
            let (unit, _): (String, zbus::OwnedObjectPath) = body.deserialize().unwrap();
            format!("{member} {unit}")
        }
        "sa{sv}as" => {
            let path = header.path().unwrap().as_str().rsplit('/').next().unwrap();
            let (interface, _, _): (
                String,
                std::collections::HashMap<String, zbus::OwnedVariant>,
                Vec<String>,
            ) = body.deserialize().unwrap();
            let unit = crate::control::path::unescape(path).unwrap();
            format!("{member} {unit} {}", interface.rsplit('.').next().unwrap())
        }
        "b" => format!("{member} {}", body.deserialize::<bool>().unwrap()),
        other => panic!("{member} has the signature {other}"),
    }
}
