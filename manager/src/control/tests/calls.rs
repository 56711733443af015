//! Methods: what they answer, how they refuse, and what everybody is told afterwards.

use std::collections::BTreeSet;

use sockmgr_engine::{JobId, Notice};
use zbus::{Message, OwnedObjectPath};

use super::world::{
    Client, FIRST_PID, MANAGER, Refusal, message, name, read, summary, unit_path, without_reply,
};
use crate::control::interface::{Access, Method, signature_of};
use crate::control::object::Object;
use crate::control::{manager, path};

type Row = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

fn names(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.0.as_str()).collect()
}

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> (String, String) {
    result.unwrap_err()
}

#[test]
fn a_start_answers_with_the_job_and_then_tells_how_it_ends() {
    let mut client = Client::new();
    let outcome = client.send(&message(MANAGER.0, MANAGER.1, "StartUnit", &("echo.socket", "replace")));
    let job: OwnedObjectPath = read(outcome.reply.as_ref().unwrap()).unwrap();
    let ids: Vec<JobId> = outcome
        .notices
        .iter()
        .filter_map(|n| if let Notice::JobNew { id, .. } = n { Some(*id) } else { None })
        .collect();
    assert_eq!(ids.iter().map(|id| path::of_job(*id)).collect::<Vec<_>>(), [job]);
    let news = client.news(&outcome);
    assert_eq!(
        summary(&news),
        [
            "PropertiesChanged echo.socket Socket",
            "PropertiesChanged echo.socket Unit",
            "JobNew echo.socket",
            "JobRemoved echo.socket done",
        ]
    );
    let for_all: Vec<bool> = news.iter().map(|news| !news.is_for_subscribers).collect();
    assert_eq!(for_all, [false, false, true, true]);
    assert_eq!(client.text("echo.socket", "ActiveState"), "active");
}

#[test]
fn every_job_verb_is_served_on_the_manager_and_on_the_unit() {
    let verbs = ["Start", "Restart", "TryRestart", "ReloadOrRestart", "ReloadOrTryRestart", "Reload", "Stop"];
    let mut client = Client::new();
    client.start("web.service");
    for verb in verbs {
        let member = format!("{verb}Unit");
        client.manager::<OwnedObjectPath>(&member, ("web@1.service", "replace")).unwrap();
        let object = unit_path("web@2.service");
        client.call::<OwnedObjectPath>((&object, "org.freedesktop.systemd1.Unit"), verb, "replace").unwrap();
    }
    // The stop has killed the command of the reload, which counts as systemd counts it.
    for name in ["web@1.service", "web@2.service"] {
        assert_eq!(client.text(name, "ActiveState"), "failed");
        assert_eq!(client.text(name, "Result"), "signal");
    }
}

#[test]
fn a_request_with_nothing_to_do_has_a_job_that_ends_at_once() {
    let mut client = Client::new();
    let outcome = client.send(&message(MANAGER.0, MANAGER.1, "TryRestartUnit", &("echo.service", "replace")));
    let job: OwnedObjectPath = read(outcome.reply.as_ref().unwrap()).unwrap();
    assert_eq!(job, path::of_job(JobId(u32::MAX)));
    assert_eq!(summary(&client.news(&outcome)), ["JobNew echo.service", "JobRemoved echo.service done"]);
    let next = client.manager::<OwnedObjectPath>("TryRestartUnit", ("echo.service", "replace")).unwrap();
    assert_eq!(next, path::of_job(JobId(u32::MAX - 1)));
    assert_eq!(client.text("echo.service", "ActiveState"), "inactive");
}

#[test]
fn enqueue_tells_what_else_was_queued() {
    type Enqueued = (
        u32,
        OwnedObjectPath,
        String,
        OwnedObjectPath,
        String,
        Vec<(u32, OwnedObjectPath, String, OwnedObjectPath, String)>,
    );
    let mut client = Client::new();
    let (id, job, unit, object, kind, others): Enqueued =
        client.manager("EnqueueUnitJob", ("all.target", "start", "replace")).unwrap();
    assert_eq!((job, unit.as_str(), kind.as_str()), (path::of_job(JobId(id)), "all.target", "start"));
    assert_eq!(object, path::of_unit(&name("all.target")));
    let others: Vec<_> = others.iter().map(|job| (job.2.as_str(), job.4.as_str())).collect();
    assert_eq!(others, [("echo.socket", "start")]);
}

