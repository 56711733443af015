//! Connections: a real socket, real clients, and a real bus where one is installed.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, OwnedObjectPath};

use super::world::{MANAGER, World, message, read, summarize, unit_path};
use crate::control::{Core, Hub, bus, peer};

/// Longest that anything may take here; a test that gets there has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A hub on a socket of its own.
struct Server {
    hub: Rc<Hub>,
    world: Rc<RefCell<World>>,
    dir: TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("private")).unwrap();
        let world = World::shared();
        let hub = Hub::without_bus(world.clone(), listener).unwrap();
        Self { hub, world, dir }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("private")
    }

    async fn client(&self) -> MessageStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        Builder::unix_stream(stream).p2p().build_message_stream().await.unwrap()
    }
}

/// Runs a test on one thread, as the manager does.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async { tokio::time::timeout(PATIENCE, test).await.expect("no deadlock") });
}

async fn send(client: &MessageStream, call: &Message) {
    Connection::from(client).send(call).await.unwrap();
}

async fn call(client: &mut MessageStream, call: &Message) -> Message {
    send(client, call).await;
    loop {
        let message = peer::next(client).await.expect("the connection is good");
        if message.header().reply_serial() == Some(call.primary_header().serial_num()) {
            return message;
        }
    }
}

fn start_unit(unit: &str) -> Message {
    message(MANAGER.0, MANAGER.1, "StartUnit", &(unit, "replace"))
}

#[test]
fn the_reply_comes_before_the_end_of_the_job() {
    run(async {
        let server = Server::start();
        let mut client = server.client().await;
        send(&client, &start_unit("echo.socket")).await;
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let message = peer::next(&mut client).await.unwrap();
            let is_reply = message.message_type() == Type::MethodReturn;
            seen.push(if is_reply { "reply".to_owned() } else { summarize(&message) });
        }
        assert_eq!(seen, ["reply", "JobNew echo.socket", "JobRemoved echo.socket done"]);
        server.hub.stop().await;
    });
}

#[test]
fn others_hear_of_jobs_and_subscribers_of_properties_too() {
    run(async {
        let server = Server::start();
        let (mut actor, mut listener, mut subscriber) =
            (server.client().await, server.client().await, server.client().await);
        let subscribe = message(MANAGER.0, MANAGER.1, "Subscribe", &());
        read::<()>(&call(&mut subscriber, &subscribe).await).unwrap();
        assert_eq!(read::<()>(&call(&mut subscriber, &subscribe).await).unwrap_err().0, "AlreadySubscribed");
        // The listener's connection is known once it was answered.
        call(&mut listener, &message(MANAGER.0, "org.freedesktop.DBus.Peer", "Ping", &())).await;
        read::<OwnedObjectPath>(&call(&mut actor, &start_unit("echo.socket")).await).unwrap();
        call(&mut actor, &message(MANAGER.0, MANAGER.1, "Reload", &())).await;

        let mut heard = Vec::new();
        while heard.last().is_none_or(|last| last != "JobRemoved echo.socket done") {
            heard.push(summarize(&peer::next(&mut listener).await.unwrap()));
        }
        assert_eq!(heard, ["JobNew echo.socket", "JobRemoved echo.socket done"]);
        heard.clear();
        while heard.last().is_none_or(|last| last != "Reloading false") {
            heard.push(summarize(&peer::next(&mut subscriber).await.unwrap()));
        }
        let expected = [
            "PropertiesChanged echo.socket Socket",
            "PropertiesChanged echo.socket Unit",
            "JobNew echo.socket",
            "JobRemoved echo.socket done",
            "Reloading true",
            "Reloading false",
        ];
        assert_eq!(heard, expected);
        server.hub.stop().await;
    });
}

#[test]
fn what_happens_by_itself_is_told_by_the_broadcast() {
    run(async {
        let server = Server::start();
        let mut client = server.client().await;
        call(&mut client, &message(MANAGER.0, "org.freedesktop.DBus.Peer", "Ping", &())).await;
        let command = sockmgr_engine::Command {
            verb: sockmgr_engine::Verb::Start,
            unit: super::world::name("echo.service"),
            mode: sockmgr_engine::JobMode::Replace,
        };
        server.world.borrow_mut().request(&command).unwrap();
        server.hub.broadcast();
        let mut heard = summarize(&peer::next(&mut client).await.unwrap());
        while heard != "JobRemoved echo.service done" {
            assert!(heard.starts_with("Job"), "{heard}");
            heard = summarize(&peer::next(&mut client).await.unwrap());
        }
        server.hub.stop().await;
    });
}

#[test]
fn calls_that_come_with_the_handshake_are_answered() {
    run(async {
        let server = Server::start();
        let path = server.socket();
        // As systemctl does it: everything in one write, before the server has said a word.
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            let mut out = b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n".to_vec();
            out.extend_from_slice(start_unit("echo.socket").data().bytes());
            stream.write_all(&out).unwrap();
            let mut answer = Vec::new();
            let mut chunk = [0; 4096];
            while !answer.windows(4).any(|bytes| bytes == b"done") {
                let count = stream.read(&mut chunk).unwrap();
                assert_ne!(count, 0, "closed after {}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&chunk[..count]);
            }
            String::from_utf8_lossy(&answer).into_owned()
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("DATA\r\nOK "), "{answer}");
        assert!(answer.contains("AGREE_UNIX_FD"), "{answer}");
        server.hub.stop().await;
    });
}

