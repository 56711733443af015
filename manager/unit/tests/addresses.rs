//! Listen addresses, against a table of what systemd makes of the same lines.

mod common;

use common::{fill, load, rows};
use serde::Deserialize;
use sockmgr_unit::value::{ListenAddress, ValueError};
use sockmgr_unit::{LoadState, Property};

#[derive(Deserialize)]
struct Row {
    unit: String,
    key: String,
    value: String,
    listen: Option<Vec<(String, String)>>,
}

#[test]
fn listen_lines() {
    for row in rows::<Row>(include_str!("table/socket-address.jsonl")) {
        let text = format!("[Socket]\n{}={}\n", row.key, row.value);
        let (unit, diagnostics) = load(&row.unit, &text);
        let expected: Option<Vec<(String, String)>> =
            row.listen.map(|lines| lines.into_iter().map(|(kind, address)| (kind, fill(&address))).collect());
        let expected_state = if expected.is_some() { LoadState::Loaded } else { LoadState::BadSetting };
        assert_eq!(unit.load_state, expected_state, "{text}{diagnostics:?}");
        assert_eq!(unit.property("Listen"), Some(Property::Listen(expected.unwrap_or_default())), "{text}");
    }
}

#[test]
fn an_empty_line_forgets_the_lines_of_all_kinds() {
    let text = "[Socket]\nListenStream=80\nListenDatagram=53\nListenSequentialPacket=\nListenDatagram=54\n";
    let (unit, diagnostics) = load("x.socket", text);
    let expected = vec![("Datagram".to_owned(), "[::]:54".to_owned())];
    assert_eq!(unit.property("Listen"), Some(Property::Listen(expected)));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
}

#[test]
fn a_path_below_var_run_is_taken_as_below_run_and_said_so() {
    let (unit, diagnostics) = load("x.socket", "[Socket]\nListenStream=/var/run/x.sock\n");
    let expected = vec![("Stream".to_owned(), "/run/x.sock".to_owned())];
    assert_eq!(unit.property("Listen"), Some(Property::Listen(expected)));
    assert_eq!(diagnostics.len(), 1);
}

#[test]
fn scopes_are_interfaces_of_the_host() {
    let host = common::host();
    let parse = |text| ListenAddress::parse(text, &host);
    let scope = |text| match parse(text) {
        Ok(ListenAddress::Scoped(scoped)) => (scoped.address.scope_id(), scoped.interface.to_string()),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(scope("[fe80::1]:80%eth0"), (2, "eth0".to_owned()));
    assert_eq!(scope("[fe80::1]:80%1"), (1, "lo".to_owned()));
    assert_eq!(scope("[fe80::1]:80%9999"), (9999, "9999".to_owned()));
    assert_eq!(parse("[fe80::1]:80%nosuchif0"), Err(ValueError::NoInterface("nosuchif0".to_owned())));
}

#[test]
fn a_bare_port_is_bound_as_the_kernel_can() {
    let address = ListenAddress::parse("80", &common::host()).unwrap();
    assert_eq!(address, ListenAddress::AnyPort(80));
    assert_eq!(address.socket_addr(true).unwrap().to_string(), "[::]:80");
    assert_eq!(address.socket_addr(false).unwrap().to_string(), "0.0.0.0:80");
}

#[test]
fn ipv6_prints_as_inet_ntop_does() {
    let print = |text| ListenAddress::parse(text, &common::host()).unwrap().to_string();
    assert_eq!(print("[::ffff:1.2.3.4]:80"), "[::ffff:1.2.3.4]:80");
    assert_eq!(print("[::102:304]:80"), "[::1.2.3.4]:80");
    assert_eq!(print("[::1]:80"), "[::1]:80");
    assert_eq!(print("[0:0:0:1:0:0:0:0]:80"), "[0:0:0:1::]:80");
}

#[test]
fn the_usual_mistakes_are_answered_with_what_is_right() {
    let help = |text| ListenAddress::parse(text, &common::host()).unwrap_err().help().unwrap_or_default();
    assert!(help("localhost:80").starts_with("host names are not looked up"));
    assert!(help("run/web.sock").starts_with("the path of a socket starts with `/`"));
    assert!(help("1.2.3.4").starts_with("a port is missing"));
    assert!(help("::1:80").starts_with("write brackets"));
    assert_eq!(help("*:80"), help(":80"));
    assert_eq!(help("1.2.3.4:0"), "a port is from 1 to 65535");
    assert_eq!(help("[fe80::1]:80%eth9"), "a name must exist when the unit is loaded; an index need not");
}