#[test]
fn requests_are_refused_by_the_names_that_systemctl_knows() {
    let table = [
        ("StartUnit", "absent.service", "replace", "NoSuchUnit"),
        ("StartUnit", "bad.service", "replace", "BadUnitSetting"),
        ("StartUnit", "masked.service", "replace", "UnitMasked"),
        ("StartUnit", "needy.service", "replace", "NoSuchUnit"),
        ("StartUnit", "web@.service", "replace", "InvalidArgs"),
        ("StartUnit", "nonsense", "replace", "InvalidArgs"),
        ("StartUnit", "echo.service", "maybe", "InvalidArgs"),
        ("StartUnit", "echo.service", "isolate", "NoIsolation"),
        ("StopUnit", "absent.service", "replace", "NoSuchUnit"),
        ("ReloadUnit", "echo.service", "replace", "JobTypeNotApplicable"),
        ("ReloadUnit", "echo.socket", "replace", "JobTypeNotApplicable"),
    ];
    let mut client = Client::new();
    for (member, unit, mode, expected) in table {
        let (error, text) = refused(client.manager::<OwnedObjectPath>(member, (unit, mode)));
        assert_eq!(error, expected, "{member} {unit} {mode}: {text}");
        assert!(!text.is_empty());
    }
}

#[test]
fn calls_that_do_not_fit_the_tables_are_refused() {
    let mut client = Client::new();
    let unit = unit_path("echo.socket");
    let table = [
        (MANAGER.0, MANAGER.1, "Explode", "UnknownMethod"),
        (MANAGER.0, "org.example.Other", "GetUnit", "UnknownMethod"),
        (&unit, MANAGER.1, "ListUnits", "UnknownMethod"),
        ("/org/freedesktop/systemd1/unit", MANAGER.1, "ListUnits", "UnknownMethod"),
        ("/org/freedesktop/systemd1/job/7", "org.freedesktop.DBus.Peer", "Ping", "UnknownObject"),
        ("/org/example", "org.freedesktop.DBus.Peer", "Ping", "UnknownObject"),
        ("/org/freedesktop/systemd1/unit/nonsense", "org.freedesktop.DBus.Peer", "Ping", "InvalidArgs"),
        (
            "/org/freedesktop/systemd1/unit/web_40_2eservice",
            "org.freedesktop.DBus.Peer",
            "Ping",
            "InvalidArgs",
        ),
        (MANAGER.0, MANAGER.1, "StartUnit", "InvalidArgs"),
    ];
    for (path, interface, member, expected) in table {
        assert_eq!(
            refused(client.call::<()>((path, interface), member, ())).0,
            expected,
            "{member} at {path}"
        );
    }
    let (_, text) = refused(client.manager::<()>("StartUnit", ("echo.socket",)));
    assert_eq!(
        text,
        "Invalid arguments 's' to call org.freedesktop.systemd1.Manager.StartUnit(), expecting 'ss'."
    );
}

#[test]
fn a_call_without_an_interface_finds_its_method() {
    let mut client = Client::new();
    client.call::<()>((MANAGER.0, ""), "Ping", ()).unwrap();
    assert!(!client.call::<Vec<Row>>((MANAGER.0, ""), "ListUnits", ()).unwrap().is_empty());
}

#[test]
fn only_who_may_change_things_changes_things() {
    let mut client = Client::new();
    client.caller.may_change = false;
    for method in manager::INTERFACE.methods {
        let outcome = client.send(&example_call(method));
        let denied = read_error(outcome.reply.as_ref().unwrap()).is_some_and(|error| error == "AccessDenied");
        assert_eq!(denied, method.access == Access::Change, "{}", method.name);
        assert!(outcome.notices.is_empty(), "{}", method.name);
    }
    assert_eq!(client.text("echo.socket", "ActiveState"), "inactive");
}