#[test]
fn a_client_that_does_not_read_delays_nobody_and_is_dropped() {
    run(async {
        let server = Server::start();
        let deaf = UnixStream::connect(server.socket()).unwrap();
        let deaf = Builder::unix_stream(deaf).p2p().build().await.unwrap();
        // More replies than its socket and its outbox take; nobody reads its connection's queue beyond the first few.
        let introspect =
            |_| message(&unit_path("echo.service"), "org.freedesktop.DBus.Introspectable", "Introspect", &());
        let calls: Vec<Message> = (0..64).map(introspect).collect();
        let flood = async {
            let _unread = MessageStream::from(&deaf);
            while deaf.send_all(&calls).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let mut client = server.client().await;
        let work = async {
            let mut longest = Duration::ZERO;
            for _ in 0..50 {
                let begin = std::time::Instant::now();
                let unit = message(MANAGER.0, MANAGER.1, "GetUnit", &"echo.socket");
                read::<OwnedObjectPath>(&call(&mut client, &unit).await).unwrap();
                longest = longest.max(begin.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            longest
        };
        // The flood ends when the server has had enough of it.
        let (longest, ()) = tokio::join!(work, flood);
        assert!(longest < Duration::from_secs(2), "{longest:?}");
        server.hub.stop().await;
    });
}

#[test]
fn a_stopped_hub_lets_go_of_the_core_and_of_its_clients() {
    run(async {
        let server = Server::start();
        let mut client = server.client().await;
        call(&mut client, &message(MANAGER.0, "org.freedesktop.DBus.Peer", "Ping", &())).await;
        let Server { hub, world, .. } = server;
        hub.stop().await;
        drop(hub);
        assert_eq!(Rc::strong_count(&world), 1);
        assert!(peer::next(&mut client).await.is_none());
    });
}

/// A message bus of our own.
struct Bus {
    daemon: Child,
    address: String,
    _dir: TempDir,
}

impl Bus {
    /// `None`: no bus is installed on this machine.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("unix:path={}", dir.path().join("bus").display());
        let mut daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address=1", &format!("--address={address}")])
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(daemon.stdout.take()?).read_line(&mut line).unwrap();
        let address = line.trim().to_owned();
        Some(Self { daemon, address, _dir: dir })
    }

    async fn client(&self) -> MessageStream {
        Builder::address(self.address.as_str()).build_message_stream().await.unwrap()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

fn on_bus(member: &str) -> zbus::message::Builder<'_> {
    Message::method_call(MANAGER.0, member).interface(MANAGER.1).destination("org.sockmgr.Manager1")
}

/// Calls until the manager is there.
async fn call_on_bus(client: &mut MessageStream, build: impl Fn() -> Message) -> Message {
    loop {
        let reply = call(client, &build()).await;
        let error = reply.header().error_name().map(ToString::to_string);
        if error.is_none_or(|error| !error.ends_with("ServiceUnknown") && !error.ends_with("NameHasNoOwner"))
        {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn the_bus_serves_the_same_manager_under_its_name() {
    let bus = Bus::start().expect("dbus-daemon is missing; `contrib/setup tests` installs it");
    run(async {
        let server = Server::start();
        let (hub, address) = (server.hub.clone(), bus.address.clone());
        server.hub.spawn(async move { bus::serve_once(&hub, Some(address)).await.unwrap() });
        let mut client = bus.client().await;
        let own_name = Connection::from(&client).unique_name().unwrap().to_string();

        let get = || on_bus("GetUnit").build(&"echo.socket").unwrap();
        let reply = call_on_bus(&mut client, get).await;
        assert_eq!(read::<OwnedObjectPath>(&reply).unwrap().as_str(), unit_path("echo.socket"));
        assert_eq!(reply.header().destination().unwrap().as_str(), own_name);

        // Root and the own user may change things; that is who we are.
        let rule = "type='signal',interface='org.freedesktop.systemd1.Manager'";
        let add_match =
            Message::method_call("/org/freedesktop/DBus", "AddMatch").destination("org.freedesktop.DBus");
        call(&mut client, &add_match.interface("org.freedesktop.DBus").build(&rule).unwrap()).await;
        send(&client, &on_bus("StartUnit").build(&("echo.socket", "replace")).unwrap()).await;
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let message = peer::next(&mut client).await.unwrap();
            match message.message_type() {
                Type::MethodReturn => seen.push("reply".to_owned()),
                Type::Signal if message.header().path().unwrap() == MANAGER.0 => {
                    seen.push(summarize(&message))
                }
                _ => {}
            }
        }
        assert_eq!(seen, ["reply", "JobNew echo.socket", "JobRemoved echo.socket done"]);
        server.hub.stop().await;
    });
}

#[test]
fn a_second_manager_does_not_take_the_name_and_a_lost_bus_ends_only_itself() {
    let bus = Bus::start().expect("dbus-daemon is missing; `contrib/setup tests` installs it");
    run(async {
        let (first, second) = (Server::start(), Server::start());
        let mut client = bus.client().await;
        let (hub, address) = (first.hub.clone(), bus.address.clone());
        let serving = tokio::task::spawn_local(async move { bus::serve_once(&hub, Some(address)).await });
        call_on_bus(&mut client, || on_bus("Subscribe").build(&()).unwrap()).await;
        let refused = bus::serve_once(&second.hub, Some(bus.address.clone())).await;
        assert_eq!(refused.unwrap_err().to_string(), "another program has the name org.sockmgr.Manager1");
        assert!(bus::serve_once(&second.hub, None).await.is_err());

        drop(bus);
        serving.await.unwrap().unwrap();
        let mut private = first.client().await;
        read::<OwnedObjectPath>(&call(&mut private, &start_unit("echo.socket")).await).unwrap();
        first.hub.stop().await;
        second.hub.stop().await;
    });
}