/// A call with arguments of the right types.
fn example_call(method: &Method) -> Message {
    let call = Message::method_call(MANAGER.0, method.name);
    let unit = "echo.socket";
    let none = Vec::<String>::new();
    let built = match signature_of(method.input).as_str() {
        "" => call.build(&()),
        "s" => call.build(&unit),
        "ss" => call.build(&(unit, "replace")),
        "sss" => call.build(&(unit, "start", "replace")),
        "ssi" => call.build(&(unit, "all", 15)),
        "u" => call.build(&1u32),
        "as" => call.build(&none),
        "asas" => call.build(&(&none, &none)),
        "asb" => call.build(&(&none, false)),
        "asbb" => call.build(&(&none, false, false)),
        "assbb" => call.build(&(&none, "full", false, false)),
        "asssbb" => call.build(&(&none, unit, "Wants", false, false)),
        "ast" => call.build(&(&none, 0u64)),
        "sas" => call.build(&(unit, &none)),
        "sb" => call.build(&(unit, false)),
        "sbb" => call.build(&("full", false, false)),
        other => panic!("no example for {other}"),
    };
    built.unwrap()
}

fn read_error(reply: &Message) -> Option<String> {
    let header = reply.header();
    header.error_name().map(|error| error.rsplit('.').next().unwrap().to_owned())
}

#[test]
fn who_wants_no_reply_gets_none() {
    let mut client = Client::new();
    let outcome = client.send(&without_reply("Subscribe"));
    assert!(outcome.reply.is_none());
    assert_eq!(outcome.subscription, Some(true));
    assert!(client.send(&without_reply("Explode")).reply.is_none());
}

#[test]
fn a_subscription_is_made_and_given_up_once() {
    let mut client = Client::new();
    assert_eq!(refused(client.manager::<()>("Unsubscribe", ())).0, "NotSubscribed");
    client.manager::<()>("Subscribe", ()).unwrap();
    client.caller.is_subscribed = true;
    assert_eq!(refused(client.manager::<()>("Subscribe", ())).0, "AlreadySubscribed");
    client.manager::<()>("Unsubscribe", ()).unwrap();
}

#[test]
fn listings_filter_by_state_and_pattern() {
    let mut client = Client::new();
    client.start("echo.socket");
    let list = |client: &mut Client, states: &[&str], patterns: &[&str]| {
        client.manager::<Vec<Row>>("ListUnitsByPatterns", (states, patterns)).unwrap()
    };
    let row = list(&mut client, &[], &["echo.socket"]).remove(0);
    let expected = ("echo.socket", "Echo", "loaded", "active", "listening", "");
    assert_eq!((&*row.0, &*row.1, &*row.2, &*row.3, &*row.4, &*row.5), expected);
    assert_eq!((row.6, row.7, &*row.8, row.9), (path::of_unit(&name("echo.socket")), 0, "", path::none()));

    assert_eq!(names(&list(&mut client, &["listening"], &[])), ["echo.socket"]);
    assert_eq!(names(&list(&mut client, &["masked", "bad-setting"], &[])), ["bad.service", "masked.service"]);
    assert_eq!(
        names(&list(&mut client, &["inactive"], &["web*"])),
        ["web.service", "web.socket", "web@1.service", "web@2.service"]
    );
    assert_eq!(names(&list(&mut client, &["active"], &["web*"])), Vec::<&str>::new());
    let filtered: Vec<Row> = client.manager("ListUnitsFiltered", ["listening"].as_slice()).unwrap();
    assert_eq!(names(&filtered), ["echo.socket"]);
    let all: Vec<Row> = client.manager("ListUnits", ()).unwrap();
    assert!(names(&all).contains(&"all.target") && !names(&all).contains(&"late.service"));
}

#[test]
fn units_are_listed_by_name_known_or_not() {
    let mut client = Client::new();
    let asked = ["late.service", "absent.socket", "ping.service"];
    let rows: Vec<Row> = client.manager("ListUnitsByNames", asked.as_slice()).unwrap();
    let states: Vec<_> = rows.iter().map(|row| (row.0.as_str(), row.2.as_str(), row.4.as_str())).collect();
    let expected = [
        ("late.service", "loaded", "dead"),
        ("absent.socket", "not-found", "dead"),
        ("echo.service", "loaded", "dead"),
    ];
    assert_eq!(states, expected);
}

#[test]
fn a_unit_is_got_when_known_and_loaded_when_there_is_a_file() {
    let mut client = Client::new();
    let object = |unit: &str| path::of_unit(&name(unit));
    let (error, text) = refused(client.manager::<OwnedObjectPath>("GetUnit", "late.service"));
    assert_eq!((error.as_str(), text.as_str()), ("NoSuchUnit", "Unit late.service not loaded."));
    assert_eq!(
        client.manager::<OwnedObjectPath>("LoadUnit", "late.service").unwrap(),
        object("late.service")
    );
    assert_eq!(client.manager::<OwnedObjectPath>("GetUnit", "late.service").unwrap(), object("late.service"));
    assert_eq!(client.manager::<OwnedObjectPath>("GetUnit", "ping.service").unwrap(), object("echo.service"));
    assert_eq!(
        client.manager::<OwnedObjectPath>("LoadUnit", "absent.service").unwrap(),
        object("absent.service")
    );
}

#[test]
fn a_file_that_came_later_is_found_by_a_start() {
    let mut client = Client::new();
    client.start("late.service");
    assert_eq!(client.text("late.service", "SubState"), "running");
}

#[test]
fn processes_are_found_and_signalled() {
    let mut client = Client::new();
    client.start("ping.service");
    let found: OwnedObjectPath = client.manager("GetUnitByPID", FIRST_PID).unwrap();
    assert_eq!(found, path::of_unit(&name("echo.service")));
    assert_eq!(refused(client.manager::<OwnedObjectPath>("GetUnitByPID", 0u32)).0, "NoUnitForPID");
    client.caller.pid = Some(FIRST_PID);
    assert_eq!(client.manager::<OwnedObjectPath>("GetUnitByPID", 0u32).unwrap(), found);
    let own = "/org/freedesktop/systemd1/unit/self";
    assert_eq!(Object::at(&mut client.world, own, Some(FIRST_PID)), Ok(Object::Unit(name("echo.service"))));

    client.manager::<()>("KillUnit", ("echo.service", "main", 9)).unwrap();
    assert_eq!(client.text("echo.service", "Result"), "signal");
    assert_eq!(refused(client.manager::<()>("KillUnit", ("echo.service", "main", 9))).0, "NoSuchProcess");
    client.manager::<()>("KillUnit", ("echo.service", "all", 9)).unwrap();
    assert_eq!(refused(client.manager::<()>("KillUnit", ("echo.service", "nobody", 9))).0, "InvalidArgs");
    assert_eq!(refused(client.manager::<()>("KillUnit", ("echo.service", "all", 65))).0, "InvalidArgs");
    assert_eq!(refused(client.manager::<()>("KillUnit", ("absent.service", "all", 9))).0, "NoSuchUnit");
}

#[test]
fn a_failure_is_forgotten_on_demand() {
    let mut client = Client::new();
    client.start("echo.service");
    client.manager::<()>("KillUnit", ("echo.service", "main", 9)).unwrap();
    assert_eq!(client.text("echo.service", "ActiveState"), "failed");
    client.manager::<()>("ResetFailedUnit", "echo.service").unwrap();
    assert_eq!(client.text("echo.service", "ActiveState"), "inactive");
    client.manager::<()>("ResetFailed", ()).unwrap();
    assert_eq!(refused(client.manager::<()>("ResetFailedUnit", "absent.service")).0, "NoSuchUnit");
}

#[test]
fn a_reload_answers_when_it_is_done_or_says_why_not() {
    let mut client = Client::new();
    let outcome = client.send(&message(MANAGER.0, MANAGER.1, "Reload", &()));
    assert!(outcome.reloaded);
    read::<()>(outcome.reply.as_ref().unwrap()).unwrap();
    client.world.reload_error = Some("the disk is gone".to_owned());
    let outcome = client.send(&message(MANAGER.0, MANAGER.1, "Reload", &()));
    assert!(!outcome.reloaded);
    let expected = ("Failed".to_owned(), "the disk is gone".to_owned());
    assert_eq!(read::<()>(outcome.reply.as_ref().unwrap()), Err(expected));
}

#[test]
fn no_method_is_listed_twice() {
    let mut seen = BTreeSet::new();
    assert!(manager::INTERFACE.methods.iter().all(|method| seen.insert(method.name)));
}
